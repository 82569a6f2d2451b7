"""How a template says how much of it runs at once, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from aria_core import LoadError, TemplateSpec
from aria_plugins.loaders.tosca import ToscaLoader

OPERATION = """
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  node_templates:
    one:
      type: tosca.nodes.Root
      interfaces:
        Standard:
          create:
            implementation:
              primary: create.sh
              dependencies: {settings}
"""

POLICIES = """
tosca_definitions_version: tosca_simple_yaml_1_3
imports: [aria-1.0]
topology_template:
  inputs: {{most: {{type: integer, default: 2}}}}
  node_templates:
    one: {{type: tosca.nodes.Root}}
    two: {{type: tosca.nodes.Root}}
    three: {{type: tosca.nodes.Root}}
  groups:
    pair: {{type: tosca.groups.Root, members: [one, two]}}
  policies: {policies}
"""


def load(folder: Path, text: str) -> TemplateSpec:
    (folder / "create.sh").touch()
    source = folder / "template.yaml"
    source.write_text(text)
    return ToscaLoader().load(source, Path.read_bytes).template


def limits(template: TemplateSpec) -> list[int | None]:
    return [each.max_concurrency for each in template.nodes.values()]


def test_an_operation_names_its_priority_and_its_pool(tmp_path: Path) -> None:
    template = load(tmp_path, OPERATION.format(settings="[aria.priority > -5, aria.pool > data base]"))
    operation = template.nodes["one"].interfaces["Standard"].operations["create"]
    assert (operation.priority, operation.pool) == (-5, "data base")


@pytest.mark.parametrize(("setting", "takes"), [
    ("aria.priority > high", "a whole number"), ("aria.priority > 1.5", "a whole number"),
    ("aria.priority > true", "a whole number"), ("aria.priority > 2147483648", "a whole number"),
    ("aria.pool > [a]", "the name of a pool"), ('aria.pool > ""', "the name of a pool"),
    ('aria.pool > " a"', "the name of a pool"), ("aria.pool > 7", "the name of a pool")])
def test_a_value_that_does_not_fit_is_a_located_problem(tmp_path: Path, setting: str, takes: str) -> None:
    problem = rf"template.yaml:12:\d+: the setting `{setting.split(maxsplit=1)[0]}` takes {takes}"
    with pytest.raises(LoadError, match=problem):
        load(tmp_path, OPERATION.format(settings=f"['{setting}']"))


@pytest.mark.parametrize(("policies", "found"), [
    ("[]", [None, None, None]),
    ("[p: {type: aria.Concurrency, properties: {max_concurrency: 2}}]", [2, 2, 2]),
    ("[p: {type: aria.Concurrency, properties: {max_concurrency: 2}, targets: [two]}]", [None, 2, None]),
    ("[p: {type: aria.Concurrency, properties: {max_concurrency: 1}, targets: [pair]}]", [1, 1, None]),
    ("[p: {type: aria.Concurrency, properties: {max_concurrency: 2}, targets: [one]}, "
     "q: {type: aria.Concurrency, properties: {max_concurrency: 3}}]", [2, 3, 3])])
def test_a_policy_limits_its_targets_and_of_several_the_smallest_holds(
        tmp_path: Path, policies: str, found: list[int | None]) -> None:
    assert limits(load(tmp_path, POLICIES.format(policies=policies))) == found


@pytest.mark.parametrize(("policy", "problem"), [
    ("{type: aria.Concurrency, properties: {max_concurrency: 0}}", r"12:\d+: .*0"),
    ("{type: aria.Concurrency}", r"12:\d+: .*max_concurrency"),
    ("{type: aria.Concurrency, properties: {max_concurrency: {get_input: most}}}",
     r"12:\d+: `max_concurrency` of policy `p` must be a number, not an expression"),
    ("{type: aria.Concurrency, properties: {max_concurrency: 1}, targets: [four]}", r"12:\d+: .*four")])
def test_a_policy_that_does_not_fit_is_a_located_problem(tmp_path: Path, policy: str, problem: str) -> None:
    with pytest.raises(LoadError, match=problem) as refused:
        load(tmp_path, POLICIES.format(policies=f"[p: {policy}]"))
    assert len(str(refused.value).splitlines()) == 1
