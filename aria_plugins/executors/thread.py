"""Runs calls in threads of the runner's own process."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from aria_core import (
    Call,
    CallRef,
    ConfigurationError,
    Executor,
    Failed,
    Inbox,
    InboxChannel,
    Lost,
    Report,
    Started,
    Succeeded,
    WorkerPool,
    find_marked,
    hookimpl,
    kill_marked,
    run_call,
)

FAILED_ATTEMPT_GRACE = 1.0


@dataclass(slots=True)
class _Running:
    """A call that a thread has begun."""

    call: Call
    is_cancelled: bool = False
    is_terminated: bool = False

    def is_set(self) -> bool:
        """Whether the operation is wanted to end; an ``Event`` would cost as much as the rest of its call."""
        return self.is_cancelled


class ThreadExecutor(Executor):
    """Runs up to `slots` calls at once, each in a thread.

    Quick to start and without isolation. A Python function cannot be ended from outside: `terminate`
    sets ``ctx.task.cancelled`` and the slot stays taken until the function returns. Scripts are child
    processes, unless Python evaluates them, and can be ended. So can the calls of a plugin, which run in
    a process of the plugin's own environment.
    """

    def __init__(self, slots: int = 4) -> None:
        if slots < 1:
            raise ConfigurationError(f"slots is {slots}; an executor has at least 1")
        self.slots: int = slots
        self._where = f"{socket.gethostname()}:{os.getpid()}"
        self._waiting: deque[Call] = deque()
        self._running: dict[CallRef, _Running] = {}
        self._turns: SimpleQueue[None] = SimpleQueue()
        self._threads = 0
        self._is_closed = self._is_silent = False
        self._lock = threading.Lock()
        self._returned = threading.Condition(self._lock)
        self._workers = WorkerPool(lambda: self.slots)
        self._finals: dict[CallRef, SimpleQueue[Succeeded | Failed | Lost]] = {}

    def open(self, report: Inbox) -> None:
        """Get ready; threads start as they are needed."""
        self._inbox = report
        self._workers.open(_Relay(self, report))

    def submit(self, call: Call) -> None:
        """Take a call over; ``RuntimeError`` after `close`, or if there is no thread to run it."""
        for _, error in self.submit_all([call]):
            raise error

    def submit_all(self, calls: Iterable[Call]) -> list[tuple[CallRef, Exception]]:
        """See `Executor.submit_all`."""
        new = list(calls)
        with self._lock:
            refused = self._refusal(len(new))
            if refused is not None:
                return [(call.ref, refused) for call in new]
            self._waiting.extend(new)
        for _ in new:
            self._turns.put(None)
        return []

    def _refusal(self, count: int) -> RuntimeError | None:
        """Start the threads that so many more calls need; why they cannot be taken. The lock is held."""
        if self._is_closed:
            return RuntimeError("the executor is closed, it takes no more calls")
        wanted = min(self.slots, len(self._running) + len(self._waiting) + count)
        try:
            while self._threads < wanted:
                threading.Thread(target=self._work, name="aria-operation", daemon=True).start()
                self._threads += 1
        except RuntimeError as error:  # the system has no more: those that are there do it all
            return None if self._threads else error
        return None

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """Take back what no thread has begun."""
        wanted = frozenset(refs)
        with self._lock:
            taken = frozenset(call.ref for call in self._waiting if call.ref in wanted)
            self._waiting = deque(call for call in self._waiting if call.ref not in taken)
        return taken

    def terminate(self, ref: CallRef, grace: float) -> bool:
        """End what can be ended of a call: its processes; a function is only told, then this is False."""
        if self.withdraw([ref]):
            self._report(Lost(ref, "terminated", "it had not begun"))
            return True
        running = self._running.get(ref)
        if running is None:
            return False
        running.is_cancelled = True
        if running.call.plugin is not None:
            return self._workers.terminate(ref, grace)
        if not find_marked(running.call.mark):
            return False
        running.is_terminated = True
        end = threading.Thread(target=kill_marked, args=(running.call.mark, grace), daemon=True)
        end.start()
        return True

    def running(self) -> frozenset[CallRef]:
        """The calls that threads are at."""
        with self._lock:
            return frozenset(self._running)

    def close(self, grace: float) -> None:
        """End what can be ended; a function that does not return in time goes on without a report."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            waiting, self._waiting = list(self._waiting), deque()
            self._turns.put(None)
        until = time.monotonic() + grace
        for call in waiting:
            self._report(Lost(call.ref, "terminated", "it had not begun"))
        for ref in list(self._running):
            self.terminate(ref, grace)
        self._workers.close(grace)
        with self._lock:
            self._returned.wait_for(lambda: not self._running, max(0.0, until - time.monotonic()))
            self._is_silent = True

    def has_told_start(self, ref: CallRef) -> bool:
        """Whether the thread has said that the call has begun: it has wrappers, which run in the thread."""
        running = self._running.get(ref)
        return running is not None and bool(running.call.wrappers)

    def take_final(self, report: Succeeded | Failed | Lost) -> None:
        """Give the final report of a plugin's call to the thread that waits for it."""
        self._finals[report.ref].put(report)

    def _work(self) -> None:
        while (running := self._next()) is not None:
            final = self._run(running)
            with self._lock:
                del self._running[running.call.ref]
                if self._is_closed:
                    self._returned.notify_all()
                if not self._is_silent:
                    self._inbox(final)

    def _next(self) -> _Running | None:
        """The call whose turn it is; None if this thread is not needed any more."""
        while True:
            self._turns.get()
            with self._lock:
                if self._is_closed or self._threads > self.slots:
                    self._threads -= 1
                    self._turns.put(None)
                    return None
                if self._waiting:  # else it was withdrawn
                    call = self._waiting.popleft()
                    self._running[call.ref] = running = _Running(call)
                    return running

    def _run(self, running: _Running) -> Report:
        call = running.call
        if call.plugin is not None and not call.wrappers:
            return self._run_elsewhere(running, call)
        self._report(Started(call.ref, self._where))
        report = run_call(call, InboxChannel(self._inbox, call.ref), running,
                          lambda inner, channel: self._run_elsewhere(running, inner))
        if not isinstance(report, Failed):
            return report
        kill_marked(call.mark, FAILED_ATTEMPT_GRACE)
        return Lost(call.ref, "terminated", report.error) if running.is_terminated else report

    def _run_elsewhere(self, running: _Running, call: Call) -> Succeeded | Failed | Lost:
        final = self._finals[call.ref] = SimpleQueue()
        try:
            self._workers.submit(call)
            if running.is_cancelled:  # perhaps before the workers knew of the call
                self._workers.terminate(call.ref, FAILED_ATTEMPT_GRACE)
            return final.get()
        except Exception as error:  # noqa: BLE001 - whatever it is, without a report nobody would go on
            return Failed(call.ref, f"{type(error).__name__}: {error}")
        finally:
            del self._finals[call.ref]

    def _report(self, report: Report) -> None:
        if not self._is_silent:
            self._inbox(report)


class _Relay:
    """The inbox of the workers: final reports go to the thread that holds the slot."""

    def __init__(self, executor: ThreadExecutor, inbox: Inbox) -> None:
        self._executor = executor
        self._inbox = inbox

    def __call__(self, report: Report) -> None:
        if not isinstance(report, Started):
            self._executor.take_final(report)
        elif not self._executor.has_told_start(report.ref):
            self._inbox(report)

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        return self._inbox.answer(ref, request)

    def look(self) -> None:
        self._inbox.look()


@hookimpl
def aria_executor() -> type[Executor]:
    """The class behind ``use = "thread"``."""
    return ThreadExecutor
