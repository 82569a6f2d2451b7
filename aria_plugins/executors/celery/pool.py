"""Celery's pool of threads, whose event loop hears at once that a thread is done, or as good as done."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from celery.concurrency.thread import TaskPool

_DONE = 0, None, 0.0
"""What Celery's tracer says of a task that has not failed."""
_here = threading.local()


def be_done() -> None:
    """Have Celery take the task of this thread for done: another may come while its last words are stored."""
    _here.end(_DONE)


class _End:
    """Tells Celery once that a task is done."""

    def __init__(self, tell: Callable[..., Any] | None, wake: Callable[[], None]) -> None:
        self._tell = tell
        self._wake = wake

    def __call__(self, outcome: object) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(outcome)
            self._wake()


class PromptThreads(TaskPool):  # type: ignore[misc]
    """Threads whose acknowledgements do not wait in the event loop for its next message.

    Celery's own leave them there for up to a second: with messages prefetched for free threads only, the
    next message would come no earlier.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.executor = ThreadPoolExecutor(2 * self.limit)  # one runs for each that is as good as done
        self._heard, self._teller = socket.socketpair()
        self._heard.setblocking(False)
        self._teller.setblocking(False)

    def register_with_event_loop(self, loop: Any) -> None:
        """Have the loop wake up for us; called again whenever it has connected anew."""
        loop.add_reader(self._heard.fileno(), self._empty)

    def on_apply(self, target: Callable[..., Any], args: Any = None, kwargs: Any = None,
                 callback: Callable[..., Any] | None = None, accept_callback: Any = None,
                 **keywords: Any) -> Any:
        """Run it in a thread, and wake the loop when it is done."""
        end = _End(callback, self.wake)

        def run(*arguments: Any, **named: Any) -> Any:
            _here.end = end
            return target(*arguments, **named)

        return super().on_apply(run, args, kwargs, end, accept_callback, **keywords)

    def wake(self) -> None:
        """Have the event loop go round once."""
        with suppress(OSError):  # full: it will wake up as it is; closed: there is no loop any more
            self._teller.send(b"x")

    def _empty(self, *_: object) -> None:
        with suppress(BlockingIOError):
            while self._heard.recv(4096):
                pass
