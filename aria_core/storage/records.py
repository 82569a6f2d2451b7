"""What the engine and a model storage tell each other: frozen values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from aria_core.worker.calls import CallRef, Edit, FinalReport


@dataclass(frozen=True, slots=True)
class NewExecution:
    """What is known of an execution before it has a graph."""

    service_id: int
    workflow_name: str
    inputs: Mapping[str, Any]
    owner: Mapping[str, Any]
    executor: str = ""
    dry: bool = False
    task_max_attempts: int = 30
    task_retry_interval: float = 30.0
    task_retry: Mapping[str, Any] | None = None
    retry_budget: int | None = None
    max_concurrency: int | None = None
    max_per_node: int | None = None
    pools: Mapping[str, int] | None = None
    queued: bool = False
    """It is nobody's: `owner` does not count, the first runner that takes it has epoch 1."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the owner of an execution holds; every engine transaction is guarded by all of it."""

    execution: int
    epoch: int
    batch: int
    state: str


@dataclass(frozen=True, slots=True)
class Pulse:
    """An execution's row as others see it."""

    execution: int
    service: int
    state: str
    epoch: int
    batch: int
    beat: int
    owner: Mapping[str, Any] | None
    executor: str
    queued: bool = False


_NO_ARGUMENTS: Mapping[str, Any] = {}


class TaskRow(NamedTuple):
    """A task as the compiler makes it and the engine loads it; columns as in `Task`.

    `id` is 0 before the task is stored.
    """

    position: int
    name: str
    id: int = 0
    stub: str | None = None
    state: str = "pending"
    waits_for: tuple[int, ...] = ()
    function: str | None = None
    arguments: Mapping[str, Any] = _NO_ARGUMENTS
    dynamic: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    node_id: int | None = None
    relationship_id: int | None = None
    plugin_id: int | None = None
    interface_name: str = ""
    operation_name: str = ""
    max_attempts: int = 1
    retry_interval: float = 0.0
    retry: Mapping[str, Any] | None = None
    ignore_failure: bool = False
    timeout: float | None = None
    heartbeat_timeout: float | None = None
    priority: int | None = None
    pool: str | None = None
    attempts: int = 0
    failures: int = 0
    lost: int = 0
    interruptions: int = 0
    due_at: datetime | None = None
    reason: str | None = None
    progress: float | None = None
    progress_message: str | None = None


class Transition(NamedTuple):
    """One task's change, made only if its row still has `before` and `attempts`."""

    task: int
    before: str
    attempts: int
    changes: Mapping[str, Any]
    """Column -> value; always with ``state``."""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A failed or lost attempt."""

    task: int
    number: int
    outcome: Literal["failed", "lost"]
    error: str
    traceback: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """How far an attempt is, by its own account; stored only while it is the task's current one."""

    task: int
    attempt: int
    progress: float | None
    message: str | None


@dataclass(frozen=True, slots=True)
class LogRow:
    """One log line."""

    execution: int
    level: str
    message: str
    created_at: datetime
    task: int | None = None
    attempt: int | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything one engine transaction writes."""

    transitions: Sequence[Transition] = ()
    edits: Sequence[Edit] = ()
    nodes: Mapping[int, str] = field(default_factory=dict)
    """Node id -> state."""
    attempts: Sequence[AttemptRow] = ()
    execution: Mapping[str, Any] = field(default_factory=dict)
    """Columns of the execution that change, e.g. ``state`` and ``ended_at`` at its end."""
    progress: Sequence[ProgressRow] = ()
    calls: Sequence[CallRef] = ()
    """Claimed calls that are done with, whose reports were taken among them: their rows go."""


@dataclass(frozen=True, slots=True)
class CallBeat:
    """A worker's sign that a call runs, and how far it is by its own account."""

    ref: CallRef
    heard: int = 0
    """How often the operation has said that it lives."""
    progress: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimedCallRow:
    """A call that a worker elsewhere has claimed, as its row says."""

    ref: CallRef
    where: str
    beat: int
    claimed_at: datetime
    heard: int = 0
    progress: float | None = None
    message: str | None = None
    report: FinalReport | None = None


class ClaimChangedError(Exception):
    """The claim's execution changed state (somebody asked to cancel); `claim` is what holds now."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(f"execution {claim.execution} is {claim.state} now")
        self.claim = claim
