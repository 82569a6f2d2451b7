"""One call on a worker elsewhere, from its claim until its report is stored."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from aria_core.orchestrator.inbox import Heartbeat
from aria_core.orchestrator.progress import TaskProgress
from aria_core.orchestrator.remote_parts import ExecutionParts
from aria_core.storage.records import CallBeat, TaskRow
from aria_core.worker.calls import CallRef, Failed, FinalReport, Lost, Started

Ending: TypeAlias = Literal["asked", "timeout", "heartbeat", "cut off", "closing"]
"""Why a worker ends a call: it is not wanted any more, its time or silence, no storage, the worker's end."""


class RemoteCall:
    """A call that was won. Any thread may tell it what happens."""

    def __init__(self, ref: CallRef, row: TaskRow, since: float, origin: str | None = None) -> None:
        self.ref = ref
        self.origin = origin
        self.task = TaskProgress(row, ref.execution)
        self.task.attempts, self.task.ref = ref.attempt, ref
        self.in_touch_at = since
        """A reading of the clock from before the last time that the storage heard of it."""
        self.over = threading.Event()
        self.deciding = threading.RLock()
        """Held by who has it begin, and by who has it end."""
        self.ending: Ending | None = None
        self.is_submitted = False
        self.parts: ExecutionParts | None = None
        self._heard = 0
        self._report: FinalReport | None = None

    def is_of(self, origin: str | None) -> bool:
        """Whether it may come from there; None, on either side: from the database that both know."""
        return origin is None or self.origin is None or self.origin == origin

    @property
    def may_be_ended(self) -> bool:
        """Whether it has neither ended nor is being ended."""
        return self.ending is None and not self.over.is_set()

    @property
    def report(self) -> FinalReport:
        """How it ended; asked when it is `over`."""
        return self._judged(self._report or Lost(self.ref, "exited"))

    def finish(self, report: FinalReport) -> None:
        """Take its final report; the first one counts."""
        with self.deciding:
            self._report = self._report or report
        self.over.set()

    def begin(self, report: Started, now: float) -> None:
        """Note that the operation runs."""
        self.task.began = now - report.ago

    def hear(self, request: Mapping[str, Any], now: float) -> None:
        """Take what the operation says of itself."""
        told = Heartbeat.told(self.ref, request)
        self.task.heard = now
        self._heard += 1
        self.task.show(told.progress, told.message)

    def beat(self) -> CallBeat:
        """That it runs, for the storage."""
        return CallBeat(self.ref, self._heard, self.task.progress, self.task.progress_message)

    def _judged(self, report: FinalReport) -> FinalReport:
        """What the report means, given why we ended it: an operation that ended by itself said how."""
        task = self.task
        silent = self.ending == "heartbeat" and isinstance(report, Failed) and report.retry is None
        if silent:
            report = Lost(self.ref, "terminated", report.error if isinstance(report, Failed) else "")
        if not isinstance(report, Lost):
            return report
        match self.ending:
            case "timeout":
                return replace(report, reason="timed_out", detail=f"after {task.row.timeout:g} s")
            case "heartbeat":
                return replace(report, reason="killed",
                               detail=f"no heartbeat for {task.row.heartbeat_timeout:g} s")
            case "cut off":
                return replace(report, reason="unreachable", detail="its worker could not reach the storage")
            case "closing":
                return replace(report, detail="its worker was stopped")
            case _:
                return report
