"""Orchestrator exceptions: the nine of the manual, and ours beside them.

::

    AriaError
     ├── OrchestratorError                     base of ours
     │    ├── TaskNotInGraphError              a task graph was asked about a task it does not have
     │    ├── CyclicGraphError                 tasks wait for each other; names the cycle
     │    ├── OperationNotFoundError           a node or relationship has no such operation
     │    ├── PluginNotFoundError              an operation's plugin is not installed
     │    ├── PoolNotFoundError                an operation's pool has no size
     │    └── ContextError                     there is no current workflow
     ├── ActiveExecutionsError                 the service already has an active execution
     ├── InvalidPluginError                    an archive is no plugin
     ├── PluginAlreadyExistsError              this version of the plugin is installed
     ├── PluginInUseError                      a plugin is needed, so it cannot be uninstalled
     ├── UndeclaredWorkflowError               the service has no such workflow
     ├── WorkflowImplementationNotFoundError   a workflow's function cannot be imported
     └── InvalidWorkflowRunnerParams           the runner's arguments do not go together

    RuntimeError
     ├── TaskRetryException                    ctx.task.retry
     ├── TaskAbortException                    ctx.task.abort
     └── ProcessException                      a script or command did not end well
"""

from __future__ import annotations

from collections.abc import Sequence

from aria_core.exceptions import AriaError
from aria_core.worker.outcomes import ProcessException, TaskAbortException, TaskRetryException

__all__ = [
    "ActiveExecutionsError", "ContextError", "CyclicGraphError", "InvalidPluginError",
    "InvalidWorkflowRunnerParams", "OperationNotFoundError", "OrchestratorError", "PluginAlreadyExistsError",
    "PluginInUseError", "PluginNotFoundError", "PoolNotFoundError", "ProcessException", "TaskAbortException",
    "TaskNotInGraphError", "TaskRetryException", "UndeclaredWorkflowError",
    "WorkflowImplementationNotFoundError",
]

_SHOWN_TASKS = 10


class OrchestratorError(AriaError):
    """Orchestrator based exception."""


class ActiveExecutionsError(AriaError):
    """Raised when attempting to execute a workflow on a service which already has an active execution."""

    exit_code = 3


class InvalidPluginError(AriaError):
    """Raised when an invalid plugin is validated unsuccessfully."""

    exit_code = 2


class PluginAlreadyExistsError(AriaError):
    """Raised when a plugin with the same package name and package version already exists."""

    exit_code = 2


class PluginInUseError(AriaError):
    """A plugin cannot be uninstalled: the message names the services and executions that need it."""

    exit_code = 2


class UndeclaredWorkflowError(AriaError):
    """Raised when attempting to execute an undeclared workflow."""

    exit_code = 2


class WorkflowImplementationNotFoundError(AriaError):
    """Raised when attempting to import a workflow's code but the implementation is not found."""

    exit_code = 2


class InvalidWorkflowRunnerParams(AriaError):
    """Raised when invalid combination of arguments is passed to the workflow runner."""

    exit_code = 2


class TaskNotInGraphError(OrchestratorError):
    """A task graph was asked about a task it does not have."""


class CyclicGraphError(OrchestratorError):
    """Tasks of a graph wait for each other.

    `cycle` holds the tasks' names in order: each waits for the next, the last for the first.
    """

    def __init__(self, graph_name: str, cycle: Sequence[str]) -> None:
        self.cycle = tuple(cycle)
        shown = [*self.cycle[:_SHOWN_TASKS], *self._left_out(), self.cycle[0]]
        super().__init__(f"the task graph {graph_name!r} has a cycle, so none of its tasks could begin: "
                         f"{' waits for '.join(shown)}")

    def _left_out(self) -> list[str]:
        more = len(self.cycle) - _SHOWN_TASKS
        return [f"({more} more)"] if more > 0 else []


class OperationNotFoundError(OrchestratorError):
    """A node or relationship has no such operation; the message lists what it has."""

    exit_code = 2


class PluginNotFoundError(OrchestratorError):
    """An operation runs in a plugin that is not installed."""

    exit_code = 2


class PoolNotFoundError(OrchestratorError):
    """An operation runs in a pool that has no size; the message lists those that have one."""

    exit_code = 2


class ContextError(OrchestratorError):
    """Something needs the current workflow and there is none."""
