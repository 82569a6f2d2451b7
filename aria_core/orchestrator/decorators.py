"""Workflow and operation decorators.

Every worker imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeAlias, overload
from uuid import uuid4

from aria_core.orchestrator.context.workflow import WorkflowContext, current
from aria_core.worker.arguments import (
    OPERATION_DECORATOR_RESERVED_ARGUMENTS,
    WORKFLOW_DECORATOR_RESERVED_ARGUMENTS,
    AcceptedArguments,
)
from aria_core.worker.decorators import operation

if TYPE_CHECKING:
    from aria_core.orchestrator.task_graph import TaskGraph

__all__ = [
    "OPERATION_DECORATOR_RESERVED_ARGUMENTS", "WORKFLOW_DECORATOR_RESERVED_ARGUMENTS",
    "operation", "workflow",
]

P = ParamSpec("P")

Fills: TypeAlias = "Callable[Concatenate[WorkflowContext, TaskGraph, P], object]"
Builds: TypeAlias = "Callable[Concatenate[WorkflowContext, P], TaskGraph]"


class WorkflowDecorator(Protocol):
    """What ``workflow(suffix_template=…)`` returns."""

    @overload
    def __call__(self, func: Fills[P], /) -> Builds[P]: ...
    @overload
    def __call__(self, func: Callable[..., object], /) -> Callable[..., TaskGraph]: ...


@overload
def workflow(func: Fills[P], suffix_template: str = "") -> Builds[P]: ...
@overload
def workflow(func: Callable[..., object], suffix_template: str = "") -> Callable[..., TaskGraph]: ...
@overload
def workflow(func: None = None, suffix_template: str = "") -> WorkflowDecorator: ...
def workflow(func: Any = None, suffix_template: str = "") -> Any:
    """Workflow decorator.

    The function fills a task graph: it is called with ``ctx`` (a `WorkflowContext`), ``graph`` (a new
    `TaskGraph`) and the workflow's inputs, all by keyword. What stands in its place afterwards takes
    ``ctx`` and the inputs, and returns the graph.

    The graph is named after the function and a suffix: `suffix_template` is a format string that may
    use ``ctx`` and the inputs, e.g. ``"{node.name}"``; without one the suffix is new each time.

    Inputs that are missing or unknown raise ``InvalidInputError`` before the function is called.
    """
    if func is None:
        return partial(workflow, suffix_template=suffix_template)
    accepted = AcceptedArguments("workflow", func, WORKFLOW_DECORATOR_RESERVED_ARGUMENTS)

    @wraps(func)
    def build(ctx: WorkflowContext, *positional: Any, **inputs: Any) -> TaskGraph:
        from aria_core.orchestrator.task_graph import TaskGraph

        named = accepted.by_name(positional, inputs, skip=WORKFLOW_DECORATOR_RESERVED_ARGUMENTS)
        arguments = accepted.complete({**named, "ctx": ctx}, provided={"graph"})
        suffix = accepted.suffix(suffix_template, arguments) or uuid4()
        graph = TaskGraph(f"{accepted.function_name}.{suffix}")
        with current.push(ctx):
            func(**arguments, graph=graph)
        return graph

    return build
