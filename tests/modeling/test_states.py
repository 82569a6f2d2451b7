"""Every pair of states, allowed or forbidden as the design says; written out, not taken from the code."""

from __future__ import annotations

from itertools import product

import pytest

from aria_core.modeling.states import (
    ExecutionState,
    NodeState,
    TaskState,
    check_execution_transition,
    check_task_transition,
    lifecycle_states,
)

EXECUTION = {
    "pending": {"started", "cancelled", "failed"},
    "started": {"succeeded", "failed", "cancelling", "cancelled"},
    "cancelling": {"cancelled", "succeeded", "failed"},
    "cancelled": {"started"},
    "failed": {"started"},
    "succeeded": set(),
}

TASK = {
    "pending": {"sent", "success"},
    "sent": {"started", "success", "failed", "retrying", "pending"},
    "started": {"success", "failed", "retrying", "pending"},
    "retrying": {"sent", "pending"},
    "failed": {"pending"},
    "success": set(),
}

NODE = {
    "create": ("creating", "created"),
    "configure": ("configuring", "configured"),
    "start": ("starting", "started"),
    "stop": ("stopping", "configured"),
    "delete": ("deleting", "deleted"),
}
NODE_STATES = {"initial", "creating", "created", "configuring", "configured", "starting", "started",
               "stopping", "deleting", "deleted", "error"}


def test_there_are_these_states_and_no_others() -> None:
    assert set(ExecutionState) == set(EXECUTION)
    assert set(TaskState) == set(TASK)
    assert set(NodeState) == NODE_STATES


@pytest.mark.parametrize(("before", "after"), [*product(sorted(EXECUTION), repeat=2)])
def test_an_execution_goes_where_the_design_lets_it(before: str, after: str) -> None:
    if after in EXECUTION[before]:
        check_execution_transition(ExecutionState(before), ExecutionState(after))
        return
    with pytest.raises(ValueError, match=f"an execution cannot go from {before} to {after}$"):
        check_execution_transition(ExecutionState(before), ExecutionState(after))


@pytest.mark.parametrize(("before", "after"), [*product(sorted(TASK), repeat=2)])
def test_a_task_goes_where_the_design_lets_it(before: str, after: str) -> None:
    if after in TASK[before]:
        check_task_transition(TaskState(before), TaskState(after))
        return
    with pytest.raises(ValueError, match=f"a task cannot go from {before} to {after}$"):
        check_task_transition(TaskState(before), TaskState(after))


@pytest.mark.parametrize(("during", "after"), [*product(sorted(NODE_STATES), repeat=2)])
def test_a_node_is_moved_by_the_operations_of_standard_alone(during: str, after: str) -> None:
    operations = {"create", "configure", "start", "stop", "delete", "restart", "Create", "", "error"}
    expected = {name for name in operations if NODE.get(name) == (during, after)}
    for standard in ("Standard", "tosca.interfaces.node.lifecycle.Standard"):
        found = {name for name in operations if lifecycle_states(standard, name) == (during, after)}
        assert found == expected
    for other in ("Configure", "standard", "", "tosca.interfaces.relationship.Configure"):
        assert {lifecycle_states(other, name) for name in operations} == {None}
