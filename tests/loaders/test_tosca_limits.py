"""How a template says how much of it runs at once, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from aria_core import LoadError, TemplateSpec

POLICIES = """
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


def limits(template: TemplateSpec) -> list[int | None]:
    return [each.max_concurrency for each in template.nodes.values()]


def test_an_operation_names_its_priority_and_its_pool(load_operation: Any) -> None:
    operation = load_operation("[aria.priority > -5, aria.pool > data base]")
    assert (operation.priority, operation.pool) == (-5, "data base")


@pytest.mark.parametrize(("setting", "takes"), [
    ("aria.priority > high", "a whole number"), ("aria.priority > 1.5", "a whole number"),
    ("aria.priority > true", "a whole number"), ("aria.priority > 2147483648", "a whole number"),
    ("aria.pool > [a]", "the name of a pool"), ('aria.pool > ""', "the name of a pool"),
    ('aria.pool > " a"', "the name of a pool"), ("aria.pool > 7", "the name of a pool")])
def test_a_value_that_does_not_fit_is_a_located_problem(
        load_operation: Any, setting: str, takes: str) -> None:
    problem = rf"service.yaml:11:\d+: the setting `{setting.split(maxsplit=1)[0]}` takes {takes}"
    with pytest.raises(LoadError, match=problem):
        load_operation(f"['{setting}']")


@pytest.mark.parametrize(("policies", "found"), [
    ("[]", [None, None, None]),
    ("[p: {type: aria.Concurrency, properties: {max_concurrency: 2}}]", [2, 2, 2]),
    ("[p: {type: aria.Concurrency, properties: {max_concurrency: 2}, targets: [two]}]", [None, 2, None]),
    ("[p: {type: aria.Concurrency, properties: {max_concurrency: 1}, targets: [pair]}]", [1, 1, None]),
    ("[p: {type: aria.Concurrency, properties: {max_concurrency: 2}, targets: [one]}, "
     "q: {type: aria.Concurrency, properties: {max_concurrency: 3}}]", [2, 3, 3])])
def test_a_policy_limits_its_targets_and_of_several_the_smallest_holds(
        load: Any, policies: str, found: list[int | None]) -> None:
    assert limits(load(POLICIES.format(policies=policies)).template) == found


@pytest.mark.parametrize(("policy", "problem"), [
    ("{type: aria.Concurrency, properties: {max_concurrency: 0}}", r"service.yaml:11:\d+: .*0"),
    ("{type: aria.Concurrency}", r"service.yaml:11:\d+: .*max_concurrency"),
    ("{type: aria.Concurrency, properties: {max_concurrency: {get_input: most}}}",
     r"service.yaml:11:\d+: `max_concurrency` of policy `p` must be a number, not an expression"),
    ("{type: aria.Concurrency, properties: {max_concurrency: 1}, targets: [four]}",
     r"service.yaml:11:\d+: .*four")])
def test_a_policy_that_does_not_fit_is_a_located_problem(load: Any, policy: str, problem: str) -> None:
    with pytest.raises(LoadError, match=problem) as refused:
        load(POLICIES.format(policies=f"[p: {policy}]"))
    assert len(str(refused.value).splitlines()) == 1
