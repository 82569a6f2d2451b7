"""A workflow that keeps every slot busy for a while, with one operation that waits to be cancelled."""

import time
from pathlib import Path

from aria_core import OperationTask, workflow
from aria_core.testing.effects import note
from aria_core.testing.fault_points import append_line


@workflow
def crowd(ctx, graph, count):
    """One task that lasts, and so many that do not, none of which waits for another."""
    node = ctx.service.nodes["one"]
    graph.add_tasks([OperationTask(node, "Crowd", "last"),
                     *(OperationTask(node, "Crowd", "tick") for _ in range(count))])


def tick(ctx, directory):
    """Is over at once, but not before the file ``go`` is there."""
    note(ctx, directory, "begin")
    while not Path(directory, "go").exists():
        time.sleep(0.002)
    note(ctx, directory, "end")


def last(ctx, directory):
    """Lasts until it is cancelled, by an exception or otherwise, and writes down when it saw that."""
    note(ctx, directory, "begin")
    Path(directory, "lasting").touch()
    until = time.monotonic() + 60
    try:
        while not ctx.task.cancelled and time.monotonic() < until:
            time.sleep(0.002)
    finally:
        append_line(Path(directory, "noticed"), str(time.time()))
    raise RuntimeError("cancelled")
