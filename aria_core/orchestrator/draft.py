"""What the next engine transaction will write, what follows its commit, and the commit itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aria_core.clock import Clock
from aria_core.orchestrator.events import Event, TaskEvent
from aria_core.orchestrator.patience import ride_out
from aria_core.orchestrator.progress import TaskProgress
from aria_core.storage.model import Ledger
from aria_core.storage.records import AttemptRow, Batch, Claim, ProgressRow
from aria_core.worker.calls import CallRef, Edit

PROGRESS_LINGERS = 1.0
"""Seconds that progress may wait to be stored: an operation may tell it as often as it likes."""


@dataclass(slots=True)
class Draft:
    """A batch in the making, with the calls that leave and the events that are told after it."""

    touched: dict[int, TaskProgress] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    nodes: dict[int | None, str] = field(default_factory=dict)
    attempts: list[AttemptRow] = field(default_factory=list)
    execution: dict[str, Any] = field(default_factory=dict)
    failed_attempts: int | None = None
    """How many attempts of the execution have failed by now; None: as many as before."""
    sends: list[tuple[TaskProgress, str | None]] = field(default_factory=list)
    """Tasks to send, each with what `nodes` said of its node before."""
    calls: list[CallRef] = field(default_factory=list)
    """Calls that ran elsewhere and whose reports are taken."""
    progress: dict[int, ProgressRow] = field(default_factory=dict)
    """The newest progress of tasks, by their ids."""
    events: list[Event] = field(default_factory=list)
    may_wait_until: float | None = None
    """Set while nothing but starts and progress are noted, which need not be stored at once."""

    @property
    def writes_something(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.touched or self.edits or self.nodes or self.execution or self.progress)

    def note_progress(self, task: TaskProgress) -> None:
        """Store how far a task is with whatever is stored next, or else soon."""
        if not self.writes_something:
            self.may_wait_until = task.heard + PROGRESS_LINGERS
        self.progress[task.row.id] = task.shown

    def batch(self) -> Batch:
        """What the transaction writes."""
        changed = [task for task in self.touched.values()
                   if (task.state, task.attempts) != (task.stored_state, task.stored_attempts)]
        nodes = {node: state for node, state in self.nodes.items() if node is not None}
        transitions = [task.transition() for task in changed]
        failed = {} if self.failed_attempts is None else {"failed_attempts": self.failed_attempts}
        return Batch(transitions, self.edits, nodes, self.attempts, {**self.execution, **failed},
                     list(self.progress.values()), self.calls)

    def stored(self) -> None:
        """The transaction was committed."""
        for task in self.touched.values():
            task.stored()

    def take_back_sends(self) -> list[TaskProgress]:
        """Leave out what was to be sent, and how the execution was to end; the tasks concerned."""
        for task, node_state in reversed(self.sends):
            self.touched.pop(task.row.id, None)
            self.nodes.pop(task.row.node_id, None)
            if node_state is not None:
                self.nodes[task.row.node_id] = node_state
        taken = [task for task, _ in self.sends]
        self.sends, self.execution = [], {}
        self.events = [each for each in self.events if isinstance(each, TaskEvent) and each.kind != "sent"]
        return taken


def record(ledger: Ledger, clock: Clock, claim: Claim, batch: Batch) -> Claim:
    """Commit a batch and return the next claim, riding out a storage that is away for a while.

    A commit whose fate is unknown is looked up before it is repeated. Raises what the ledger raises;
    ``StorageUnavailableError`` once the lease would have run out.
    """
    return ride_out(clock, lambda again: ledger.record_batch(claim, batch, again=again))
