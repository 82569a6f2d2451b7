"""Workflows that a template writes in steps: what comes of them, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

NODES = """
node_types:
  Thing: {derived_from: tosca.nodes.Root}
topology_template:
  node_templates:
    db: {type: Thing}
    web: {type: Thing, requirements: [{dependency: db}]}
  groups: {all: {type: tosca.groups.Root, members: [web, db]}}
  workflows:
"""


def indented(workflows: str) -> str:
    return NODES + "".join(f"    {line}\n" for line in workflows.strip("\n").splitlines())


def test_steps_are_kept_as_they_are_with_the_names_of_interfaces_as_they_are_declared(load: Any) -> None:
    workflow = load(indented("""
w:
  preconditions: [{target: db, condition: [{and: [{load: {less_than: 3}}, {not: [{state: started}]}]}]}]
  steps:
    one:
      target: all
      activities:
      - call_operation: tosca.interfaces.node.lifecycle.Standard.create
      - {set_state: created}
      - {delegate: undeploy}
      on_success: [two]
    two: {target: web, target_relationship: dependency, activities: [{call_operation: Configure.add_source}]}
""")).template.workflows["w"]
    one, two = workflow.steps["one"], workflow.steps["two"]
    assert (one.nodes, one.then) == (["db", "web"], ["two"])
    call, state, delegated = one.activities
    assert (call.interface, call.operation, state.state) == ("Standard", "create", "created")
    assert delegated.delegate == "uninstall"
    assert (two.nodes, two.requirement) == (["web"], "dependency")
    assert workflow.preconditions[0].conditions == [{"and": [
        {"attribute": "load", "constraints": [{"less_than": 3}]},
        {"not": [{"attribute": "state", "constraints": [{"equal": "started"}]}]}]}]


def test_a_workflow_may_be_a_function(load: Any) -> None:
    found = load(indented("w: {implementation: package.module:function, inputs: {a: {type: string}}}"),
                 version="1_3").template.workflows["w"]
    assert (found.function, [*found.inputs], found.steps) == ("package.module:function", ["a"], {})


@pytest.mark.parametrize(("workflows", "warning"), [
    ("w: {steps: {a: {target: db, activities: [{set_state: down}]}}}",
     "10:58: step `a` sets the state the text `down`, which has no effect: nodes have the states"),
    ("w: {steps: {a: {target: db, activities: [], on_failure: [b]}, b: {target: db, activities: []}}}",
     "the step `b` of `on_failure` has no effect yet: a step that fails for good fails its workflow"),
    ("w: {outputs: {a: b}}", "the outputs of workflow `w` have no effect yet"),
    ("w: {steps: {a: {target: db, filter: [{x: [{equals: 1}]}], activities: []}}}",
     "the constraint `equals`, which does not exist, so that the workflow cannot be run; did you mean"),
])
def test_what_has_no_effect_is_a_warning(load: Any, workflows: str, warning: str) -> None:
    told, = load(indented(workflows)).warnings
    assert warning in told


def test_what_is_done_after_a_failure_alone_is_no_beginning(load: Any) -> None:
    steps = load(indented("w: {steps: {a: {target: db, activities: [], on_failure: [b]}, "
                          "b: {target: db, activities: [], on_success: [c]}, "
                          "c: {target: db, activities: []}}}")).template.workflows["w"].steps
    assert [*steps] == ["a"]


STEP = "w: {steps: {a: {target: db, activities: [%s]}}}"


@pytest.mark.parametrize(("workflows", "problem"), [
    ("w: {steps: {a: {target: webb, activities: []}}}",
     "10:29: step `a` has the target `webb`, which is neither a node template nor a group; did you mean"),
    ("w: {preconditions: [{condition: [{state: created}]}]}",
     "the precondition of workflow `w` lacks the keyname `target`"),
    ("w: {preconditions: [{target: x, condition: []}]}",
     "the precondition of workflow `w` has the target `x`"),
    ("w: {steps: {a: {target: web, target_relationship: depend, activities: []}}}",
     "step `a` is about the requirement `depend`, which `web` does not have"),
    ("w: {steps: {a: {target: db, activities: [], on_success: [b]}}}",
     "`on_success` names the step `b`, which does not exist; the steps are a"),
    ("w: {steps: {a: {target: db, activities: [], on_success: [b]}, b: {target: db, activities: [], "
     "on_success: [a]}}}", "the steps of workflow `w` wait for each other: a -> b -> a"),
    (STEP % "call", "an activity of step `a` is the text `call`; it takes a map with one of call_operation"),
    (STEP % "{call_operatio: x}", "did you mean `call_operation`?"),
    (STEP % "{call_operation: create}", "it takes the names of an interface and of its operation"),
    (STEP % "{call_operation: Standart.create}",
     "`db` has no interface `Standart`; did you mean `Standard`?"),
    (STEP % "{call_operation: Standard.creat}",
     "the interface `Standard` of `db` has no operation `creat`; did you mean `create`?"),
    (STEP % "{call_operation: {operation: Standard.create, inputs: {a: {get_input: b}}}}",
     "there is no input `b`"),
    (STEP % "{delegate: heal}", "step `a` delegates to the text `heal`; it takes one of deploy, install"),
    (STEP % "{inline: v}", "step `a` does the workflow `v`, which the template does not have"),
    (STEP % "{inline: w}", "these workflows do each other: w -> w"),
    (STEP % "{inline: v}" + "\nv: {implementation: m:f}", "a workflow that is a function"),
    (STEP % "{inline: {workflow: v, inputs: {b: 1}}}" + "\nv: {inputs: {a: {type: string, default: x}}}",
     "gives the input `b` to a workflow that has none of this name"),
    (STEP % "{inline: v}" + "\nv: {inputs: {a: {type: string}}}", "needs a value for its input `a`"),
    ("w: {inputs: {ctx: {type: string}}}", "may not have an input called `ctx`"),
    ("w: {implementation: run it}", "is no function; it takes module:function, or steps"),
    ("w: {steps: {a: {target: db, filter: never, activities: []}}}",
     "the filter of step `a` is the text `never`; it takes a list of assertions"),
])
def test_what_is_wrong_is_told_where_it_stands(refuse: Any, workflows: str, problem: str) -> None:
    found, = refuse(indented(workflows))
    assert problem in found
    assert int(found.split(":")[1]) >= 10


def test_a_policy_and_a_workflow_of_one_name_are_refused(refuse: Any) -> None:
    found, = refuse("imports: [aria-1.0]\n" + indented("w: {}").replace(
        "  workflows:", "  policies: [w: {type: aria.Workflow, properties: {implementation: 'm:f'}}]\n"
        "  workflows:"))
    assert "there is a policy of type aria.Workflow called `w`, too" in found


def test_tosca_2_0_has_them_too(load: Any) -> None:
    loaded = load("""
tosca_definitions_version: tosca_2_0
imports: [{profile: "org.oasis-open.simple:2.0"}]
service_template:
  node_templates: {db: {type: tosca.nodes.Root}}
  workflows:
    w:
      inputs: {a: {type: string}}
      precondition: {$equal: [{$get_attribute: [db, tosca_name]}, {$get_input: a}]}
      steps:
        one:
          target: [db, 0]
          filter: {$not: [{$equal: [{$get_attribute: [SELF, state]}, started]}]}
          activities: [{call_operation: {operation: Standard.create, inputs: {b: {$get_input: a}}}}]
""", version="")
    call, = loaded.template.workflows["w"].steps["one"].activities
    assert (call.operation, call.inputs["b"].value) == ("create", {"$get_input": ["a"]})
    assert loaded.template.workflows["w"].steps["one"].conditions == [
        {"expression": {"$not": [{"$equal": [{"$get_attribute": ["SELF", "state"]}, "started"]}]}}]
    assert loaded.template.workflows["w"].preconditions[0].conditions == [
        {"expression": {"$equal": [{"$get_attribute": ["db", "tosca_name"]}, {"$get_input": ["a"]}]}}]
    assert loaded.warnings == []
