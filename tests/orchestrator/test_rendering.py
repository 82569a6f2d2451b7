"""Rendering: what templates may do, and what they may not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jinja2
import psutil
import pytest

from aria_core.exceptions import InvalidInputError, NotJsonError
from aria_core.orchestrator.rendering import MAX_OUTPUT, MAX_SECONDS, MAX_TEMPLATE, Renderer, render


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer() as renderer:
        yield renderer


def test_a_template_is_filled_in(renderer: Renderer) -> None:
    text = "{% for host in hosts %}\nserver {{ host.ip }}:{{ port }};{% endfor %}\n<&>\n"
    assert renderer.render(text, {"hosts": [{"ip": "a"}, {"ip": "ü"}], "port": 80}) == (
        "\nserver a:80;\nserver ü:80;\n<&>\n")


def test_one_rendering_needs_nothing_to_be_closed() -> None:
    assert render("{{ x }}", {"x": 1}) == "1"


@pytest.mark.parametrize(("text", "message"), [
    ("one\n{{ nope }}", r"conf/x\.j2, line 2: 'nope' is undefined"),
    ("{{ x.nope.more }}", r"conf/x\.j2, line 1: 'dict object' has no attribute 'nope'"),
    ("a\nb\n{% if %}", r"conf/x\.j2, line 3: Expected an expression"),
    ("a\n{% for x in y %}", r"conf/x\.j2, line 2: Unexpected end of template"),
    ("{% frob %}", r"conf/x\.j2, line 1: Encountered unknown tag 'frob'"),
    ("{{ 'x'|frob }}", r"conf/x\.j2, line 1: No filter named 'frob'"),
    ("\n\n{{ 1 / 0 }}", r"conf/x\.j2, line 3: ZeroDivisionError: division by zero"),
    ("{% include '/etc/passwd' %}", r"conf/x\.j2, line 1: TypeError: no loader"),
    ("{{ [1]|map('upper')|list|first|frob }}", r"conf/x\.j2, line 1"),
])
def test_an_error_is_one_sentence_with_name_and_line(renderer: Renderer, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        renderer.render(text, {"x": {}}, "conf/x.j2")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("variables", [{"x": object()}, {"x": print}, {"x": Path("/")}, {1: 2}])
def test_only_plain_data_goes_in(renderer: Renderer, variables: Any) -> None:
    with pytest.raises(NotJsonError):
        renderer.render("{{ x }}", variables)


COMMAND = "touch {marker}; echo p''wned"
"""Prints what it does not contain."""

PAYLOADS = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__']['__mro__'][1]['__subclasses__']() }}",
    "{{ ''|attr('__class__')|attr('__mro__') }}",
    "{{ ''|attr('__cla'+'ss__') }}{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f')|attr('mro')() }}",
    "{{ [''].__class__.__base__.__subclasses__() }}",
    "{{ data.__class__.__init__.__globals__ }}",
    "{{ self.__init__.__globals__.__builtins__.__import__('os').popen('COMMAND').read() }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('COMMAND').read() }}",
    "{{ self._TemplateReference__context.environment.globals }}",
    "{{ cycler.__init__.__globals__.os.popen('COMMAND').read() }}",
    "{{ joiner.__init__.__globals__.os.popen('COMMAND').read() }}",
    "{{ namespace.__init__.__globals__.os.popen('COMMAND').read() }}",
    "{{ lipsum.__globals__.os.popen('COMMAND').read() }}",
    "{{ lipsum['__globals__']['os']['popen']('COMMAND')['read']() }}",
    "{{ range.__class__.__base__ }}",
    "{{ dict.__base__.__subclasses__() }}",
    "{{ dict.mro()[-1].__subclasses__() }}",
    "{{ config.__class__.__init__.__globals__['os'].popen('COMMAND').read() }}",
    "{{ request.application.__globals__.__builtins__.__import__('os').system('COMMAND') }}",
    "{{ url_for.__globals__.os.popen('COMMAND').read() }}",
    "{{ get_flashed_messages.__globals__.__builtins__.open('/etc/passwd').read() }}",
    "{{ __import__('os').system('COMMAND') }}",
    "{{ eval('__import__(\"os\").system(\"COMMAND\")') }}",
    "{{ open('MARKER', 'w').write('x') }}",
    "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(data) }}",
    "{{ '%(x)s'|format(x=''.__class__) }}",
    "{{ ('{0.__class__}'|safe).format(1) }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{{ ['{0.__class__.__base__}']|map('format', '')|first }}{{ ''|attr('format')('').__class__ }}",
    "{% set f = '{0.__class__}'.format %}{{ f(1) }}",
    "{{ ['']|map(attribute='__class__')|list|first|attr('mro') }}",
    "{{ [{}]|groupby('__class__')|first|first|attr('__base__') }}",
    "{{ [data]|sum(attribute='__class__.__mro__', start=()) }}",
    "{{ ''|map('__class__') }}{{ data|selectattr('__class__', 'x')|list }}{{ data.items.__self__ }}",
    "{% for x in (1).__class__.__base__.__subclasses__() %}{{ x.__init__.__globals__ }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.__globals__ }}{{ m._func.__globals__.os.popen('COMMAND').read() }}",
    "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{% set g = (i for i in [1]) %}{{ g.gi_frame.f_builtins }}",
    "{{ (data.items().__iter__).__self__ }}{{ [].append.__self__ }}",
    "{% import 'os' as os %}{{ os.popen('COMMAND').read() }}",
    "{% from 'os' import popen %}{{ popen('COMMAND').read() }}",
    "{% extends '/etc/passwd' %}",
    "{{ data.update({'a': 1}) }}",
    "{{ data.hosts.append(1) }}{{ data.hosts.clear() }}",
    "{% do data.hosts.pop() %}",
    "{% python import os %}",
    "${__import__('os').system('COMMAND')}{{ x }}",
    "<% import os; os.system('COMMAND') %>{{ x }}",
]


def rendered_or_nothing(renderer: Renderer, text: str, variables: dict[str, Any]) -> str:
    try:
        return renderer.render(text, variables)
    except InvalidInputError:
        return ""


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_gets_out_of_the_sandbox(renderer: Renderer, tmp_path: Path, payload: str) -> None:
    marker = tmp_path / "marker"
    text = payload.replace("COMMAND", COMMAND.format(marker=marker)).replace("MARKER", str(marker))
    data = {"hosts": ["a"]}
    shown = rendered_or_nothing(renderer, text, {"data": data})
    assert not any(word in shown for word in ("pwned", "root:", "<class", "<function", "<built-in", "0x"))
    assert not marker.exists()
    assert data == {"hosts": ["a"]}


@pytest.mark.parametrize("payload", [PAYLOADS[9], PAYLOADS[12], PAYLOADS[6]])
def test_such_payloads_do_run_without_the_sandbox(tmp_path: Path, payload: str) -> None:
    marker = tmp_path / "marker"
    text = payload.replace("COMMAND", COMMAND.format(marker=marker))
    program = "import jinja2, sys; print(jinja2.Environment().from_string(sys.argv[1]).render())"
    done = subprocess.run([sys.executable, "-c", program, text], capture_output=True, text=True, check=False)
    assert marker.exists() and "pwned" in done.stdout, done.stderr


@pytest.mark.parametrize("bomb", [
    "{{ 'a' * 10**9 }}",
    "{{ 'a'|center(10**10) }}",
    "{{ ('a' * 10**8) ~ ('b' * 10**8) ~ ('c' * 10**8) ~ ('d' * 10**8) ~ ('e' * 10**8) }}",
    "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
    "{{ range(10**9)|list }}",
    "{{ '%0999999999d'|format(1) }}",
    "{{ [0] * 10**9 }}",
    "{{ " + "(" * 5000 + ")" * 5000 + " }}",
    "{% set ns = namespace(s='a') %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
])
def test_a_bomb_ends_within_the_limits(renderer: Renderer, bomb: str) -> None:
    begin = time.monotonic()
    with pytest.raises(InvalidInputError):
        renderer.render(bomb, {})
    assert time.monotonic() - begin < MAX_SECONDS * 2
    assert renderer.render("{{ x }}", {"x": "fine"}) == "fine"


@pytest.mark.slow
def test_a_template_that_computes_for_ever_ends() -> None:
    loops = "".join("{% for i in range(99999) %}" for _ in range(4)) + "{% endfor %}" * 4
    with Renderer() as renderer:
        begin = time.monotonic()
        with pytest.raises(InvalidInputError, match=r"endless\.j2 could not be rendered within"):
            renderer.render(loops, {}, "endless.j2")
        assert time.monotonic() - begin < MAX_SECONDS * 3
        assert renderer.render("{{ x }}", {"x": "fine"}) == "fine"


def test_large_but_allowed_text_passes(renderer: Renderer) -> None:
    part = "a" * (MAX_OUTPUT // 1000)
    assert renderer.render("{{ x * 1000 }}", {"x": part}) == part * 1000
    with pytest.raises(InvalidInputError, match="renders to more than"):
        renderer.render("{{ x * 1000 }}b", {"x": "a" * (MAX_OUTPUT // 1000 + 1)})


def test_a_template_has_a_largest_size(renderer: Renderer) -> None:
    assert renderer.render("a" * MAX_TEMPLATE, {}) == "a" * MAX_TEMPLATE
    with pytest.raises(InvalidInputError, match=f"big.j2 has {MAX_TEMPLATE + 1} characters"):
        renderer.render("a" * (MAX_TEMPLATE + 1), {}, "big.j2")


def test_what_no_file_can_hold_is_refused(renderer: Renderer) -> None:
    with pytest.raises(NotJsonError, match=r"the rendered x\.j2 contains a lone surrogate"):
        renderer.render("{{ '\\ud800' }}", {}, "x.j2")


def test_renderings_from_many_threads_do_not_mix(renderer: Renderer) -> None:
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda number: renderer.render("{{ n }}" * 50, {"n": number}), range(200)))
    assert texts == [str(number) * 50 for number in range(200)]


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def test_the_process_is_started_once_replaced_when_it_dies_and_gone_at_the_end() -> None:
    before = children()
    renderer = Renderer()
    assert children() == before
    for _ in range(3):
        renderer.render("x", {})
    (process,) = children() - before
    os.kill(process, signal.SIGKILL)
    with pytest.raises(InvalidInputError, match="could not be rendered"):
        renderer.render("x", {})
    assert renderer.render("x", {}) == "x"
    assert process not in children()
    renderer.close()
    renderer.close()
    assert children() == before


def test_an_interrupted_rendering_does_not_answer_the_next_one() -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    slow = "{% for i in range(99999) %}{% for j in range(50) %}{% endfor %}{% endfor %}slow"
    previous = signal.signal(signal.SIGUSR1, stop)
    timer = threading.Timer(0.3, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR1))
    try:
        with Renderer() as renderer:
            renderer.render("warm", {})
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                for _ in range(100):
                    renderer.render(slow, {})
            assert renderer.render("{{ x }}", {"x": "mine"}) == "mine"
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, previous)


def test_jinja_is_new_enough_to_guard_attr_and_format() -> None:
    assert tuple(map(int, jinja2.__version__.split(".")[:3])) >= (3, 1, 6)
