"""The tasks that may be sent, in order; never two lifecycle operations of one node at once.

An execution without limits, priorities and queues has the plain queue, which knows nothing of them.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable
from typing import TypeAlias

from aria_core.modeling.limits import UNLIMITED
from aria_core.orchestrator.limits import Limits
from aria_core.orchestrator.progress import TaskProgress


class ReadyQueue:
    """A queue in which tasks of a busy node stand aside until it is free."""

    def __init__(self) -> None:
        self._tasks: deque[TaskProgress] = deque()
        self._aside: dict[int, deque[TaskProgress]] = {}
        self._busy: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def put(self, task: TaskProgress) -> None:
        """Add a task at the end."""
        self._tasks.append(task)

    def take(self) -> TaskProgress | None:
        """The next task whose node is free, which is busy from now on; None if there is none."""
        while self._tasks:
            task = self._tasks.popleft()
            node = task.lifecycle_node
            if node is None:
                return task
            if node not in self._busy:
                self._busy.add(node)
                return task
            self._aside.setdefault(node, deque()).append(task)
        return None

    def drain(self) -> list[TaskProgress]:
        """Take out all, also what stands aside."""
        taken = [*self._tasks, *(task for aside in self._aside.values() for task in aside)]
        self._tasks.clear()
        self._aside.clear()
        return taken

    def occupy(self, task: TaskProgress) -> None:
        """The task runs already: its node is busy."""
        if task.lifecycle_node is not None:
            self._busy.add(task.lifecycle_node)

    def release(self, task: TaskProgress) -> None:
        """The task does not run any more: its node is free, and what stood aside comes first."""
        node = task.lifecycle_node
        if node is not None:
            self._busy.discard(node)
            self._tasks.extendleft(reversed(self._aside.pop(node, ())))

    def allow(self, queue: str, calls: int) -> None:
        """See `LimitedQueue.allow`; there is no such queue."""

    def first_at(self, queue: str) -> TaskProgress | None:
        """See `LimitedQueue.first_at`; there is no such queue."""
        return None


Turn: TypeAlias = tuple[int, int]
"""Whose turn it is, the lowest first: the priority, negated, then the number in order of arrival."""


class _Gate:
    """Something that so many tasks may use at once."""

    __slots__ = ("lines", "room")

    def __init__(self, room: int) -> None:
        self.room = room
        self.lines: list[tuple[Turn, _Line]] = []
        """A heap of the lines that stand here, with entries that do not hold any more among them."""


class _Line:
    """Tasks that must pass the same gates, the next one first."""

    __slots__ = ("called_by", "gates", "stands_at", "tasks")

    def __init__(self, gates: tuple[_Gate, ...]) -> None:
        self.gates = gates
        self.tasks: list[tuple[Turn, TaskProgress]] = []
        self.stands_at: _Gate | None = None
        """The gate that was full when its next task came up."""
        self.called_by: _Gate | None = None
        """The gate that had room again, and has not been passed since."""

    def holds(self, turn: Turn) -> bool:
        """Whether `turn` is the one of its next task."""
        return bool(self.tasks) and self.tasks[0][0] == turn


class LimitedQueue:
    """A queue by priority, then by arrival, in which tasks stand aside for limits, and hold up nobody.

    Tasks with the same limits stand in one line. A line whose first task finds a gate full waits at
    that gate, and of those who wait there one is called whenever there is room again: what stands
    aside is not looked at in between, so that the cost of a task does not grow with their number.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._room = math.inf if limits.total is None else limits.total
        self._gates: dict[tuple[str, int | str], _Gate] = {}
        self._allowed: dict[str, int] = {}
        self._lines: dict[tuple[_Gate, ...], _Line] = {}
        self._coming: list[tuple[Turn, _Line]] = []
        """A heap of the lines that wait for nothing but their turn."""
        self._arrived = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    def put(self, task: TaskProgress) -> None:
        """Add a task, behind those of its priority."""
        self._arrived += 1
        turn = (-(task.row.priority or 0), self._arrived)
        gates = self._gates_of(task)
        line = self._lines.get(gates)
        if line is None:
            line = self._lines[gates] = _Line(gates)
        heapq.heappush(line.tasks, (turn, task))
        if line.holds(turn):
            self._queue_up(line)

    def take(self) -> TaskProgress | None:
        """The next task that no limit holds back, which counts from now on; None if there is none."""
        while self._room > 0 and self._coming:
            turn, line = heapq.heappop(self._coming)
            if line.stands_at is None and line.holds(turn):
                caller, line.called_by = line.called_by, None
                task = self._pass_gates(line)
                if caller is not None:
                    self._call_next(caller)
                if task is not None:
                    return task
        return None

    def drain(self) -> list[TaskProgress]:
        """Take out all, also what stands aside."""
        taken = [task for line in self._lines.values() for _, task in line.tasks]
        self._lines.clear()
        self._coming.clear()
        for gate in self._gates.values():
            gate.lines.clear()
        return taken

    def occupy(self, task: TaskProgress) -> None:
        """The task runs already, whatever the limits say: it counts from now on."""
        self._room -= 1
        for gate in self._gates_of(task):
            gate.room -= 1

    def release(self, task: TaskProgress) -> None:
        """The task does not run any more: what it counted for has room for another."""
        self._room += 1
        for gate in self._gates_of(task):
            gate.room += 1
            self._call_next(gate)

    def allow(self, queue: str, calls: int) -> None:
        """From now on so many calls of a queue of the executor may be in flight; before, none."""
        if (more := calls - self._allowed.get(queue, 0)) != 0:
            self._allowed[queue] = calls
            gate = self._gate("queue", queue, 0)
            gate.room += more
            self._call_next(gate)

    def first_at(self, queue: str) -> TaskProgress | None:
        """The next of the tasks that wait for nothing but room in a queue of the executor."""
        gate = self._gate("queue", queue, 0)
        standing = min((entry for entry in gate.lines
                        if entry[1].stands_at is gate and entry[1].holds(entry[0])), default=None)
        return None if standing is None else standing[1].tasks[0][1]

    def _queue_up(self, line: _Line) -> None:
        """Have a line wait for the turn of its next task, at its gate if that is full."""
        entry = (line.tasks[0][0], line)
        if line.stands_at is not None and line.stands_at.room <= 0:
            heapq.heappush(line.stands_at.lines, entry)
            return
        line.stands_at = None
        heapq.heappush(self._coming, entry)

    def _pass_gates(self, line: _Line) -> TaskProgress | None:
        """The next task of a line, if all its gates have room; else the line stands aside."""
        line.stands_at = next((gate for gate in line.gates if gate.room <= 0), None)
        if line.stands_at is not None:
            self._queue_up(line)
            return None
        _, task = heapq.heappop(line.tasks)
        self._room -= 1
        for gate in line.gates:
            gate.room -= 1
        if line.tasks:
            self._queue_up(line)
        else:
            del self._lines[line.gates]
        return task

    def _call_next(self, gate: _Gate) -> None:
        """Have the line whose turn is next among those at a gate try again, if there is room."""
        while gate.room > 0 and gate.lines:
            turn, line = heapq.heappop(gate.lines)
            if line.stands_at is gate and line.holds(turn):
                line.called_by = gate
                self._queue_up(line)
                return

    def _gates_of(self, task: TaskProgress) -> tuple[_Gate, ...]:
        """What limits a task; the same gates in the same order for all that are limited alike."""
        gates = []
        if task.lifecycle_node is not None:
            gates.append(self._gate("lifecycle", task.lifecycle_node, 1))
        node = self._limits.node_of(task.row)
        if node in self._limits.nodes:
            gates.append(self._gate("node", node, self._limits.nodes[node]))
        pool = task.row.pool
        if pool is not None and (size := self._limits.pools.get(pool, UNLIMITED)) != UNLIMITED:
            gates.append(self._gate("pool", pool, size))
        if task.queue is not None:
            gates.append(self._gate("queue", task.queue, 0))
        return tuple(gates)

    def _gate(self, kind: str, of: int | str, room: int) -> _Gate:
        gate = self._gates.get((kind, of))
        if gate is None:
            gate = self._gates[kind, of] = _Gate(room)
        return gate


TaskQueue: TypeAlias = ReadyQueue | LimitedQueue


def queue_for(tasks: Iterable[TaskProgress], limits: Limits) -> TaskQueue:
    """The queue for the tasks of an execution: the plain one unless a limit, priority or queue is in use."""
    if limits.hold or any(task.row.priority or task.row.pool or task.queue is not None for task in tasks):
        return LimitedQueue(limits)
    return ReadyQueue()
