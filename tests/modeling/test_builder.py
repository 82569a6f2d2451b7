"""The builder: templates in Python."""

from __future__ import annotations

import functools
import os.path
import textwrap
from pathlib import Path
from types import FunctionType
from typing import Any

import msgspec
import pytest

from aria_core.exceptions import InvalidInputError, NotJsonError
from aria_core.modeling.builder import TemplateBuilder, call, parameter, script
from aria_core.modeling.expressions import concat, get_attribute, get_input, get_property
from aria_core.modeling.specification import OperationSpec, TemplateSpec


def shop() -> TemplateBuilder:
    template = TemplateBuilder("shop", description="sells")
    template.input("port", "integer", default=8080)
    db = template.node("db", type="Database", properties={"size": 5}, attributes={"ip": None},
                       operations={"create": "shop.ops:create_db"})
    web = template.node("web", properties={"port": get_input("port")},
                        operations={"start": script("start.sh", port=get_property("SELF", "port"))})
    web.requires(db, "database", type="ConnectsTo",
                 operations={"pre_configure_source": "shop.ops:connect"})
    template.workflow("backup", "shop.ops:backup", inputs={"keep": 3})
    template.plugin("tools", version="1.0")
    template.output("url", concat("http://", get_attribute("web", "ip"), ":", get_input("port")))
    return template


def test_a_template_has_the_parts_that_were_added() -> None:
    spec = shop().build()
    assert (spec.name, spec.description, list(spec.nodes)) == ("shop", "sells", ["db", "web"])
    assert spec.inputs["port"].type == "integer" and not spec.inputs["port"].required
    assert spec.nodes["db"].properties["size"].type == "integer"
    assert spec.nodes["db"].types == ["Database"]
    assert spec.nodes["db"].interfaces["Standard"].operations["create"].function == "shop.ops:create_db"
    start = spec.nodes["web"].interfaces["Standard"].operations["start"]
    assert (start.script, start.inputs["port"].dynamic) == ("start.sh", True)
    (tie,) = spec.nodes["web"].relationships
    assert (tie.name, tie.target, tie.type, tie.hosted) == ("database", "db", "ConnectsTo", False)
    assert tie.interfaces["Configure"].operations["pre_configure_source"].function == "shop.ops:connect"
    assert spec.workflows["backup"].inputs["keep"].value == 3
    assert spec.plugins["tools"].version == "1.0"
    assert spec.outputs["url"].dynamic


def test_a_template_survives_json() -> None:
    spec = shop().build()
    assert msgspec.json.decode(msgspec.json.encode(spec), type=TemplateSpec) == spec


def test_what_was_built_does_not_change_when_building_goes_on() -> None:
    template = shop()
    before = template.build()
    template.node("cache")
    assert "cache" not in before.nodes and "cache" in template.build().nodes


def test_a_function_that_can_be_imported_may_be_given_itself() -> None:
    template = TemplateBuilder("functions")
    template.node("n", operations={
        "create": os.path.join, "start": call(textwrap.dedent, text="x", timeout=5)})
    group = template.build().nodes["n"].interfaces["Standard"].operations
    assert group["create"].function == "posixpath:join"
    assert (group["start"].function, group["start"].timeout) == ("textwrap:dedent", 5)


def test_a_dotted_name_becomes_module_and_name() -> None:
    template = TemplateBuilder("dotted")
    template.workflow("w", "package.module.function")
    assert template.build().workflows["w"].function == "package.module:function"


def at_top() -> None:
    """Will be hidden by another function of this name."""


hidden = at_top


def at_top() -> None:  # type: ignore[no-redef]
    """Hides the first."""


class Callable:
    def method(self) -> None: ...

    def __call__(self) -> None: ...


main = FunctionType(textwrap.dedent.__code__, {"__name__": "__main__"}, "main")


@pytest.mark.parametrize(("function", "message"), [
    (lambda: None, "cannot be imported by a worker"),
    (Callable().method, "Callable.method. cannot be imported by a worker"),
    (Callable(), "cannot be imported by a worker"),
    (functools.partial(os.path.join, "a"), "cannot be imported by a worker"),
    (hidden, "is not this function"),
    (main, "stands in the program itself"),
    ("", "names no function; it takes 'package.module:name'"),
    ("create", "names no function"),
    ("a b:c", "names no function"),
    ("a:b:c", "names no function"),
    ("os:system; rm", "names no function"),
    ("../x:y", "names no function"),
])
def test_a_function_that_no_worker_could_import_is_refused(function: Any, message: str) -> None:
    template = TemplateBuilder("bad")
    with pytest.raises(InvalidInputError, match=message):
        template.node("n", operations={"create": function})
    with pytest.raises(InvalidInputError, match=message):
        template.workflow("w", function)
    assert template.build().nodes == {}


def test_a_local_function_is_refused() -> None:
    def local() -> None: ...

    with pytest.raises(InvalidInputError, match=r"local.* cannot be imported by a worker"):
        call(local)


def twice(what: str, template: TemplateBuilder) -> None:
    for _ in range(2):
        if what == "workflow":
            template.workflow("x", "a:b")
        elif what == "output":
            template.output("x", 1)
        else:
            getattr(template, what)("x")


@pytest.mark.parametrize("what", ["node", "input", "output", "workflow", "plugin"])
def test_a_name_may_be_used_once(what: str) -> None:
    with pytest.raises(InvalidInputError, match=f"there is a {what} 'x' already"):
        twice(what, TemplateBuilder("t"))


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", "a\0b", "\x1b[31m", " a", None, 5])
def test_a_name_is_short_text_that_prints(name: Any) -> None:
    template = TemplateBuilder("t")
    for use in (TemplateBuilder, template.node, template.input, lambda each: template.output(each, 1)):
        with pytest.raises(InvalidInputError, match="name"):
            use(name)


@pytest.mark.parametrize("name", ["日本", "a b", "../x", "{{", "'; DROP", "x" * 255, "%s"])
def test_a_strange_name_is_a_name(name: str) -> None:
    template = TemplateBuilder(name)
    template.node(name)
    assert list(template.build().nodes) == [name]


@pytest.mark.parametrize("name", ["SELF", "SOURCE", "TARGET", "HOST"])
def test_a_word_of_expressions_names_no_node(name: str) -> None:
    with pytest.raises(InvalidInputError, match="expressions use this word"):
        TemplateBuilder("t").node(name)


def test_a_requirement_may_point_at_a_node_that_comes_later() -> None:
    template = TemplateBuilder("t")
    template.node("a").requires("b").requires("b", "again", hosted=True)
    template.node("b")
    assert [(each.name, each.target, each.hosted) for each in template.build().nodes["a"].relationships] == [
        ("b", "b", False), ("again", "b", True)]


def test_everything_wrong_with_the_whole_is_told_at_once() -> None:
    template = TemplateBuilder("t")
    a = template.node("a", properties={"x": get_input("nope"), "y": get_attribute("ghost", "ip"),
                                       "z": {"inside": [get_property("SELF", "x")]}})
    a.requires("nowhere", "r")
    template.output("o", get_attribute("SELF", "ip"))
    template.node("b").requires("c", hosted=True)
    template.node("c").requires("b", hosted=True)
    with pytest.raises(InvalidInputError) as caught:
        template.build()
    assert str(caught.value).splitlines() == [
        "requirement 'r' of node 'a' points at 'nowhere'; the nodes are: a, b, c",
        "these nodes are hosted on each other: b -> c -> b",
        "output 'o': SELF means nothing here; name a node: a, b, c",
        "property 'x' of node 'a': there is no input 'nope'; the inputs are: none",
        "property 'y' of node 'a': there is no node 'ghost'; it takes SELF or one of: a, b, c",
    ]


def test_a_node_of_another_template_is_no_target() -> None:
    other = TemplateBuilder("other").node("x")
    with pytest.raises(InvalidInputError, match="node 'x' belongs to another template"):
        TemplateBuilder("t").node("x").requires(other)


def test_an_operation_stands_once_in_an_interface() -> None:
    template = TemplateBuilder("t")
    with pytest.raises(InvalidInputError, match=r"node 'n' has the operation Standard\.create twice"):
        template.node("n", operations={"create": "a:b"}, interfaces={"Standard": {"create": "a:c"}})


def test_an_operation_in_another_interface_has_a_namesake() -> None:
    template = TemplateBuilder("t")
    template.node("n", operations={"create": "a:b"}, interfaces={"Maintenance": {"create": None}})
    interfaces = template.build().nodes["n"].interfaces
    assert interfaces["Maintenance"].operations == {"create": OperationSpec()}
    assert set(interfaces) == {"Standard", "Maintenance"}


def test_literals_with_dollars_stay_literals_also_beside_an_expression() -> None:
    template = TemplateBuilder("t")
    template.input("i", default="x")
    template.node("n", properties={"plain": {"$ref": 1}, "mixed": {"$ref": get_input("i")}})
    plain, mixed = template.build().nodes["n"].properties.values()
    assert (plain.value, plain.dynamic) == ({"$ref": 1}, False)
    assert (mixed.value, mixed.dynamic) == ({"$$ref": {"$get_input": ["i"]}}, True)


@pytest.mark.parametrize("value", [object(), {1: 2}, float("nan"), b"x", {"a": {1, 2}}])
def test_a_value_that_json_cannot_carry_is_refused_by_its_name(value: Any) -> None:
    with pytest.raises(NotJsonError, match="conf"):
        TemplateBuilder("t").node("n", properties={"conf": value})


def test_an_input_without_default_is_required_unless_told_otherwise() -> None:
    template = TemplateBuilder("t")
    template.input("a")
    template.input("b", required=False)
    template.input("c", default=[1], secret=True, constraints=[{"min_length": 1}])
    inputs = template.build().inputs
    assert [each.required for each in inputs.values()] == [True, False, False]
    assert (inputs["c"].type, inputs["c"].secret) == ("list", True)
    assert inputs["c"].constraints == [{"min_length": 1}]


def test_a_parameter_says_more_than_its_value() -> None:
    template = TemplateBuilder("t")
    template.workflow("w", "a:b", inputs={"target": parameter(type="string", required=True)})
    declared = template.build().workflows["w"].inputs["target"]
    assert (declared.type, declared.required, declared.value) == ("string", True, None)


def test_an_input_called_like_a_keyword_goes_through_inputs() -> None:
    operation = call("a:b", inputs={"timeout": 5}, timeout=7)
    assert (operation.inputs["timeout"].value, operation.timeout) == (5, 7)


def test_loading_wants_the_scripts_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"Standard\.start of node 'web' runs 'start\.sh', which"):
        shop().load(tmp_path)
    with pytest.raises(InvalidInputError, match="none was given"):
        shop().load()
    (tmp_path / "start.sh").write_text("#!/bin/sh\n")
    assert shop().load(tmp_path).directory == str(tmp_path)
    with pytest.raises(InvalidInputError, match="is no directory"):
        shop().load(tmp_path / "nowhere")


@pytest.mark.parametrize("path", ["", "/bin/sh", "../x.sh", "a/../../b"])
def test_a_script_lies_inside_the_templates_directory(path: str) -> None:
    with pytest.raises(InvalidInputError, match="must be a path inside"):
        script(path)


def test_a_script_may_lie_at_a_url() -> None:
    template = TemplateBuilder("elsewhere")
    template.node("n", operations={"start": script("https://host/x.sh")})
    operation = template.load().template.nodes["n"].interfaces["Standard"].operations["start"]
    assert operation.script == "https://host/x.sh"


def test_a_script_takes_the_words_script_path_and_process_for_itself() -> None:
    template = TemplateBuilder("t")
    template.node("n", operations={"start": script("x.sh", inputs={"process": 1})})
    with pytest.raises(InvalidInputError, match="no input of it may be called process"):
        template.build()
