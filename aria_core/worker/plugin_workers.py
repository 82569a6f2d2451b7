"""Running a plugin's call from a process of the core's environment: in a child with the plugin's interpreter.

The children are warm workers like those of a runner (`aria_core.worker.worker_process`), and this process is
their runner: what an operation asks and tells passes through it, and they die with it.
"""

from __future__ import annotations

import atexit
import errno
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any, TypeAlias

from aria_core.worker.calls import Call, Environment, Failed, FinalReport, Lost, Started, report_from_json
from aria_core.worker.channel import Channel, ChannelError
from aria_core.worker.context import Cancellation
from aria_core.worker.processes import kill_marked
from aria_core.worker.worker_process import Parcel, WorkerProcess, WorkerProtocolError, pack

Exchange: TypeAlias = Callable[[Call, Channel], FinalReport]
"""Has a plugin's call run in the plugin's environment and gives the report."""

MOST_IDLE = 8
"""Workers that are kept for later calls; each is a process."""
RECYCLE_AFTER = 10_000
INTERRUPTED_GRACE = 1.0
"""Seconds that an operation has to end when whoever waits for it was interrupted."""

_HOPELESS = 3
_LOOK_EVERY_MS = 250
_NATURAL_END = 0.5
_SHORTAGES = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_SHORTAGE_SECONDS, _SHORTAGE_PAUSE = 30.0, 0.2


class PluginWorkers:
    """The workers of plugins that are children of this process. May be used from any thread.

    `inherit` names variables that operations see besides the usual ones. A process that carries the mark
    of the attempt itself ends what a failed one left running: then its workers do not (`tidies` is False).
    """

    def __init__(self, inherit: Iterable[str] = (), tidies: bool = True) -> None:
        self._inherit, self._tidies = tuple(inherit), tidies
        self._lock = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._busy: list[WorkerProcess] = []
        os.register_at_fork(after_in_child=self._abandon)
        atexit.register(self.end_idle)

    def exchange(self, call: Call, channel: Channel, cancelled: Cancellation | None = None) -> FinalReport:
        """Have `call` run by a worker of its plugin; what it asks and tells goes to `channel`.

        ``Failed`` if there can be no such worker, ``Lost`` if it vanished. When `cancelled` is set the
        operation is asked to end; who set it forces it. Whatever interrupts the waiting ends the operation.
        """
        environment, parcel, starts = call.plugin, pack(call), _Starts()
        if environment is None:
            raise ValueError(f"the call {call.ref} belongs to no plugin")
        while starts.are_worth_trying:
            if cancelled is not None and cancelled.is_set():
                return Lost(call.ref, "terminated", "it had not begun")
            report = self._try(environment, _Exchanged(parcel, channel, cancelled), starts)
            if report is not None:
                return report
        return Failed(call.ref, starts.problem)

    def _try(self, environment: Environment, exchanged: _Exchanged, starts: _Starts) -> FinalReport | None:
        """The report of a worker; None if there was none that began, which `starts` is told."""
        try:
            worker = self._take(environment)
        except OSError as error:
            starts.note_vain(f"cannot start a worker for the plugin {environment.plugin}: {error}",
                             error.errno in _SHORTAGES)
            return None
        report = self._run(worker, exchanged)
        if report is None:
            starts.note_vain(f"a worker for the plugin {environment.plugin} ended before it was ready"
                             f"{exchanged.words}", exchanged.is_short)
        return report

    def end_idle(self) -> None:
        """End the workers that are kept for later calls; others are started when they are needed."""
        with self._lock:
            workers, self._idle = self._idle, []
        for worker in workers:
            worker.kill()
            worker.close()

    def _take(self, environment: Environment) -> WorkerProcess:
        """A warm worker of this environment, or a new one; raises ``OSError`` if none can be started."""
        with self._lock:
            found = next((each for each in reversed(self._idle) if each.environment == environment), None)
            if found is not None:
                self._idle.remove(found)
        if found is not None and found.has_ended:
            found.close()
            found = None
        if found is None:
            found = WorkerProcess(environment, self._inherit, self._tidies)
        with self._lock:
            self._busy.append(found)
        return found

    def _run(self, worker: WorkerProcess, exchanged: _Exchanged) -> FinalReport | None:
        """The report; None if the worker ended before it had begun."""
        is_kept = False
        try:
            report = exchanged.run_by(worker)
            is_kept = not worker.is_gone and worker.finished < RECYCLE_AFTER
            return report
        except WorkerProtocolError as error:
            return Lost(exchanged.ref, "exited", f"its worker broke the protocol: {error}")
        finally:
            self._put_back(worker, is_kept)

    def _put_back(self, worker: WorkerProcess, is_kept: bool) -> None:
        surplus = [] if is_kept else [worker]
        with self._lock:
            self._busy.remove(worker)
            if is_kept:
                self._idle.append(worker)
            while len(self._idle) > MOST_IDLE:
                surplus.append(self._idle.pop(0))
        for each in surplus:
            each.kill()
            each.close()

    def _abandon(self) -> None:
        """In a forked child: these are not its children, and their lines not its own."""
        self._lock = threading.Lock()
        for each in (*self._idle, *self._busy):
            each.abandon()
        self._idle, self._busy = [], []


class _Starts:
    """Whether to start yet another worker for a call: a shortage is waited out, what is broken given up."""

    def __init__(self) -> None:
        self.problem = ""
        self._left = _HOPELESS
        self._until = time.monotonic() + _SHORTAGE_SECONDS

    @property
    def are_worth_trying(self) -> bool:
        """Whether there is sense in another one."""
        return self._left > 0

    def note_vain(self, problem: str, is_short: bool) -> None:
        """One came to nothing; waits a little if something is short."""
        self.problem = problem
        if is_short and time.monotonic() < self._until:
            time.sleep(_SHORTAGE_PAUSE)
        else:
            self._left -= 1


class _Exchanged:
    """One call, and what is said about it."""

    worker: WorkerProcess

    def __init__(self, parcel: Parcel, channel: Channel, cancelled: Cancellation | None) -> None:
        self.ref = parcel.ref
        self._parcel, self._channel, self._cancelled = parcel, channel, cancelled
        self.words = ""
        """What the interpreter said of its end."""
        self.is_short = False
        """Whether it ended because the system was short of something."""

    def run_by(self, worker: WorkerProcess) -> FinalReport | None:
        """Have a worker run it; None if that ended before it had begun. What interrupts us ends it."""
        self.worker = worker
        worker.send(self._parcel)
        try:
            report = self._listen(self._cancelled)
            return self._bury() if report is None else report
        except WorkerProtocolError:
            raise
        except BaseException:
            self._interrupt()
            raise

    def _listen(self, cancelled: Cancellation | None, until: float = inf) -> FinalReport | None:
        """Pass on what the operation says until its report, which is returned; None if the worker is gone."""
        poll = select.poll()
        poll.register(self.worker.line, select.POLLIN)
        is_asked = False
        while not self.worker.is_gone and time.monotonic() < until:
            if not is_asked and cancelled is not None and cancelled.is_set():
                is_asked = True
                self.worker.ask_to_end()
            if not poll.poll(_LOOK_EVERY_MS) and self.worker.has_ended:
                self.worker.hang_up()  # a fork of the operation still holds the other end
            for message in self.worker.receive():
                report = self._heed(message)
                if report is not None:
                    return report
        return None

    def _heed(self, message: Mapping[str, Any]) -> FinalReport | None:
        if "report" in message:
            return self._report(message)
        if "tell" in message:
            self._channel.tell(message)
        elif "ask" in message:
            self.worker.reply(message, self._channel.ask)
        elif "fetch" in message:
            self.worker.send_big(str(message["fetch"]))
        elif "hello" in message:
            self.worker.welcome(message)
        return None

    def _report(self, message: Mapping[str, Any]) -> FinalReport:
        try:
            report = report_from_json(message)
        except ValueError as error:
            raise WorkerProtocolError(str(error)) from error
        if isinstance(report, (Started, Lost)):
            raise WorkerProtocolError("a worker sent a report that is not its own to make")
        self.worker.finish(report.ref)
        return report

    def _bury(self) -> FinalReport | None:
        """What became of the call when the worker is gone; None if it had not begun."""
        had_not_begun = bool(self.worker.take_back())
        if not self.worker.wait(_NATURAL_END):
            self.worker.kill()
        if had_not_begun:
            self.is_short = not self.worker.is_ready and self.worker.lacked_a_process
            self.words = self.worker.last_words()
            return None
        kill_marked(self._parcel.call.mark, 0.0)
        return Lost(self.ref, *self.worker.lost_reason())

    def _interrupt(self) -> None:
        """Have the operation end, and hear what it says meanwhile."""
        self.worker.ask_to_end()
        try:
            self._listen(None, time.monotonic() + INTERRUPTED_GRACE)
        except (WorkerProtocolError, ChannelError):
            return  # whoever put it to work kills it now
