"""Topologies as a tree of text, as DOT and as SVG: of files, stored templates and services."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

HEAD = "tosca_definitions_version: tosca_simple_yaml_1_3\n"
TIERS = HEAD + """
topology_template:
  node_templates:
    web: {type: WebServer, requirements: [{host: machine}, {dependency: db}]}
    worker: {type: SoftwareComponent, requirements: [{host: machine}, {dependency: db}]}
    db: {type: SoftwareComponent, requirements: [{host: machine}]}
    machine: {type: Compute}
    alone: {type: Compute}
"""
CYCLE = HEAD + """
topology_template:
  node_templates:
    a: {type: Root, requirements: [{dependency: b}]}
    b: {type: Root, requirements: [{dependency: a}]}
"""
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def tiers(project: Any) -> Path:
    """A file in the project's folder."""
    file: Path = project.directory / "tiers.yaml"
    file.write_text(TIERS)
    return file


def test_a_tree_begins_with_what_nobody_requires(project: Any, tiers: Path) -> None:
    assert project("service-templates", "graph", tiers).stdout == """\
tiers
web (tosca.nodes.WebServer)
├─ host: machine (tosca.nodes.Compute)
└─ dependency: db (tosca.nodes.SoftwareComponent)
   └─ host: machine (tosca.nodes.Compute)
worker (tosca.nodes.SoftwareComponent)
├─ host: machine (tosca.nodes.Compute)
└─ dependency: db (tosca.nodes.SoftwareComponent) …
alone (tosca.nodes.Compute)
"""


def test_nodes_that_require_each_other_are_drawn_once(project: Any) -> None:
    file = project.directory / "cycle.yaml"
    file.write_text(CYCLE)
    assert project("service-templates", "graph", file).stdout.splitlines() == [
        "cycle", "a (tosca.nodes.Root)", "└─ dependency: b (tosca.nodes.Root)",
        "   └─ dependency: a (tosca.nodes.Root) …"]
    assert project("service-templates", "graph", file, "--format", "svg").stdout.startswith("<svg ")


def test_a_service_shows_its_states(project: Any) -> None:
    project("run", project.template)
    assert project("services", "graph", "hello").stdout.splitlines() == [
        "hello", "two (Greeter, started)", "└─ dependency: one (Greeter, started)"]
    assert 'label="two\\nGreeter\\nstarted"' in project("services", "graph", "hello", "-f", "dot").stdout


def test_a_stored_template_goes_before_a_file_of_its_name(project: Any) -> None:
    project("service-templates", "store", project.template)
    assert project("service-templates", "graph", "hello").stdout.startswith("hello\ntwo (Greeter)\n")
    assert "neither" not in project.error("service-templates", "graph", "nobody", code=2)


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "<b>&amp;</b>", "ümläut 世界", "a]b;c{d}"])
def test_any_name_is_drawn_as_it_is(project: Any, name: str) -> None:
    file = project.directory / "names.yaml"
    quoted = "'" + name.replace("'", "''") + "'"
    file.write_text(f"{HEAD}topology_template: {{node_templates: {{{quoted}: {{type: Root}}, "
                    f"other: {{type: Root, requirements: [{{dependency: {quoted}}}]}}}}}}\n")
    root = ElementTree.fromstring(project("service-templates", "graph", file, "-f", "svg").stdout)
    assert name in [each.text for each in root.iter(f"{SVG}text")]
    told = project("service-templates", "graph", file, "-f", "dot").stdout
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    assert f'"{escaped}" [label="{escaped}\\ntosca.nodes.Root"];' in told
    if shutil.which("dot"):
        subprocess.run(["dot", "-Tsvg"], input=told, text=True, check=True, capture_output=True)


def test_a_picture_has_every_node_and_relationship(project: Any, tiers: Path) -> None:
    root = ElementTree.fromstring(project("service-templates", "graph", tiers, "--format", "svg").stdout)
    assert len(list(root.iter(f"{SVG}rect"))) == 5
    assert len(list(root.iter(f"{SVG}line"))) == 5
    tops = {each.findtext(f"{SVG}title", "").split()[0]: float(each.find(f"{SVG}rect").get("y"))  # type: ignore[union-attr,arg-type]
            for each in root.iter(f"{SVG}g")}
    assert tops["web"] < tops["db"] < tops["machine"]


def test_a_thousand_nodes_are_drawn_in_seconds(project: Any) -> None:
    file = project.directory / "many.yaml"
    nodes = "".join(f"    n{each}: {{type: Root, requirements: [{{dependency: n{each // 2}}}]}}\n"
                    for each in range(1, 1000))
    file.write_text(f"{HEAD}topology_template:\n  node_templates:\n    n0: {{type: Root}}\n{nodes}")
    began = time.monotonic()
    for shape in ("tree", "dot", "svg"):
        assert "n999" in project("service-templates", "graph", file, "-f", shape).stdout
    assert time.monotonic() - began < 60
