"""What happens to the tasks of an execution: what each report changes, and what becomes ready by it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from aria_core.modeling.states import NodeState, TaskState
from aria_core.orchestrator.draft import Draft
from aria_core.orchestrator.events import TaskEventKind
from aria_core.orchestrator.progress import Progress, TaskProgress, failure_text, is_done, judged
from aria_core.orchestrator.ready import TaskQueue
from aria_core.orchestrator.retries import Retries
from aria_core.orchestrator.surroundings import Surroundings
from aria_core.storage.records import AttemptRow
from aria_core.worker.calls import Edit, Failed, FinalReport, Lost, Succeeded
from aria_core.worker.logs import storable


class Books:
    """The records of one execution's tasks, and the draft of what will next be stored of them."""

    def __init__(self, around: Surroundings, progress: Progress, ready: TaskQueue) -> None:
        self.draft = Draft()
        self.retries = Retries()
        self.now = around.clock.now()
        self.is_heard = True
        """Whether anybody listens to events."""
        self.error: str | None = None
        """The first failure of this runner for which the execution fails."""
        self.may_retry = True
        """Whether what failed is sent again; not once the execution comes to its end."""
        self._around = around
        self._progress = progress
        self._ready = ready

    # --- an attempt from its begin to its end

    def begin_attempt(self, task: TaskProgress, now: datetime) -> None:
        """Have a call leave with the next commit."""
        draft = self.draft
        task.begin_attempt(now)
        draft.sends.append((task, draft.nodes.get(task.row.node_id)))
        self.touch(task)
        self._set_node(task, task.node_state_during)
        self.tell(task, "sent")

    def note_begin(self, task: TaskProgress, where: str, moment: float, ago: float) -> None:
        """Note that the current attempt runs since `ago` seconds."""
        task.begin(where, moment, self.now - timedelta(seconds=ago))
        self.tell(task, "started")

    def note_heartbeat(self, task: TaskProgress, progress: float | None, message: str | None) -> None:
        """Note that an attempt lives, and how far it is."""
        task.heard = self._around.clock.monotonic()
        if task.show(progress, message):
            self.draft.note_progress(task)

    def take_report(self, task: TaskProgress, report: FinalReport) -> None:
        """Note how the current attempt ended."""
        if isinstance(report, Succeeded):
            self._succeed(task, report)
        else:
            self._edit(report.edits if isinstance(report, Failed) else ())
            self._fail(task, judged(task, report))
        self._ready.release(task)

    def take_back(self, task: TaskProgress, reason: str, *, is_stored: bool = False) -> None:
        """Have a call that was sent and has not begun be pending again, at no cost."""
        task.interrupt(reason, begun=False)
        if is_stored:
            task.stored()
        else:
            self.touch(task)
        self._ready.release(task)

    def _succeed(self, task: TaskProgress, report: Succeeded) -> None:
        task.state, task.result, task.reason = TaskState.SUCCESS, report.result, None
        task.started_at, task.ended_at = task.started_at or self.now, self.now
        self.touch(task)
        self._edit(report.edits)
        self._set_node(task, task.node_state_after)
        self.tell(task, "succeeded")
        self._follow(task)

    def _fail(self, task: TaskProgress, report: Failed | Lost) -> None:
        self.touch(task)
        if task.ending in ("cancel", "stop"):
            task.interrupt(f"interrupted by {task.ending}", begun=True)
            return
        if task.ending is None and isinstance(report, Lost) and report.reason == "terminated":
            self._begin_again(task, report)
            return
        wait = self._progress.fail_attempt(task, report, self._around.clock.now(), self._around.random)
        self.draft.failed_attempts = self._progress.budget.spent
        traceback = storable(report.traceback) if isinstance(report, Failed) else ""
        self.draft.attempts.append(AttemptRow(
            task.row.id, task.attempts, "lost" if task.counts_as_lost(report) else "failed",
            failure_text(report, task), traceback, task.where))
        self._around.log("ERROR" if wait is None else "WARNING", f"{task.row.name} failed: {task.reason}",
                         task.row.id, task.attempts, traceback or None)
        if wait is None:
            self._give_up(task, traceback)
        else:
            self._retry_later(task, wait, traceback)

    def _begin_again(self, task: TaskProgress, report: Lost) -> None:
        """Its worker elsewhere was stopped, at no cost to the task: after the commit another one has it."""
        task.interrupt(f"interrupted: {report.detail or 'its worker was stopped'}", begun=True)
        if self.may_retry:
            self.retries.put(task, self._around.clock.monotonic())

    def _give_up(self, task: TaskProgress, traceback: str) -> None:
        self.tell(task, "failed", traceback)
        self._set_node(task, NodeState.ERROR)
        if is_done(task):
            self._follow(task)
        elif self.error is None:
            self.error = f"{task.row.name}: {task.reason}"

    def _retry_later(self, task: TaskProgress, wait: float, traceback: str) -> None:
        self.tell(task, "retrying", traceback)
        if not self.may_retry:
            task.interrupt(task.reason or "", begun=False)
            return
        task.due_at = self._around.clock.now() + timedelta(seconds=wait)
        self.retries.put(task, self._around.clock.monotonic() + wait)

    # --- what follows

    def enqueue(self, task: TaskProgress) -> None:
        """Have a task that waits for nobody sent when its turn and time come; a stub is done at once."""
        if task.row.stub is not None:
            for each in self._settle(task):
                self.enqueue(each)
        elif task.state == TaskState.RETRYING and task.due_at is not None:
            left = (task.due_at - self._around.clock.now()).total_seconds()
            self.retries.put(task, self._around.clock.monotonic() + min(max(left, 0.0), task.longest_wait))
        else:
            self._ready.put(task)

    def end_retries(self) -> None:
        """Nothing will be sent any more: who waits for another try is pending, as before the first."""
        for task in self.retries.drain() + self._ready.drain():
            if task.state == TaskState.RETRYING:
                task.interrupt(task.reason or "", begun=False)
                self.touch(task)

    def _follow(self, task: TaskProgress) -> None:
        """Enqueue what a finished task freed; stubs among them are done at once."""
        freed = deque(self._progress.finish(task))
        while freed:
            each = freed.popleft()
            if each.row.stub is None:
                self.enqueue(each)
            else:
                freed.extend(self._settle(each))

    def _settle(self, stub: TaskProgress) -> list[TaskProgress]:
        stub.state, stub.started_at, stub.ended_at = TaskState.SUCCESS, self.now, self.now
        self.touch(stub)
        self._set_node(stub, stub.node_state_after)
        return self._progress.finish(stub)

    # --- small things

    def touch(self, task: TaskProgress) -> None:
        """Have the task stored as it will be then."""
        self.draft.touched[task.row.id] = task
        self.draft.may_wait_until = None

    def tell(self, task: TaskProgress, kind: TaskEventKind, traceback: str | None = None) -> None:
        """Have listeners told of a task after the commit."""
        if self.is_heard:
            self.draft.events.append(task.event(kind, self._around.clock.now(), traceback))

    def _edit(self, edits: Sequence[Edit]) -> None:
        if edits and self._around.executor.runs_operations:
            self.draft.edits += self._around.own(edits)

    def _set_node(self, task: TaskProgress, state: str | None) -> None:
        if task.lifecycle is not None and state is not None and self._around.executor.runs_operations:
            self.draft.nodes[task.row.node_id] = state
