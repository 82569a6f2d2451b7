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
        environment, parcel = call.plugin, pack(call)
        if environment is None:
            raise ValueError(f"the call {call.ref} belongs to no plugin")
        until, vain, why = time.monotonic() + _SHORTAGE_SECONDS, 0, ""
        while vain < _HOPELESS:
            if cancelled is not None and cancelled.is_set():
                return Lost(call.ref, "terminated", "it had not begun")
            try:
                exchanged = _Exchanged(self._take(environment), parcel, channel)
            except OSError as error:
                why = f"cannot start a worker for the plugin {environment.plugin}: {error}"
                if error.errno not in _SHORTAGES or time.monotonic() > until:
                    break
                time.sleep(_SHORTAGE_PAUSE)
                continue
            report = self._run(exchanged, cancelled)
            if report is not None:
                return report
            why = f"a worker for the plugin {environment.plugin} ended before it was ready{exchanged.words}"
            vain += not (exchanged.is_short and time.monotonic() < until)
        return Failed(call.ref, why)

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
        if found is None or found.has_ended:
            found = WorkerProcess(environment, self._inherit, self._tidies)
        with self._lock:
            self._busy.append(found)
        return found

    def _run(self, exchanged: _Exchanged, cancelled: Cancellation | None) -> FinalReport | None:
        """The report; None if the worker ended before it had begun."""
        worker = exchanged.worker
        is_kept = False
        try:
            report = exchanged.listen(cancelled)
            is_kept = report is not None and worker.finished < RECYCLE_AFTER
            return exchanged.bury() if report is None else report
        except WorkerProtocolError as error:
            return Lost(exchanged.ref, "exited", f"its worker broke the protocol: {error}")
        except BaseException:
            exchanged.interrupt()
            raise
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


class _Exchanged:
    """One call and the worker that has it."""

    def __init__(self, worker: WorkerProcess, parcel: Parcel, channel: Channel) -> None:
        self.worker, self.ref = worker, parcel.ref
        self._call = parcel.call
        self._channel = channel
        self.words = ""
        """What the interpreter said of its end."""
        self.is_short = False
        """Whether it ended because the system was short of something."""
        worker.send(parcel)

    def listen(self, cancelled: Cancellation | None, until: float = inf) -> FinalReport | None:
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

    def bury(self) -> FinalReport | None:
        """What became of the call when the worker is gone; None if it had not begun."""
        had_not_begun = bool(self.worker.take_back())
        if not self.worker.wait(_NATURAL_END):
            self.worker.kill()
        if had_not_begun:
            self.is_short = not self.worker.is_ready and self.worker.lacked_a_process
            self.words = self.worker.last_words()
            return None
        kill_marked(self._call.mark, 0.0)
        return Lost(self.ref, *self.worker.lost_reason())

    def interrupt(self) -> None:
        """Have the operation end, and hear what it says meanwhile."""
        self.worker.ask_to_end()
        try:
            self.listen(None, time.monotonic() + INTERRUPTED_GRACE)
        except (WorkerProtocolError, ChannelError):
            return  # whoever put it to work kills it now
