"""How many calls may be at the executor, in all or in each of its queues; says when nobody takes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from aria_core.exceptions import StorageUnavailableError
from aria_core.modeling.states import TaskState
from aria_core.orchestrator.pace import Pace
from aria_core.orchestrator.patience import ride_out
from aria_core.orchestrator.progress import TaskProgress, is_done
from aria_core.orchestrator.ready import TaskQueue
from aria_core.orchestrator.surroundings import Surroundings
from aria_core.worker.calls import CallRef

NOBODY_FOR = 2.0
"""Seconds without a slot after which the log tells of it: workers need a moment to answer."""
_ALL = ""
"""Stands for the queue of an executor that has none."""


def find_queues(around: Surroundings, tasks: Iterable[TaskProgress]) -> None:
    """Note in each task that is still to run the queue of its calls, if the executor has queues.

    Raises ``StorageUnavailableError`` if the storage stays away.
    """
    if around.executor.has_queues:
        for task in tasks:
            if task.row.stub is None and not is_done(task):
                task.queue = _queue_of(around, task)


def _queue_of(around: Surroundings, task: TaskProgress) -> str | None:
    try:
        return around.executor.queue_of(ride_out(around.clock, lambda _: around.calls.outline(task)))
    except StorageUnavailableError:
        raise
    except Exception:  # noqa: BLE001 - it cannot be sent either, which fails this task and not the runner
        return None


class Slots:
    """What the executor has room for, read before each dispatch.

    Where it has queues each has a gate in `ready`: calls that nobody takes do not stand in the way of others.
    """

    def __init__(self, around: Surroundings, tasks: Iterable[TaskProgress], ready: TaskQueue,
                 in_flight: Mapping[CallRef, TaskProgress]) -> None:
        self._around = around
        self._ready = ready
        self._in_flight = in_flight
        self._queues = sorted({task.queue for task in tasks if task.queue is not None})
        self._empty_since: dict[str, float] = {}
        """Since which reading of the clock queues have no slot; infinity where the log has told of it."""

    def room(self, pace: Pace) -> int | None:
        """How many calls may leave now, whichever pass their gates; None: as many as do."""
        executor = self._around.executor
        for queue in self._queues:
            slots = executor.slots_of(queue)
            self._note(queue, slots)
            self._ready.allow(queue, slots + pace.backlog(slots))
        if self._queues or executor.slots is None:
            return None
        slots = executor.slots
        self._note(_ALL, slots)
        return slots + pace.backlog(slots) - len(self._in_flight)

    def _note(self, queue: str, slots: int) -> None:
        if slots > 0:
            self._empty_since.pop(queue, None)
        elif queue not in self._empty_since:
            self._empty_since[queue] = self._around.clock.monotonic()

    def moments(self) -> list[float]:
        """When there may be something to tell."""
        now = self._around.clock.monotonic()
        return [since + NOBODY_FOR for since in self._empty_since.values()
                if now < since + NOBODY_FOR < math.inf]

    def tell(self) -> None:
        """Tell once of each queue that has no slot for some time, if a call waits for one."""
        if not self._empty_since:
            return
        now = self._around.clock.monotonic()
        for queue, since in self._empty_since.items():
            if since + NOBODY_FOR <= now and (said := self._complaint(queue)):
                self._around.log("WARNING", said)
                self._empty_since[queue] = math.inf

    def _complaint(self, queue: str) -> str:
        if queue == _ALL:
            return ("the executor has no slot, as when no worker is there: nothing is sent until it has "
                    "one") if self._ready else ""
        task = self._ready.first_at(queue) or next(
            (each for each in self._in_flight.values()
             if each.queue == queue and each.state == TaskState.SENT), None)
        return "" if task is None else (
            f"nobody serves the queue {queue!r}: {task.row.interface_name}.{task.row.operation_name} "
            f"({task.row.name}) waits until a worker does, as does what else is for that queue")
