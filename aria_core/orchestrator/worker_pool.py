"""Warm worker processes that share a bounded number of slots, looked after by one thread.

`worker_queue` says who gets what. A worker does not say that it has begun a call: it takes the call's
packet, and its thread of ours looks whether it has, as soon as the call is not over at once. Then the
start is reported, and what was sent ahead to that worker goes to others. All reports of a call come from
one place at a time, so they keep their order.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

from aria_core.orchestrator.executor import Inbox
from aria_core.orchestrator.threads import Hands
from aria_core.orchestrator.worker_queue import WorkerQueue
from aria_core.orchestrator.worker_starts import WorkerStarts
from aria_core.worker.calls import (
    Call,
    CallRef,
    Environment,
    Failed,
    Lost,
    LostReason,
    Report,
    Started,
    is_duration,
    report_from_json,
)
from aria_core.worker.channel import ChannelError
from aria_core.worker.processes import kill_marked
from aria_core.worker.worker_process import (
    Parcel,
    WorkerProcess,
    WorkerProtocolError,
    pack,
)

LINGER = 0.005
"""Seconds until somebody looks whether a call has begun: most are over by then, and cost no look."""
DOZE_AFTER = 10 * LINGER
"""Seconds without a message after which a worker's first call must wake the supervisor."""

RECYCLE_AFTER = 10_000
"""Calls after which a worker is replaced: what operations leak goes with it."""

_TRANSIENT = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_CHECK_EVERY = 0.25
_LEAVE_WITHIN = 2.0
_NATURAL_END = 0.5
_ANSWERERS = 8

_logger = logging.getLogger(__name__)


class WorkerPool:
    """Runs calls in worker processes. The methods are those of `Executor`; `slots` is asked each time."""

    def __init__(self, slots: Callable[[], int], inherit: Iterable[str] = (),
                 recycle_after: int = RECYCLE_AFTER) -> None:
        self._inherit = tuple(inherit)
        self._lock = threading.RLock()
        self._queue = WorkerQueue(slots, recycle_after)
        self._starts = WorkerStarts()
        self._check_at = self._heard_at = 0.0
        self._wakes_at = inf
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
        for _, error in self.submit_all([call]):
            raise error

    def submit_all(self, calls: Iterable[Call]) -> list[tuple[CallRef, Exception]]:
        """See `Executor.submit_all`."""
        refused: list[tuple[CallRef, Exception]] = []
        parcels: list[Parcel] = []
        for call in calls:
            try:
                parcels.append(pack(call))
            except ChannelError as error:
                refused.append((call.ref, error))
        with self._lock:
            if self._is_closed:
                why = RuntimeError("the executor is closed, it takes no more calls")
                return refused + [(each.ref, why) for each in parcels]
            self._queue.waiting.extend(parcels)
            self._queue.hand_out()
            is_wanted = self._lacks_worker() or self._wakes_at > time.monotonic() + 2 * LINGER
        if is_wanted:
            self._wake()
        return refused

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """See `Executor.withdraw`."""
        with self._lock:
            taken = self._queue.withdraw(refs)
            self._queue.hand_out()
        return taken

    def terminate(self, ref: CallRef, grace: float) -> bool:
        """See `Executor.terminate`."""
        with self._lock:
            worker = self._queue.worker_of(ref)
            had_not_begun = self._queue.withdraw([ref])
            if not had_not_begun:
                if worker is None:
                    return False
                if worker.calls and worker.calls[-1].ref == ref:  # else a report is on its way
                    self._terminate(worker, grace)
            self._queue.hand_out()
        if had_not_begun:
            self._report(Lost(ref, "terminated", "it had not begun"))
        self._wake()
        return True

    def close(self, grace: float) -> None:
        """See `Executor.close`."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            for worker in self._queue.workers:
                self._queue.reclaim(worker)
            waiting = list(self._queue.waiting)
            self._queue.waiting.clear()
            for worker in list(self._queue.workers):
                if worker.calls:
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
            for worker in list(self._queue.workers):
                worker.kill()
            self._supervisor.join()
        self._enders.close(finish=True)
        self._is_silent = True
        self._answerers.close(finish=False)
        if self._is_open:
            for each in (self._selector, self._woken, self._waker):
                each.close()

    def _lacks_worker(self) -> bool:
        return not self._is_closed and self._queue.lacks_worker()

    # --- the supervisor's thread

    def _supervise(self) -> None:
        while not (self._is_closed and not self._queue.workers):
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    self._woken.recv(4096)
                else:
                    self._attend(key.data)
            self._look_at_starts()
            self._find_dead()
            self._start_workers()

    def _patience(self) -> float | None:
        """Until the next look; who submits a first call while it is long wakes us."""
        now = time.monotonic()
        due = [self._starts.again_at] if self._starts.again_at is not None else []
        with self._lock:
            if self._queue.workers:
                due.append(self._check_at)
            if now < self._heard_at + DOZE_AFTER:
                due.append(now + LINGER)
            due += [each.first_since + LINGER for each in self._queue.workers
                    if each.calls and not each.has_told]
            self._wakes_at = min(due, default=inf)
        return max(0.0, self._wakes_at - now) if due else None

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
        self._heard_at = time.monotonic()
        if worker.is_gone:
            self._bury(worker)
        with self._lock:
            self._queue.recycle(worker)
            self._queue.hand_out()

    def _take(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        if "report" in message:
            self._take_report(worker, message)
        elif "tell" in message:
            self._tell_start(worker)
            self._answer(worker.calls[0].ref, message)
        elif "ask" in message:
            ref = worker.calls[0].ref
            self._tell_start(worker)
            self._answerers.give(worker.reply, message, lambda asked: self._inbox.answer(ref, asked))
        elif "fetch" in message:
            self._answerers.give(worker.send_big, message["fetch"])
        elif "hello" in message:
            worker.welcome(message)
            self._starts.note_ready(worker.environment)

    def _take_report(self, worker: WorkerProcess, message: Mapping[str, Any]) -> None:
        report, seconds = report_from_json(message), message.get("seconds")
        if not worker.may_report(report) or not is_duration(seconds):
            raise WorkerProtocolError("a worker sent a report that is not its own to make")
        has_told = worker.has_told
        with self._lock:
            worker.finish(report.ref)
        if not has_told:
            self._report(Started(report.ref, worker.where, seconds))
        self._report(report)

    def _tell_start(self, worker: WorkerProcess) -> None:
        """Report that its first call has begun, once."""
        if worker.calls and not worker.has_told:
            worker.has_told = True
            ago = time.monotonic() - worker.first_since
            self._report(Started(worker.calls[0].ref, worker.where, ago))

    def _look_at_starts(self) -> None:
        """Find the calls that are not over at once; what was sent ahead behind them goes elsewhere."""
        now = time.monotonic()
        for worker in list(self._queue.workers):
            if worker.calls and not worker.has_told and now >= worker.first_since + LINGER:
                self._look_at_start(worker)

    def _look_at_start(self, worker: WorkerProcess) -> None:
        with self._lock:
            if worker.is_gone or not worker.calls or not worker.first_has_begun():
                return
            self._queue.reclaim(worker)
        self._tell_start(worker)
        with self._lock:
            self._queue.hand_out()

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
        for worker in list(self._queue.workers):
            if worker.has_ended and not worker.buried.is_set():
                worker.hang_up()

    def _start_workers(self) -> None:
        while self._starts.may_try():
            with self._lock:
                if not self._lacks_worker():
                    return
                environment = self._queue.waiting[0].environment
            self._start_worker(environment)

    def _start_worker(self, environment: Environment | None) -> None:
        with self._lock:
            self._queue.make_room()
        try:
            worker = WorkerProcess(environment, self._inherit)
        except OSError as error:
            self._could_not_start(environment, error)
            return
        self._selector.register(worker.line, selectors.EVENT_READ, worker)
        with self._lock:
            self._queue.workers.append(worker)
            self._queue.hand_out()
            if self._is_closed:
                worker.quit()  # `close` came while it was started and has not seen it

    def _could_not_start(self, environment: Environment | None, error: OSError) -> None:
        if error.errno in _TRANSIENT:
            self._starts.wait()
        else:
            self._give_up(environment, f"cannot start a worker{_of(environment)}: {error}")

    def _give_up(self, environment: Environment | None, why: str) -> None:
        with self._lock:
            hopeless = self._queue.drop_all_of(environment)
            self._starts.forget(environment)
        for call in hopeless:
            self._report(Failed(call.ref, why))

    # --- the end of a worker

    def _bury(self, worker: WorkerProcess) -> None:
        """Everything it had to say was read: what it had not begun goes on elsewhere."""
        self._selector.unregister(worker.line)
        with self._lock:
            worker.is_leaving = True
            self._queue.reclaim(worker)
        self._tell_start(worker)
        worker.buried.set()
        if not worker.is_ready and worker.lacked_a_process:
            self._starts.wait()
        elif not worker.is_ready:
            self._note_failed_start(worker)
        with self._lock:
            self._begin_end(worker, 0.0, None)

    def _note_failed_start(self, worker: WorkerProcess) -> None:
        if self._starts.note_vain(worker.environment):
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
            self._queue.workers.remove(worker)
        for mark in marks if lost else ():
            kill_marked(mark, 0.0)
        self._report_lost(worker, lost, reason)
        worker.close()
        with self._lock:
            self._queue.hand_out()
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
