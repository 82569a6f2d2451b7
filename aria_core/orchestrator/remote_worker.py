"""Runs on any host the calls of executors whose calls survive the runner.

The row is the truth, a message only a hint: of a call nothing but its ref arrives, it runs if its claim
is won, and its report goes into the row. Who brings the refs is the executor's affair.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from aria_core.clock import Clock, SystemClock
from aria_core.exceptions import AriaError, StorageUnavailableError
from aria_core.orchestrator.patience import ride_out
from aria_core.orchestrator.plugin import PluginManager
from aria_core.orchestrator.remote_call import Ending, RemoteCall
from aria_core.orchestrator.remote_claims import Claims
from aria_core.orchestrator.remote_origins import Origins
from aria_core.orchestrator.remote_parts import Borrowed, PartsOfExecutions, WorkerParts
from aria_core.orchestrator.remote_reports import Reports
from aria_core.orchestrator.remote_watch import RemoteWatch
from aria_core.orchestrator.surroundings import TERMINATE_GRACE, NoHooks, RunnerHooks
from aria_core.orchestrator.worker_pool import WorkerPool
from aria_core.storage.model import ModelStorage
from aria_core.storage.resource import ResourceStorage
from aria_core.worker.calls import Call, CallRef, Failed, FinalReport, Lost, Report, Started
from aria_core.worker.channel import ChannelError
from aria_core.worker.outcomes import class_names
from aria_core.worker.scratch import sweep

LASTS = 0.2
"""Seconds that a call runs before its runner is told to look: most have ended by then."""
STORES_WITHIN = 5.0
"""Seconds beyond its grace in which a worker that is closed tries to store what has ended."""

READS_WITHIN = 1.0
"""Seconds that a worker that is closed waits for what still gets calls ready that nobody wants any more."""

_logger = logging.getLogger("aria.worker")

Wake = Callable[[int], None]


def _wake_nobody(execution: int) -> None:
    """Runners look by themselves, though not as soon."""


class RemoteWorker:
    """Runs calls that it wins in `slots` warm processes of this host; the storages are its own, and open.

    `wake` is called with the id of an execution when there is something new to see of it in the storage,
    from any thread; it must neither block nor raise. Operations see the environment variables that
    `environment` names, besides an allow-list. All methods may be called from any thread.
    """

    def __init__(self, model: ModelStorage, resource: ResourceStorage, plugins: PluginManager | None = None,
                 *, slots: int, hooks: RunnerHooks | None = None, wake: Wake | None = None,
                 environment: Iterable[str] = (), clock: Clock | None = None) -> None:
        self.slots = slots
        self.where = f"{socket.gethostname()}:{os.getpid()}"
        self._clock = clock or SystemClock()
        self._wake = wake or _wake_nobody
        self._parts = PartsOfExecutions(
            WorkerParts(model, resource, plugins, hooks or NoHooks(), self._clock))
        self._claims = Claims(model.ledger, self._clock, self.where)
        self._origins = Origins(model, self._clock)
        self._given_up = threading.Event()
        self._reports = Reports(
            model.ledger, lambda seconds: not self._given_up.wait(seconds), self._wake_all)
        self._watch = RemoteWatch(model.ledger, self._clock, self._end, self._parts.drop_idle)
        self._pool = WorkerPool(lambda: slots, environment)
        self._free = threading.Semaphore(slots)
        self._state = threading.Condition()
        self._claiming: dict[tuple[CallRef, str | None], bool] = {}
        self._at_work = 0
        self._preparing: list[threading.Thread] = []
        self._is_open = self._is_closing = False

    def open(self) -> None:
        """Get ready; the first call starts the first process."""
        with self._state:
            if self._is_open:
                return
            self._is_open = True
        sweep()
        self._pool.open(_Ear(self._watch, self._clock))
        self._watch.open()

    def run(self, ref: CallRef, origin: str | None = None, free: Callable[[], None] | None = None) -> bool:
        """Run the call, if it can be won; False, at once, if it is not ours to run or we are closing.

        `origin` is the call's: one that another database has numbered alike is not ours. None: whoever
        brings refs knows that they are of this database.
        Blocks until its report is stored, or given up because the worker is closed. Waits for a slot before
        it tries to win the call, so that none is held that cannot begin. If it was won, `free` is called in
        this thread when the slot is about to be free for another call: before its report is stored. Never
        raises.
        """
        with self._slot() as slot:
            call = self._claimed(ref, origin) if slot is not None else None
            if slot is None or call is None:
                return False
            if free is not None:
                slot.callback(free)
            try:
                self._carry_out(call, slot)
            except Exception:
                _logger.exception("the call %s could not be carried out", ref)
            return True

    def terminate(self, ref: CallRef, grace: float, origin: str | None = None) -> bool:
        """End the call and all it has started: SIGTERM, after `grace` seconds SIGKILL; False: not here.

        With `origin` only a call that comes from there; see `run`.
        """
        with self._state:
            claiming = [key for key in self._claiming if key[0] == ref and (None in (origin, key[1])
                                                                            or key[1] == origin)]
            self._claiming.update(dict.fromkeys(claiming, True))
        call = self._watch.find(ref)  # also if somebody tries to claim it: its message may have come twice
        if call is None or call.over.is_set() or not call.is_of(origin):
            return bool(claiming)
        self._end(call, "asked", grace)
        return True

    def running(self) -> frozenset[CallRef]:
        """The calls that were won here and whose reports are not stored yet."""
        return frozenset(call.ref for call in self._watch.all())

    def stop(self) -> None:
        """Take no more calls; what runs goes on."""
        with self._state:
            self._is_closing = True

    def close(self, grace: float, hurry: threading.Event | None = None) -> None:
        """Take no more calls, let what runs end within `grace` seconds, end the rest. Idempotent.

        What runs is ended sooner if `hurry` is set meanwhile.
        """
        self.stop()
        if not self._ends_within(grace, hurry or threading.Event()):
            for call in self._watch.all():
                self._end(call, "closing", min(grace, 1.0))
            self._wait_until_idle(STORES_WITHIN)
        self._given_up.set()
        if not self._is_open:
            return
        self._pool.close(0.0)
        self._wait_until_idle(STORES_WITHIN)
        self._wait_for_preparations()
        self._watch.close()
        self._parts.drop_idle(0.0)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close(TERMINATE_GRACE)

    # --- one call

    @contextmanager
    def _slot(self) -> Iterator[ExitStack | None]:
        """A block with a slot of its own, which is closed at its end if not before; None: no more calls."""
        with self._state:
            self._at_work += 1
        try:
            with ExitStack() as slot:
                slot.enter_context(self._free)
                with self._state:
                    may_begin = self._is_open and not self._is_closing
                yield slot if may_begin else None
        finally:
            with self._state:
                self._at_work -= 1
                self._state.notify_all()

    def _claimed(self, ref: CallRef, origin: str | None) -> RemoteCall | None:
        with self._state:
            self._claiming.setdefault((ref, origin), False)
        try:
            if origin is None or self._origins.has(ref.execution, origin):
                won = self._claims.claim(ref)
                if won is not None:
                    return RemoteCall(ref, won.row, won.since, origin)
            else:
                _logger.warning("the call %s is of another database: these share a broker and a queue", ref)
        except AriaError as error:
            _logger.warning("the call %s could not be claimed: %s", ref, error)
        except Exception:
            _logger.exception("the call %s could not be claimed", ref)
        with self._state:
            self._claiming.pop((ref, origin), None)
        return None

    def _carry_out(self, call: RemoteCall, slot: ExitStack) -> None:
        self._watch.add(call)
        try:
            if self._forget_claim(call):
                self._end(call, "asked")
            with self._parts.borrowed(call.ref.execution) as parts:
                self._perform(call, parts)
                slot.close()  # the next call is claimed while this one is reported
                self._deliver(call)
        finally:
            self._watch.remove(call)

    def _forget_claim(self, call: RemoteCall) -> bool:
        """It is claimed; whether somebody wanted its end meanwhile."""
        with self._state:
            return self._claiming.pop((call.ref, call.origin), False)

    def _perform(self, call: RemoteCall, parts: Borrowed) -> None:
        if parts.are_ready_for(call.task):
            self._begin(call, parts)
        else:
            self._begin_apart(call)
        if not call.over.wait(LASTS):
            self._wake_all({call.ref.execution})
            call.over.wait()

    def _begin_apart(self, call: RemoteCall) -> None:
        """Have it begin once its plugin and files are here; who wants its end before waits for neither."""
        def begin() -> None:
            with self._parts.borrowed(call.ref.execution) as parts:
                self._begin(call, parts)

        # What it installs when this process ends is installed anew by the next that needs it.
        thread = threading.Thread(target=begin, name="aria-prepares", daemon=True)
        with self._state:
            self._preparing = [each for each in self._preparing if each.is_alive()] + [thread]
            thread.start()

    def _begin(self, call: RemoteCall, parts: Borrowed) -> None:
        try:
            made = ride_out(self._clock, lambda _: self._make(call, parts))
        except StorageUnavailableError as error:
            call.finish(Lost(call.ref, "unreachable", str(error)))
        except Exception as error:  # noqa: BLE001 - whatever an extension raises fails this call alone
            call.finish(_cannot(call.ref, error))
        else:
            self._submit(call, made)

    def _make(self, call: RemoteCall, parts: Borrowed) -> Call:
        call.parts = parts.get()
        return call.parts.make(call.task)

    def _submit(self, call: RemoteCall, made: Call) -> None:
        with call.deciding:
            if call.ending is not None:
                return
            call.is_submitted = True
            try:
                self._pool.submit(made)
            except Exception as error:  # noqa: BLE001 - it has surely not begun
                call.finish(_cannot(call.ref, error))

    def _deliver(self, call: RemoteCall) -> None:
        if call.parts is None:
            self._reports.put(call.report, _settled)
        else:
            self._reports.put(call.parts.hide_in_report(call.report), call.parts.writer.settle)

    def _end(self, call: RemoteCall, why: Ending, grace: float | None = None) -> None:
        with call.deciding:
            call.ending = call.ending or why
            if not call.is_submitted:
                call.finish(Lost(call.ref, "terminated", "it had not begun"))
                return
        self._pool.terminate(call.ref, 0.0 if why == "cut off" else
                             TERMINATE_GRACE if grace is None else grace)

    # --- around them

    def _wake_all(self, executions: set[int]) -> None:
        for each in executions:
            try:
                self._wake(each)
            except Exception:
                _logger.exception("nobody could be told of execution %s", each)

    def _ends_within(self, grace: float, hurry: threading.Event) -> bool:
        until = self._clock.monotonic() + grace
        while not self._wait_until_idle(min(LASTS, grace)):
            if hurry.is_set() or self._clock.monotonic() >= until:
                return False
        return True

    def _wait_for_preparations(self) -> None:
        """Let reads come to their end, or their connections would outlive the storage; not what installs."""
        with self._state:
            preparing = list(self._preparing)
        until = self._clock.monotonic() + READS_WITHIN
        for each in preparing:
            each.join(max(0.0, until - self._clock.monotonic()))

    def _wait_until_idle(self, seconds: float) -> bool:
        with self._state:
            return self._state.wait_for(lambda: not self._at_work, seconds)


class _Ear:
    """The `Inbox` of the worker's pool."""

    def __init__(self, watch: RemoteWatch, clock: Clock) -> None:
        self._watch = watch
        self._clock = clock

    def __call__(self, report: Report) -> None:
        """Take a report."""
        call = self._watch.find(report.ref)
        if call is None:
            return
        if isinstance(report, Started):
            call.begin(report, self._clock.monotonic())
            self._watch.note_begin(call)
        else:
            call.finish(report)

    def look(self) -> None:
        """Nobody here waits for the storage."""

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        """See `Inbox.answer`."""
        call = self._watch.find(ref)
        if call is None or call.parts is None:
            raise ChannelError(f"attempt {ref} is over")
        if request.get("tell") == "heartbeat":
            call.hear(request, self._clock.monotonic())
            return self._watch.note_heartbeat()
        return call.parts.answer(ref, request)


def _settled() -> bool:
    return True


def _cannot(ref: CallRef, error: Exception) -> FinalReport:
    name = "" if isinstance(error, AriaError) else f"{type(error).__name__}: "
    return Failed(ref, f"{name}{error}", classes=class_names(error))
