"""What a workflow function fills: tasks, and which of them wait for which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise, product
from typing import TYPE_CHECKING, TypeAlias

from aria_core.exceptions import InvalidInputError
from aria_core.orchestrator.exceptions import CyclicGraphError, TaskNotInGraphError
from aria_core.orchestrator.tasks import BaseTask, new_id

if TYPE_CHECKING:
    from networkx import DiGraph

Tasks: TypeAlias = "BaseTask | Iterable[Tasks] | None"
"""A task, or a group: tasks and groups in any nesting. None stands for no task."""


class TaskGraph:
    """Tasks and their dependencies.

    Wherever a method takes a task it takes a group as well, which means each task in it. Adding N
    tasks and M dependencies costs O(N + M).
    """

    def __init__(self, name: str) -> None:
        # Workers import the modules that name this class and never make one: networkx waits till here.
        from networkx import DiGraph

        self.name = name
        self._id = new_id()
        self._tasks: dict[str, BaseTask] = {}
        self._graph: DiGraph[str] = DiGraph()
        """An edge leads from a task to one that waits for it."""

    def __repr__(self) -> str:
        return f"<TaskGraph {self.name} of {len(self._tasks)} tasks>"

    @property
    def id(self) -> str:
        """A name no other graph has."""
        return self._id

    @property
    def tasks(self) -> Iterator[BaseTask]:
        """All tasks, in the order they were added."""
        return iter(list(self._tasks.values()))

    def topological_order(self, reverse: bool = False) -> Iterator[BaseTask]:
        """All tasks: each before those it waits for; with `reverse`, after them (the order to run in).

        Raises ``CyclicGraphError``, which names the tasks that wait for each other.
        """
        order = self._sorted_ids()
        return iter([self._tasks[each] for each in (order if reverse else reversed(order))])

    def get_task(self, task_id: str) -> BaseTask:
        """The task with this id; ``TaskNotInGraphError`` without one."""
        try:
            return self._tasks[task_id]
        except KeyError:
            raise TaskNotInGraphError(f"the task graph {self.name!r} has no task with the id {task_id!r}; "
                                      "add it first, with add_tasks") from None

    def get_dependencies(self, task: BaseTask) -> Iterator[BaseTask]:
        """The tasks that `task` itself waits for; ``TaskNotInGraphError`` if it is not in the graph."""
        [key] = self._ids(task)
        return iter([self._tasks[each] for each in self._graph.predecessors(key)])

    def get_dependents(self, task: BaseTask) -> Iterator[BaseTask]:
        """The tasks that themselves wait for `task`; ``TaskNotInGraphError`` if it is not in the graph."""
        [key] = self._ids(task)
        return iter([self._tasks[each] for each in self._graph.successors(key)])

    def add_tasks(self, *tasks: Tasks) -> list[BaseTask]:
        """Add tasks and return those that were not there before."""
        added = [task for task in dict.fromkeys(_flat(tasks)) if task.id not in self._tasks]
        self._tasks.update((task.id, task) for task in added)
        self._graph.add_nodes_from(task.id for task in added)
        return added

    def remove_tasks(self, *tasks: Tasks) -> list[BaseTask]:
        """Remove tasks with all their dependencies, and return those that were there."""
        removed = [task for task in dict.fromkeys(_flat(tasks)) if task.id in self._tasks]
        for task in removed:
            del self._tasks[task.id]
        self._graph.remove_nodes_from([task.id for task in removed])
        return removed

    def has_tasks(self, *tasks: Tasks) -> bool:
        """Whether all of them are in the graph; true of an empty group."""
        return all(task.id in self._tasks for task in _flat(tasks))

    def add_dependency(self, dependent: Tasks, dependency: Tasks) -> bool:
        """Let each of `dependent` wait for each of `dependency`. True if anything changed.

        Raises ``TaskNotInGraphError`` if one of them is not in the graph. A cycle is accepted here and
        refused when the graph is compiled.
        """
        has_edge = self._graph.has_edge
        new = [edge for edge in self._edges(dependent, dependency) if not has_edge(*edge)]
        self._graph.add_edges_from(new)
        return bool(new)

    def has_dependency(self, dependent: Tasks, dependency: Tasks) -> bool:
        """Whether each of `dependent` waits for each of `dependency`; false of an empty group.

        Raises ``TaskNotInGraphError`` if one of them is not in the graph.
        """
        return self._has_edges(self._edges(dependent, dependency))

    def remove_dependency(self, dependent: Tasks, dependency: Tasks) -> bool:
        """Undo `add_dependency`, if all of it holds; else change nothing. True if anything changed.

        Raises ``TaskNotInGraphError`` if one of them is not in the graph.
        """
        edges = self._edges(dependent, dependency)
        if not self._has_edges(edges):
            return False
        self._graph.remove_edges_from(edges)
        return True

    def sequence(self, *tasks: Tasks) -> list[list[BaseTask]]:
        """Let each task or group wait for the one before it, adding what is not in the graph yet.

        Empty groups are skipped. Returns the groups in order, fit to be a group of another call.
        """
        groups = [group for group in map(_flat, tasks) if group]
        self.add_tasks(*groups)
        for earlier, later in pairwise(groups):
            self.add_dependency(later, earlier)
        return groups

    def _edges(self, dependent: Tasks, dependency: Tasks) -> list[tuple[str, str]]:
        waiting, awaited = self._ids(dependent), self._ids(dependency)
        return [(first, second) for second, first in product(waiting, awaited)]

    def _has_edges(self, edges: list[tuple[str, str]]) -> bool:
        return bool(edges) and all(self._graph.has_edge(*edge) for edge in edges)

    def _ids(self, tasks: Tasks) -> list[str]:
        """Their ids, once all of them are in the graph."""
        found = [task.id for task in _flat(tasks)]
        if not self._tasks.keys() >= set(found):
            stranger = next(task for task in _flat(tasks) if task.id not in self._tasks)
            raise TaskNotInGraphError(f"the task graph {self.name!r} has no task {stranger.name!r}; "
                                      "add it first, with add_tasks")
        return found

    def _sorted_ids(self) -> list[str]:
        from networkx import NetworkXUnfeasible, topological_sort

        try:
            return list(topological_sort(self._graph))
        except NetworkXUnfeasible:
            raise CyclicGraphError(self.name, self._find_cycle()) from None

    def _find_cycle(self) -> list[str]:
        from networkx import find_cycle, strongly_connected_components

        # Inside one knot every walk runs into a cycle: the search never has to turn back.
        knot = next(each for each in strongly_connected_components(self._graph) if self._is_knot(each))
        edges = find_cycle(self._graph.subgraph(knot))
        return [self._tasks[edge[0]].name for edge in reversed(edges)]

    def _is_knot(self, component: set[str]) -> bool:
        return len(component) > 1 or any(self._graph.has_edge(each, each) for each in component)


def _flat(tasks: Tasks) -> list[BaseTask]:
    if isinstance(tasks, BaseTask):
        return [tasks]
    found: list[BaseTask] = []
    waiting: list[Iterator[Tasks]] = [iter((tasks,))]
    while waiting:
        for each in waiting[-1]:
            if isinstance(each, BaseTask):
                found.append(each)
            elif isinstance(each, Iterable) and not isinstance(each, (str, bytes)):
                waiting.append(iter(each))
                break
            elif each is not None:
                raise InvalidInputError(f"{each!r} is no task; task graphs hold tasks and groups of tasks")
        else:
            waiting.pop()
    return found
