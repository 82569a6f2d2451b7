"""How messages get to the broker: many of them at once, and calls as messages of Celery's.

``Celery.send_task`` makes a new message, looks up a route, asks for a result and tells signals for each of
them, which takes longer than all that the engine does for a call.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from celery import Celery
from kombu import Connection, Exchange, Producer, Queue

from aria_plugins.executors.celery.messages import TASK, Posting

_JSON = {"content_type": "application/json", "content_encoding": "utf-8"}
_TRANSIENT = 1
_STANDS_FOR_ID = "id"


def exchange_of(connection: Connection, name: str) -> Exchange:
    """One of our exchanges: each listener gets what is for its key, and nothing is kept for nobody.

    Redis has publish and subscribe for that, which kombu calls ``fanout``, by key as well.
    """
    kind = "fanout" if connection.transport.driver_type == "redis" else "direct"
    return Exchange(name, type=kind, durable=False, delivery_mode="transient")


class Publisher:
    """Publishes on one connection, from one thread.

    Nothing is confirmed: what is lost with a broker is sent again by the engine, or found by who looks.
    """

    def __init__(self, app: Celery, connection: Connection) -> None:
        self._app = app
        self._producer = Producer(connection)
        self._exchange_of = cache(lambda name: exchange_of(connection, name))
        self._queues: set[str] = set()
        self._headers, self._embedded = _pattern(app)

    def publish(self, postings: Iterable[Posting]) -> None:
        """Publish these in their order; Redis is told all of them in one go."""
        with self._producer.batch():
            for each in postings:
                if each.exchange:
                    self._publish_news(each)
                else:
                    self._publish_call(each.key, each.body)

    def _publish_news(self, posting: Posting) -> None:
        exchange = self._exchange_of(posting.exchange)
        self._producer.publish(_text(posting.body), exchange=exchange, routing_key=posting.key,
                               delivery_mode=_TRANSIENT, declare=[exchange], **_JSON)

    def _publish_call(self, queue: str, arguments: Mapping[str, Any]) -> None:
        if queue not in self._queues:
            self._declare(queue)
        key = os.urandom(16).hex()
        headers = {**self._headers, "id": key, "root_id": key, "kwargsrepr": repr(arguments)}
        self._producer.publish(_text([[], arguments, self._embedded]), exchange="", routing_key=queue,
                               delivery_mode=_TRANSIENT, headers=headers, correlation_id=key, reply_to="",
                               **_JSON)

    def _declare(self, name: str) -> None:
        """Have the queue there before a worker asks for it, as Celery would declare it."""
        queue: Queue = self._app.amqp.queues[name]
        queue(self._producer.channel).declare()
        self._queues.add(name)


def _pattern(app: Celery) -> tuple[dict[str, Any], dict[str, Any]]:
    """What all our messages have in common, as Celery makes it: headers, and the last part of the body."""
    made = app.amqp.as_task_v2(_STANDS_FOR_ID, TASK, kwargs={}, ignore_result=True)
    return made.headers, made.body[2]


def _text(body: Any) -> str:
    return json.dumps(body, separators=(",", ":"))
