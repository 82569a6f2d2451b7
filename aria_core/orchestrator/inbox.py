"""Where everything that wakes the engine arrives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeAlias

from aria_core.clock import Clock, SystemClock
from aria_core.exceptions import AriaError
from aria_core.worker.calls import CallRef, FinalReport, Report, Started
from aria_core.worker.logs import storable

MESSAGE_LIMIT = 1000
"""Characters of what an operation says of its progress that are kept."""
LASTS = 0.02
"""Seconds that a call must run before its begin is worth a word of its own: most have ended by then."""


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


Message: TypeAlias = FinalReport | CancelSeen | OwnershipLost | StopAsked | Heartbeat


class Answers(Protocol):
    """Answers what running calls ask."""

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        """See `Inbox.answer`."""


def _unchanged(report: FinalReport) -> FinalReport:
    return report


@dataclass(slots=True)
class Begun:
    """That a call runs: where, and since and until which reading of the clock."""

    where: str
    moment: float
    ended: float | None = None


class EngineInbox:
    """The `Inbox` of one engine: a queue for reports, and the source of answers.

    `mask` takes out of a report what must not be stored or shown. That a call has begun wakes nobody: it
    is kept beside, for whoever takes its end or looks for what `lasts`.
    """

    def __init__(self, answers: Answers, mask: Callable[[FinalReport], FinalReport] = _unchanged,
                 clock: Clock | None = None) -> None:
        self._messages: SimpleQueue[Message | None] = SimpleQueue()
        self._answers = answers
        self._mask = mask
        self._monotonic = (clock or SystemClock()).monotonic
        self._begun: dict[CallRef, Begun] = {}
        self._begins_wake = False
        self._look_asked = False

    def __call__(self, report: Report) -> None:
        """Take a report."""
        if isinstance(report, Started):
            self._begun[report.ref] = Begun(report.where, self._monotonic() - report.ago)
            if self._begins_wake:
                self._messages.put(None)
            return
        begun = self._begun.get(report.ref)
        if begun is not None:
            begun.ended = self._monotonic()
        self._messages.put(self._mask(report))

    def masked(self, report: FinalReport) -> FinalReport:
        """A report without what must not be stored or shown."""
        return self._mask(report)

    def post(self, message: Message) -> None:
        """Take any message."""
        self._messages.put(message)

    def look(self) -> None:
        """See `Inbox.look`."""
        if not self._look_asked:
            self._look_asked = True
            self._messages.put(None)

    @property
    def is_to_look(self) -> bool:
        """Whether somebody has said `look` since somebody has."""
        return self._look_asked

    def begin_look(self) -> None:
        """Somebody is about to look: what is said from now on counts anew."""
        self._look_asked = False

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        """See `Inbox.answer`."""
        if request.get("tell") == "heartbeat":
            return self._messages.put(Heartbeat.told(ref, request))
        return self._answers.answer(ref, request)

    def take(self, timeout: float | None) -> list[Message]:
        """All that has arrived; waits up to `timeout` seconds (None: without end) for the first.

        Comes back with nothing, too, when there may be something that `lasts`, or somewhere to `look`.
        """
        messages = self._wait(LASTS if timeout is None else min(LASTS, timeout))
        if messages or (timeout is not None and timeout <= LASTS):
            return messages
        self._begins_wake = True  # before looking: whoever begins after the look wakes us
        try:
            if self._begun or self._look_asked:
                return []
            return self._wait(None if timeout is None else timeout - LASTS)
        finally:
            self._begins_wake = False

    def _wait(self, timeout: float | None) -> list[Message]:
        messages: list[Message] = []
        try:
            first = self._messages.get(timeout is None or timeout > 0, timeout)
            if first is not None:
                messages.append(first)
            while True:
                message = self._messages.get_nowait()
                if message is not None:
                    messages.append(message)
        except Empty:
            return messages

    def begin_of(self, ref: CallRef) -> Begun | None:
        """How the call began, if it has and was not told before."""
        return self._begun.pop(ref, None)

    def lasting(self) -> list[tuple[CallRef, Begun]]:
        """The calls that have run for long enough to be worth a word; each is told once."""
        if not self._begun:
            return []
        until = self._monotonic() - LASTS
        found = [(ref, begun) for ref, begun in list(self._begun.items()) if begun.moment <= until]
        for ref, _ in found:
            del self._begun[ref]
        return found
