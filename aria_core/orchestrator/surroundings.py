"""What an engine is handed: everything it needs, and nothing it could reach otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import SystemRandom
from typing import Protocol

from aria_core.clock import Clock
from aria_core.modeling.specification import WorkflowSpec
from aria_core.orchestrator.events import Emitter, Listener
from aria_core.orchestrator.executor import Executor
from aria_core.orchestrator.inbox import EngineInbox
from aria_core.orchestrator.progress import TaskProgress
from aria_core.storage.model import Ledger
from aria_core.worker.calls import Call, Edit

TERMINATE_GRACE = 5.0
"""Seconds an operation has between SIGTERM and SIGKILL."""


class Calls(Protocol):
    """Turns tasks into calls."""

    def make(self, task: TaskProgress) -> Call:
        """The call for the current attempt; raises what makes it impossible."""

    def outline(self, task: TaskProgress) -> Call:
        """The call without what is for its worker alone: arguments, wrappers, code and environment."""

    def owns(self, edit: Edit) -> bool:
        """Whether an edit is of a node or relationship of this execution's service."""


class WriteLog(Protocol):
    """Writes a line into the execution's log."""

    def __call__(self, level: str, message: str, task: int | None = None, attempt: int | None = None,
                 traceback: str | None = None) -> None:
        """Take the line; never blocks, never raises."""


class RunnerHooks(Protocol):
    """What hook extensions add to a runner."""

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Who hears of every event."""

    def wrappers(self, call: Call) -> tuple[str, ...]:
        """The context managers that go around an operation, as ``module:function``, outermost first."""

    def workflows(self) -> Mapping[str, WorkflowSpec]:
        """The workflows that every service offers beside its own."""


class NoHooks:
    """Adds nothing."""

    listeners: tuple[Listener, ...] = ()

    def wrappers(self, call: Call) -> tuple[str, ...]:
        """None."""
        return ()

    def workflows(self) -> Mapping[str, WorkflowSpec]:
        """None."""
        return {}


@dataclass(frozen=True, slots=True)
class ListenedHooks:
    """The hooks of extensions, and listeners of the caller's own, who hear first."""

    hooks: RunnerHooks
    own: tuple[Listener, ...]

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The caller's, then those of extensions."""
        return (*self.own, *self.hooks.listeners)

    def wrappers(self, call: Call) -> tuple[str, ...]:
        """Those of extensions."""
        return self.hooks.wrappers(call)

    def workflows(self) -> Mapping[str, WorkflowSpec]:
        """Those of extensions."""
        return self.hooks.workflows()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The parts around one engine."""

    ledger: Ledger
    executor: Executor
    inbox: EngineInbox
    calls: Calls
    emitter: Emitter
    clock: Clock
    log: WriteLog
    workflow: str
    service: int
    grace: float = TERMINATE_GRACE
    random: Callable[[], float] = SystemRandom().random
    """Numbers from 0 to 1, for the jitter of retries."""

    def own(self, edits: Iterable[Edit]) -> list[Edit]:
        """The edits of this execution's service; of others the log tells."""
        owned = []
        for edit in edits:
            if self.calls.owns(edit):
                owned.append(edit)
            else:
                self.log("WARNING", f"the {edit.kind} {edit.owner} is not of this service: its attribute "
                                    f"{edit.name!r} was not changed")
        return owned
