"""Which running attempts take too long, and which have not been heard of for too long."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping

from aria_core.orchestrator.progress import TaskProgress
from aria_core.worker.calls import CallRef

STOOD_STILL = 1.0
"""Seconds after which a silence is noticed too late to blame the attempt: who slept was the runner."""


class Watch:
    """The timeouts and heartbeats of what runs. Attempts without either cost nothing."""

    def __init__(self) -> None:
        self._deadlines: list[tuple[float, CallRef]] = []
        self._silences: list[tuple[float, CallRef]] = []

    def begin(self, task: TaskProgress, *, hears: bool = True) -> None:
        """Watch an attempt that began at its `began`; not its heartbeats unless we hear them at once."""
        began = task.heard = task.began or 0.0
        if task.row.timeout is not None:
            heapq.heappush(self._deadlines, (began + task.row.timeout, task.ref))
        if hears and task.row.heartbeat_timeout is not None:
            heapq.heappush(self._silences, (began + task.row.heartbeat_timeout, task.ref))

    def moments(self) -> list[float]:
        """When to look again."""
        return [heap[0][0] for heap in (self._deadlines, self._silences) if heap]

    def timed_out(self, now: float) -> Iterator[CallRef]:
        """The attempts that have had their time; each is named once."""
        while self._deadlines and self._deadlines[0][0] <= now:
            yield heapq.heappop(self._deadlines)[1]

    def silent(self, now: float, in_flight: Mapping[CallRef, TaskProgress]) -> Iterator[CallRef]:
        """The running attempts that have been silent for too long; each is named once."""
        while self._silences and self._silences[0][0] <= now:
            due, ref = heapq.heappop(self._silences)
            task = in_flight.get(ref)
            if task is None or task.row.heartbeat_timeout is None:
                continue
            if now - due > STOOD_STILL:
                task.heard = now
            if task.heard + task.row.heartbeat_timeout <= now:
                yield ref
            else:
                heapq.heappush(self._silences, (task.heard + task.row.heartbeat_timeout, ref))
