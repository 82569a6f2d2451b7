"""Which call goes to which worker. Knows neither threads nor the end of a worker.

Calls wait in one queue, in order. A free slot takes the next; when every slot is taken, calls are sent
ahead to workers of their environment whose call is not known to take long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from aria_core.worker.calls import CallRef, Environment
from aria_core.worker.worker_process import Parcel, WorkerProcess

SENT_AHEAD = 64
"""How many calls a worker may have besides the one it runs."""


class WorkerQueue:
    """The workers, and the calls that none of them has. Not thread-safe: the pool holds a lock."""

    def __init__(self, slots: Callable[[], int], recycle_after: int) -> None:
        self._slots = slots
        self._recycle_after = recycle_after
        self.waiting: deque[Parcel] = deque()
        self.workers: list[WorkerProcess] = []

    def hand_out(self) -> None:
        """Send what waits, in order, as far as there is room for it."""
        slots, busy = self._slots(), self._busy()
        while self.waiting:
            environment = self.waiting[0].environment
            worker = self._free(environment) if busy < slots else self._with_room(environment)
            if worker is None or not worker.send(self.waiting[0]):
                return
            self.waiting.popleft()
            busy += len(worker.calls) == 1

    def lacks_worker(self) -> bool:
        """Whether a slot is free for the next call, and no worker is."""
        return (bool(self.waiting) and self._busy() < self._slots()
                and self._free(self.waiting[0].environment) is None)

    def reclaim(self, worker: WorkerProcess) -> None:
        """Take back what a worker has not begun: it waits again, before all others."""
        self.waiting.extendleft(reversed(worker.take_back()))

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """Take calls that have not begun out of everything; which ones."""
        wanted = frozenset(refs)
        for worker in self.workers:
            if any(call.ref in wanted for call in worker.calls):
                self.reclaim(worker)
        return frozenset(call.ref for call in self._take_out(lambda call: call.ref in wanted))

    def drop_all_of(self, environment: Environment | None) -> list[Parcel]:
        """Take what waits for a worker of this environment out of the queue."""
        return self._take_out(lambda call: call.environment == environment)

    def worker_of(self, ref: CallRef) -> WorkerProcess | None:
        """Who has this call."""
        return next((worker for worker in self.workers
                     if any(call.ref == ref for call in worker.calls)), None)

    def recycle(self, worker: WorkerProcess) -> None:
        """Let a worker go that has run its share of calls."""
        if worker.finished >= self._recycle_after and not worker.calls and not worker.is_leaving:
            worker.quit()

    def make_room(self) -> None:
        """Idle workers of other environments leave before they outnumber the slots."""
        idle = [worker for worker in self.workers if not worker.calls and not worker.is_leaving]
        if len(idle) >= self._slots():
            idle[0].quit()

    def _busy(self) -> int:
        return sum(1 for worker in self.workers if worker.calls)

    def _free(self, environment: Environment | None) -> WorkerProcess | None:
        return next((worker for worker in self.workers if not worker.calls and not worker.is_leaving
                     and worker.environment == environment), None)

    def _with_room(self, environment: Environment | None) -> WorkerProcess | None:
        able = [worker for worker in self.workers
                if 0 < len(worker.calls) <= SENT_AHEAD and worker.is_ready and not worker.has_told
                and not worker.is_leaving and worker.environment == environment
                and worker.finished + len(worker.calls) < self._recycle_after]
        return min(able, key=_load, default=None)

    def _take_out(self, is_meant: Callable[[Parcel], bool]) -> list[Parcel]:
        taken = [call for call in self.waiting if is_meant(call)]
        if taken:
            self.waiting = deque(call for call in self.waiting if not is_meant(call))
        return taken


def _load(worker: WorkerProcess) -> int:
    return len(worker.calls)
