"""A runner that serves: it runs the executions of the queue, several at once, until it is told to stop."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeAlias

from aria_core.clock import Clock, SystemClock
from aria_core.exceptions import (
    AriaError,
    ExecutionFailedError,
    ExecutionOwnedError,
    FencedError,
    StorageLostError,
    StorageUnavailableError,
)
from aria_core.modeling.states import ExecutionState
from aria_core.orchestrator.left_behind import LeftBehind
from aria_core.orchestrator.progress import MAX_INTERRUPTIONS
from aria_core.orchestrator.queued_runner import QueueRunner
from aria_core.orchestrator.threads import begin_thread
from aria_core.storage.model import Ledger
from aria_core.storage.owners import this_process
from aria_core.storage.records import Claim, LogRow, Pulse

RunnerEventKind: TypeAlias = Literal[
    "serving", "begun", "taken over", "succeeded", "failed", "cancelled", "handed over", "lost", "refused",
    "storage away", "storage back", "stopping", "stopped"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
"""Seconds between two looks at a storage that is away."""
_FIRST_REFUSAL, _LONGEST_REFUSAL = 1.0, 60.0
"""Seconds until an execution that could not be run here is tried again."""


@dataclass(frozen=True, slots=True)
class RunnerEvent:
    """What a serving runner tells: about one execution, or (0) about itself."""

    kind: RunnerEventKind
    text: str
    """A sentence for people."""
    execution: int = 0
    service: str = ""
    workflow: str = ""


Got: TypeAlias = Claim | Pulse
"""An execution that was claimed from the queue, or the last pulse of one that is left behind."""
MakeRunner: TypeAlias = Callable[[Got, Mapping[str, Any]], AbstractContextManager[QueueRunner]]
"""A runner for it with an executor of its own, which claims as this owner; closed at the end."""


@dataclass(slots=True)
class _Work:
    """An execution that a thread of this runner has."""

    got: Got
    runner: QueueRunner | None = None
    service: str = ""
    workflow: str = ""


@dataclass(frozen=True, slots=True)
class _Ended:
    work: _Work
    kind: RunnerEventKind
    text: str


@dataclass(frozen=True, slots=True)
class _Stop:
    grace: float


@dataclass(slots=True)
class _Refusals:
    """Executions that could not be run here, and when they may be tried again."""

    clock: Clock
    waits: dict[int, tuple[float, float]] = field(default_factory=dict)
    """By execution: how long it has to wait, and until when."""

    def add(self, execution: int) -> None:
        wait = min(self.waits.get(execution, (_FIRST_REFUSAL / 2, 0))[0] * 2, _LONGEST_REFUSAL)
        self.waits[execution] = wait, self.clock.monotonic() + wait

    def current(self) -> set[int]:
        """Those that have to wait still."""
        now = self.clock.monotonic()
        return {execution for execution, (_, until) in self.waits.items() if until > now}


class RunnerService:
    """Runs queued executions until it is told to stop; at most `executions` of them at once.

    Any number of these may serve one queue, from any host that reaches the storage: each execution has
    one at a time. What another runner handed over, or left behind when it died, goes on here. An outage
    of the storage is waited out; whatever becomes of one execution, the others go on.

    `make_runner` makes the runner of one execution; `tell` hears of everything, from one thread. The queue
    is looked at every `poll_interval` seconds. `Application.runner_service` puts it together.
    """

    def __init__(self, ledger: Ledger, make_runner: MakeRunner, *, tell: Callable[[RunnerEvent], None],
                 executions: int, poll_interval: float, name: str = "", clock: Clock | None = None) -> None:
        self._ledger = ledger
        self._make_runner = make_runner
        self._tell = tell
        self._most = executions
        self._poll_interval = poll_interval
        self._clock = clock or SystemClock()
        self._key = secrets.token_hex(8)
        self._owner = {**this_process(), "runner": self._key, **({"name": name} if name else {})}
        self._messages: SimpleQueue[_Ended | _Stop | RunnerEvent] = SimpleQueue()
        self._running: dict[int, _Work] = {}
        self._held: dict[int, QueueRunner] = {}
        self._left_behind = LeftBehind(self._clock, self._key)
        self._refusals = _Refusals(self._clock)
        self._grace: float | None = None
        self._pause = 0.0
        self._error: AriaError | None = None

    def run(self, *, until_empty: bool = False) -> None:
        """Serve until `stop` was called and what ran was handed over; with `until_empty`, until there is
        nothing left to run.

        Raises what makes it impossible to go on, such as tables of a newer release, once what runs has
        been handed over.
        """
        self._say("serving", f"serving the queue: at most {self._most} executions at once")
        while self._running or self._grace is None:
            if self._grace is None and not self._look() and until_empty and not self._running:
                break
            self._receive()
        self._say("stopped", "stopped; other runners go on with what was left")
        if self._error is not None:
            raise self._error

    def stop(self, grace: float) -> None:
        """Take no more, give what runs `grace` seconds, and hand the executions over.

        Call again with a smaller grace to hurry. From any thread or signal handler.
        """
        self._messages.put(_Stop(grace))

    # --- what arrives

    def _receive(self) -> None:
        """Wait for the next look, or for something to happen."""
        try:
            message = self._messages.get(timeout=self._pause or self._poll_interval)
            while True:
                self._take_note(message)
                message = self._messages.get_nowait()
        except Empty:
            return

    def _take_note(self, message: _Ended | _Stop | RunnerEvent) -> None:
        match message:
            case _Stop():
                self._begin_stop(message.grace)
            case RunnerEvent():
                self._tell(message)
            case _Ended():
                self._end(message)

    def _end(self, message: _Ended) -> None:
        work = self._running.pop(message.work.got.execution)
        if work.runner is not None and work.runner.is_held:
            self._held[work.got.execution] = work.runner
        if message.kind == "refused":
            self._refusals.add(work.got.execution)
        else:
            self._refusals.waits.pop(work.got.execution, None)
        self._tell(_event(message.kind, message.text, work))

    def _begin_stop(self, grace: float) -> None:
        if self._grace is None:
            self._say("stopping", f"stopping; what runs has {grace:g} s to end")
        self._grace = grace  # before looking: who has made a runner by then looks at it
        for work in list(self._running.values()):
            if work.runner is not None:
                work.runner.stop(grace)

    # --- looking for executions

    def _look(self) -> bool:
        """Take what there is; False if the queue has nothing for anybody."""
        try:
            found = self._take_left() + self._take_queued()
        except StorageUnavailableError as error:
            if isinstance(error, StorageLostError):
                self._give_up(error)
            else:
                self._wait_for_storage(error)
            return True
        except AriaError as error:
            self._give_up(error)
            return True
        if self._pause:
            self._pause = 0.0
            self._say("storage back", "the storage is back")
        return found > 0

    def _wait_for_storage(self, error: StorageUnavailableError) -> None:
        if not self._pause:
            self._say("storage away", f"the storage is away, waiting for it: {error}")
        self._pause = min(self._pause * 2, _LONGEST_PAUSE) if self._pause else _FIRST_PAUSE

    def _give_up(self, error: AriaError) -> None:
        self._error = error
        self._begin_stop(0.0)

    @property
    def _room(self) -> int:
        return self._most - len(self._running)

    def _take_left(self) -> int:
        """Go on with what other runners have left behind; how many such executions there are."""
        self._held = {each: runner for each, runner in self._held.items() if runner.is_held}
        looked = self._clock.monotonic()
        taken = self._ledger.active_executions(queued_only=True, waiting=False)
        left = self._left_behind.among(taken, looked, {*self._running, *self._held})
        refused = self._refusals.current()
        for pulse in left:
            if self._room > 0 and pulse.execution not in refused and not self._is_fatal(pulse):
                self._begin(pulse)
        return len(left)

    def _is_fatal(self, pulse: Pulse) -> bool:
        """Whether it ends every runner before its first operation; then it has failed."""
        is_suspect = pulse.owner is not None and pulse.epoch >= MAX_INTERRUPTIONS
        if pulse.state != ExecutionState.PENDING or not is_suspect:
            return False
        said = f"{pulse.epoch} runners have vanished while they made its task graph"
        if self._ledger.abandon(pulse, ExecutionState.FAILED, said):
            self._ledger.add_logs([LogRow(pulse.execution, "ERROR", said, self._clock.now())])
            self._tell(_event("failed", f"execution {pulse.execution} failed: {said}", _Work(pulse)))
        return True

    def _take_queued(self) -> int:
        if self._room <= 0:
            return 0
        claims = self._ledger.claim_queued(self._owner, self._room, self._refusals.current())
        for claim in claims:
            self._begin(claim)
        return len(claims)

    # --- running one

    def _begin(self, got: Got) -> None:
        work = _Work(got)
        self._running[got.execution] = work
        thread = begin_thread(lambda: self._messages.put(self._carry_out(work)),
                              f"aria-runner-{got.execution}")
        if thread is None:
            self._give_back(work)
            self._messages.put(_Ended(work, "refused", f"execution {got.execution} waits: the system has no "
                                                       "more threads now"))

    def _carry_out(self, work: _Work) -> _Ended:
        which = f"execution {work.got.execution}"
        try:
            with self._make_runner(work.got, self._owner) as runner:
                return self._execute(work, runner)
        except (ExecutionOwnedError, FencedError) as error:
            return _Ended(work, "lost", f"{which} is another runner's: {error}")
        except StorageUnavailableError as error:
            return _Ended(work, "lost", f"{which} is left until the storage is back: {error}")
        except BaseException as error:  # noqa: BLE001 - whatever it raises, the others go on
            if work.runner is None:  # else it has let go itself, if it could
                self._give_back(work)
            return self._refused(work, error)

    def _execute(self, work: _Work, runner: QueueRunner) -> _Ended:
        row = runner.execution
        work.service, work.workflow = row.service.name, row.workflow_name
        which = f"execution {row.id} ({work.workflow} on {work.service})"
        work.runner = runner
        if self._grace is not None:
            if isinstance(work.got, Claim):
                self._ledger.release(work.got)
            return _Ended(work, "handed over", f"{which} handed over before it began")
        kind: RunnerEventKind = "begun" if isinstance(work.got, Claim) else "taken over"
        runner.when_claimed = lambda: self._messages.put(_event(kind, f"{which} {kind}", work))
        try:
            state = runner.execute()
        except ExecutionFailedError as error:
            return _Ended(work, "failed", f"{which} failed: {error}")
        except Exception as error:
            # What a workflow function raises is a workflow that failed.
            if isinstance(error, StorageUnavailableError) or runner.execution.state != ExecutionState.FAILED:
                raise
            return _Ended(work, "failed", f"{which} failed: {runner.execution.error or error}")
        if state == ExecutionState.STARTED:
            return _Ended(work, "handed over", f"{which} handed over")
        return _Ended(work, "cancelled" if state == ExecutionState.CANCELLED else "succeeded",
                      f"{which} {state}")

    def _give_back(self, work: _Work) -> None:
        """Nobody runs what was claimed: another runner may. (What was taken over has been let go.)"""
        if isinstance(work.got, Claim):
            with suppress(AriaError):
                self._ledger.release(work.got)

    def _refused(self, work: _Work, error: BaseException) -> _Ended:
        said = str(error) if isinstance(error, AriaError) else f"{type(error).__name__}: {error}"
        if work.got.execution not in self._refusals.waits:
            with suppress(AriaError):
                self._ledger.add_logs([LogRow(work.got.execution, "ERROR", f"a runner cannot run it: {said}",
                                              self._clock.now())])
        return _Ended(work, "refused", f"execution {work.got.execution} cannot be run here: {said}")

    def _say(self, kind: RunnerEventKind, text: str) -> None:
        self._tell(RunnerEvent(kind, text))


def _event(kind: RunnerEventKind, text: str, work: _Work) -> RunnerEvent:
    return RunnerEvent(kind, text, work.got.execution, work.service, work.workflow)
