"""A workflow in a module that makes the runner a process that nobody may fork."""

import unsafe

from aria_core import OperationTask, workflow


@workflow
def many(ctx, graph):
    """Creates each node."""
    assert unsafe.HELD.is_set()
    for node in ctx.service.nodes.values():
        graph.add_tasks(OperationTask(node, "Standard", "create"))
