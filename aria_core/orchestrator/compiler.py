"""From a task graph to the rows an engine can run: flat, in order, on integers.

A graph becomes ``start, its tasks, end``, where start and end are stubs; a sub-workflow among its
tasks becomes the same in its place. A task that waits for nothing waits for the start of its own
graph, and the end waits for the tasks of that graph which nobody waits for. What waits for a
sub-workflow waits for its end.

An operation that is declared and not implemented (it has no function) becomes a stub as well: there
is nothing an executor could do. It keeps its actor, interface and operation, so that the steps of a
node's life count even where a node implements none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.retries import RetryPolicy
from aria_core.orchestrator.exceptions import CyclicGraphError, PluginNotFoundError, PoolNotFoundError
from aria_core.orchestrator.plugin_use import FindPlugin
from aria_core.orchestrator.task_graph import TaskGraph
from aria_core.orchestrator.tasks import BaseTask, OperationTask, StubTask, WorkflowTask
from aria_core.storage.records import TaskRow


def compile_graph(graph: TaskGraph, find_plugin: FindPlugin, pools: Collection[str] = ()) -> list[TaskRow]:
    """The rows of `graph`, which stand in an order they could run in; `pools` are those that have a size.

    All or nothing: raises ``CyclicGraphError`` (names the tasks), ``PluginNotFoundError``,
    ``PoolNotFoundError``, or ``InvalidInputError`` for what is no task and for a sub-workflow whose
    function returned no graph.
    """
    rows = _Rows(find_plugin, pools)
    levels = [_Level(graph, rows.stub("start_workflow", graph.name, ()))]
    opened = {graph.id}
    while levels:
        level = levels[-1]
        task = next(level.tasks, None)
        if task is None:
            _close(levels, opened, rows)
        elif isinstance(task, WorkflowTask):
            levels.append(_open(task, level, opened, rows))
        else:
            level.ends[task.id] = rows.add(task, level.waits_for(task))
    return rows.all


class _Level:
    """A graph that is being written out, inside of the graph before it on the stack."""

    def __init__(self, graph: TaskGraph, start: int, owner: WorkflowTask | None = None) -> None:
        self.graph = graph
        self.owner = owner
        self.tasks = graph.topological_order(reverse=True)
        self.ends: dict[str, int] = {}
        """Task id -> the position of its last row."""
        self._start = start
        self._awaited: set[int] = set()

    def waits_for(self, task: BaseTask) -> tuple[int, ...]:
        """The positions a task waits for."""
        positions = sorted(self.ends[each.id] for each in self.graph.get_dependencies(task))
        self._awaited.update(positions)
        return tuple(positions) or (self._start,)

    def last(self) -> tuple[int, ...]:
        """The positions nobody in this graph waits for."""
        return tuple(sorted(set(self.ends.values()) - self._awaited)) or (self._start,)


def _open(task: WorkflowTask, level: _Level, opened: set[str], rows: _Rows) -> _Level:
    graph = task.graph
    if not isinstance(graph, TaskGraph):
        raise InvalidInputError(f"the sub-workflow {task.name!r} of {level.graph.name!r} returned a "
                                f"{type(graph).__name__}, not a TaskGraph; decorate its function with "
                                "@workflow")
    if graph.id in opened:
        raise CyclicGraphError(level.graph.name, [graph.name])
    opened.add(graph.id)
    return _Level(graph, rows.stub("start_subworkflow", graph.name, level.waits_for(task)), task)


def _close(levels: list[_Level], opened: set[str], rows: _Rows) -> None:
    level = levels.pop()
    opened.remove(level.graph.id)
    stub = "end_workflow" if level.owner is None else "end_subworkflow"
    end = rows.stub(stub, level.graph.name, level.last())
    if level.owner is not None:
        levels[-1].ends[level.owner.id] = end


class _Rows:
    """The rows so far."""

    def __init__(self, find_plugin: FindPlugin, pools: Collection[str]) -> None:
        self.all: list[TaskRow] = []
        self._find_plugin = find_plugin
        self._pools = pools
        self._plugins: dict[str, int] = {}

    def stub(self, kind: str, name: str, waits_for: tuple[int, ...]) -> int:
        """Add the stub of a graph's start or end; its position."""
        return self._append(TaskRow(len(self.all), name, stub=kind, waits_for=waits_for))

    def add(self, task: BaseTask, waits_for: tuple[int, ...]) -> int:
        """Add a task's row; its position."""
        position = len(self.all)
        if isinstance(task, OperationTask):
            return self._append(self._operation(task, position, waits_for))
        if isinstance(task, StubTask):
            return self._append(_stub_row(task, position, waits_for))
        raise InvalidInputError(f"{task!r} cannot be run; OperationTask, WorkflowTask and StubTask can")

    def _append(self, row: TaskRow) -> int:
        self.all.append(row)
        return row.position

    def _operation(self, task: OperationTask, position: int, waits_for: tuple[int, ...]) -> TaskRow:
        if not task.function:
            return _stub_row(task, position, waits_for)
        return TaskRow(
            position=position, name=task.name, waits_for=waits_for, function=task.function,
            arguments=task.arguments, dynamic=task.dynamic, secret=task.secret,
            plugin_id=self._plugin(task), max_attempts=task.max_attempts, retry_interval=task.retry_interval,
            retry=_rules(task.retry), ignore_failure=task.ignore_failure,
            timeout=task.timeout, heartbeat_timeout=task.heartbeat_timeout,
            priority=task.priority, pool=self._pool(task), **_operation_of(task))

    def _pool(self, task: OperationTask) -> str | None:
        if task.pool is not None and task.pool not in self._pools:
            known = ", ".join(sorted(self._pools)) or "none"
            raise PoolNotFoundError(
                f"{task.name} runs in the pool {task.pool!r}, which has no size; those with a size: {known}. "
                "Sizes stand in [pools] of the configuration, or are given when an execution is started")
        return task.pool

    def _plugin(self, task: OperationTask) -> int | None:
        name = task.plugin_name
        if not name:
            return None
        if name not in self._plugins:
            found = self._find_plugin(name)
            if found is None:
                raise PluginNotFoundError(f"{task.name} runs in the plugin {name!r}, which is not installed; "
                                          "install it with 'aria plugins install'")
            self._plugins[name] = found
        return self._plugins[name]


@lru_cache(maxsize=256)
def _rules(policy: RetryPolicy) -> Mapping[str, Any] | None:
    return policy.rules_to_json()


def _stub_row(task: StubTask | OperationTask, position: int, waits_for: tuple[int, ...]) -> TaskRow:
    return TaskRow(position=position, name=task.name, stub="stub", waits_for=waits_for, **_operation_of(task))


def _operation_of(task: StubTask | OperationTask) -> dict[str, Any]:
    owner = {} if task.actor is None else {f"{task.actor.__tablename__}_id": task.actor.id}
    return {"interface_name": task.interface_name, "operation_name": task.operation_name, **owner}
