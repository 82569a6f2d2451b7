"""What a process that runs calls says to the runners, and hears from them."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Protocol

from celery import Celery

from aria_core import CallRef
from aria_plugins.executors.celery import messages
from aria_plugins.executors.celery.connections import Listener, Sender
from aria_plugins.executors.celery.messages import TELLS_EVERY, Posting, wake_key


class Ends(Protocol):
    """Ends running calls."""

    def terminate(self, ref: CallRef, grace: float, origin: str) -> bool:
        """See `Executor.terminate`; only a call of this origin."""


class Presence:
    """Announces a process with its slots, wakes runners, and passes orders on to `calls`.

    However the process came to be (by `aria worker` or as a child of somebody's own Celery worker), it has
    one: so orders need not find their way through Celery's pools.
    """

    def __init__(self, app: Celery, queue: str, slots: int, queues: Sequence[str]) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._queue, self._slots, self._queues = queue, slots, list(queues)
        self._told_at = 0.0
        self._listener: Listener | None = None
        self._sender = Sender(app, "aria-presence")
        self._app = app

    def open(self, calls: Ends) -> None:
        """Tell that the process is there, and pass orders on from now on. Idempotent."""
        if self._listener is not None:
            return
        self._calls = calls
        keys = {messages.ORDERS: self._queue}
        self._listener = Listener(self._app, keys, self._hear, self._tell, self._tick)

    def wake(self, execution: int) -> None:
        """Tell the runner of an execution that there is something for it in the database."""
        news = Posting(messages.WAKE, wake_key(self._queue, execution), {})
        self._sender.put([(("wake", execution), news)])

    def leave(self) -> None:
        """Tell that no more calls are taken."""
        self._slots = 0
        self._tell()

    def close(self) -> None:
        """Say what is still to be said."""
        if self._listener is not None:
            self._listener.close()
        self._sender.close(1.0)

    def _tell(self) -> None:
        self._told_at = monotonic()
        said = messages.announcement(self.name, self._slots, self._queues)
        self._sender.put([("announcement", Posting(messages.WORKERS, self._queue, said))])

    def _tick(self) -> None:
        if monotonic() - self._told_at >= TELLS_EVERY:
            self._tell()

    def _hear(self, _: str, said: Mapping[str, Any]) -> None:
        order = messages.told_termination(said)
        if order is not None:
            self._calls.terminate(order.ref, order.grace, order.origin)
        elif said.get("order") == "tell":
            self._tell()
