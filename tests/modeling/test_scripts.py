"""Inputs and settings of scripts that no environment could carry are told before anything is stored."""

from __future__ import annotations

import pytest

from aria_core import InvalidInputError, TemplateBuilder, get_input, script
from aria_core.modeling.scripts import variable_refusal
from aria_plugins.operations.script.errors import ScriptSettingsError
from aria_plugins.operations.script.settings import process_settings
from aria_plugins.operations.script.variables import entries

NAMES = "; names are letters, digits and _, not beginning with a digit"
OF = "operation Standard.create of node 'one': "


def refused(**settings) -> list[str]:
    builder = TemplateBuilder("t")
    builder.input("variables", "map", default={})
    path = settings.pop("path", "run.sh")
    builder.node("one", operations={"create": script(path, **settings)})
    try:
        builder.build()
    except InvalidInputError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize("name", ["a", "_", "A_1", "x" * 200])
def test_names_of_variables_are_taken(name):
    assert variable_refusal("the input", name) is None
    assert refused(inputs={name: "x"}) == []


@pytest.mark.parametrize("name", ["a-b", "1a", "a b", "a.b", "\u00e4", "a\u0661", "A=B"])
def test_names_that_cannot_be_variables_are_refused(name):
    assert refused(inputs={name: "x"}) == [f"{OF}the input {name!r} cannot be an environment variable{NAMES}"]
    assert refused(process={"env": {name: "x"}}) == [
        f"{OF}the process setting env: {name!r} cannot be an environment variable{NAMES}"]


def test_it_is_told_in_the_words_of_the_operation_that_would_have_failed():
    for given, process in (({"a-b": "x"}, {}), ({}, {"env": {"a b": "x"}}), ({}, {"shell": "sh"}),
                           ({}, {"args": "-v"})):
        with pytest.raises(ScriptSettingsError) as caught:
            entries(given, process_settings(process))
        assert refused(inputs=given, process=process) == [f"{OF}{caught.value}"]


def test_a_name_with_a_line_in_it_is_told_in_one_line():
    assert variable_refusal("the input", "a\n") == (
        f"the input 'a\\n' cannot be an environment variable{NAMES}")


def test_inputs_of_a_script_that_python_evaluates_have_any_name():
    assert refused(path="run.py", inputs={"a-b": "x"}) == []
    assert refused(path="run.py", inputs={"a-b": "x"}, process={"eval_python": True}) == []
    assert refused(inputs={"a-b": "x"}, process={"eval_python": True}) == []
    for settings in ({"eval_python": False}, {"cwd": "/"}):
        assert len(refused(path="run.py", inputs={"a-b": "x"}, process=settings)) == 1


@pytest.mark.parametrize(("process", "told"), [
    ({"cwd": 5}, "the process setting cwd is 5; it takes a directory"),
    ({"env": ["A=B"]}, "the process setting env is ['A=B']; it takes a map of variables"),
    ({"args": "-v"}, "the process setting args is '-v'; it takes a list"),
    ({"command_prefix": 1}, "the process setting command_prefix is 1; it takes a command or a list of words"),
    ({"eval_python": "yes"}, "the process setting eval_python is 'yes'; it takes true or false"),
    ({"shell": "sh"}, "there is no process setting 'shell'; there are cwd, env, args, command_prefix, "
     "eval_python"),
])
def test_settings_that_no_script_can_have_are_refused(process, told):
    assert refused(process=process) == [f"{OF}{told}"]


def test_settings_that_fit_or_are_not_known_yet_are_taken():
    assert refused(process={"cwd": "/", "env": {"A": 1}, "args": ["-v"], "command_prefix": ["nice"],
                            "eval_python": False}) == []
    assert refused(process={"env": get_input("variables"), "args": get_input("variables"), "cwd": None}) == []
