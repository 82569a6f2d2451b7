"""Task graphs of every size and shape, as workflows of one service; their operations do nothing.

The service comes from `graphs_template`; its workflows are the functions here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

from aria_core.modeling.builder import TemplateBuilder, call
from aria_core.modeling.specification import LoadedTemplate
from aria_core.orchestrator.context.workflow import WorkflowContext
from aria_core.orchestrator.decorators import workflow
from aria_core.orchestrator.task_graph import TaskGraph
from aria_core.orchestrator.tasks import OperationTask, WorkflowTask

SERVICE = "graphs"
RESULT = 10_000
"""Characters that an operation of `results` returns."""

_OPERATIONS = "aria_core.testing.operations"


def graphs_template() -> LoadedTemplate:
    """One node with one operation, and a workflow for each shape."""
    builder = TemplateBuilder(SERVICE)
    builder.node("one", interfaces={"Test": {
        "nothing": f"{_OPERATIONS}:nothing",
        "text": call(f"{_OPERATIONS}:text", inputs={"length": RESULT})}})
    for name in SHAPES:
        builder.workflow(name, f"{__name__}:{name}", inputs={"count": 1})
    return builder.load()


@workflow
def free(ctx: WorkflowContext, graph: TaskGraph, count: int) -> None:
    """So many tasks that wait for nobody."""
    graph.add_tasks(_tasks(ctx, count))


@workflow
def results(ctx: WorkflowContext, graph: TaskGraph, count: int) -> None:
    """Like `free`, but each returns a text of 10,000 characters."""
    graph.add_tasks(_tasks(ctx, count, "text"))


@workflow
def fan(ctx: WorkflowContext, graph: TaskGraph, count: int) -> None:
    """One task, so many that wait for it, and one that waits for all of these."""
    graph.sequence(_tasks(ctx, 1), _tasks(ctx, count), _tasks(ctx, 1))


@workflow
def chain(ctx: WorkflowContext, graph: TaskGraph, count: int) -> None:
    """So many tasks, each of which waits for the one before it."""
    graph.sequence(*_tasks(ctx, count))


@workflow
def nested(ctx: WorkflowContext, graph: TaskGraph, count: int) -> None:
    """A task, and a sub-workflow with the same in it, so many levels deep."""
    graph.sequence(_tasks(ctx, 1), WorkflowTask(nested, count=count - 1) if count > 1 else None)


@workflow
def cycle(ctx: WorkflowContext, graph: TaskGraph, count: int) -> None:
    """So many tasks, each of which waits for the one before it, and the first for the last."""
    tasks = _tasks(ctx, count)
    graph.add_tasks(tasks)
    for earlier, later in pairwise([tasks[-1], *tasks]):
        graph.add_dependency(later, earlier)


SHAPES: Mapping[str, Callable[..., TaskGraph]] = MappingProxyType(
    {"free": free, "results": results, "fan": fan, "chain": chain, "nested": nested, "cycle": cycle})
"""The workflows by name."""


def _tasks(ctx: WorkflowContext, count: int, operation: str = "nothing") -> list[OperationTask]:
    node = ctx.service.nodes["one"]
    return [OperationTask(node, "Test", operation) for _ in range(count)]
