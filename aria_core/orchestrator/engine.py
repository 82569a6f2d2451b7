"""Chooses the next tasks until none is left, and commits before it acts.

One loop, one thread: take what arrived, change the records, commit one batch, and only then let
calls leave and events be told. Nothing is polled; the cost is O(tasks + dependencies) in all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, cast

from aria_core.modeling.states import ExecutionState, TaskState
from aria_core.orchestrator.bookkeeping import Books
from aria_core.orchestrator.draft import Draft, record
from aria_core.orchestrator.events import WorkflowEvent, WorkflowEventKind
from aria_core.orchestrator.inbox import CancelSeen, Heartbeat, Message, OwnershipLost, StopAsked
from aria_core.orchestrator.letting_go import end_calls
from aria_core.orchestrator.pace import WORTH_ELSEWHERE, Pace
from aria_core.orchestrator.progress import Progress, TaskProgress
from aria_core.orchestrator.ready import TaskQueue
from aria_core.orchestrator.remote_calls import RemoteCalls
from aria_core.orchestrator.sending import send
from aria_core.orchestrator.slots import Slots
from aria_core.orchestrator.surroundings import Surroundings
from aria_core.orchestrator.watch import Watch
from aria_core.storage.records import Claim, ClaimChangedError
from aria_core.worker.calls import CallRef, Failed, FinalReport, Lost, Succeeded

LONGEST_PAUSE = 3600.0
"""No queue waits for as long as an operation may have asked for."""
SLOTS_PAUSE = 1.0
"""Seconds until an executor without a free slot is asked again when nothing else would wake us."""
_WITHDRAWN = "withdrawn before it began"
Mode = Literal["running", "failing", "cancelling", "stopping"]


class Engine:
    """Runs the stored task graph of one execution to its end."""

    def __init__(self, around: Surroundings, claim: Claim, progress: Progress, ready: TaskQueue) -> None:
        self.claim = claim
        self.ended = False
        self._around = around
        self._progress = progress
        self._mode: Mode = "running"
        self._ready = ready
        self._books = Books(around, progress, ready)
        self._in_flight: dict[CallRef, TaskProgress] = {}
        self._watch = Watch()
        self._stop_at: float | None = None
        self._pace = Pace(WORTH_ELSEWHERE, at_first=1) if around.executor.survives_runner else Pace()
        self._slots = Slots(around, progress.tasks, ready, self._in_flight)
        self._leaves_remote = False
        self._remote = self._remote_calls()

    def _remote_calls(self) -> RemoteCalls | None:
        adopted = self._adopt()
        if not adopted and not self._around.executor.survives_runner:
            return None
        return RemoteCalls(self._around, self.claim.execution, self._books, self._watch, self._in_flight,
                           adopted=adopted)

    def _adopt(self) -> list[CallRef]:
        """Have what runs elsewhere since before us in flight."""
        for task in self._progress.started():
            task.adopt()
            self._in_flight[task.ref] = task
            self._ready.occupy(task)
        return list(self._in_flight)

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
            self._books.enqueue(task)
        if self.claim.state == ExecutionState.CANCELLING:
            self._begin_cancel()
        self._receive(self._around.inbox.take(0))  # a stop that came while the graph was made
        while not self.ended:
            self._books.is_heard = self._around.emitter.somebody_listens
            self._dispatch()
            self._end_if_nothing_is_left()
            if self._commit() and not self.ended:
                messages = self._listen()
                self._books.now = self._around.clock.now()
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
        if self._remote is None:
            self._around.inbox.begin_look()  # of what runs here, an executor tells by itself
            return messages
        return self._remote.hear(messages)

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
            self._books.note_begin(task, begun.where, begun.moment, ended - begun.moment)
        if task.began is not None:
            self._pace.note_call(ended - task.began)
        if self._remote is not None and self._remote.holds(report.ref):
            self._remote.forget(report.ref)
        self._books.take_report(task, report)
        if self._books.error is not None and self._mode == "running":
            self._wind_up("failing")

    def _note_begins(self) -> None:
        """Store that a call runs, if it still does: one that ends soon costs one commit, not two."""
        for ref, begun in self._around.inbox.lasting():
            if (task := self._in_flight.get(ref)) is not None:
                ago = self._around.clock.monotonic() - begun.moment
                self._books.note_begin(task, begun.where, begun.moment, ago)
                task.state = TaskState.STARTED
                self._books.touch(task)
                self._watch.begin(task)

    def _note_heartbeat(self, beat: Heartbeat) -> None:
        task = self._in_flight.get(beat.ref)
        if task is not None:
            self._books.note_heartbeat(task, beat.progress, beat.message)

    # --- what leaves

    def _dispatch(self) -> None:
        if self._mode != "running":
            return
        now = self._around.clock.now()
        room = self._slots.room(self._pace)
        while (room is None or room > 0) and (task := self._ready.take()) is not None:
            self._books.begin_attempt(task, now)
            self._in_flight[task.ref] = task
            room = None if room is None else room - 1
        self._slots.tell()

    # --- ends

    def _begin_cancel(self) -> None:
        if self._mode == "cancelling":
            return
        self._announce("cancelling")
        self._leaves_remote = self._leaves_remote and self._stop_at is None
        self._wind_up("cancelling")
        self._terminate_all("cancel", self._around.grace)

    def _begin_stop(self, grace: float) -> None:
        if self._mode == "running":
            self._wind_up("stopping")
        self._leaves_remote = self._mode != "cancelling"
        deadline = self._around.clock.monotonic() + grace
        self._stop_at = deadline if self._stop_at is None else min(self._stop_at, deadline)

    def _wind_up(self, mode: Mode) -> None:
        """From now on nothing is sent, and what has not begun will not."""
        self._mode = mode
        self._books.may_retry = False
        self._withdraw()
        self._books.end_retries()

    def _withdraw(self) -> None:
        waiting = [ref for ref, task in self._in_flight.items() if task.began is None]
        if self._remote is not None:
            for ref in self._remote.withdraw(self.claim, waiting, _WITHDRAWN):
                self._books.take_back(self._in_flight.pop(ref), _WITHDRAWN, is_stored=True)
            waiting = [ref for ref in waiting if not self._remote.holds(ref)]
        for ref in self._around.executor.withdraw(waiting):
            self._books.take_back(self._in_flight.pop(ref), _WITHDRAWN)

    def _terminate_all(self, why: str, grace: float) -> None:
        for ref, task in self._in_flight.items():
            if why == "stop" and self._remote is not None and self._remote.holds(ref):
                continue
            task.ending = why
            self._around.executor.terminate(ref, grace)

    def _abandon(self) -> None:
        """End what would die with us; what runs elsewhere is left to whoever takes over."""
        sent = self._in_flight.keys() - {task.ref for task, _ in self._books.draft.sends}
        if self._remote is not None:
            sent = {ref for ref in sent if not self._remote.holds(ref)}
        end_calls(self._around.executor, self._around.inbox, self._around.clock, sent,
                  min(self._around.grace, 1.0))

    def _end_if_nothing_is_left(self) -> None:
        if self._in_flight and not self._may_leave_the_rest():
            return
        if self._mode == "running" and (self._ready or self._books.retries):
            return
        self.ended = True
        stopped = self._mode == "stopping" and self._progress.undone and self._books.error is None
        if self._in_flight or stopped:
            self._books.draft.execution = {"owner": None}
            return
        state, error = self._progress.outcome(self._books.error, cancelled=self._mode == "cancelling")
        self._books.draft.execution = {"state": state, "error": error, "owner": None,
                                       "ended_at": self._around.clock.now()}
        self._announce(cast(WorkflowEventKind, str(state)), error)

    def _may_leave_the_rest(self) -> bool:
        """Whether we are to stop, and nothing is left but calls elsewhere, which go on without us."""
        return self._leaves_remote and self._remote is not None and self._remote.are_all()

    # --- time

    def _patience(self) -> float | None:
        now = self._around.clock.monotonic()
        moments = self._watch.moments() + self._slots.moments()
        if self._stop_at is not None:
            moments.append(self._stop_at)
        if self._books.retries:
            moments.append(self._books.retries.next_at)
        if self._books.draft.may_wait_until is not None:
            moments.append(self._books.draft.may_wait_until)
        if self._remote is not None and self._in_flight:
            moments.append(self._remote.moment())
        if self._ready and not self._in_flight:
            moments.append(now + SLOTS_PAUSE)
        return min(max(0.0, min(moments) - now), LONGEST_PAUSE) if moments else None

    def _fire_timers(self) -> None:
        now = self._around.clock.monotonic()
        for task in self._books.retries.due(now):
            self._ready.put(task)
        for ref in self._watch.timed_out(now):
            self._end_attempt(ref, "timeout")
        if self._stop_at is not None and self._stop_at <= now:
            self._stop_at, self._leaves_remote = None, True
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
        if not self._books.draft.writes_something:
            self._after_commit()
            return True
        if not self.ended and began < (self._books.draft.may_wait_until or 0.0):
            return True
        try:
            batch = self._books.draft.batch()
            self.claim = record(self._around.ledger, self._around.clock, self.claim, batch)
        except ClaimChangedError as changed:
            self._start_over_as_cancelling(changed.claim)
            return False
        self._pace.note_commit(self._around.clock.monotonic() - began)
        self._books.draft.stored()
        self._after_commit()
        if self.claim.state == ExecutionState.CANCELLING and self._mode != "cancelling" and not self.ended:
            self._begin_cancel()
            return False
        return True

    def _start_over_as_cancelling(self, claim: Claim) -> None:
        """A cancel came first: what was to leave stays, what has ended is still recorded."""
        self.claim = claim
        self.ended = False
        for task in self._books.draft.take_back_sends():
            self._in_flight.pop(task.ref, None)
            task.undo_attempt()
            self._ready.release(task)
            self._ready.put(task)
        self._begin_cancel()

    def _after_commit(self) -> None:
        draft, self._books.draft = self._books.draft, Draft()
        for event in draft.events:
            self._around.emitter.emit(event)
        if draft.sends:
            tasks = [task for task, _ in draft.sends]
            send(self._around, tasks)
            if self._remote is not None:
                self._remote.note_sent(tasks)

    def _announce(self, kind: WorkflowEventKind, error: str | None = None) -> None:
        self._books.draft.events.append(WorkflowEvent(
            kind, self.claim.execution, self._around.workflow, self._around.service,
            self._around.clock.now(), error))
