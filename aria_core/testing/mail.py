"""An executor whose calls survive the runner, without a broker: its messages are files in a directory.

An ``aria.toml`` names it, for runners and for workers, which are processes of their own (``aria worker``)::

    [executor]
    use = "aria_core.testing.mail:MailExecutor"
    directory = "mail"

Messages can be lost (`Mail.drop`), doubled and late (`Mail.send`). A test that wants to decide itself what a
worker does plays one: `HandWorker`.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from aria_core.orchestrator.executor import POLL_INTERVAL, Executor, Inbox, Station
from aria_core.orchestrator.remote_worker import RemoteWorker
from aria_core.storage.model import Ledger
from aria_core.storage.records import CallBeat
from aria_core.worker.calls import Call, CallRef, FinalReport
from aria_core.worker.processes import is_alive, started_at

LOOKS_EVERY = 0.005
"""Seconds between two looks into the directory."""


class Mail:
    """The directory: messages about calls, ends that are wished for, wake-ups, signs of workers."""

    def __init__(self, directory: Path) -> None:
        self.calls, self.ends, self.wakes, self.workers = (
            directory / name for name in ("calls", "ends", "wakes", "workers"))
        for each in (self.calls, self.ends, self.wakes, self.workers):
            each.mkdir(parents=True, exist_ok=True)

    def send(self, ref: CallRef) -> None:
        """Leave a message; as often as you like."""
        name = f"{time.time_ns():020}-{secrets.token_hex(4)}-{ref.execution}-{ref.task}-{ref.attempt}"
        (self.calls / name).touch()

    def waiting(self) -> list[CallRef]:
        """What the messages that nobody has taken are about, the oldest first."""
        return [_ref(each) for each in sorted(self.calls.iterdir())]

    def take(self) -> CallRef | None:
        """Take the oldest message."""
        for each in sorted(self.calls.iterdir()):
            with suppress(FileNotFoundError):  # somebody was quicker
                each.unlink()
                return _ref(each)
        return None

    def drop(self, refs: Collection[CallRef]) -> None:
        """Lose the messages about these calls."""
        for each in self.calls.iterdir():
            if _ref(each) in refs:
                each.unlink(missing_ok=True)

    def wish_end(self, ref: CallRef, grace: float) -> None:
        """Have whoever runs the call end it."""
        unseen = self.ends / f".{secrets.token_hex(8)}"
        unseen.write_text(str(grace))
        unseen.replace(self.ends / _name(ref))

    def wished_end(self, ref: CallRef) -> float | None:
        """The grace with which the call is to end; None: it is not."""
        try:
            return float((self.ends / _name(ref)).read_text())
        except FileNotFoundError:
            return None

    def wake(self, execution: int) -> None:
        """Tell the execution's runner to look."""
        (self.wakes / f"{execution}").touch()

    def take_wake(self, execution: int) -> bool:
        """Whether it was told since this was last asked."""
        try:
            (self.wakes / f"{execution}").unlink()
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def present(self, slots: int) -> Iterator[None]:
        """A block in which this process is a worker with so many slots."""
        pid = os.getpid()
        sign = self.workers / f"{pid}-{slots}"
        sign.write_text(str(started_at(pid)))
        try:
            yield
        finally:
            sign.unlink(missing_ok=True)

    def slots(self) -> int:
        """How many slots the workers have that are there."""
        return sum(map(_slots_of, self.workers.iterdir()))


def _name(ref: CallRef) -> str:
    return f"{ref.execution}-{ref.task}-{ref.attempt}"


def _ref(message: Path) -> CallRef:
    return CallRef(*map(int, message.name.split("-")[-3:]))


def _slots_of(sign: Path) -> int:
    pid, slots = map(int, sign.name.split("-"))
    with suppress(FileNotFoundError):
        return slots if is_alive(pid, sign.read_text()) else 0
    return 0


class MailExecutor(Executor):
    """Leaves a message about each call in `directory`.

    `slots` None: as many as the workers have that are there. Each message is left in so many `copies`.
    """

    can_terminate = True
    isolates_calls = True
    survives_runner = True
    needs_reach = "host"

    def __init__(self, directory: Path, slots: int | None = None,
                 poll_interval: float = POLL_INTERVAL, copies: int = 1) -> None:
        self.copies = copies
        self.directory = directory
        self.poll_interval = poll_interval
        self.outlines: list[Call] = []
        """What was submitted, in order."""
        self._slots = slots
        self._closed = threading.Event()
        self._inbox: Inbox | None = None

    @property
    def slots(self) -> int | None:
        """How many calls run at once."""
        return self.mail.slots() if self._slots is None else self._slots

    @slots.setter
    def slots(self, slots: int | None) -> None:
        self._slots = slots

    @property
    def mail(self) -> Mail:
        """The directory."""
        return Mail(self.directory)

    def open(self, report: Inbox) -> None:
        """See `Executor.open`."""
        listens, self._inbox = self._inbox is not None, report
        if not listens:
            threading.Thread(target=self._listen, name="aria-mail", daemon=True).start()

    def submit(self, call: Call) -> None:
        """See `Executor.submit`."""
        self.outlines.append(call)
        for _ in range(self.copies):
            self.mail.send(call.ref)

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """Forget messages. What it means is the storage's affair, which knows what has begun."""
        self.mail.drop(set(refs))
        return frozenset()

    def terminate(self, ref: CallRef, grace: float) -> bool:
        """See `Executor.terminate`."""
        self.mail.wish_end(ref, grace)
        return True

    def serve(self, station: Station) -> None:
        """See `Executor.serve`."""
        worker = station.make_worker(station.slots, self.mail.wake)
        worker.open()
        _serve(self.mail, worker, station.stop)
        worker.close(station.grace, station.hurry)

    def close(self, grace: float) -> None:
        """See `Executor.close`; what runs goes on."""
        self._closed.set()

    def _listen(self) -> None:
        mail, slots = self.mail, self.slots
        while not self._closed.wait(LOOKS_EVERY):
            has_changed, slots = slots != self.slots, self.slots
            if (mail.take_wake(self.lent_to or 0) or has_changed) and self._inbox is not None:
                self._inbox.look()


def _serve(mail: Mail, worker: RemoteWorker, stop: threading.Event) -> None:
    """Run what the messages are about, as many at a time as the worker has slots, until `stop` is set."""
    free = threading.Semaphore(worker.slots)
    with mail.present(worker.slots):
        while not stop.wait(LOOKS_EVERY):
            _end_as_wished(mail, worker)
            while free.acquire(blocking=False):
                ref = mail.take()
                if ref is None:
                    free.release()
                    break
                threading.Thread(target=_run, args=(worker, ref, free), daemon=True).start()


def _run(worker: RemoteWorker, ref: CallRef, free: threading.Semaphore) -> None:
    try:
        worker.run(ref)
    finally:
        free.release()


def _end_as_wished(mail: Mail, worker: RemoteWorker) -> None:
    for ref in worker.running():
        grace = mail.wished_end(ref)
        if grace is not None:
            worker.terminate(ref, grace)


class HandWorker:
    """A worker that runs nothing: the test says what it claims, shows and reports."""

    def __init__(self, ledger: Ledger, mail: Mail, where: str = "elsewhere:1") -> None:
        self._ledger = ledger
        self._mail = mail
        self._where = where

    def claim(self, ref: CallRef) -> bool:
        """Try to win the call."""
        won = self._ledger.claim_calls([ref], self._where, datetime.now(UTC), secrets.token_hex(8))
        self._mail.wake(ref.execution)
        return won == [ref]

    def beat(self, ref: CallRef, heard: int = 0, progress: float | None = None,
             message: str | None = None) -> bool:
        """Show that the call runs; whether it is still wanted."""
        wanted = self._ledger.beat_calls([CallBeat(ref, heard, progress, message)])
        self._mail.wake(ref.execution)
        return ref in wanted

    def report(self, report: FinalReport, *, wakes: bool = True) -> None:
        """Leave a report."""
        self._ledger.put_reports([report])
        if wakes:
            self._mail.wake(report.ref.execution)
