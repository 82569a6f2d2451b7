"""The workflow that the policy ``survey`` of custom-workflow.yaml names."""

from __future__ import annotations

from aria_core import OperationTask, TaskGraph, WorkflowContext, create_task, workflow


@workflow
def survey(ctx: WorkflowContext, graph: TaskGraph, at_once: int, pattern: str) -> None:
    """Measure the files that fit `pattern` in every folder, `at_once` folders at a time, then summarise."""
    measurements = [task for node in ctx.nodes
                    if (task := create_task(node, "Measuring", "measure", arguments={"pattern": pattern}))]
    batches = [measurements[begin:begin + at_once] for begin in range(0, len(measurements), at_once)]
    graph.sequence(*batches, OperationTask(ctx.service.nodes["report"], "Reporting", "summarise"))
