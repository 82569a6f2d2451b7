"""Celery's pool of threads, whose event loop hears at once that a thread is done."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from celery.concurrency.thread import TaskPool


class PromptThreads(TaskPool):  # type: ignore[misc]
    """Threads whose acknowledgements do not wait in the event loop for its next message.

    Celery's own leave them there for up to a second: with messages prefetched for free threads only, the
    next message would come no earlier.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._heard, self._teller = socket.socketpair()
        self._heard.setblocking(False)
        self._teller.setblocking(False)

    def register_with_event_loop(self, loop: Any) -> None:
        """Have the loop wake up for us; called again whenever it has connected anew."""
        loop.add_reader(self._heard.fileno(), self._empty)

    def on_apply(self, *args: Any, **keywords: Any) -> Any:
        """Run it in a thread, and wake the loop when it is done."""
        result = super().on_apply(*args, **keywords)
        result.f.add_done_callback(lambda _: self.wake())
        return result

    def wake(self) -> None:
        """Have the event loop go round once."""
        with suppress(OSError):  # full: it will wake up as it is; closed: there is no loop any more
            self._teller.send(b"x")

    def _empty(self, *_: object) -> None:
        with suppress(BlockingIOError):
            while self._heard.recv(4096):
                pass
