"""``aria service-templates validate``, and what shows files: for people and for editors."""

from __future__ import annotations

import json
from typing import Any

import pytest

HEAD = "tosca_definitions_version: tosca_simple_yaml_1_3\n"
GOOD = HEAD + """\
topology_template:
  inputs: {size: {type: integer, default: 3}}
  node_templates: {n: {type: Compute}}
"""
BAD = HEAD + "topology_template: {node_templates: {n: {type: Compue}, m: {typ: Compute}}}\n"
LACKING = HEAD + """\
topology_template:
  node_templates: {n: {type: Compute, interfaces: {Standard: {create: gone.sh}}}}
"""


@pytest.fixture
def files(project: Any) -> Any:
    """One that is right, one that is wrong, and one that lacks a script."""
    for name, text in (("good", GOOD), ("bad", BAD), ("lacking", LACKING)):
        (project.directory / f"{name}.yaml").write_text(text)
    return project


def test_several_files_are_judged_at_once(files: Any) -> None:
    told = files("service-templates", "validate", "good.yaml", "bad.yaml", "lacking.yaml", code=2)
    assert told.stdout.splitlines() == [
        "good.yaml is a valid service template: good", "lacking.yaml is a valid service template: lacking"]
    assert [each.split(": ")[1] for each in told.stderr.splitlines()] == [
        "bad.yaml:2:48", "bad.yaml:2:57", "bad.yaml:2:61", "warning"]
    assert files("service-templates", "validate", "good.yaml", "lacking.yaml").exit_code == 0


def test_editors_get_objects(files: Any) -> None:
    told = files("service-templates", "validate", "bad.yaml", "lacking.yaml", "--json", code=2)
    assert told.stderr == ""
    bad, lacking = json.loads(told.stdout)
    assert (bad["file"], bad["valid"], bad["name"]) == ("bad.yaml", False, None)
    first = bad["problems"][0]
    assert {each: first[each] for each in ("file", "line", "column", "severity")} == {
        "file": "bad.yaml", "line": 2, "column": 48, "severity": "error"}
    assert first["message"].endswith("did you mean `Compute`?")
    assert (lacking["valid"], lacking["name"]) == (True, "lacking")
    assert [each["severity"] for each in lacking["problems"]] == ["warning"]
    assert "there is no script `gone.sh`" in lacking["problems"][0]["message"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"- list", b"a: [", b"\x00" * 100, b"{" * 10_000])
def test_what_is_no_template_is_a_problem_and_no_traceback(files: Any, content: bytes) -> None:
    (files.directory / "strange.yaml").write_bytes(content)
    told = files("service-templates", "validate", "strange.yaml", "--json", code=2).stdout
    assert '"severity": "error"' in told
    assert "strange.yaml" in files("service-templates", "validate", "strange.yaml", code=2).stderr


def test_a_file_that_is_not_there_is_wrong_usage(files: Any) -> None:
    assert "nothing.yaml" in files("service-templates", "validate", "nothing.yaml", code=2).stderr
    assert "FILE" in files("service-templates", "validate", code=2).stderr


def test_inputs_and_the_rest_of_a_file_are_shown(files: Any) -> None:
    assert files.json("service-templates", "inputs", "good.yaml") == [
        {"name": "size", "type": "integer", "required": False, "default": 3, "description": ""}]
    shown = files.json("service-templates", "show", "good.yaml")
    assert (shown["name"], shown["nodes"]) == ("good", {"n": "tosca.nodes.Compute"})
    assert "files" not in shown
    assert "nobody" in files.error("service-templates", "show", "nobody", code=2)


def test_imports_are_shown_as_a_tree(files: Any) -> None:
    folder = files.directory
    (folder / "sub").mkdir()
    (folder / "main.yaml").write_text(
        HEAD + "imports:\n- {file: sub/a.yaml, namespace_prefix: a}\n- aria-1.0\n")
    (folder / "sub" / "a.yaml").write_text(
        "tosca_definitions_version: tosca_simple_yaml_1_0\nimports: [b.yaml]\n")
    (folder / "sub" / "b.yaml").write_text("node_types: {A: {derived_from: tosca.nodes.Root}}\n")
    assert files("service-templates", "import-check", "main.yaml").stdout.splitlines() == [
        "main.yaml (tosca_simple_yaml_1_3)", "  sub/a.yaml (tosca_simple_yaml_1_0, prefix a)",
        "    sub/b.yaml (tosca_simple_yaml_1_0)", "  <profile aria-1.0> (tosca_simple_yaml_1_0)"]
    told = files.json("service-templates", "import-check", "main.yaml")
    assert [(each["depth"], each["place"]) for each in told["files"]] == [
        (0, ""), (1, "main.yaml:3:10"), (2, "sub/a.yaml:2:11"), (1, "main.yaml:4:3")]


@pytest.mark.parametrize(("text", "words"), [
    ("imports: [gone.yaml]", "main.yaml:2:11: there is no file gone.yaml"),
    ("imports: [main.yaml]", "in a loop: main.yaml -> main.yaml"),
    ("imports: [bad2.yaml]", "bad2.yaml:1:1: unknown keyname `nodetypes`"),
])
def test_imports_that_are_missing_or_wrong_are_told(files: Any, text: str, words: str) -> None:
    (files.directory / "main.yaml").write_text(HEAD + text)
    (files.directory / "bad2.yaml").write_text("nodetypes: {}\n")
    told = files("service-templates", "import-check", "main.yaml", code=2)
    assert words in told.stderr
    assert told.stdout.startswith("main.yaml (")
