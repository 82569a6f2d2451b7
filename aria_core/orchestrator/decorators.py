"""Workflow and operation decorators.

Every worker imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, overload
from uuid import uuid4

from aria_core.orchestrator.arguments import (
    OPERATION_DECORATOR_RESERVED_ARGUMENTS,
    WORKFLOW_DECORATOR_RESERVED_ARGUMENTS,
    AcceptedArguments,
)
from aria_core.orchestrator.context.toolbelt import toolbelt as toolbelt_of
from aria_core.orchestrator.context.workflow import WorkflowContext, current

if TYPE_CHECKING:
    from aria_core.orchestrator.task_graph import TaskGraph

__all__ = [
    "OPERATION_DECORATOR_RESERVED_ARGUMENTS", "WORKFLOW_DECORATOR_RESERVED_ARGUMENTS",
    "operation", "workflow",
]

P = ParamSpec("P")
T = TypeVar("T")

Fills: TypeAlias = "Callable[Concatenate[WorkflowContext, TaskGraph, P], object]"
Builds: TypeAlias = "Callable[Concatenate[WorkflowContext, P], TaskGraph]"
Handlers: TypeAlias = Iterable[logging.Handler]


class WorkflowDecorator(Protocol):
    """What ``workflow(suffix_template=…)`` returns."""

    @overload
    def __call__(self, func: Fills[P], /) -> Builds[P]: ...
    @overload
    def __call__(self, func: Callable[..., object], /) -> Callable[..., TaskGraph]: ...


class OperationDecorator(Protocol):
    """What ``operation(suffix_template=…)`` returns."""

    def __call__(self, func: Callable[P, T], /) -> Callable[P, T]: ...


class ToolbeltDecorator(Protocol):
    """What ``operation(toolbelt=True)`` returns: callers leave the toolbelt out."""

    def __call__(self, func: Callable[..., T], /) -> Callable[..., T]: ...


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


@overload
def operation(func: Callable[P, T], toolbelt: Literal[False] = False, suffix_template: str = "",
              logging_handlers: Handlers | None = None) -> Callable[P, T]: ...
@overload
def operation(func: Callable[..., T], toolbelt: bool, suffix_template: str = "",
              logging_handlers: Handlers | None = None) -> Callable[..., T]: ...
@overload
def operation(func: None = None, toolbelt: Literal[False] = False, suffix_template: str = "",
              logging_handlers: Handlers | None = None) -> OperationDecorator: ...
@overload
def operation(func: None = None, *, toolbelt: bool, suffix_template: str = "",
              logging_handlers: Handlers | None = None) -> ToolbeltDecorator: ...
def operation(func: Any = None, toolbelt: bool = False, suffix_template: str = "",
              logging_handlers: Handlers | None = None) -> Any:
    """Operation decorator.

    The function is called with ``ctx`` (the operation's context) and the task's arguments, all by
    keyword; what it returns becomes the task's result. With `toolbelt` it also gets ``toolbelt``, the
    shortcuts that fit its actor. `suffix_template` is a format string that may use ``ctx`` and the
    arguments: ``ctx.name`` becomes the function's name and that suffix. `logging_handlers` are attached
    to ``ctx.logger`` while the operation runs.

    Arguments that are missing or unknown raise ``InvalidInputError`` before the function is called.
    """
    handlers = tuple(logging_handlers or ())
    if func is None:
        return partial(operation, toolbelt=toolbelt, suffix_template=suffix_template,
                       logging_handlers=handlers)
    accepted = AcceptedArguments("operation", func, OPERATION_DECORATOR_RESERVED_ARGUMENTS)
    provided = frozenset({"toolbelt"} if toolbelt else ())

    @wraps(func)
    def run(*positional: Any, **given: Any) -> Any:
        arguments = accepted.complete(accepted.by_name(positional, given), provided=provided)
        ctx = arguments.get("ctx")
        if toolbelt:
            arguments["toolbelt"] = toolbelt_of(ctx)
        if suffix_template and ctx is not None:
            ctx.name = f"{accepted.function_name}.{accepted.suffix(suffix_template, arguments)}"
        with _attached(ctx, handlers):
            return func(**arguments)

    return run


def _attached(ctx: Any, handlers: tuple[logging.Handler, ...]) -> AbstractContextManager[object]:
    if not handlers or ctx is None:
        return nullcontext()
    attached: AbstractContextManager[object] = ctx.logging_handlers(handlers)
    return attached
