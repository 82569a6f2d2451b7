"""How far every task of an execution is: the graph in integers, the records, the retry decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

from aria_core.modeling.retries import RetryPolicy
from aria_core.modeling.states import ExecutionState, TaskState, lifecycle_states
from aria_core.orchestrator.events import TaskEvent, TaskEventKind
from aria_core.storage.records import ProgressRow, TaskRow, Transition
from aria_core.worker.calls import LONGEST_WAIT, CallRef, Failed, Lost
from aria_core.worker.logs import storable

MAX_LOST_ATTEMPTS = 3
MAX_INTERRUPTIONS = 20
ALWAYS_CUT_OFF = (
    f"it was cut off {MAX_INTERRUPTIONS} times and is not sent again, because it may be what ends its "
    "runner; resume with retry_failed to try it all the same")
_REASON_LIMIT = 16 * 1024

_NO_REF = CallRef(0, 0, 0)
_COLUMNS: dict[str, tuple[str, ...]] = {
    TaskState.SENT: ("state", "attempts", "sent_at", "started_at", "due_at"),
    TaskState.STARTED: ("state", "started_at"),
    TaskState.SUCCESS: ("state", "started_at", "ended_at", "result", "reason"),
    TaskState.FAILED: ("state", "failures", "lost", "started_at", "ended_at", "reason"),
    TaskState.RETRYING: ("state", "failures", "lost", "started_at", "due_at", "reason"),
    TaskState.PENDING: ("state", "failures", "lost", "interruptions", "sent_at", "started_at", "due_at",
                        "reason"),
}
"""What is written when a task comes to a state."""
_WRITTEN = {state: (names, attrgetter(*names)) for state, names in _COLUMNS.items()}
_FIRST_SENT = (("state", "attempts", "sent_at"), attrgetter("state", "attempts", "sent_at"))
_FIRST_SUCCESS = (("state", "started_at", "ended_at"), attrgetter("state", "started_at", "ended_at"))
"""The same for a first attempt, before which the other columns were never written."""


@dataclass(slots=True)
class TaskProgress:
    """One task as the engine sees it now, beside what is stored of it."""

    row: TaskRow
    execution: int
    state: str = ""
    attempts: int = 0
    failures: int = 0
    lost: int = 0
    interruptions: int = 0
    sent_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    due_at: datetime | None = None
    reason: str | None = None
    result: Any = None
    began: float | None = None
    """Clock reading when the current attempt began."""
    where: str = ""
    ending: str | None = None
    """Why we terminated the current attempt: ``timeout``, ``heartbeat``, ``cancel`` or ``stop``."""
    heard: float = 0.0
    """Clock reading when the current attempt was last heard of."""
    progress: float | None = None
    progress_message: str | None = None
    shows_something: bool = False
    """Whether progress is stored, of this attempt or of one before it."""
    ref: CallRef = _NO_REF
    """The current attempt, once there is one."""
    lifecycle: tuple[str, str] | None = None
    """The states of its node while it runs and after success, if it changes them."""
    queue: str | None = None
    """The queue of its calls, if the executor has queues."""
    stored_state: str = field(default="", repr=False)
    stored_attempts: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        row = self.row
        self.lifecycle = lifecycle_states(row.interface_name, row.operation_name)
        self.state = self.stored_state = row.state
        self.attempts = self.stored_attempts = row.attempts
        self.failures, self.lost, self.interruptions = row.failures, row.lost, row.interruptions
        self.due_at, self.reason = row.due_at, row.reason
        self.shows_something = row.progress is not None or row.progress_message is not None

    @property
    def shown(self) -> ProgressRow:
        """The progress of the current attempt."""
        return ProgressRow(self.row.id, self.attempts, self.progress, self.progress_message)

    def show(self, progress: float | None, message: str | None) -> bool:
        """Take over what a heartbeat says, which may be nothing; whether it says anything new."""
        before = self.progress, self.progress_message
        self.progress = self.progress if progress is None else progress
        self.progress_message = self.progress_message if message is None else message
        changed = before != (self.progress, self.progress_message)
        self.shows_something |= changed
        return changed

    @property
    def lifecycle_node(self) -> int | None:
        """The node whose state this task changes."""
        return self.row.node_id if self.lifecycle else None

    @property
    def node_state_during(self) -> str | None:
        """The state of its node while it runs."""
        return self.lifecycle[0] if self.lifecycle else None

    @property
    def node_state_after(self) -> str | None:
        """The state of its node after success."""
        return self.lifecycle[1] if self.lifecycle else None

    @property
    def was_cut_off_too_often(self) -> bool:
        """Whether it is suspected of ending its runner."""
        return self.interruptions >= MAX_INTERRUPTIONS

    def begin_attempt(self, now: datetime) -> None:
        """Become ``sent`` with the next attempt number."""
        self.state = TaskState.SENT
        self.attempts += 1
        self.ref = CallRef(self.execution, self.row.id, self.attempts)
        self.sent_at, self.started_at, self.due_at = now, None, None
        self.began, self.where, self.ending = None, "", None
        self.progress = self.progress_message = None

    def adopt(self) -> None:
        """Take over the attempt that runs elsewhere since before this runner."""
        self.ref = CallRef(self.execution, self.row.id, self.attempts)

    def note_claimed(self) -> None:
        """Become ``started``, as the row is since a worker elsewhere has claimed the current attempt."""
        self.state, self.stored_state = TaskState.STARTED, str(TaskState.STARTED)

    def begin(self, where: str, moment: float, at: datetime) -> None:
        """Note that the current attempt runs: since which reading of the clock, and since when for people."""
        self.where, self.began, self.started_at = _shown_place(where), moment, at

    def undo_attempt(self) -> None:
        """Take back a `begin_attempt` that was never committed."""
        self.state, self.attempts = self.stored_state, self.stored_attempts

    def interrupt(self, reason: str, *, begun: bool) -> None:
        """Become ``pending`` again: cut off by cancel or stop, or withdrawn before it began."""
        self.state, self.reason = TaskState.PENDING, reason
        self.interruptions += begun
        self.sent_at = self.started_at = self.due_at = None

    @property
    def policy(self) -> RetryPolicy:
        """How its failed attempts are followed by others."""
        return replace(RetryPolicy.from_json(self.row.retry), interval=self.row.retry_interval)

    @property
    def longest_wait(self) -> float:
        """The most seconds it may have to wait for its next attempt."""
        return self.policy.longest(self.failures + self.lost)

    def fail_attempt(self, report: Failed | Lost, now: datetime, random: Callable[[], float]) -> float | None:
        """Count a failed or lost attempt; seconds until the next one, or None if it was the last.

        `random` gives numbers from 0 to 1.
        """
        self.reason = failure_text(report, self)
        self.ended_at = now
        counted_lost = self.counts_as_lost(report)
        self.lost += counted_lost
        self.failures += not counted_lost
        if self._was_last(report):
            self.state = TaskState.FAILED
            return None
        self.state = TaskState.RETRYING
        after = report.after if isinstance(report, Failed) else None
        if after is not None:
            return min(after, LONGEST_WAIT)
        return self.policy.delay(self.failures + self.lost, random)

    def counts_as_lost(self, report: Failed | Lost) -> bool:
        """Whether its attempt vanished; one that we ended because its time was over has failed."""
        return isinstance(report, Lost) and self.ending != "timeout" and report.reason != "timed_out"

    def _was_last(self, report: Failed | Lost) -> bool:
        if self.row.ignore_failure or (isinstance(report, Failed) and not self._may_retry(report)):
            return True
        if self.lost >= MAX_LOST_ATTEMPTS:
            return True
        return self.row.max_attempts != -1 and self.failures >= self.row.max_attempts

    def _may_retry(self, report: Failed) -> bool:
        """What the operation decided itself goes before the rules."""
        return self.policy.allows(report.classes) if report.retry is None else report.retry

    def transition(self) -> Transition:
        """What must be written so that the stored task is as this one; the ledger refuses illegal ways."""
        names, read = self._written()
        changes = dict(zip(names, read(self), strict=True))
        changes["state"] = str(self.state)  # drivers are slow with what is more than a str
        if self.state == TaskState.SENT and self.shows_something:
            changes |= {"progress": self.progress, "progress_message": self.progress_message}
        return Transition(self.row.id, self.stored_state, self.stored_attempts, changes)

    def _written(self) -> tuple[tuple[str, ...], Callable[[TaskProgress], tuple[Any, ...]]]:
        if self.stored_attempts == 0 and self.state == TaskState.SENT:
            return _FIRST_SENT
        if self.attempts == 1 and self.state == TaskState.SUCCESS and self.result is self.reason is None:
            return _FIRST_SUCCESS
        return _WRITTEN[self.state]

    def event(self, kind: TaskEventKind, at: datetime, traceback: str | None) -> TaskEvent:
        """What listeners are told of its current attempt."""
        reason = self.reason if kind in ("failed", "retrying") else None
        return TaskEvent(kind, self.execution, self.row.id, self.row.name, self.attempts, at, reason,
                         traceback or None)

    def stored(self) -> None:
        """The transition was committed."""
        self.stored_state, self.stored_attempts = str(self.state), self.attempts
        if is_done(self):  # there may be a million of them, and results are as long as their authors like
            self.sent_at = self.started_at = self.ended_at = self.due_at = self.began = None
            self.result = self.reason = self.progress_message = None
            self.where, self.heard = "", 0.0


def judged(task: TaskProgress, report: Failed | Lost) -> Failed | Lost:
    """What a report means: who was ended for its silence and then fails is lost, unless it decided itself."""
    if task.ending == "heartbeat" and isinstance(report, Failed) and report.retry is None:
        return Lost(report.ref, "terminated", report.error)
    return report


def failure_text(report: Failed | Lost, task: TaskProgress) -> str:
    """Why an attempt did not succeed, for people."""
    if isinstance(report, Failed):
        return storable(report.error, _REASON_LIMIT)
    if task.ending == "timeout" or report.reason == "timed_out":
        return f"timed out after {task.row.timeout:g} s"
    if task.ending == "heartbeat":
        return f"the attempt was lost: no heartbeat for {task.row.heartbeat_timeout:g} s"
    detail = f" ({report.detail})" if report.detail else ""
    return storable(f"the attempt was lost: its process {report.reason}{detail}", _REASON_LIMIT)


@dataclass(slots=True)
class RetryBudget:
    """How many attempts of an execution have failed, and after how many it fails (None: it goes on)."""

    limit: int | None = None
    spent: int = 0
    _is_told: bool = False

    def spend(self) -> bool:
        """Count a failed attempt; whether it is the one with which the execution gives up.

        That is one for each runner: what fails beside it or after it may be resumed as it is.
        """
        self.spent += 1
        gives_up = self.limit is not None and self.spent >= self.limit and not self._is_told
        self._is_told |= gives_up
        return gives_up


class Progress:
    """All tasks of an execution, which of them may run, and how many attempts may still fail."""

    def __init__(self, execution: int, rows: Sequence[TaskRow], budget: RetryBudget | None = None) -> None:
        self.budget = budget or RetryBudget()
        self.tasks = [TaskProgress(row, execution) for row in rows]
        self._waiting_for = [len(row.waits_for) for row in rows]
        self._dependents: dict[int, list[int]] = {}
        for row in rows:
            for position in row.waits_for:
                self._dependents.setdefault(position, []).append(row.position)
        self.undone = len(rows)
        for task in self.tasks:
            if is_done(task):
                self._count_done(task)

    def startable(self) -> Iterable[TaskProgress]:
        """The unfinished tasks that wait for nobody, in order of position."""
        return [task for task in self.tasks
                if not self._waiting_for[task.row.position]
                and task.state in (TaskState.PENDING, TaskState.RETRYING)]

    def started(self) -> list[TaskProgress]:
        """The tasks that run: of those that are stored, the ones that a worker elsewhere has."""
        return [task for task in self.tasks if task.state == TaskState.STARTED]

    def finish(self, task: TaskProgress) -> list[TaskProgress]:
        """Note that a task is done; the tasks that may run because of it."""
        return [each for each in self._count_done(task) if each.state == TaskState.PENDING]

    def fail_attempt(self, task: TaskProgress, report: Failed | Lost, now: datetime,
                     random: Callable[[], float]) -> float | None:
        """As `TaskProgress.fail_attempt`; the attempt that spends the execution's budget is the last, too.

        Failures that are ignored cost nothing.
        """
        wait = task.fail_attempt(report, now, random)
        if task.row.ignore_failure or not self.budget.spend() or wait is None:
            return wait
        task.state = TaskState.FAILED
        task.reason = (f"{task.reason}; with this the execution has spent its retry budget of "
                       f"{self.budget.limit} failed attempts")
        return None

    def _count_done(self, task: TaskProgress) -> list[TaskProgress]:
        self.undone -= 1
        freed = []
        for position in self._dependents.get(task.row.position, ()):
            self._waiting_for[position] -= 1
            if not self._waiting_for[position]:
                freed.append(self.tasks[position])
        return freed

    def outcome(self, error: str | None, *, cancelled: bool) -> tuple[ExecutionState, str | None]:
        """How the execution ends when nothing more will run, and why if it fails.

        `error` is the first failure of this runner, if there was one.
        """
        if not self.undone:
            return ExecutionState.SUCCEEDED, None
        if cancelled and error is None:
            return ExecutionState.CANCELLED, None
        return ExecutionState.FAILED, error or self.first_failure or "tasks were left that nothing can free"

    @property
    def first_failure(self) -> str | None:
        """The reason of the first task that failed for good."""
        failed = (task for task in self.tasks if task.state == TaskState.FAILED and not is_done(task))
        return next((f"{task.row.name}: {task.reason}" for task in failed), None)


@lru_cache(maxsize=16)
def _shown_place(where: str) -> str:
    return storable(where)[:255]


def is_done(task: TaskProgress) -> bool:
    """Whether its dependents may run."""
    return task.state == TaskState.SUCCESS or (task.state == TaskState.FAILED and task.row.ignore_failure)
