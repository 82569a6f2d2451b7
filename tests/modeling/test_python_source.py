"""What is read from the source of a function, and what is left alone because it is not certain."""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aria_core.modeling.python_source import UnreadableSourceError, read_facts
from aria_core.modeling.signatures import Signature

HEAD = "from aria_core import operation\n"


def signature(source: str, name: str = "f") -> Signature | None:
    head = read_facts(dedent(source).encode()).functions.get(name)
    return None if head is None else Signature(
        f"ops:{name}", f"ops.py:{head.line}", head.arguments, head.takes_any, head.takes_ctx)


def refused(source: str, /, **given: Any) -> list[str]:
    found = signature(source)
    assert found is not None, "nothing was read"
    return [each.sentence for each in found.refusals(given)]


@pytest.mark.parametrize(("source", "arguments", "sentences"), [
    ("def f(ctx): ...", {}, []),
    ("def f(ctx, a, b=1, *, c, d=None): ...", {"a": 1, "c": 2}, []),
    ("def f(ctx, a, b=1): ...", {"b": 2}, ["ops:f (ops.py:1) misses 'a'; it takes a, b (optional)"]),
    ("def f(ctx): ...", {"a": 1}, ["ops:f (ops.py:1) does not know 'a'; it takes none"]),
    ("def f(ctx, label): ...", {"label": 1, "lable": 1},
     ["ops:f (ops.py:1) does not know 'lable'; did you mean 'label'? it takes label"]),
    ("def f(ctx, a, **more): ...", {"a": 1, "anything": 1}, []),
    ("def f(ctx, a, **more): ...", {}, ["ops:f (ops.py:1) misses 'a'; it takes a, any other"]),
    ("def f(ctx, *more, a): ...", {"a": 1}, []),
    ("def f(a): ...", {"a": 1}, ["ops:f (ops.py:1) takes no ctx, and every operation is given one"]),
    ("def f(**all): ...", {"a": 1}, []),
    (HEAD + "@operation\ndef f(ctx, a): ...", {},
     ["ops:f (ops.py:3) misses 'a'; it takes a"]),
    (HEAD + "@operation(toolbelt=True)\ndef f(ctx, toolbelt, a): ...", {},
     ["ops:f (ops.py:3) misses 'a'; it takes a"]),
    (HEAD + "@operation(suffix_template='{a}', logging_handlers=[])\ndef f(ctx, a): ...", {"a": 1}, []),
    ("import aria_core as aria\n@aria.operation()\ndef f(ctx): ...", {"a": 1},
     ["ops:f (ops.py:3) does not know 'a'; it takes none"]),
    ("from aria_core.orchestrator.decorators import operation as op\n@op\ndef f(ctx): ...", {}, []),
])
def test_arguments_are_compared_with_the_head_of_the_function(source, arguments, sentences):
    assert refused(source, **arguments) == sentences


@pytest.mark.parametrize(("annotation", "fits", "others"), [
    ("str", ["", "text"], [1, 1.5, True, [], {}, None]),
    ("int", [1, True], [1.5, "1", None, []]),
    ("float", [1, 1.5, False], ["1", None]),
    ("bool", [True], [1, "true", None]),
    ("list", [[]], ["", {}, None]),
    ("dict", [{}], ["", [], None]),
    ("list[int]", [["a"]], [{}]),
    ("dict[str, Any]", [{"a": 1}], [[]]),
    ("List[str]", [[1]], ["a"]),
    ("typing.Dict[str, int]", [{}], ["a"]),
    ("Optional[int]", [1, None], ["1"]),
    ("Union[int, str]", [1, "1"], [None, []]),
    ("Union[int]", [1], ["1"]),
    ("int | None", [1, None], ["1"]),
    ("int | str | list[int]", [1, "1", [1]], [None, {}]),
    ("None", [None], [1]),
    ('"int | None"', [1, None], ["1"]),
    ('Optional["str"]', ["1", None], [1]),
])
def test_a_value_must_be_of_the_class_that_a_plain_annotation_says(annotation, fits, others):
    source = f"import typing\nfrom typing import *\ndef f(ctx, a: {annotation}): ...".replace(
        "*", "Any, Dict, List, Optional, Union")
    for value in fits:
        assert refused(source, a=value) == []
    for value in others:
        shown = annotation.strip('"') if annotation.startswith('"') else annotation.replace('"', "'")
        assert refused(source, a=value) == [f"ops:f (ops.py:3) takes {shown} for 'a', not {value!r}"]


@pytest.mark.parametrize("annotation", [
    "Any", "object", "Path", "tuple", "Sequence[str]", "Mapping", "Literal['a']", "list | Path",
    "Optional[Path]", "Union[int, Any]", "shadowed", "'not ('", "int if flag else str",
    "module.List", "Annotated[int, 'x']", "1", "...",
])
def test_other_annotations_are_left_alone(annotation):
    source = "from typing import Any, Optional, Union\nshadowed = int\n" + f"def f(ctx, a: {annotation}): ..."
    for value in (1, "1", None, [], {}):
        assert refused(source, a=value) == []


def test_a_default_of_none_allows_none():
    assert refused("def f(ctx, a: int = None): ...", a=None) == []
    assert refused("def f(ctx, a: int = None): ...", a="1") == [
        "ops:f (ops.py:1) takes int for 'a', not '1'"]


@pytest.mark.parametrize("before", [
    "int = 5", "from numpy import int", "if 1:\n    int = str", "class int: ...", "for int in (): ...",
    "import int", "try: ...\nexcept E as int: ..."])
def test_a_name_of_a_class_that_means_something_else_says_nothing(before):
    assert refused(f"{before}\ndef f(ctx, a: int): ...", a="1") == []


def test_names_of_other_things_may_be_looked_up_and_changed():
    source = "def f(ctx):\n    exec(code, {})\n    return vars(ctx)['a'], eval('1', {}, {})"
    assert signature(source) is not None


@pytest.mark.parametrize("source", [
    "@other\ndef f(ctx): ...",
    HEAD + "@operation\n@other\ndef f(ctx): ...",
    HEAD + "@operation(**settings)\ndef f(ctx): ...",
    HEAD + "@operation(toolbelt=flag)\ndef f(ctx): ...",
    HEAD + "@operation(None, True)\ndef f(ctx): ...",
    "from other import operation\n@operation\ndef f(ctx): ...",
    "from .aria_core import operation\n@operation\ndef f(ctx): ...",
    "try:\n    from aria_core import operation\nexcept ImportError:\n    operation = print\n"
    "@operation\ndef f(ctx): ...",
    HEAD + "operation = mine(operation)\n@operation\ndef f(ctx): ...",
    "def f(ctx, /): ...",
    "async def f(ctx): ...",
    "class f:\n    def __init__(self, ctx): ...",
    "f = lambda ctx: 0",
    "def f(ctx): ...\nf = decorated(f)",
    "def f(ctx): ...\ndef f(ctx, a): ...",
    "if condition:\n    def f(ctx): ...",
    "def f(ctx): ...\ndel f",
    "def f(ctx): ...\ndef g():\n    global f\n    f = 1",
    "def f(ctx): ...\nfrom other import *",
    "def f(ctx): ...\nglobals()['f'] = 1",
    "def f(ctx): ...\nexec('f = 1')",
    "import sys\ndef f(ctx): ...\nsys.modules[__name__] = 1",
    "import sys\ndef f(ctx): ...\nsetattr(sys, 'f', 1)",
    "def f(ctx): ...\nf.__signature__ = 1",
    "import ops\ndef f(ctx): ...\nops.f = 1",
    "def f(ctx): ...\nfor f in (): ...",
    "def f(ctx): ...\nwith x as f: ...",
    "def f(ctx): ...\n(f := 1)",
    "def f(ctx): ...\nmatch x:\n    case {**f}: ...",
    "def f(ctx): ...\nmatch x:\n    case [*f]: ...",
    "def f(ctx): ...\nmatch x:\n    case f: ...",
    "#" * (1 << 20) + "\ndef f(ctx): ...",
])
def test_whatever_may_be_changed_before_it_is_called_is_left_alone(source):
    assert signature(source) is None


def test_a_source_that_this_python_cannot_read_says_where():
    with pytest.raises(UnreadableSourceError, match=r"^2:6: .*never closed"):
        read_facts(b"x = 1\ndef f(")


@pytest.mark.parametrize("source", ["(" * 5000, "x = " + "-" * 50_000 + "1", "\0"])
def test_a_source_that_no_parser_can_read_tells_of_no_function(source):
    def functions() -> list[str]:
        try:
            return list(read_facts(source.encode()).functions)
        except UnreadableSourceError:  # what it is depends on the Python
            return []

    assert functions() == []


def test_nobody_is_warned_of_what_is_only_read():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert signature(r"def f(ctx): '\d'") is not None


NAMES = st.sampled_from(["a", "b", "c", "toolbelt"])
DEFAULTS = st.sampled_from(["", "=1", "=None"])


@st.composite
def functions(draw: st.DrawFn) -> str:
    names = draw(st.lists(NAMES, unique=True))
    at = draw(st.integers(0, len(names)))
    plain = [name + draw(DEFAULTS) for name in names[:at]]
    plain.sort(key=lambda each: "=" in each)
    keyword = [name + draw(DEFAULTS) for name in names[at:]]
    star = [draw(st.sampled_from(["*", "*more"]))] if keyword else []
    rest = draw(st.sampled_from([[], ["**rest"]]))
    ctx = draw(st.sampled_from([["ctx"], []]))
    return f"def f({', '.join([*ctx, *plain, *star, *keyword, *rest])}): return 1"


@settings(max_examples=300, deadline=None)
@given(functions(), st.sampled_from(["", "@operation\n", "@operation(toolbelt=True)\n"]),
       st.sets(st.sampled_from(["a", "b", "c", "d"])))
def test_a_call_is_refused_if_and_only_if_python_would_refuse_it(function, decorator, names):
    names_given = dict.fromkeys(names, 0)
    source = HEAD + decorator + function
    module: dict[str, Any] = {}
    exec(source, module)
    toolbelt = {"toolbelt": None} if "toolbelt=True" in decorator else {}
    plain = inspect.unwrap(module["f"])
    try:
        inspect.signature(plain).bind(ctx=None, **toolbelt, **names_given)
        is_accepted = True
    except TypeError:
        is_accepted = False
    found = signature(source)
    assert found is not None
    if toolbelt and "toolbelt" not in function and "**" not in function:
        return  # that the function takes no toolbelt is for the worker to find out
    assert (not list(found.refusals(names_given))) is is_accepted


PACKAGES = ("aria_core", "aria_plugins", "asyncio", "click", "concurrent", "email", "json", "networkx",
            "pluggy", "sqlalchemy", "unittest", "urllib")


def imported() -> Iterator[ModuleType]:
    """The modules of these packages that this process has, and has from source."""
    for name in PACKAGES:
        importlib.import_module(name)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PACKAGES and str(getattr(module, "__file__", "")).endswith(".py"):
            yield module


def test_what_is_read_of_a_module_is_what_an_import_of_it_gives():
    checked = 0
    for module in imported():
        facts = read_facts(Path(module.__file__).read_bytes())
        for name, head in facts.functions.items():
            function = getattr(module, name)
            assert inspect.isfunction(function), (module, name)
            parameters = inspect.signature(function).parameters.values()
            named = {each.name: each.default is each.empty for each in parameters
                     if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL) and each.name != "ctx"}
            read = {each.name: each.is_required for each in head.arguments.values()}
            assert read == named, (module, name)
            checked += 1
        missing = {name for name, value in vars(module).items() if inspect.isfunction(value)} - facts.names
        assert facts.is_open or not missing, module
    assert checked > 500
