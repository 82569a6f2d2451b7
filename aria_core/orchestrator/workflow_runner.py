"""Running workflows."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from aria_core.clock import Clock, SystemClock
from aria_core.exceptions import (
    AlreadyExistsError,
    ExecutionFailedError,
    ExecutionOwnedError,
    ResumeRefusedError,
)
from aria_core.extensions import Extensions
from aria_core.extensions.kinds import EXECUTORS
from aria_core.modeling.limits import ExecutionLimits
from aria_core.modeling.models import Execution, Service
from aria_core.modeling.retries import ExecutionRetries
from aria_core.modeling.states import ExecutionState, TaskState
from aria_core.orchestrator.call_maker import origin_of
from aria_core.orchestrator.draft import record
from aria_core.orchestrator.exceptions import ActiveExecutionsError, InvalidWorkflowRunnerParams
from aria_core.orchestrator.executor import Executor, lent
from aria_core.orchestrator.letting_go import let_go
from aria_core.orchestrator.ownership import pulse_if_left
from aria_core.orchestrator.patience import ride_out
from aria_core.orchestrator.plugin import PluginManager
from aria_core.orchestrator.preparation import prepare, template_code
from aria_core.orchestrator.run import Run
from aria_core.orchestrator.surroundings import NoHooks, RunnerHooks
from aria_core.orchestrator.tasks import MOST_ATTEMPTS
from aria_core.storage.model import Ledger, ModelStorage
from aria_core.storage.owners import describe_owner, is_gone, this_process
from aria_core.storage.records import Batch, Claim, NewExecution, Pulse, TaskRow
from aria_core.storage.resource import ResourceStorage
from aria_core.worker.calls import CallRef, mark_of
from aria_core.worker.processes import kill_all_marked

DEFAULT_EXECUTOR = "process"


class WorkflowRunner:
    """Manages a single workflow execution on a given service.

    Give `service_id` and `workflow_name` (and `inputs`) for a new execution, or `execution_id` alone
    to resume or cancel one; other combinations raise ``InvalidWorkflowRunnerParams``. A new execution
    is made at once, as ``pending``: from then on the service is claimed. ``ActiveExecutionsError``
    says that somebody else has it.

    `executor` runs the tasks; it is opened by this runner, and closed by it only if the runner made
    it (None: the one named ``process``). `task_max_attempts` (-1: without end) and
    `task_retry_interval` (seconds) hold for every task that says nothing else.

    At most `max_concurrency` tasks run at once, `max_per_node` of each node that has no limit of its own,
    and as many of those that name a pool as `pools` say (-1: any number). They are stored: a resume keeps
    those that it is not given.
    """

    _hooks: RunnerHooks = NoHooks()
    _retries: ExecutionRetries = ExecutionRetries()
    _is_queued = False

    def __init__(self, model_storage: ModelStorage,  # noqa: PLR0917 - the seed's signature
                 resource_storage: ResourceStorage, plugin_manager: PluginManager | None,
                 execution_id: int | None = None, service_id: int | None = None,
                 workflow_name: str | None = None, inputs: Mapping[str, Any] | None = None,
                 executor: Executor | None = None, task_max_attempts: int = 30,
                 task_retry_interval: float = 30, *, max_concurrency: int | None = None,
                 max_per_node: int | None = None, pools: Mapping[str, int] | None = None) -> None:
        _check_combination(execution_id, service_id, workflow_name, inputs)
        _check_retries(task_max_attempts, task_retry_interval)
        self._limits = ExecutionLimits(max_concurrency, max_per_node, pools or {})
        self._model = model_storage
        self._resource = resource_storage
        self._plugins = plugin_manager
        self._given_executor = executor
        self._clock: Clock = SystemClock()
        self._run: Run | None = None
        self._claim: Claim | None = None
        self._stop_grace: float | None = None
        if execution_id is not None:
            self._execution_id = self._ledger.pulse(execution_id).execution
            return
        self._new = NewExecution(
            service_id or 0, workflow_name or "", dict(inputs or {}),
            {**this_process(), "claim": secrets.token_hex(8)}, queued=self._is_queued,
            executor=_executor_name(executor, "" if self._is_queued else DEFAULT_EXECUTOR),
            dry=executor is not None and not executor.runs_operations,
            task_max_attempts=task_max_attempts, task_retry_interval=task_retry_interval,
            task_retry=self._retries.policy.rules_to_json(),
            retry_budget=self._retries.budget if self._retries.budget != -1 else None,
            **self._limits.columns())
        self._execution_id = self._start_new()

    # --- what the seed names

    @property
    def execution_id(self) -> int:
        """The id of the execution."""
        return self._execution_id

    @property
    def execution(self) -> Execution:
        """The execution's row, as it is now."""
        return self._model.execution.get(self._execution_id)

    @property
    def service(self) -> Service:
        """The service it runs on."""
        return self.execution.service

    def execute(self, retry_failed: bool = False) -> str:
        """Run the workflow to its end; the execution's state then.

        A new execution is begun; one that was given by its id is resumed, from every state. One that
        succeeded is left as it is. With `retry_failed`, tasks that failed are tried again. The state
        is ``started`` if `stop` was called: resume it later.

        Raises ``ExecutionFailedError`` (its message is the first cause), ``ExecutionOwnedError``
        while a living runner has it, ``FencedError`` if one took it over, ``ResumeRefusedError`` if a
        later execution of the service exists, or for a dry one with an executor that is not and the
        other way round, or if what its former runner left running cannot be ended,
        ``InvalidWorkflowRunnerParams`` while the executor works for another runner, and what a workflow
        function raises.

        A runner whose process lives without showing it is watched for 15 seconds, then taken over.
        """
        with ExitStack() as stack:
            executor = self._given_executor or self._make_executor(stack)
            claim, self._claim = self._claim or self._take(executor, retry_failed), None
            if claim is None:
                return ExecutionState.SUCCEEDED
            state = self._execute(claim, executor, retry_failed)
        if state == ExecutionState.FAILED:
            raise ExecutionFailedError(self.execution.error or "the workflow failed")
        return state

    def cancel(self) -> None:
        """Cancel the execution, from any thread or process.

        Returns once its runner has shown that it lives, within a second; that one ends what runs and
        then says ``cancelled``. Where no runner is left, this one does. An execution that has ended stays
        as it is.
        """
        state = self._ledger.request_cancel(self._execution_id)
        if state != ExecutionState.CANCELLING:
            return
        if self._run is not None:
            self._run.see_cancel()
            return
        seen = self._ledger.pulse(self._execution_id)
        left = self._if_left(seen) if seen.state == ExecutionState.CANCELLING else None
        if left is not None:
            try:
                self._finish_cancel(left)
            except ExecutionOwnedError:
                return  # somebody was quicker, and ends it

    # --- beside them

    def stop(self, grace: float = 30.0) -> None:
        """Stop this runner, not the execution: dispatch nothing more, give what runs `grace` seconds.

        `execute` then returns ``started``; the execution can be resumed. Call again with a smaller
        grace to hurry. Called before `execute`, it holds for that. From any thread or signal handler.
        """
        self._stop_grace = grace
        if self._run is not None:
            self._run.stop(grace)

    # --- claiming

    @property
    def _ledger(self) -> Ledger:
        return self._model.ledger

    def _start_new(self) -> int:
        service = self._model.service.get(self._new.service_id)
        with template_code(self._resource, service) as code:
            prepared = prepare(self._model, service, self._new.workflow_name, self._new.inputs, code=code,
                               contributed=self._hooks.workflows())
        self._drop_orphaned_pending(service.id)
        self._new = replace(self._new, inputs=prepared.inputs)
        try:
            self._claim = ride_out(self._clock, self._claim_new)
        except AlreadyExistsError as error:
            raise ActiveExecutionsError(f"cannot start {self._new.workflow_name!r}: {error}") from error
        return self._claim.execution

    def _claim_new(self, again: bool) -> Claim:
        active = self._ledger.active(self._new.service_id) if again else None
        if active is not None and _claimed_with(active.owner) == _claimed_with(self._new.owner):
            # it was committed after all
            return Claim(active.execution, active.epoch, active.batch, active.state)
        return self._ledger.claim_new(self._new)

    def _drop_orphaned_pending(self, service: int) -> None:
        """A claim whose owner died before it had a graph has done nothing: it is let go."""
        active = self._ledger.active(service)
        if active is None or active.queued:  # that one waits for a runner
            return
        if active.state == ExecutionState.PENDING and is_gone(active.owner):
            self._ledger.abandon(active, ExecutionState.CANCELLED, "its runner vanished before it began")

    def _take(self, executor: Executor | None, retry_failed: bool) -> Claim | None:
        """Claim an execution that exists; None if it has succeeded."""
        seen = self._ledger.pulse(self._execution_id)
        if seen.state == ExecutionState.SUCCEEDED:
            return None
        self._refuse_superseded(seen)
        if executor is not None:
            self._refuse_other_kind(executor)
        left = self._if_left(seen)
        if left is None:
            owner = self._ledger.pulse(seen.execution).owner or seen.owner
            raise ExecutionOwnedError(f"execution {seen.execution} is being run by {describe_owner(owner)}")
        return self._take_over(left, retry_failed, self._limits.columns(self.execution.pools))

    def _refuse_superseded(self, seen: Pulse) -> None:
        latest = self._ledger.latest(seen.service)
        if latest is not None and latest != seen.execution:
            name = self._model.execution.get(latest).workflow_name
            raise ResumeRefusedError(f"execution {seen.execution} cannot be resumed: the later execution "
                                     f"{latest} ({name}) of its service exists")

    def _refuse_other_kind(self, executor: Executor) -> None:
        """Tasks that a dry run ticked off never ran, so the two kinds must not be mixed."""
        execution = self.execution
        if execution.dry == executor.runs_operations:
            raise ResumeRefusedError(
                f"execution {execution.id} was dry: resume it with a dry executor, or start a new one"
                if execution.dry else
                f"execution {execution.id} was not dry: resume it with an executor that runs operations")

    def _if_left(self, seen: Pulse) -> Pulse | None:
        return pulse_if_left(self._ledger, seen, self._clock)

    def _take_over(self, seen: Pulse, retry_failed: bool, changes: Mapping[str, Any]) -> Claim:
        # Not only what is running: who took over before us may have died before it had ended the rest.
        unfinished = [_ref(seen.execution, row) for row in self._ledger.load_graph(seen.execution)
                      if row.attempts and row.state != TaskState.SUCCESS]
        origin = origin_of(self._model.service.get(seen.service))
        try:
            claim: Claim = self._ledger.claim_existing(
                seen, self._identity(), retry_failed=retry_failed, changes=changes)
        except AlreadyExistsError as error:
            raise ActiveExecutionsError(f"cannot resume execution {seen.execution}: {error}") from error
        with self._let_go_if_broken(claim):
            # Whether a worker on this host has them or another: what is claimed goes on.
            elsewhere = self._claimed(claim)
            _end_marked(seen.execution, [mark_of(ref, origin) for ref in unfinished if ref not in elsewhere])
        return claim

    def _claimed(self, claim: Claim) -> set[CallRef]:
        rows = ride_out(self._clock, lambda _: self._ledger.claimed_calls(claim.execution))
        return {row.ref for row in rows}

    def _identity(self) -> Mapping[str, Any]:
        return this_process()

    def _finish_cancel(self, seen: Pulse) -> None:
        claim = self._take_over(seen, retry_failed=False, changes={})
        if self._claimed(claim):  # workers must end them first
            with ExitStack() as stack:
                self._execute(claim, self._given_executor or self._make_executor(stack), retry_failed=False)
            return
        end = {"state": ExecutionState.CANCELLED, "ended_at": self._clock.now(), "owner": None}
        with self._let_go_if_broken(claim):
            record(self._ledger, self._clock, claim, Batch(execution=end))

    @contextmanager
    def _let_go_if_broken(self, claim: Claim, executor: Executor | None = None) -> Iterator[None]:
        try:
            yield
        except BaseException:
            let_go(self._ledger, self._clock, claim, executor)
            raise

    # --- running

    def _execute(self, claim: Claim, executor: Executor, retry_failed: bool) -> str:
        with self._let_go_if_broken(claim, executor), lent(executor, self._execution_id):
            self._run = Run(self._model, self._resource, self._plugins, executor=executor,
                            clock=self._clock, claim=claim, hooks=self._hooks)
            if self._stop_grace is not None:
                self._run.stop(self._stop_grace)
            try:
                return self._run.execute(retry_failed)
            finally:
                self._run = self._stop_grace = None

    def _make_executor(self, stack: ExitStack) -> Executor:
        executor: Executor = Extensions().driver(EXECUTORS, DEFAULT_EXECUTOR)()
        stack.callback(executor.close, 5.0)
        return executor


def _check_combination(execution_id: int | None, service_id: int | None, workflow_name: str | None,
                       inputs: Mapping[str, Any] | None) -> None:
    new = (service_id, workflow_name)
    if execution_id is not None and (any(each is not None for each in new) or inputs):
        raise InvalidWorkflowRunnerParams(
            "give execution_id alone to resume an execution; its service, workflow and inputs are its own")
    if execution_id is None and any(each is None for each in new):
        raise InvalidWorkflowRunnerParams(
            "give service_id and workflow_name to start an execution, or execution_id to resume one")


def _check_retries(max_attempts: int, retry_interval: float) -> None:
    if max_attempts != -1 and not 1 <= max_attempts <= MOST_ATTEMPTS:
        raise InvalidWorkflowRunnerParams(
            f"task_max_attempts is {max_attempts}; it is at least 1, at most {MOST_ATTEMPTS}, "
            "or -1 for no end")
    if not 0 <= retry_interval < math.inf:
        raise InvalidWorkflowRunnerParams(
            f"task_retry_interval is {retry_interval}; it is a number of seconds, at least 0")


def _executor_name(executor: Executor | None, default: str) -> str:
    if executor is None:
        return default
    return executor.name or type(executor).__name__.removesuffix("Executor").lower()


def _claimed_with(owner: Mapping[str, Any] | None) -> Any:
    return owner and owner.get("claim")


def _end_marked(execution: int, marks: list[str]) -> None:
    left = kill_all_marked(marks)
    if left:
        raise ResumeRefusedError(
            f"execution {execution} is not taken over: what its former runner started still runs and cannot "
            f"be ended (processes {', '.join(map(str, left))}); end it, then try again")


def _ref(execution: int, row: TaskRow) -> CallRef:
    return CallRef(execution, row.id, row.attempts)


class HookedRunner(WorkflowRunner):
    """A runner with hook extensions and all that is said of retries; `Application.runner` makes it."""

    def __init__(self, hooks: RunnerHooks, retries: ExecutionRetries, *arguments: Any,
                 **keywords: Any) -> None:
        self._hooks = hooks
        self._retries = retries
        super().__init__(*arguments, **keywords)
