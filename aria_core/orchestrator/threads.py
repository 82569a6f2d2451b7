"""Threads, where the system may have no more of them: what was to be done then waits and is not lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

_logger = logging.getLogger(__name__)


def begin_thread(work: Callable[[], None], name: str) -> threading.Thread | None:
    """A daemon thread that has begun to do `work`; None if the system has none now."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


class Hands:
    """Threads that do what they are given, at most `most` of them (None: as many as it takes).

    `open` begins the first one; the others come when all are busy, and stay. When the system has no
    more threads, what is given waits for those there are; a `ThreadPoolExecutor` raises then, though it
    keeps the work, and is waited for when the interpreter ends.
    """

    def __init__(self, name: str, most: int | None = None) -> None:
        self._name = name
        self._most = most
        self._given: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._changing = threading.Lock()

    def open(self) -> None:
        """Begin the first thread; ``RuntimeError`` if not even that can be had."""
        if not self._threads and not self._add():
            raise RuntimeError(f"the system has no thread for {self._name} now")

    def give(self, work: Callable[..., object], *arguments: Any) -> None:
        """Have a thread do it, soon. What it raises is logged."""
        self._given.put(partial(work, *arguments))
        if not self._idle.acquire(blocking=False):
            self._add()

    def close(self, *, finish: bool) -> None:
        """Let the threads go, and with `finish` wait until all that was given is done; else it is dropped."""
        while not finish and self._drop():
            continue
        with self._changing:
            threads, self._threads = self._threads, []
        for _ in threads:
            self._given.put(None)
        for thread in threads if finish else ():
            thread.join()

    def _drop(self) -> bool:
        try:
            self._given.get_nowait()
        except Empty:
            return False
        return True

    def _add(self) -> bool:
        with self._changing:
            if self._most is not None and len(self._threads) >= self._most:
                return False
            thread = begin_thread(self._serve, self._name)
            self._threads += [thread] if thread is not None else []
        return thread is not None

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            except Exception:
                _logger.exception("%s failed", self._name)

    def _next(self) -> Callable[[], object] | None:
        try:
            return self._given.get_nowait()
        except Empty:
            self._idle.release()  # only who has nothing to do is idle: who gives next counts on it
        return self._given.get()
