"""Hostile strings come back as they were: through inputs, arguments, files and ``ctx``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aria_core import Actor, Call, ContextServer
from aria_core.testing.hostile import ANY_TEXT, ECHO, HOSTILE, as_inputs, echoed
from aria_core.worker import ctx_command
from aria_core.worker.context import NodeOperationContext

Ctx = Callable[..., Any]

often = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""Each example is one text."""
seldom = settings(often, max_examples=40)
"""Each example is a process with up to 20 texts."""


def test_hundreds_of_hostile_strings_pass_through_a_shell_as_they_are(host: Any) -> None:
    assert len(set(HOSTILE)) >= 500
    inputs = as_inputs(HOSTILE)
    assert echoed(host.out(ECHO, {"args": HOSTILE}, **inputs)) == (list(HOSTILE), inputs)


@seldom
@given(st.lists(ANY_TEXT, max_size=20))
def test_any_text_passes_through_a_shell_as_it_is(host: Any, texts: list[str]) -> None:
    host.channel.logs.clear()
    assert echoed(host.out(ECHO, {"args": texts}, **as_inputs(texts))) == (texts, as_inputs(texts))


def test_hundreds_of_hostile_strings_pass_through_files_as_they_are(host: Any, tmp_path: Path) -> None:
    host.channel.resources |= {f"texts/{number}": text.encode() for number, text in enumerate(HOSTILE)}
    host.out(f"ctx download-resource texts {tmp_path}/got")
    assert [(tmp_path / "got" / str(number)).read_bytes().decode() for number in range(len(HOSTILE))] == list(
        HOSTILE)


def test_hostile_strings_pass_through_ctx_in_a_shell_as_they_are(host: Any) -> None:
    texts = HOSTILE[::len(HOSTILE) // 20]
    script = """
        for each in "$@"; do
            ctx --json-arg-prefix '' node attributes text = "$each"
            ctx -j node attributes text
        done
        """
    assert list(map(json.loads, host.out(script, {"args": texts}))) == list(texts)


# The command itself, with its real server, in the process of the tests: a thousand take a second.

@pytest.fixture
def ctx(host: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
        capsysbinary: pytest.CaptureFixture[bytes]) -> Iterator[Ctx]:
    """Runs ``ctx`` with words that are no JSON; gives what it printed as JSON."""
    call = Call(host.ref, "x:y", {}, Actor("node", 1, "web"))
    with ContextServer(NodeOperationContext(call, host.channel), tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)

        def run(*words: str) -> Any:
            capsysbinary.readouterr()
            assert ctx_command.main(["-j", "--json-arg-prefix", "", *words]) == 0, capsysbinary.readouterr()
            return json.loads(capsysbinary.readouterr().out)

        yield run


def check_attribute(ctx: Ctx, text: str) -> None:
    ctx("node", "attributes", "text", "=", text)
    assert ctx("node", "attributes", "text") == text
    ctx("node", "attributes", "deep", "er", "=", text)
    assert ctx("node", "attributes", "deep") == {"er": text}


def check_log(ctx: Ctx, host: Any, text: str) -> None:
    ctx("logger", "info", "[", text, "]")
    assert host.channel.messages[-1] == ("INFO", text)


def check_file(ctx: Ctx, host: Any, text: str, directory: Path) -> None:
    host.channel.resources["text"] = text.encode()
    assert ctx("get-resource", "text") == text
    place = Path(ctx("download-resource", "text", str(directory / "got")))
    assert place.read_bytes().decode() == text


def test_hundreds_of_hostile_strings_pass_through_ctx_as_they_are(
        ctx: Ctx, host: Any, tmp_path: Path) -> None:
    for text in sorted(set(HOSTILE)):
        check_attribute(ctx, text)
        check_log(ctx, host, text)
        check_file(ctx, host, text, tmp_path)


ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-2**53, 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner), max_leaves=8)


@often
@given(value=ANY_VALUE)
@pytest.mark.parametrize("parts", ["all", "few"])
def test_any_value_passes_through_attributes_as_json(ctx: Ctx, value: Any, parts: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if parts == "few":  # a Python that is made of other parts has only the module `json`
            patch.setattr(ctx_command, "encode_text", None)
            patch.setattr(ctx_command, "make_scanner", None)
        ctx("--json-arg-prefix", "@", "node", "attributes", "value", "=", f"@{json.dumps(value)}")
        assert ctx("node", "attributes", "value") == value
        if isinstance(value, str):
            ctx("node", "attributes", "value", "=", value)
            assert ctx("node", "attributes", "value") == value


@often
@given(ANY_TEXT)
def test_any_text_passes_through_attributes_as_it_is(ctx: Ctx, text: str) -> None:
    check_attribute(ctx, text)


@often
@given(text=ANY_TEXT)
def test_any_text_passes_through_logs_and_files_as_it_is(
        ctx: Ctx, host: Any, text: str, tmp_path: Path) -> None:
    check_log(ctx, host, text)
    check_file(ctx, host, text, tmp_path)
