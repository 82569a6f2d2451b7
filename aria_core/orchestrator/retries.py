"""Tasks that wait until it is time for another attempt."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from aria_core.orchestrator.progress import TaskProgress


class Retries:
    """What waits, by the moment of the engine's monotonic clock at which it is tried again."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, TaskProgress]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def next_at(self) -> float:
        """When the first of them is due; only while there is one."""
        return self._waiting[0][0]

    def put(self, task: TaskProgress, moment: float) -> None:
        """Have a task wait; of those due at one moment the first of the graph goes first."""
        heapq.heappush(self._waiting, (moment, task.row.position, task))

    def due(self, now: float) -> Iterator[TaskProgress]:
        """Give those whose time has come, which then wait no more."""
        while self._waiting and self._waiting[0][0] <= now:
            yield heapq.heappop(self._waiting)[2]

    def drain(self) -> list[TaskProgress]:
        """Give all, none of which waits any more."""
        waiting, self._waiting = self._waiting, []
        return [task for _, _, task in waiting]
