"""What travels through the broker: calls to try, wakes for runners, news of workers and orders to them.

Nothing of it is secret, and nothing is lost with it that the database does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import Any, NamedTuple, TypeGuard

from aria_core import CallRef

TASK = "aria.run"
"""The name of our Celery task."""
WAKE, WORKERS, ORDERS = "aria.wake", "aria.workers", "aria.orders"
"""Exchanges: for the runner of one execution, for all runners, for all workers."""

TELLS_EVERY = 5.0
"""Seconds after which a worker says again that it is there."""
MOST_SLOTS = 10_000
"""Slots that are believed of one worker."""
LONGEST_NAME = 255
"""Characters of a worker's name, and of a queue's: the longest that RabbitMQ allows."""
LONGEST_GRACE = 24 * 3600.0
"""Seconds after which a call that is to end is ended by force, whatever the order says."""


class Posting(NamedTuple):
    """Something to be said on one of the exchanges, or (`exchange` is empty) a call for the queue `key`."""

    exchange: str
    key: str
    body: Mapping[str, Any]


def call_message(ref: CallRef, origin: str) -> dict[str, Any]:
    """The arguments of our task."""
    return {"execution": ref.execution, "task": ref.task, "attempt": ref.attempt, "origin": origin}


def wake_key(queue: str, execution: int) -> str:
    """Under which key news of an execution is told."""
    return f"{queue}.{execution}"


def ref_of(message: Mapping[str, Any]) -> CallRef | None:
    """The call that a message is about; None if it is about none."""
    numbers = [message.get(name) for name in ("execution", "task", "attempt")]
    if all(_is_whole(each) and 0 < each < 1 << 63 for each in numbers):
        return CallRef(*numbers)  # type: ignore[arg-type]
    return None


def termination(ref: CallRef, origin: str, grace: float) -> dict[str, Any]:
    """The order to end a call."""
    return {"order": "terminate", "grace": grace, **call_message(ref, origin)}


class Termination(NamedTuple):
    """The order to end a call, as it was heard."""

    ref: CallRef
    origin: str
    grace: float


def told_termination(message: Mapping[str, Any]) -> Termination | None:
    """Which call is to end, and in how many seconds; None if that is not what the message says."""
    ref, origin, grace = ref_of(message), message.get("origin"), message.get("grace")
    if (message.get("order") != "terminate" or ref is None or not isinstance(origin, str)
            or not _is_number(grace)):
        return None
    return Termination(ref, origin, float(min(max(grace, 0), LONGEST_GRACE)))


QUESTION: Mapping[str, Any] = {"order": "tell"}
"""The order to tell at once who is there."""


def announcement(worker: str, slots: int, queues: list[str]) -> dict[str, Any]:
    """That a worker is there, or (no slots) that it takes no more calls."""
    return {"worker": worker, "slots": slots, "queues": queues}


def told_worker(message: Mapping[str, Any]) -> tuple[str, int, frozenset[str]] | None:
    """Who has announced itself: its name, slots and queues; None if nobody has."""
    worker, slots, queues = (message.get(name) for name in ("worker", "slots", "queues"))
    if _is_name(worker) and _is_whole(slots) and slots >= 0 and isinstance(queues, list) and all(
            map(_is_name, queues)):
        return worker, min(slots, MOST_SLOTS), frozenset(queues)
    return None


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return _is_whole(value) or (isinstance(value, float) and not isnan(value))  # JSON as Python reads it


def _is_name(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME
