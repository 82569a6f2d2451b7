"""Talking to the broker: one thread that says what is to be said, one that listens. Both reconnect."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from celery import Celery
from kombu import Connection, Consumer, Queue

from aria_plugins.executors.celery.messages import Posting
from aria_plugins.executors.celery.publishing import Publisher, exchange_of

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
AT_ONCE = 0.001
"""Seconds in which only what is there already is read."""
LOOK_UP_EVERY = 1.0
"""Seconds after which a listening thread looks whether it is still wanted."""
HEARTBEAT = 10.0
"""Seconds without a sign after which a connection counts as lost, where the broker knows such signs."""
QUEUE_LASTS = 60
"""Seconds after which the broker forgets the queue of a listener that went without a word."""

_REDIS = {"socket_keepalive": True, "ack_emulation": False}
"""Redis need not remember what is unfinished: the database does, and our runner sends again."""

_log = logging.getLogger("aria.celery")


def make_app(broker: str, queue: str) -> Celery:
    """A Celery app that speaks JSON only, keeps no results and relies on no message.

    Celery would fetch less after a broken connection, until what ran then has ended: whose thread says so
    to RabbitMQ and waits for the answer on a connection that the worker's own thread reads. Both may wait
    for ever.
    """
    app = Celery("aria", broker=broker, set_as_current=False)
    app.conf.update(
        accept_content=["json"], task_serializer="json", result_serializer="json", event_serializer="json",
        task_ignore_result=True, task_default_queue=queue, task_default_delivery_mode="transient",
        task_acks_late=True, worker_prefetch_multiplier=1,  # who has no free slot must not sit on messages
        broker_connection_retry_on_startup=True, broker_connection_max_retries=None,
        broker_heartbeat=HEARTBEAT, task_publish_retry=False,
        worker_enable_prefetch_count_reduction=False,  # Celery 5.7 undoes it in threads of calls
        worker_hijack_root_logger=False, worker_redirect_stdouts=False,
        broker_transport_options=_REDIS if broker.startswith("redis") else {})
    app.connection_for_write()  # imports what speaks with that broker: in a thread it would fail unseen
    return app


class Sender:
    """Says things in the order in which they were given, from a thread of its own.

    While the broker is away they wait. Each has a name: what waits under it is said once.
    """

    def __init__(self, app: Celery, name: str) -> None:
        self._app = app
        self._news = threading.Condition()
        self._waiting: dict[object, Posting] = {}
        self._until: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"{name}-sends", daemon=True)
        self._thread.start()

    def put(self, postings: Iterable[tuple[object, Posting]]) -> None:
        """Have these said, each under a name."""
        with self._news:
            self._waiting.update(postings)
            self._news.notify()

    def forget(self, names: Iterable[object]) -> set[object]:
        """The names of what need not be said any more, and will not be."""
        with self._news:
            return {each for each in names if self._waiting.pop(each, None) is not None}

    def close(self, within: float) -> None:
        """Say what waits, if that takes no longer than `within` seconds. Idempotent."""
        with self._news:
            self._until = monotonic() + within
            self._news.notify()
        self._thread.join(within + LOOK_UP_EVERY)

    @property
    def _is_over(self) -> bool:
        return self._until is not None and (not self._waiting or monotonic() > self._until)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._is_over:
            try:
                with self._app.connection_for_write(heartbeat=HEARTBEAT) as connection:
                    connection.connect()
                    pause = FIRST_PAUSE
                    self._say_all(connection)
            except Exception as error:  # noqa: BLE001 - each library has its own, and the thread must go on
                pause = _complain(self._app, error, pause)
                with self._news:
                    self._news.wait_for(lambda: self._until is not None, pause)

    def _say_all(self, connection: Connection) -> None:
        publisher = Publisher(self._app, connection)
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._until is not None, LOOK_UP_EVERY)
                if self._is_over:
                    return
                batch, self._waiting = self._waiting, {}  # from now on they cannot be forgotten
            if not batch:
                connection.heartbeat_check()
            try:
                publisher.publish(batch.values())
            except BaseException:
                with self._news:
                    self._waiting = {**batch, **self._waiting}
                raise


class Listener:
    """Hears what is said on exchanges under one key each, from a thread of its own.

    `hear` is called with the exchange's name and what was said; `tune` whenever listening begins, also
    again: something may have been said meanwhile; `tick` about once a second.
    """

    def __init__(self, app: Celery, keys: Mapping[str, str], hear: Callable[[str, Mapping[str, Any]], None],
                 tune: Callable[[], None], tick: Callable[[], None] = lambda: None) -> None:
        self._app, self._keys = app, keys
        self._hear, self._tune, self._tick = hear, tune, tick
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aria-celery-listens", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear nothing more; the thread ends by itself. Idempotent."""
        self._is_over.set()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._is_over.is_set():
            try:
                with self._app.connection_for_read(heartbeat=HEARTBEAT) as connection:
                    connection.connect()
                    pause = FIRST_PAUSE
                    self._listen(connection)
            except Exception as error:  # noqa: BLE001 - each library has its own, and the thread must go on
                if not self._is_over.is_set():  # kombu may stumble over its own channels when it closes them
                    pause = _complain(self._app, error, pause)
                    self._is_over.wait(pause)

    def _listen(self, connection: Connection) -> None:
        own = secrets.token_hex(8)
        queues = [Queue(f"{name}.{own}", exchange_of(connection, name), routing_key=key, exclusive=True,
                        auto_delete=True, durable=False, expires=QUEUE_LASTS)
                  for name, key in self._keys.items()]
        with Consumer(connection, queues, on_message=self._take, accept=["json"], no_ack=True):
            self._drain(connection, AT_ONCE)  # with Redis, only this subscribes
            if not self._is_over.is_set():
                self._tune()
            while not self._is_over.is_set():
                self._drain(connection, LOOK_UP_EVERY)
                connection.heartbeat_check()
                self._tick()

    def _drain(self, connection: Connection, patience: float) -> None:
        with suppress(TimeoutError):
            connection.drain_events(timeout=patience)

    def _take(self, message: Any) -> None:
        try:
            said = message.decode()
        except Exception as error:  # noqa: BLE001 - whatever a stranger has put there is not for us
            _log.warning("something on %s is no message of ours: %s", message.delivery_info.get("exchange"),
                         type(error).__name__)
            return
        if isinstance(said, dict) and not self._is_over.is_set():
            self._hear(str(message.delivery_info.get("exchange")), said)


def _complain(app: Celery, error: BaseException, pause: float) -> float:
    """Say once that the broker is away; how long to wait for it next time."""
    level = logging.WARNING if pause == FIRST_PAUSE else logging.DEBUG
    _log.log(level, "the broker %s does not serve (%s); trying again",
             app.connection_for_write().as_uri(), type(error).__name__)
    return min(2 * pause, LONGEST_PAUSE)
