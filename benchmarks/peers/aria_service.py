"""The service that ARIA's runs are of: its template and its workflows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from aria_core import (
    LoadedTemplate,
    Node,
    OperationTask,
    TaskGraph,
    TemplateBuilder,
    WorkflowContext,
    call,
    parameter,
    workflow,
)
from benchmarks.peers import shapes
from benchmarks.peers.aria_operations import meet, touch

NODES = 100
"""What the tasks are spread over, but for ``service``, where each node has three."""
STEPS = ("create", "configure", "start")


class Marks:
    """When the workflow function began and ended, by `time.time`."""

    began = ended = 0.0


@workflow
def measured(ctx: WorkflowContext, graph: TaskGraph, shape: str, n: int) -> None:
    """The graph of a shape."""
    Marks.began = time.time()
    operation_of = _lifecycle if shape == "service" else _spread
    nodes = [ctx.service.nodes[name] for name in _names(shape, n)]
    tasks: list[OperationTask] = []
    for index, awaited in shapes.tasks(shape, n):
        task = operation_of(nodes, index)
        tasks.append(task)
        graph.add_tasks(task)
        if awaited:
            graph.add_dependency(task, [tasks[each] for each in awaited])
    Marks.ended = time.time()


@workflow
def warm_up(ctx: WorkflowContext, graph: TaskGraph, directory: str, slots: int, first: int,
            count: int) -> None:
    """Start all there is to start, then run a few tasks."""
    node = ctx.service.nodes["warm"]
    together = [OperationTask(node, "Bench", "meet", {"directory": directory, "count": slots})
                for _ in range(slots)]
    some = [OperationTask(node, "Bench", "touch", {"index": first + each, "sleep": 0.0})
            for each in range(count)]
    graph.sequence(together, some)


def template(name: str, shape: str, n: int, sleep: float) -> LoadedTemplate:
    """Nodes with an operation for each task: an interface of its own, or the steps of a node's life."""
    builder = TemplateBuilder(name)
    body = call(touch, inputs={"index": parameter(type="integer", required=True), "sleep": sleep})
    for each in _names(shape, n):
        if shape == "service":
            builder.node(each, operations=dict.fromkeys(STEPS, body))
        else:
            builder.node(each, interfaces={"Bench": {"touch": body}})
    builder.workflow("measured", measured, inputs=_required(shape="string", n="integer"))
    return builder.load()


def warm_template(name: str) -> LoadedTemplate:
    """One node, for `warm_up`."""
    builder = TemplateBuilder(name)
    builder.node("warm", interfaces={"Bench": {
        "meet": call(meet, inputs=_required(directory="string", count="integer")),
        "touch": call(touch, inputs=_required(index="integer", sleep="float"))}})
    builder.workflow("warm_up", warm_up, inputs=_required(
        directory="string", slots="integer", first="integer", count="integer"))
    return builder.load()


def _required(**types: str) -> Mapping[str, Any]:
    return {name: parameter(type=type_, required=True) for name, type_ in types.items()}


def _names(shape: str, n: int) -> list[str]:
    return [f"node_{each}" for each in range(n // 3 if shape == "service" else min(NODES, n))]


def _spread(nodes: list[Node], index: int) -> OperationTask:
    return OperationTask(nodes[index % len(nodes)], "Bench", "touch", {"index": index})


def _lifecycle(nodes: list[Node], index: int) -> OperationTask:
    return OperationTask(nodes[index // 3], "Standard", STEPS[index % 3], {"index": index})
