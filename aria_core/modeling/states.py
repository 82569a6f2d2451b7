"""The states of executions, tasks and nodes, and every legal transition with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class ExecutionState(StrEnum):
    """Where an execution is."""

    PENDING = "pending"
    STARTED = "started"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class TaskState(StrEnum):
    """Where a task is."""

    PENDING = "pending"
    SENT = "sent"
    STARTED = "started"
    RETRYING = "retrying"
    SUCCESS = "success"
    FAILED = "failed"


class NodeState(StrEnum):
    """Where a node is in its life."""

    INITIAL = "initial"
    CREATING = "creating"
    CREATED = "created"
    CONFIGURING = "configuring"
    CONFIGURED = "configured"
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"


_E, _T, _N = ExecutionState, TaskState, NodeState

EXECUTION_TRANSITIONS: Mapping[tuple[ExecutionState, ExecutionState], str] = MappingProxyType({
    (_E.PENDING, _E.STARTED): "its task graph was stored",
    (_E.PENDING, _E.CANCELLED): "cancelled, or its owner vanished, before it had a graph",
    (_E.PENDING, _E.FAILED): "its workflow function raised",
    (_E.STARTED, _E.SUCCEEDED): "every task ended well or may fail",
    (_E.STARTED, _E.FAILED): "a task failed for good",
    (_E.STARTED, _E.CANCELLING): "somebody asked to cancel while operations run",
    (_E.STARTED, _E.CANCELLED): "cancelled while nothing ran",
    (_E.CANCELLING, _E.CANCELLED): "nothing runs any more",
    (_E.CANCELLING, _E.SUCCEEDED): "the last task had ended before the cancel was seen",
    (_E.CANCELLING, _E.FAILED): "the last task had failed before the cancel was seen",
    (_E.CANCELLED, _E.STARTED): "resumed",
    (_E.FAILED, _E.STARTED): "resumed",
})

TASK_TRANSITIONS: Mapping[tuple[TaskState, TaskState], str] = MappingProxyType({
    (_T.PENDING, _T.SENT): "dispatched, written ahead",
    (_T.PENDING, _T.SUCCESS): "a stub: there is nothing to run",
    (_T.SENT, _T.STARTED): "the executor began it",
    (_T.SENT, _T.SUCCESS): "it began and ended within one batch",
    (_T.SENT, _T.FAILED): "it failed for good within one batch",
    (_T.SENT, _T.RETRYING): "it failed within one batch and may try again",
    (_T.SENT, _T.PENDING): "withdrawn, interrupted or recovered",
    (_T.STARTED, _T.SUCCESS): "it ended well",
    (_T.STARTED, _T.FAILED): "it failed for good",
    (_T.STARTED, _T.RETRYING): "it failed and may try again",
    (_T.STARTED, _T.PENDING): "interrupted or recovered",
    (_T.RETRYING, _T.SENT): "its interval is over",
    (_T.RETRYING, _T.PENDING): "the execution ended while it waited",
    (_T.FAILED, _T.PENDING): "resumed with retry_failed",
})

NODE_TRANSITIONS: Mapping[str, tuple[NodeState, NodeState]] = MappingProxyType({
    "create": (_N.CREATING, _N.CREATED),
    "configure": (_N.CONFIGURING, _N.CONFIGURED),
    "start": (_N.STARTING, _N.STARTED),
    "stop": (_N.STOPPING, _N.CONFIGURED),
    "delete": (_N.DELETING, _N.DELETED),
})
"""Lifecycle operation -> (state while it runs, state after it). A final failure gives ``error``."""

LIFECYCLE_INTERFACES = frozenset({"Standard", "tosca.interfaces.node.lifecycle.Standard"})
"""Only operations of these interfaces change a node's state."""

ACTIVE_EXECUTION_STATES = (_E.PENDING, _E.STARTED, _E.CANCELLING)
ENDED_EXECUTION_STATES = (_E.SUCCEEDED, _E.FAILED, _E.CANCELLED)
RUNNING_TASK_STATES = (_T.SENT, _T.STARTED)


def check_execution_transition(before: str, after: str) -> None:
    """Raise ``ValueError`` unless an execution may go from `before` to `after`."""
    if (before, after) not in EXECUTION_TRANSITIONS:
        raise ValueError(f"an execution cannot go from {before} to {after}")


def check_task_transition(before: str, after: str) -> None:
    """Raise ``ValueError`` unless a task may go from `before` to `after`."""
    if (before, after) not in TASK_TRANSITIONS:
        raise ValueError(f"a task cannot go from {before} to {after}")


def lifecycle_states(interface_name: str, operation_name: str) -> tuple[NodeState, NodeState] | None:
    """The transitional and the final node state of a lifecycle operation; None for any other."""
    if interface_name not in LIFECYCLE_INTERFACES:
        return None
    return NODE_TRANSITIONS.get(operation_name)
