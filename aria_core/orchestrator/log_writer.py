"""Carries log lines of one execution into the storage, off the engine's path."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aria_core.clock import Clock
from aria_core.exceptions import StorageError
from aria_core.orchestrator.threads import begin_thread
from aria_core.storage.model import Ledger
from aria_core.storage.records import LogRow
from aria_core.worker.calls import CallRef
from aria_core.worker.logs import message_of, storable

WRITES_EVERY = 0.25
"""Seconds a line waits at most before it is committed."""
MAX_WAITING = 100_000
MAX_WAITING_CHARACTERS = 16 * 1024 * 1024
MAX_BATCH = 5_000

_log = logging.getLogger("aria.logs")


class LogWriter:
    """Takes lines from any thread, commits them in order and in their own transactions.

    `hide` takes secrets out of a text. A storage that is away is waited for; when too many lines wait, the
    oldest are dropped and counted.
    """

    def __init__(self, ledger: Ledger, execution: int, clock: Clock,
                 hide: Callable[[str], str] = str) -> None:
        self._ledger = ledger
        self._execution = execution
        self._clock = clock
        self._hide = hide
        self._waiting: deque[LogRow] = deque()
        self._characters = 0
        self._unsaved: list[LogRow] = []
        self._changed = threading.Condition()
        self._storing = threading.Lock()
        self._closed = False
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def write(self, level: str, message: str, task: int | None = None, attempt: int | None = None,
              traceback: str | None = None) -> None:
        """See `WriteLog`."""
        self._put(LogRow(self._execution, level[:16], self._shown(message), self._clock.now(), task, attempt,
                         traceback and self._shown(traceback)))

    def take(self, ref: CallRef, message: Mapping[str, Any]) -> None:
        """A line that a running call told; see `aria_core.worker.channel`."""
        created = message.get("created_at")
        moment = self._clock.now() if created is None else datetime.fromtimestamp(float(created), UTC)
        traceback = message.get("traceback")
        self._put(LogRow(self._execution, storable(str(message.get("level", "INFO"))[:16]),
                         self._shown(str(message.get("message", ""))), moment, ref.task, ref.attempt,
                         traceback and self._shown(str(traceback))))

    def _shown(self, text: str) -> str:
        return storable(self._hide(text))

    def _put(self, row: LogRow) -> None:
        with self._changed:
            self._waiting.append(row)
            self._characters += _size(row)
            while len(self._waiting) > MAX_WAITING or self._characters > MAX_WAITING_CHARACTERS:
                self._characters -= _size(self._waiting.popleft())
                self._dropped += 1
            if self._thread is None:
                self._thread = begin_thread(self._run, "aria-logs")

    def settle(self) -> bool:
        """Commit at once what was taken before; False if the storage is away."""
        with self._changed:
            if not self._waiting and not self._unsaved:
                return True
        with self._storing:
            left = len(self._waiting) + MAX_BATCH  # a batch that waits by itself may be a small one
            while left > 0:
                if not self._store_next():
                    return not self._unsaved
                left -= MAX_BATCH
        return True

    def close(self) -> None:
        """Commit what waits and end; what cannot be committed any more is reported and lost."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        else:
            self._run()
        lost = self._dropped + len(self._waiting) + len(self._unsaved)
        if lost:
            _log.warning("%d log lines of execution %d could not be stored", lost, self._execution)

    def _run(self) -> None:
        while self._wait_for_lines():
            self._store()
        while self._store():
            pass

    def _wait_for_lines(self) -> bool:
        with self._changed:
            return not self._changed.wait_for(lambda: self._closed, WRITES_EVERY)

    def _store(self) -> bool:
        """Commit one batch; False if there was none or the storage is away."""
        with self._storing:  # one batch after the other, whoever stores it: they keep their order
            return self._store_next()

    def _store_next(self) -> bool:
        if not self._unsaved:
            with self._changed:
                most = min(MAX_BATCH, len(self._waiting))
                self._unsaved = [self._waiting.popleft() for _ in range(most)]
                self._characters -= sum(map(_size, self._unsaved))
        if not self._unsaved:
            return False
        try:
            self._ledger.add_logs(self._unsaved)
        except StorageError as error:
            _log.debug("log lines wait: %s", error)
            return False
        self._unsaved = []
        return True


def _size(row: LogRow) -> int:
    return len(row.message) + len(row.traceback or "")


class ExecutionLogHandler(logging.Handler):
    """Sends what a workflow function logs on ``ctx.logger`` to a `LogWriter`."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        traceback = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
        self._writer.write(record.levelname, message_of(record), traceback=traceback)
