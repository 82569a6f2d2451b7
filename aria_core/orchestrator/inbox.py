"""Where everything that wakes the engine arrives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeAlias

from aria_core.exceptions import AriaError
from aria_core.worker.calls import CallRef, Report
from aria_core.worker.logs import storable

MESSAGE_LIMIT = 1000
"""Characters of what an operation says of its progress that are kept."""


@dataclass(frozen=True, slots=True)
class CancelSeen:
    """The row says ``cancelling``."""


@dataclass(frozen=True, slots=True)
class OwnershipLost:
    """The execution is not ours any more, or we cannot tell."""

    error: AriaError


@dataclass(frozen=True, slots=True)
class StopAsked:
    """This runner is to stop: dispatch nothing, give what runs `grace` seconds."""

    grace: float


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A running attempt lives, and may have said how far it is: from 0 to 1, and in words."""

    ref: CallRef
    progress: float | None = None
    message: str | None = None

    @classmethod
    def told(cls, ref: CallRef, request: Mapping[str, Any]) -> Heartbeat:
        """What ``tell: heartbeat`` says; what makes no sense is not said, but the attempt does live."""
        progress, message = request.get("progress"), request.get("message")
        return cls(ref,
                   float(progress) if isinstance(progress, (int, float)) and 0 <= progress <= 1 else None,
                   storable(message, MESSAGE_LIMIT) if isinstance(message, str) else None)


Message: TypeAlias = Report | CancelSeen | OwnershipLost | StopAsked | Heartbeat


class Answers(Protocol):
    """Answers what running calls ask."""

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        """See `Inbox.answer`."""


def _unchanged(report: Report) -> Report:
    return report


class EngineInbox:
    """The `Inbox` of one engine: a queue for reports, and the source of answers.

    `mask` takes out of a report what must not be stored or shown.
    """

    def __init__(self, answers: Answers, mask: Callable[[Report], Report] = _unchanged) -> None:
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._answers = answers
        self._mask = mask

    def __call__(self, report: Report) -> None:
        """Take a report."""
        self._messages.put(self._mask(report))

    def post(self, message: Message) -> None:
        """Take any message."""
        self._messages.put(message)

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        """See `Inbox.answer`."""
        if request.get("tell") == "heartbeat":
            return self._messages.put(Heartbeat.told(ref, request))
        return self._answers.answer(ref, request)

    def take(self, timeout: float | None) -> list[Message]:
        """All that has arrived; waits up to `timeout` seconds (None: without end) for the first."""
        messages: list[Message] = []
        try:
            messages.append(self._messages.get(timeout is None or timeout > 0, timeout))
            while True:
                messages.append(self._messages.get_nowait())
        except Empty:
            return messages
