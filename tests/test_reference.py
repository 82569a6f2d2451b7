"""The tables of the reference say what the code says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml

import aria_core.exceptions
import aria_core.orchestrator.exceptions
from aria_core.config import Config
from aria_core.exceptions import AriaError, LoadError
from aria_core.extensions import Extensions
from aria_core.extensions.kinds import EXECUTORS, LOADERS, MODEL_STORAGES, RESOURCE_STORAGES
from aria_core.modeling.base import Model
from aria_core.modeling.specification import LoadedTemplate
from aria_core.orchestrator import events

DOCS = Path(__file__).parents[1] / "docs"
KINDS = {"executor": EXECUTORS, "model storage": MODEL_STORAGES, "resource storage": RESOURCE_STORAGES}


def rows(page: str, heading: str = "") -> list[list[str]]:
    """The cells of the first table below a heading, without the head of the table."""
    text = (DOCS / page).read_text()
    text = text[text.index(heading) + len(heading):]
    lines = re.findall(r"(?m)^\|.*\|$", re.split(r"\n## ", text, maxsplit=1)[0])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def code(cell: str) -> str:
    return cell.strip("`")


def test_every_setting_has_a_row_with_its_default():
    documented = {code(key): code(default) for key, default, _ in rows("reference/configuration.md")}
    settings = {each.name: each.value for each in Config.of().rows()}
    assert documented.keys() == settings.keys()
    for name, default in documented.items():
        if default not in ("none",) and "<data folder>" not in default:
            value = settings[name]
            assert default == (str(value).lower() if isinstance(value, bool) else str(value)), name


def test_every_keyword_of_a_shipped_driver_has_a_row():
    documented: dict[tuple[str, str], set[str]] = {}
    owner = ("", "")
    page, heading = "reference/configuration.md", "## Keywords of the extensions that ship"
    for extension, keyword, *_ in rows(page, heading):
        if extension:
            kind, _, name = extension.rpartition(" ")
            owner = (kind, code(name))
        documented.setdefault(owner, set()).update({code(keyword)} - {""})
    extensions = Extensions(environ={})
    shipped = {(each.kind, each.name): set(inspect.signature(made).parameters) for each in extensions.rows()
               if each.kind in KINDS and each.distribution == "aria-core"
               and (made := extensions.driver(KINDS[each.kind], each.name))}
    assert documented == shipped


def test_every_signal_has_a_row_with_its_event():
    page = rows("reference/events.md")
    documented = {(code(signal), *re.findall(r"`(\w+)`", event)) for signal, event in page}
    names = {id(value): name for name, value in vars(events).items() if name.endswith("_signal")}
    assert documented == {
        (names[id(signal)], kind.__name__, word) for (kind, word), signal in events.SIGNALS.items()}


def test_every_exit_code_has_a_row():
    documented = {number for cell, _ in rows("reference/errors.md", "## Exit codes")
                  for number in map(int, cell.split(", "))}
    modules = (aria_core.exceptions, aria_core.orchestrator.exceptions)
    used = {each.exit_code for module in modules for each in vars(module).values()
            if isinstance(each, type) and issubclass(each, AriaError)}
    assert documented == used | {0, 7, 129, 130, 143}


def test_the_tables_of_the_database_are_those_that_are_explained():
    text = (DOCS / "explanation/lean-schema.md").read_text()
    first = text.partition("\n\n")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", first)) == set(Model.metadata.tables)
    assert "Sixteen" in text and len(Model.metadata.tables) == 16


def test_every_page_is_in_the_navigation():
    def pages(nav: object) -> set[str]:
        if isinstance(nav, str):
            return {nav}
        entries = nav.values() if isinstance(nav, dict) else nav
        return set().union(*(pages(each) for each in entries))

    config = yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text())
    assert pages(config["nav"]) == {str(each.relative_to(DOCS)) for each in DOCS.rglob("*.md")}


def test_every_file_on_the_tour_is_there():
    modules = re.findall(r"`([\w/]+\.py)`", (DOCS / "tour.md").read_text())
    files = [str(each) for folder in ("aria_core", "aria_plugins")
             for each in (DOCS.parent / folder).rglob("*.py")]
    missing = [each for each in modules if not any(file.endswith(f"/{each}") for file in files)]
    assert len(modules) > 20 and not missing


TEMPLATE = """
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  inputs:
    name: {{type: string, default: a}}
  node_templates:
    one:
      type: tosca.nodes.Root
      interfaces:
        Standard:
          operations:
            create:
              implementation:
                primary: create.sh
                dependencies: [{setting}]
  outputs:
    out: {{value: {value}}}
"""


def load(folder: Path, setting: str = "''", value: str = "''") -> LoadedTemplate:
    (folder / "create.sh").touch()
    source = folder / "template.yaml"
    source.write_text(TEMPLATE.format(setting=setting, value=value))
    loader = Extensions(environ={}).driver(LOADERS, "tosca")()
    return loader.load(source, Path.read_bytes)


def test_every_setting_of_an_operation_has_an_effect(tmp_path):
    for setting, _ in rows("reference/templates.md", "### How an operation is run"):
        quoted = "'" + code(setting).replace("'", "''") + "'"
        operation = load(tmp_path, quoted).template.nodes["one"].interfaces["Standard"].operations["create"]
        changed = {each: getattr(operation, each) for each in
                   ("max_attempts", "retry_interval", "retry", "ignore_failure", "timeout",
                    "heartbeat_timeout", "priority", "pool", "process", "ssh")}
        assert [each for each in changed.values() if each not in (None, {})], setting


def test_what_is_told_to_be_missing_is_refused_and_says_so(tmp_path):
    text = (DOCS / "reference/templates.md").read_text()
    missing = text.partition("## What is not, yet")[2].partition("\n\n## ")[0]
    assert "imports by URL" in missing
    (tmp_path / "other.yaml").write_text(
        "tosca_definitions_version: tosca_simple_yaml_1_3\nimports: ['https://example.org/types.yaml']\n")
    with pytest.raises(LoadError, match="is a URL"):
        Extensions(environ={}).driver(LOADERS, "tosca")().load(tmp_path / "other.yaml", Path.read_bytes)
