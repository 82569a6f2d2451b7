"""What travels through the broker: calls to try, wakes for runners, news of workers and orders to them.

Nothing of it is secret, and nothing is lost with it that the database does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from aria_core import CallRef

TASK = "aria.run"
"""The name of our Celery task."""
WAKE, WORKERS, ORDERS = "aria.wake", "aria.workers", "aria.orders"
"""Exchanges: for the runner of one execution, for all runners, for all workers."""

TELLS_EVERY = 5.0
"""Seconds after which a worker says again that it is there."""


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
    if all(isinstance(each, int) and not isinstance(each, bool) and 0 < each < 1 << 63 for each in numbers):
        return CallRef(*numbers)  # type: ignore[arg-type]
    return None


def termination(ref: CallRef, grace: float) -> dict[str, Any]:
    """The order to end a call."""
    return {"order": "terminate", "grace": grace, **call_message(ref, "")}


QUESTION: Mapping[str, Any] = {"order": "tell"}
"""The order to tell at once who is there."""


def announcement(worker: str, slots: int, queues: list[str]) -> dict[str, Any]:
    """That a worker is there, or (no slots) that it takes no more calls."""
    return {"worker": worker, "slots": slots, "queues": queues}


def told_worker(message: Mapping[str, Any]) -> tuple[str, int, frozenset[str]] | None:
    """Who has announced itself: its name, slots and queues; None if nobody has."""
    worker, slots, queues = (message.get(name) for name in ("worker", "slots", "queues"))
    if isinstance(worker, str) and isinstance(slots, int) and isinstance(queues, list):
        return worker, max(slots, 0), frozenset(map(str, queues))
    return None
