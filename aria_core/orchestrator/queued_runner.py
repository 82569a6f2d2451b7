"""Runners of executions that wait in the queue: those who put them there, and those who take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aria_core.modeling.retries import ExecutionRetries
from aria_core.orchestrator.executor import Executor
from aria_core.orchestrator.surroundings import RunnerHooks
from aria_core.orchestrator.workflow_runner import HookedRunner
from aria_core.storage.records import Claim, Pulse


class QueuingRunner(HookedRunner):
    """Leaves an execution to the runners of the queue.

    A new one is in the queue once this is made, whatever becomes of this process; one that was given by
    its id once `execute` was called. Without `executor` a runner takes its own.
    """

    _is_queued = True

    def __init__(self, hooks: RunnerHooks, retries: ExecutionRetries, *arguments: Any,
                 **keywords: Any) -> None:
        super().__init__(hooks, retries, *arguments, **keywords)
        self._is_new, self._claim = self._claim is not None, None

    def execute(self, retry_failed: bool = False) -> str:
        """Leave it to the queue; its state then. Raises what `WorkflowRunner.execute` does of a resume."""
        if self._is_new:
            return self.execution.state
        claim = self._take(self._given_executor, retry_failed)
        if claim is not None:
            self._ledger.release(claim)
        return self.execution.state

    def _claim_new(self, again: bool) -> Claim:
        active = self._ledger.active(self._new.service_id) if again else None
        if active is not None and active.queued and self._is_what_was_asked_for(active.execution):
            return Claim(active.execution, active.epoch, active.batch, active.state)
        return self._ledger.claim_new(self._new)

    def _is_what_was_asked_for(self, execution: int) -> bool:
        # Nobody's name is on it. Should it be another's wish, it is the same.
        row = self._model.execution.get(execution)
        return (row.workflow_name, row.inputs) == (self._new.workflow_name, self._new.inputs)

    def _take_over(self, seen: Pulse, retry_failed: bool, changes: Mapping[str, Any]) -> Claim:
        executor = self._given_executor
        name = executor.name if executor is not None else "dry" if self.execution.dry else ""
        return super()._take_over(seen, retry_failed, {**changes, "queued": True, "executor": name})


class QueueRunner(HookedRunner):
    """Runs an execution of the queue: one that was claimed, or one whose runner is known to be gone."""

    def __init__(self, hooks: RunnerHooks, retries: ExecutionRetries, *arguments: Any, got: Claim | Pulse,
                 owner: Mapping[str, Any], **keywords: Any) -> None:
        super().__init__(hooks, retries, *arguments, execution_id=got.execution, **keywords)
        self._owner = owner
        self.when_claimed: Callable[[], None] = lambda: None
        """Called when the execution is ours, before anything of it is run."""
        self._left = got if isinstance(got, Pulse) else None
        self._claim = got if isinstance(got, Claim) else None

    @property
    def is_held(self) -> bool:
        """Whether one of its calls still runs in this process, where nothing can end it."""
        executor = self._given_executor
        return executor is not None and any(
            ref.execution == self.execution_id for ref in executor.running())

    def _if_left(self, seen: Pulse) -> Pulse | None:
        return seen if self._left is not None and sign_of(seen) == sign_of(self._left) else None

    def _execute(self, claim: Claim, executor: Executor, retry_failed: bool) -> str:
        self.when_claimed()
        return super()._execute(claim, executor, retry_failed)

    def _identity(self) -> Mapping[str, Any]:
        return self._owner


def sign_of(pulse: Pulse) -> tuple[int, int, int, str]:
    """What changes while somebody has the execution."""
    return pulse.epoch, pulse.batch, pulse.beat, pulse.state
