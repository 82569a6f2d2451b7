"""An inbox for tests: keeps every report and answers questions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from aria_core.worker.calls import CallRef, FinalReport, Report, Started

PATIENCE = 20.0

Answer = Callable[[CallRef, Mapping[str, Any]], Any]


def echo(ref: CallRef, request: Mapping[str, Any]) -> Any:
    """The answer of a `RecordingInbox` that was given none: the question itself."""
    return dict(request)


class RecordingInbox:
    """An `Inbox` that remembers, in the order of arrival, what it was given.

    `answer` is called for what running calls ask; what they tell is kept in `told`.
    """

    def __init__(self, answer: Answer = echo) -> None:
        self._answer = answer
        self._reports: list[tuple[float, Report]] = []
        self._told: list[tuple[CallRef, dict[str, Any]]] = []
        self._told_before_end: dict[CallRef, list[dict[str, Any]]] = {}
        self._news = threading.Condition(threading.RLock())

    def __call__(self, report: Report) -> None:
        """Keep a report."""
        with self._news:
            if not isinstance(report, Started):
                self._told_before_end.setdefault(report.ref, self.told(report.ref))
            self._reports.append((time.monotonic(), report))
            self._news.notify_all()

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        """Keep what is told, answer what is asked."""
        if "tell" in request:
            with self._news:
                self._told.append((ref, dict(request)))
                self._news.notify_all()
            return None
        return self._answer(ref, request)

    def look(self) -> None:
        """There is no storage to look into."""

    def reports(self, ref: CallRef | None = None) -> list[Report]:
        """The reports so far, on one call or on all."""
        with self._news:
            return [report for _, report in self._reports if ref is None or report.ref == ref]

    def finals(self, ref: CallRef | None = None) -> list[FinalReport]:
        """The final reports so far."""
        return [report for report in self.reports(ref) if not isinstance(report, Started)]

    def moment(self, report: Report) -> float:
        """When the report came (``time.monotonic``)."""
        with self._news:
            return next(at for at, each in self._reports if each is report)

    def told(self, ref: CallRef) -> list[dict[str, Any]]:
        """What the call has told so far, except its kind."""
        with self._news:
            return [message for teller, message in self._told if teller == ref]

    def told_before_end(self, ref: CallRef) -> list[Mapping[str, Any]]:
        """What the call had told when its final report came."""
        with self._news:
            return list(self._told_before_end[ref])

    def wait_for(self, ref: CallRef, timeout: float = PATIENCE) -> FinalReport:
        """The final report on `ref`; ``TimeoutError`` that shows what came instead."""
        self._wait(lambda: bool(self.finals(ref)), timeout, f"no final report on {ref}")
        return self.finals(ref)[0]

    def wait_for_start(self, ref: CallRef, timeout: float = PATIENCE) -> None:
        """Until the call has begun (or ended)."""
        self._wait(lambda: bool(self.reports(ref)), timeout, f"{ref} has not begun")

    def wait_for_told(self, ref: CallRef, message: str, timeout: float = PATIENCE) -> None:
        """Until the call has logged `message`."""
        self._wait(lambda: any(each.get("message") == message for each in self.told(ref)), timeout,
                   f"{ref} has not told {message!r}")

    def _wait(self, condition: Callable[[], bool], timeout: float, complaint: str) -> None:
        with self._news:
            if not self._news.wait_for(condition, timeout):
                raise TimeoutError(f"{complaint} after {timeout} s; reports: {self.reports()}")
