"""Workflows that `crash_runner` offers besides the built-in ones."""

from __future__ import annotations

from aria_core.orchestrator.context.workflow import WorkflowContext
from aria_core.orchestrator.decorators import workflow
from aria_core.orchestrator.task_graph import TaskGraph
from aria_core.orchestrator.tasks import OperationTask


@workflow
def load(ctx: WorkflowContext, graph: TaskGraph, rows: int, columns: int) -> None:
    """`rows` sequences of `columns` tasks each, most of them short."""
    node = ctx.service.nodes["broken"]
    for _ in range(rows):
        graph.sequence(*(OperationTask(node, "Test", "work") for _ in range(columns)))
