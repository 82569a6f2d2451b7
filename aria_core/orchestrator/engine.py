"""Chooses the next tasks until none is left, and commits before it acts.

One loop, one thread: take what arrived, change the records, commit one batch, and only then let
calls leave and events be told. Nothing is polled; the cost is O(tasks + dependencies) in all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Literal, cast

from aria_core.modeling.states import ExecutionState, NodeState, TaskState
from aria_core.orchestrator.draft import Draft, record
from aria_core.orchestrator.events import TaskEventKind, WorkflowEvent, WorkflowEventKind
from aria_core.orchestrator.inbox import Begun, CancelSeen, Heartbeat, Message, OwnershipLost, StopAsked
from aria_core.orchestrator.letting_go import end_calls
from aria_core.orchestrator.pace import Pace
from aria_core.orchestrator.progress import Progress, TaskProgress, failure_text, is_done, judged
from aria_core.orchestrator.ready import TaskQueue
from aria_core.orchestrator.retries import Retries
from aria_core.orchestrator.sending import send
from aria_core.orchestrator.surroundings import Surroundings
from aria_core.orchestrator.watch import Watch
from aria_core.storage.records import AttemptRow, Claim, ClaimChangedError
from aria_core.worker.calls import CallRef, Edit, Failed, FinalReport, Lost, Succeeded
from aria_core.worker.logs import storable

LONGEST_PAUSE = 3600.0
"""No queue waits for as long as an operation may have asked for."""
SLOTS_PAUSE = 1.0
"""Seconds until an executor without a free slot is asked again when nothing else would wake us."""
Mode = Literal["running", "failing", "cancelling", "stopping"]


class Engine:
    """Runs the stored task graph of one execution to its end."""

    def __init__(self, around: Surroundings, claim: Claim, progress: Progress, ready: TaskQueue) -> None:
        self.claim = claim
        self.ended = False
        self._around = around
        self._progress = progress
        self._mode: Mode = "running"
        self._draft = Draft()
        self._ready = ready
        self._in_flight: dict[CallRef, TaskProgress] = {}
        self._retries = Retries()
        self._watch = Watch()
        self._stop_at: float | None = None
        self._error: str | None = None
        self._pace = Pace()
        self._now = around.clock.now()
        self._is_heard = True

    def run(self) -> str:
        """Run to the end; the execution's state then (``started`` if this runner was stopped).

        Raises ``FencedError`` or ``StorageUnavailableError`` when it must let go; what still runs is
        then terminated.
        """
        try:
            return self._loop()
        except BaseException:
            self._abandon()
            raise

    def _loop(self) -> str:
        for task in self._progress.startable():
            self._enqueue(task)
        if self.claim.state == ExecutionState.CANCELLING:
            self._begin_cancel()
        self._receive(self._around.inbox.take(0))  # a stop that came while the graph was made
        while not self.ended:
            self._is_heard = self._around.emitter.somebody_listens
            self._dispatch()
            self._end_if_nothing_is_left()
            if self._commit() and not self.ended:
                messages = self._listen()
                self._now = self._around.clock.now()
                self._fire_timers()  # first: a retry must be stored as one before it is sent again
                self._receive(messages)
                self._note_begins()
                self._end_silent()  # last: a heartbeat may have waited while we could not listen
        return self.claim.state

    # --- what arrives

    def _listen(self) -> list[Message]:
        messages = self._around.inbox.take(self._patience())
        pause = self._pace.gathering(len(self._in_flight) - len(messages)) if messages else 0.0
        if pause and not self._ready:  # else there is better to do than to wait for more of them
            self._around.clock.sleep(pause)
            messages += self._around.inbox.take(0)
        return messages

    def _receive(self, messages: Iterable[Message]) -> None:
        for message in messages:
            match message:
                case Succeeded() | Failed() | Lost():
                    self._take_report(message)
                case Heartbeat():
                    self._note_heartbeat(message)
                case CancelSeen():
                    self.claim = replace(self.claim, state=ExecutionState.CANCELLING)
                    self._begin_cancel()
                case StopAsked():
                    self._begin_stop(message.grace)
                case OwnershipLost():
                    raise message.error

    def _take_report(self, report: FinalReport) -> None:
        begun = self._around.inbox.begin_of(report.ref)
        task = self._in_flight.pop(report.ref, None)
        if task is None:
            return
        ended = (begun.ended if begun else None) or self._around.clock.monotonic()
        if begun is not None:
            self._note_begin(task, begun, ended)
        if task.began is not None:
            self._pace.note_call(ended - task.began)
        if isinstance(report, Succeeded):
            self._succeed(task, report)
        else:
            self._edit(report.edits if isinstance(report, Failed) else ())
            self._fail(task, judged(task, report))
        self._ready.release(task)

    def _note_begin(self, task: TaskProgress, begun: Begun, now: float) -> None:
        task.begin(begun.where, begun.moment, self._now - timedelta(seconds=now - begun.moment))
        self._tell(task, "started")

    def _note_begins(self) -> None:
        """Store that a call runs, if it still does: one that ends soon costs one commit, not two."""
        for ref, begun in self._around.inbox.lasting():
            if (task := self._in_flight.get(ref)) is not None:
                self._note_begin(task, begun, self._around.clock.monotonic())
                task.state = TaskState.STARTED
                self._touch(task)
                self._watch.begin(task)

    def _note_heartbeat(self, beat: Heartbeat) -> None:
        task = self._in_flight.get(beat.ref)
        if task is None:
            return
        task.heard = self._around.clock.monotonic()
        if task.show(beat.progress, beat.message):
            self._draft.note_progress(task)

    def _succeed(self, task: TaskProgress, report: Succeeded) -> None:
        task.state, task.result, task.reason = TaskState.SUCCESS, report.result, None
        task.started_at, task.ended_at = task.started_at or self._now, self._now
        self._touch(task)
        self._edit(report.edits)
        self._set_node(task, task.node_state_after)
        self._tell(task, "succeeded")
        self._follow(task)

    def _fail(self, task: TaskProgress, report: Failed | Lost) -> None:
        self._touch(task)
        if task.ending in ("cancel", "stop"):
            task.interrupt(f"interrupted by {task.ending}", begun=True)
            return
        wait = self._progress.fail_attempt(task, report, self._around.clock.now(), self._around.random)
        self._draft.failed_attempts = self._progress.budget.spent
        traceback = storable(report.traceback) if isinstance(report, Failed) else ""
        self._draft.attempts.append(AttemptRow(
            task.row.id, task.attempts, "lost" if task.counts_as_lost(report) else "failed",
            failure_text(report, task), traceback, task.where))
        self._around.log("ERROR" if wait is None else "WARNING", f"{task.row.name} failed: {task.reason}",
                         task.row.id, task.attempts, traceback or None)
        if wait is None:
            self._give_up(task, traceback)
        else:
            self._retry_later(task, wait, traceback)

    def _give_up(self, task: TaskProgress, traceback: str) -> None:
        self._tell(task, "failed", traceback)
        self._set_node(task, NodeState.ERROR)
        if is_done(task):
            self._follow(task)
            return
        if self._error is None:
            self._error = f"{task.row.name}: {task.reason}"
        if self._mode == "running":
            self._begin_failing()

    def _retry_later(self, task: TaskProgress, wait: float, traceback: str) -> None:
        self._tell(task, "retrying", traceback)
        if self._mode != "running":
            task.interrupt(task.reason or "", begun=False)
            return
        task.due_at = self._around.clock.now() + timedelta(seconds=wait)
        self._retries.put(task, self._around.clock.monotonic() + wait)

    # --- what follows

    def _follow(self, task: TaskProgress) -> None:
        """Enqueue what a finished task freed; stubs among them are done at once."""
        freed = deque(self._progress.finish(task))
        while freed:
            each = freed.popleft()
            if each.row.stub is None:
                self._enqueue(each)
            else:
                freed.extend(self._settle(each))

    def _settle(self, stub: TaskProgress) -> list[TaskProgress]:
        stub.state, stub.started_at, stub.ended_at = TaskState.SUCCESS, self._now, self._now
        self._touch(stub)
        self._set_node(stub, stub.node_state_after)
        return self._progress.finish(stub)

    def _enqueue(self, task: TaskProgress) -> None:
        if task.row.stub is not None:
            for each in self._settle(task):
                self._enqueue(each)
        elif task.state == TaskState.RETRYING and task.due_at is not None:
            left = (task.due_at - self._around.clock.now()).total_seconds()
            self._retries.put(task, self._around.clock.monotonic() + min(max(left, 0.0), task.longest_wait))
        else:
            self._ready.put(task)

    def _dispatch(self) -> None:
        if self._mode != "running":
            return
        now = self._around.clock.now()
        slots = self._around.executor.slots
        room = None if slots is None else slots + self._pace.backlog(slots) - len(self._in_flight)
        while (room is None or room > 0) and (task := self._ready.take()) is not None:
            task.begin_attempt(now)
            self._in_flight[task.ref] = task
            self._draft.sends.append((task, self._draft.nodes.get(task.row.node_id)))
            self._touch(task)
            self._set_node(task, task.node_state_during)
            self._tell(task, "sent")
            room = None if room is None else room - 1

    # --- ends

    def _begin_failing(self) -> None:
        self._mode = "failing"
        self._withdraw()
        self._end_retries()

    def _begin_cancel(self) -> None:
        if self._mode == "cancelling":
            return
        self._mode = "cancelling"
        self._announce("cancelling")
        self._withdraw()
        self._end_retries()
        self._terminate_all("cancel", self._around.grace)

    def _begin_stop(self, grace: float) -> None:
        if self._mode == "running":
            self._mode = "stopping"
            self._withdraw()
            self._end_retries()
        deadline = self._around.clock.monotonic() + grace
        self._stop_at = deadline if self._stop_at is None else min(self._stop_at, deadline)

    def _withdraw(self) -> None:
        waiting = [ref for ref, task in self._in_flight.items() if task.began is None]
        for ref in self._around.executor.withdraw(waiting):
            task = self._in_flight.pop(ref)
            task.interrupt("withdrawn before it began", begun=False)
            self._touch(task)
            self._ready.release(task)

    def _end_retries(self) -> None:
        """Nothing will be sent any more: who waits for another try is pending, as before the first."""
        for task in self._retries.drain() + self._ready.drain():
            if task.state == TaskState.RETRYING:
                task.interrupt(task.reason or "", begun=False)
                self._touch(task)

    def _terminate_all(self, why: str, grace: float) -> None:
        for ref, task in self._in_flight.items():
            task.ending = why
            self._around.executor.terminate(ref, grace)

    def _abandon(self) -> None:
        sent = self._in_flight.keys() - {task.ref for task, _ in self._draft.sends}
        end_calls(self._around.executor, self._around.inbox, self._around.clock, sent,
                  min(self._around.grace, 1.0))

    def _end_if_nothing_is_left(self) -> None:
        if self._in_flight or (self._mode == "running" and (self._ready or self._retries)):
            return
        self.ended = True
        if self._mode == "stopping" and self._progress.undone and self._error is None:
            self._draft.execution = {"owner": None}
            return
        state, error = self._progress.outcome(self._error, cancelled=self._mode == "cancelling")
        self._draft.execution = {"state": state, "error": error, "owner": None,
                                 "ended_at": self._around.clock.now()}
        self._announce(cast(WorkflowEventKind, str(state)), error)

    # --- time

    def _patience(self) -> float | None:
        now = self._around.clock.monotonic()
        moments = self._watch.moments() + ([self._stop_at] if self._stop_at is not None else [])
        if self._retries:
            moments.append(self._retries.next_at)
        if self._draft.may_wait_until is not None:
            moments.append(self._draft.may_wait_until)
        if self._ready and not self._in_flight:
            moments.append(now + SLOTS_PAUSE)
        return min(max(0.0, min(moments) - now), LONGEST_PAUSE) if moments else None

    def _fire_timers(self) -> None:
        now = self._around.clock.monotonic()
        for task in self._retries.due(now):
            self._ready.put(task)
        for ref in self._watch.timed_out(now):
            self._end_attempt(ref, "timeout")
        if self._stop_at is not None and self._stop_at <= now:
            self._stop_at = None
            self._terminate_all("stop", min(self._around.grace, 1.0))

    def _end_silent(self) -> None:
        for ref in self._watch.silent(self._around.clock.monotonic(), self._in_flight):
            self._end_attempt(ref, "heartbeat")

    def _end_attempt(self, ref: CallRef, why: str) -> None:
        task = self._in_flight.get(ref)
        if task is not None and task.ending is None:
            task.ending = why
            self._around.executor.terminate(ref, self._around.grace)

    # --- the commit and what follows it

    def _commit(self) -> bool:
        """Write the draft, then act on it; False if the plan changed and must be made anew."""
        began = self._around.clock.monotonic()
        if not self._draft.writes_something:
            self._after_commit()
            return True
        if not self.ended and began < (self._draft.may_wait_until or 0.0):
            return True
        try:
            self.claim = record(self._around.ledger, self._around.clock, self.claim, self._draft.batch())
        except ClaimChangedError as changed:
            self._start_over_as_cancelling(changed.claim)
            return False
        self._pace.note_commit(self._around.clock.monotonic() - began)
        self._draft.stored()
        self._after_commit()
        if self.claim.state == ExecutionState.CANCELLING and self._mode != "cancelling" and not self.ended:
            self._begin_cancel()
            return False
        return True

    def _start_over_as_cancelling(self, claim: Claim) -> None:
        """A cancel came first: what was to leave stays, what has ended is still recorded."""
        self.claim = claim
        self.ended = False
        for task in self._draft.take_back_sends():
            self._in_flight.pop(task.ref, None)
            task.undo_attempt()
            self._ready.release(task)
            self._ready.put(task)
        self._begin_cancel()

    def _after_commit(self) -> None:
        draft, self._draft = self._draft, Draft()
        for event in draft.events:
            self._around.emitter.emit(event)
        if draft.sends:
            send(self._around, [task for task, _ in draft.sends])

    # --- small things

    def _touch(self, task: TaskProgress) -> None:
        self._draft.touched[task.row.id] = task
        self._draft.may_wait_until = None

    def _edit(self, edits: Sequence[Edit]) -> None:
        if edits and self._around.executor.runs_operations:
            self._draft.edits += self._around.own(edits)

    def _set_node(self, task: TaskProgress, state: str | None) -> None:
        if task.lifecycle is not None and state is not None and self._around.executor.runs_operations:
            self._draft.nodes[task.row.node_id] = state

    def _tell(self, task: TaskProgress, kind: TaskEventKind, traceback: str | None = None) -> None:
        if self._is_heard:
            self._draft.events.append(task.event(kind, self._around.clock.now(), traceback))

    def _announce(self, kind: WorkflowEventKind, error: str | None = None) -> None:
        self._draft.events.append(WorkflowEvent(
            kind, self.claim.execution, self._around.workflow, self._around.service,
            self._around.clock.now(), error))
