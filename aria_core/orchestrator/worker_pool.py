"""Warm worker processes that share a bounded number of slots, looked after by one thread.

Calls wait in one queue, in order. A free slot takes the next; when every slot is taken, short calls
are sent ahead to workers of their environment, and taken back as soon as a slot would otherwise be
idle. All reports of a call come from one place at a time, so they keep their order.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aria_core.orchestrator.executor import Inbox
from aria_core.orchestrator.threads import Hands
from aria_core.orchestrator.worker_process import Parcel, WorkerProcess, pack
from aria_core.worker.calls import (
    Call,
    CallRef,
    Environment,
    Failed,
    Lost,
    LostReason,
    Report,
    Started,
    report_from_json,
)
from aria_core.worker.processes import kill_marked

SENT_AHEAD = 32
"""How many calls a worker may have besides the one it runs."""

_TRANSIENT = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_HOPELESS_STARTS = 3
_CHECK_EVERY = 0.25
_LONGEST_PAUSE = 2.0
_LEAVE_WITHIN = 2.0
_NATURAL_END = 0.5
_ANSWERERS = 8

_logger = logging.getLogger(__name__)


class WorkerPool:
    """Runs calls in worker processes. The methods are those of `Executor`; `slots` is asked each time."""

    def __init__(self, slots: Callable[[], int], inherit: Iterable[str] = (),
                 recycle_after: int = 1000) -> None:
        self._slots = slots
        self._inherit = tuple(inherit)
        self._recycle_after = recycle_after
        self._lock = threading.RLock()
        self._waiting: deque[Parcel] = deque()
        self._workers: list[WorkerProcess] = []
        self._failed_starts: Counter[Environment | None] = Counter()
        self._pause = self._start_again_at = self._check_at = 0.0
        self._is_open = False
        self._is_closed = self._is_silent = False
        self._answerers = Hands("aria-answers", _ANSWERERS)
        self._enders = Hands("aria-end")
        self._supervisor = threading.Thread(target=self._supervise, name="aria-workers", daemon=True)

    def open(self, report: Inbox) -> None:
        """See `Executor.open`; the first call starts the first process, but threads may be short by then."""
        self._inbox = report
        if self._is_open:
            return
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._answerers.open()
        self._enders.open()
        self._supervisor.start()
        self._is_open = True

    # --- from the engine's thread

    def submit(self, call: Call) -> None:
        """See `Executor.submit`."""
        parcel = pack(call)
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the executor is closed, it takes no more calls")
            self._waiting.append(parcel)
            self._hand_out()
            needs_a_worker = self._lacks_worker()
        if needs_a_worker:
            self._wake()

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """See `Executor.withdraw`."""
        wanted = frozenset(refs)
        with self._lock:
            for worker in self._workers:
                if any(call.ref in wanted for call in worker.calls):
                    self._reclaim(worker)
            taken = frozenset(call.ref for call in self._waiting if call.ref in wanted)
            self._waiting = deque(call for call in self._waiting if call.ref not in taken)
            self._hand_out()
        return taken

    def terminate(self, ref: CallRef, grace: float) -> bool:
        """See `Executor.terminate`."""
        with self._lock:
            worker = self._worker_of(ref)
            if worker is not None:
                self._reclaim(worker)
            waiting = next((call for call in self._waiting if call.ref == ref), None)
            if waiting is not None:
                self._waiting.remove(waiting)
            elif worker is None:
                return False
            elif worker.calls and worker.calls[-1].ref == ref:  # else it has gone on: a report is on its way
                self._terminate(worker, grace)
            self._hand_out()
        if waiting is not None:
            self._report(Lost(ref, "terminated", "it had not begun"))
        self._wake()
        return True

    def close(self, grace: float) -> None:
        """See `Executor.close`."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            for worker in self._workers:
                self._reclaim(worker)
            waiting, self._waiting = list(self._waiting), deque()
            for worker in list(self._workers):
                if worker.load:
                    self._terminate(worker, grace)
                elif not worker.is_leaving:
                    worker.quit()
        for call in waiting:
            self._report(Lost(call.ref, "terminated", "it had not begun"))
        self._join(grace)

    def _join(self, grace: float) -> None:
        if self._is_open:
            self._wake()
            self._supervisor.join(grace + _LEAVE_WITHIN)
            for worker in list(self._workers):
                worker.kill()
            self._supervisor.join()
        self._enders.close(finish=True)
        self._is_silent = True
        self._answerers.close(finish=False)
        if self._is_open:
            for each in (self._selector, self._woken, self._waker):
                each.close()

    # --- who gets what; the lock is held

    def _hand_out(self) -> None:
        self._spread()
        while self._waiting:
            worker = self._room_for(self._waiting[0].call)
            if worker is None or not worker.send(self._waiting[0]):
                return
            self._waiting.popleft()

    def _busy(self) -> int:
        return sum(1 for worker in self._workers if worker.load)

    def _room_for(self, call: Call) -> WorkerProcess | None:
        usable = [worker for worker in self._workers
                  if worker.environment == call.plugin and not worker.is_leaving]
        if self._busy() < self._slots():
            return next((worker for worker in usable if not worker.load), None)
        loaded = [worker for worker in usable if 0 < worker.load <= SENT_AHEAD
                  and worker.finished + worker.load < self._recycle_after]
        return min(loaded, key=lambda worker: worker.load, default=None)

    def _spread(self) -> None:
        """Take back what was sent ahead if a slot is free and nothing else waits for it."""
        if self._waiting or self._busy() >= self._slots():
            return
        fullest = max(self._workers, key=lambda worker: worker.load, default=None)
        if fullest is not None and fullest.load > 1:
            self._reclaim(fullest)

    def _reclaim(self, worker: WorkerProcess) -> None:
        self._waiting.extendleft(reversed(worker.take_back()))

    def _worker_of(self, ref: CallRef) -> WorkerProcess | None:
        return next((worker for worker in self._workers
                     if any(call.ref == ref for call in worker.calls)), None)

    def _lacks_worker(self) -> bool:
        if not self._waiting or self._is_closed or self._busy() >= self._slots():
            return False
        return self._room_for(self._waiting[0].call) is None

    # --- the supervisor's thread

    def _supervise(self) -> None:
        while not (self._is_closed and not self._workers):
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    self._woken.recv(4096)
                else:
                    self._attend(key.data)
            self._find_dead()
            self._start_workers()

    def _patience(self) -> float | None:
        due = [self._start_again_at] if self._start_again_at else []
        if self._workers:
            due.append(self._check_at)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _wake(self) -> None:
        try:
            self._waker.send(b"!")
        except OSError:
            return  # it is full of wake-ups, or closed: nothing to add

    def _attend(self, worker: WorkerProcess) -> None:
        try:
            for message in worker.receive():
                self._take(worker, message)
        except Exception:
            _logger.exception("a worker broke the protocol and is killed")
            worker.kill()
            worker.is_gone = True
        if worker.is_gone:
            self._bury(worker)

    def _take(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        if "report" in message:
            self._take_report(worker, report_from_json(message))
        elif "started" in message:
            ref = CallRef(*message["started"])
            with self._lock:
                worker.expect(ref)
            self._report(Started(ref, worker.where))
        elif "tell" in message:
            self._answer(worker.calls[0].ref, message)
        elif "ask" in message:
            ref = worker.calls[0].ref
            self._answerers.give(worker.reply, message, lambda asked: self._inbox.answer(ref, asked))
        elif "fetch" in message:
            self._answerers.give(worker.send_big, message["fetch"])
        elif "hello" in message:
            worker.welcome(message)
            self._failed_starts.pop(worker.environment, None)
            self._pause = 0.0

    def _take_report(self, worker: WorkerProcess, report: Report) -> None:
        with self._lock:
            worker.finish(report.ref)
            if worker.finished >= self._recycle_after and not worker.load and not worker.is_leaving:
                worker.quit()
            self._hand_out()
        self._report(report)

    def _answer(self, ref: CallRef, message: Mapping[str, Any]) -> None:
        try:
            self._inbox.answer(ref, message)
        except Exception:
            _logger.exception("what an operation told could not be kept")

    def _find_dead(self) -> None:
        """See the ends that a line does not show, because a fork of the operation still holds it."""
        if time.monotonic() < self._check_at:
            return
        self._check_at = time.monotonic() + _CHECK_EVERY
        for worker in list(self._workers):
            if worker.has_ended and not worker.buried.is_set():
                worker.hang_up()

    def _start_workers(self) -> None:
        if self._start_again_at <= time.monotonic():
            self._start_again_at = 0.0
        while not self._start_again_at:
            with self._lock:
                if not self._lacks_worker():
                    return
                environment = self._waiting[0].call.plugin
            self._start_worker(environment)

    def _start_worker(self, environment: Environment | None) -> None:
        self._make_room()
        try:
            worker = WorkerProcess(environment, self._inherit)
        except OSError as error:
            self._could_not_start(environment, error)
            return
        self._selector.register(worker.line, selectors.EVENT_READ, worker)
        with self._lock:
            self._workers.append(worker)
            self._hand_out()
            if self._is_closed:
                worker.quit()  # `close` came while it was started and has not seen it

    def _make_room(self) -> None:
        """Idle workers of other environments leave before they outnumber the slots."""
        with self._lock:
            idle = [worker for worker in self._workers if not worker.load and not worker.is_leaving]
            if len(idle) >= self._slots():
                idle[0].quit()

    def _could_not_start(self, environment: Environment | None, error: OSError) -> None:
        if error.errno in _TRANSIENT:
            self._start_later()
        else:
            self._give_up(environment, f"cannot start a worker{_of(environment)}: {error}")

    def _start_later(self) -> None:
        if not self._start_again_at:  # one shortage may end several workers: they are one reason to wait
            self._pause = min(max(2 * self._pause, 0.05), _LONGEST_PAUSE)
            self._start_again_at = time.monotonic() + self._pause

    def _give_up(self, environment: Environment | None, why: str) -> None:
        with self._lock:
            hopeless = [call for call in self._waiting if call.call.plugin == environment]
            self._waiting = deque(call for call in self._waiting if call.call.plugin != environment)
            self._failed_starts.pop(environment, None)
        for call in hopeless:
            self._report(Failed(call.ref, why))

    # --- the end of a worker

    def _bury(self, worker: WorkerProcess) -> None:
        """Everything it had to say was read: what it had not begun goes on elsewhere."""
        self._selector.unregister(worker.line)
        with self._lock:
            self._reclaim(worker)
            worker.is_leaving = True
            worker.buried.set()
        if not worker.is_ready and worker.lacked_a_process:
            self._start_later()
        elif not worker.is_ready:
            self._note_failed_start(worker)
        with self._lock:
            self._begin_end(worker, 0.0, None)

    def _note_failed_start(self, worker: WorkerProcess) -> None:
        self._failed_starts[worker.environment] += 1
        if self._failed_starts[worker.environment] >= _HOPELESS_STARTS:
            self._give_up(worker.environment, f"a worker{_of(worker.environment)} ended before it was ready"
                                              f"{worker.last_words()}")

    def _terminate(self, worker: WorkerProcess, grace: float) -> None:
        if worker.is_ending:  # asked again: the shorter grace counts
            self._enders.give(self._force, worker, grace)
        else:
            self._begin_end(worker, grace, "terminated")

    def _begin_end(self, worker: WorkerProcess, grace: float, reason: LostReason | None) -> None:
        if not worker.is_ending:
            worker.is_ending = worker.is_leaving = True
            self._enders.give(self._end, worker, grace, reason)

    def _end(self, worker: WorkerProcess, grace: float, reason: LostReason | None) -> None:
        """Ask, force, wait until nothing of the attempt is left, then report it lost."""
        if reason is not None:
            worker.ask_to_end()
        marks = [parcel.call.mark for parcel in list(worker.calls)]
        self._force(worker, grace)
        worker.buried.wait()
        with self._lock:
            lost = list(worker.calls)
            self._workers.remove(worker)
        for mark in marks if lost else ():
            kill_marked(mark, 0.0)
        self._report_lost(worker, lost, reason)
        worker.close()
        with self._lock:
            self._hand_out()
        self._wake()

    def _force(self, worker: WorkerProcess, grace: float) -> None:
        deadline = time.monotonic() + max(grace, _NATURAL_END)
        for parcel in list(worker.calls):
            kill_marked(parcel.call.mark, grace)
        if not worker.wait(deadline - time.monotonic()):
            worker.kill()

    def _report_lost(self, worker: WorkerProcess, lost: list[Parcel], reason: LostReason | None) -> None:
        why, detail = worker.lost_reason()
        for call in lost:
            self._report(Lost(call.ref, reason or why, detail if reason is None else ""))

    def _report(self, report: Report) -> None:
        if not self._is_silent:
            self._inbox(report)


def _of(environment: Environment | None) -> str:
    return f" for the plugin {environment.plugin}" if environment is not None else ""
