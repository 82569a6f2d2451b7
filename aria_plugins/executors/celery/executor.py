"""Hands calls to workers through a broker."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from aria_core import Call, CallRef, ConfigurationError, Executor, Inbox, Secret, Station
from aria_plugins.executors.celery import messages
from aria_plugins.executors.celery.messages import Posting

if TYPE_CHECKING:
    from celery import Celery

    from aria_plugins.executors.celery.connections import Listener, Sender

DEFAULT_QUEUE = "aria"
POLL_INTERVAL = 5.0
GONE_AFTER = 15.0
"""Seconds without a word after which a worker is counted no more; see `messages.TELLS_EVERY`."""
MOST_WORKERS = 10_000
"""Workers that are counted: whoever may write to the broker may tell of any number."""

_SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "amqp": "amqp",
            "amqps": "amqps"}
_KINDS = ("operation", "type", "plugin")


class _Worker(NamedTuple):
    """One that is there, as it has told."""

    slots: int
    queues: frozenset[str]
    heard_at: float


class CeleryExecutor(Executor):
    """Sends a message about each call through `broker`; a worker runs what it wins in the database.

    `broker` is the URL of a Redis, Valkey or RabbitMQ. Messages go to `queue`, or to another that `queues`
    names for ``operation:Interface.operation``, ``type:NodeType`` or ``plugin:name``, the first that fits.
    Databases that share a broker need a `queue` each. Each queue has as many slots as the workers that are
    there and serve it. Every `poll_interval` seconds somebody looks into the database for what no message
    has told.
    """

    can_terminate = True
    isolates_calls = True
    survives_runner = True
    needs_reach = "network"

    def __init__(self, broker: Secret, queue: str = DEFAULT_QUEUE, queues: dict[str, str] | None = None,
                 poll_interval: float = POLL_INTERVAL) -> None:
        _check_installed()
        self._broker = _checked_broker(broker)
        self.queue = queue
        self.queues = _checked_queues(queues or {})
        self.poll_interval = poll_interval
        self.has_queues = bool(self.queues)
        self.slots: int = 0
        self._slots_of: Mapping[str, int] = {}
        self._workers: dict[str, _Worker] = {}
        self._sender: Sender | None = None
        self._listener: Listener | None = None
        self._followed: int | None = None
        self._is_closed = False

    def app(self) -> Celery:
        """A new Celery app on this broker."""
        from aria_plugins.executors.celery.connections import make_app

        return make_app(self._broker.reveal(), self.queue)

    def serve(self, station: Station) -> None:
        """Be a Celery worker that runs calls, until told to stop."""
        from aria_plugins.executors.celery.worker import serve

        serve(self.app(), self.queue, station)

    # --- for the runner

    def open(self, report: Inbox) -> None:
        """Connect, and ask who is there."""
        from aria_plugins.executors.celery.connections import Sender

        self._inbox = report
        if self._sender is None:
            self._app = self.app()
            self._sender = Sender(self._app, "aria-celery")
        self._follow(self.lent_to or 0)

    def submit(self, call: Call) -> None:
        """Have a message sent; ``RuntimeError`` after `close`."""
        for _, error in self.submit_all([call]):
            raise error

    def submit_all(self, calls: Iterable[Call]) -> list[tuple[CallRef, Exception]]:
        """Have messages sent, in this order; while the broker is away they wait."""
        calls = list(calls)
        if self._sender is None or self._is_closed:
            return [(each.ref, RuntimeError("the executor is closed, it takes no more calls"))
                    for each in calls]
        if calls and calls[0].ref.execution != self._followed:
            self._follow(calls[0].ref.execution)
        self._sender.put([
            (call.ref, Posting("", self.queue_of(call), messages.call_message(call.ref, call.origin)))
            for call in calls])
        return []

    def queue_of(self, call: Call) -> str:
        """Where the message about a call goes."""
        node_type = getattr(call.actor, "type_name", "") if call.actor else ""
        plugin = call.plugin.plugin if call.plugin else ""
        keys = (f"operation:{call.interface}.{call.operation}", f"type:{node_type}", f"plugin:{plugin}")
        return next((self.queues[key] for key in keys if key in self.queues), self.queue)

    def slots_of(self, queue: str) -> int:
        """How many slots the workers have that serve the queue; one that serves several counts for each."""
        return self._slots_of.get(queue, 0)

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """Forget messages that were not sent yet. What was sent finds that its row has changed."""
        if self._sender is None:
            return frozenset()
        refs = list(refs)
        forgotten = self._sender.forget(refs)
        return frozenset(ref for ref in refs if ref in forgotten)

    def terminate(self, ref: CallRef, grace: float) -> bool:
        """Tell the workers to end the call; whose it is ends it, with all that the attempt has started."""
        if self._sender is None or self._is_closed:
            return False
        order = Posting(messages.ORDERS, self.queue, messages.termination(ref, self.origin, grace))
        self._sender.put([(("terminate", ref), order)])
        return True

    def close(self, grace: float) -> None:
        """Say what is still to be said, and hear no more. What workers run goes on."""
        self._is_closed = True
        if self._listener is not None:
            self._listener.close()
        if self._sender is not None:
            self._sender.close(grace)

    def _follow(self, execution: int) -> None:
        """Listen to what is said of this execution and of workers, from now on."""
        from aria_plugins.executors.celery.connections import Listener

        if self._listener is not None:
            self._listener.close()
        self._followed = execution
        keys = {messages.WAKE: messages.wake_key(self.queue, execution), messages.WORKERS: self.queue}
        self._listener = Listener(self._app, keys, self._hear, self._tune, self._count)

    # --- in the listening thread

    def _tune(self) -> None:
        """Nothing said so far was heard: have the engine look, and the workers tell who is there."""
        if self._sender is not None:
            self._sender.put([("question", Posting(messages.ORDERS, self.queue, messages.QUESTION))])
        self._inbox.look()

    def _hear(self, exchange: str, said: Mapping[str, Any]) -> None:
        if exchange == messages.WAKE:
            self._inbox.look()
        elif (told := messages.told_worker(said)) is not None:
            worker, slots, queues = told
            queues &= {self.queue, *self.queues.values()}
            if slots and queues:
                if worker not in self._workers and len(self._workers) >= MOST_WORKERS:
                    return
                self._workers[worker] = _Worker(slots, queues, monotonic())
            else:
                self._workers.pop(worker, None)
            self._count()

    def _count(self) -> None:
        silent_since = monotonic() - GONE_AFTER
        self._workers = {name: each for name, each in self._workers.items() if each.heard_at > silent_since}
        before, now = self._slots_of, Counter[str]()
        for each in self._workers.values():
            now.update(dict.fromkeys(each.queues, each.slots))
        self.slots = sum(each.slots for each in self._workers.values())
        self._slots_of = now
        if any(slots > before.get(queue, 0) for queue, slots in now.items()):
            self._inbox.look()


def _check_installed() -> None:
    with suppress(ModuleNotFoundError):
        if "celery" in sys.modules or find_spec("celery") is not None:
            return
    raise ConfigurationError("the executor 'celery' needs Celery: pip install 'aria-core[celery]' brings it")


def _checked_broker(broker: Secret) -> Secret:
    scheme, separator, rest = broker.reveal().partition("://")
    if scheme not in _SCHEMES or not separator:
        known = ", ".join(f"{each}://" for each in _SCHEMES)
        raise ConfigurationError(f"a broker's URL begins with one of {known}")
    return Secret(f"{_SCHEMES[scheme]}://{rest}")


def _checked_queues(queues: Mapping[str, str]) -> dict[str, str]:
    for key in queues:
        kind, _, name = key.partition(":")
        if kind not in _KINDS or not name:
            raise ConfigurationError(
                f"queues has the key {key!r}; a key is one of {', '.join(f'{each}:…' for each in _KINDS)}")
    return dict(queues)
