"""One runner's turn at one execution: everything around the engine, made and taken down again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from sqlalchemy.orm import Session

from aria_core.clock import Clock
from aria_core.exceptions import AriaError
from aria_core.modeling.models import Execution, Service
from aria_core.modeling.states import ACTIVE_EXECUTION_STATES, ExecutionState
from aria_core.orchestrator.argument_check import ArgumentCheck
from aria_core.orchestrator.call_maker import CallMaker, origin_of
from aria_core.orchestrator.collector import catch_up, collector_at_rest
from aria_core.orchestrator.context.source import ContextSource
from aria_core.orchestrator.draft import record
from aria_core.orchestrator.engine import Engine
from aria_core.orchestrator.events import Emitter, WorkflowEvent, WorkflowEventKind
from aria_core.orchestrator.executor import Executor
from aria_core.orchestrator.inbox import CancelSeen, EngineInbox, OwnershipLost, StopAsked
from aria_core.orchestrator.limits import read_limits
from aria_core.orchestrator.log_writer import LogWriter
from aria_core.orchestrator.ownership import Lease
from aria_core.orchestrator.patience import ride_out
from aria_core.orchestrator.plugin import PluginManager
from aria_core.orchestrator.preparation import make_plan, prepare, template_code
from aria_core.orchestrator.progress import Progress, RetryBudget
from aria_core.orchestrator.ready import queue_for
from aria_core.orchestrator.secret_values import secret_values
from aria_core.orchestrator.slots import find_queues
from aria_core.orchestrator.surroundings import RunnerHooks, Surroundings
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import Batch, Claim, ClaimChangedError, NewExecution, Pulse, TaskRow
from aria_core.storage.resource import ResourceStorage
from aria_core.worker.calls import CallRef, Edit
from aria_core.worker.channel import ChannelError
from aria_core.worker.scratch import sweep


class Run:
    """Holds a claim, keeps it alive, makes the task graph if there is none, and runs the engine."""

    def __init__(self, model: ModelStorage, resource: ResourceStorage, plugins: PluginManager | None, *,
                 executor: Executor, clock: Clock, claim: Claim, hooks: RunnerHooks) -> None:
        self._model = model
        self._resource = resource
        self._plugins = plugins
        self._executor = executor
        self._clock = clock
        self._claim = claim
        self._execution: Execution = model.execution.get(claim.execution)
        self._hooks = hooks
        self._emitter = Emitter(hooks.listeners)
        service, workflow = self._execution.service_id or 0, self._execution.workflow_name
        self._secrets = secret_values(model, service, workflow, self._execution.inputs)
        self._writer = LogWriter(model.ledger, claim.execution, clock, self._secrets.hide)
        self._source = ContextSource(model, resource, service, take_log=self._writer.take, flush=self._flush,
                                     secrets=self._secrets)
        self._inbox = EngineInbox(self._source, self._secrets.hide_in_report, clock)

    def see_cancel(self) -> None:
        """Wake the engine: the row says ``cancelling``."""
        self._inbox.post(CancelSeen())

    def stop(self, grace: float) -> None:
        """Have the engine stop within `grace` seconds."""
        self._inbox.post(StopAsked(grace))

    def execute(self, retry_failed: bool) -> str:
        """Run to the end; the execution's state then. See `WorkflowRunner.execute`.

        When it raises, the execution is still ours: the caller lets it go.
        """
        with ExitStack() as stack:
            stack.callback(self._emitter.close)
            stack.callback(self._writer.close)
            stack.callback(self._source.close)
            stack.push(self._keep_secrets)
            lease = Lease(self._model.ledger, self._claim, self._clock, self._ownership_changed)
            stack.callback(lease.stop)
            lease.start()
            sweep()
            service = self._model.service.get(self._execution.service_id or 0)
            self._executor.origin = origin_of(service)
            code = stack.enter_context(template_code(self._resource, service))
            rows = self._graph(service, code, retry_failed)
            return self._claim.state if rows is None else self._run_engine(service, code, rows)

    def _keep_secrets(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """What a workflow function or an expression raised is told to people."""
        if error is not None:
            self._secrets.hide_in_error(error)

    def _ownership_changed(self, what: str | AriaError) -> None:
        self._inbox.post(OwnershipLost(what) if isinstance(what, AriaError) else CancelSeen())

    # --- the graph

    def _graph(self, service: Service, code: str | None, retry_failed: bool) -> list[TaskRow] | None:
        """The stored graph, or a new one; None if the execution was cancelled before it had one."""
        rows = self._load_graph()
        if rows:
            self._say("resumed", retry_failed=retry_failed)
            return rows
        try:
            if self._claim.state != ExecutionState.CANCELLING:
                rows = self._store_graph(service, code)
        except ClaimChangedError as changed:
            self._claim = changed.claim
        if self._claim.state != ExecutionState.STARTED:
            self._end_without_graph()
            return None
        ids = ride_out(self._clock, lambda _: self._model.ledger.task_ids(self._claim.execution))
        self._say("started")
        with collector_at_rest(len(rows)):
            return [row._replace(id=key) for row, key in zip(rows, ids, strict=True)]

    def _load_graph(self) -> list[TaskRow]:
        return ride_out(self._clock, lambda _: self._model.ledger.load_graph(self._claim.execution))

    def _end_without_graph(self) -> None:
        """Somebody cancelled: there is nothing to end but the execution itself."""
        if self._claim.state == ExecutionState.CANCELLING:
            end = {"state": ExecutionState.CANCELLED, "ended_at": self._clock.now(), "owner": None}
            self._claim = record(self._model.ledger, self._clock, self._claim, Batch(execution=end))
        self._say("cancelled")

    def _store_graph(self, service: Service, code: str | None) -> list[TaskRow]:
        try:
            workflow = prepare(self._model, service, self._execution.workflow_name, self._execution.inputs,
                               code=code, contributed=self._hooks.workflows())
            plan = make_plan(self._model, self._resource, workflow, execution=self._claim.execution,
                             new=self._as_new(), writer=self._writer,
                             check=lambda session, tasks: self._check(session, code, tasks))
        except BaseException as error:
            self._fail_before_start(error)
            raise
        edits = plan.edits if self._executor.runs_operations else []
        with collector_at_rest(len(plan.tasks)):
            self._claim = ride_out(self._clock, lambda again: self._create_graph(plan.tasks, edits, again))
        return plan.tasks

    def _check(self, session: Session, code: str | None, tasks: Sequence[TaskRow]) -> None:
        # What is installed where an executor calls elsewhere is known there only.
        check = ArgumentCheck(session, self._plugins, code, installed=not self._executor.survives_runner)
        check.check(tasks)

    def _create_graph(self, tasks: list[TaskRow], edits: list[Edit], again: bool) -> Claim:
        ledger, claim = self._model.ledger, self._claim
        if again:
            now = ledger.pulse(claim.execution)
            if now.epoch == claim.epoch and now.batch > claim.batch:  # it was committed after all
                return replace(claim, batch=now.batch, state=now.state)
        return ledger.create_graph(claim, tasks, edits, self._clock.now())

    def _fail_before_start(self, error: BaseException) -> None:
        said = str(error) if isinstance(error, AriaError) else f"{type(error).__name__}: {error}"
        cause = self._secrets.hide(said)
        self._writer.write("ERROR", f"the workflow {self._execution.workflow_name!r} failed: {cause}")
        while self._is_active(pulse := self._model.ledger.pulse(self._claim.execution)):
            if self._model.ledger.abandon(pulse, ExecutionState.FAILED, cause):
                self._say("failed", error=cause)
                return
            # Our own lease has beaten since then, or somebody has cancelled or taken it over.

    def _is_active(self, pulse: Pulse) -> bool:
        return pulse.epoch == self._claim.epoch and pulse.state in ACTIVE_EXECUTION_STATES

    def _as_new(self) -> NewExecution:
        row = self._execution
        return NewExecution(
            row.service_id or 0, row.workflow_name, row.inputs, {}, task_max_attempts=row.task_max_attempts,
            task_retry_interval=row.task_retry_interval, task_retry=row.task_retry, pools=row.pools)

    # --- the engine

    def _run_engine(self, service: Service, code: str | None, rows: list[TaskRow]) -> str:
        for row in rows:
            self._secrets.learn_arguments(row)
        around = Surroundings(
            self._model.ledger, self._executor, self._inbox,
            CallMaker(self._model, self._plugins, service, self._execution.workflow_name, code=code,
                      wrappers=self._hooks.wrappers, secrets=self._secrets),
            self._emitter, self._clock, self._writer.write, self._execution.workflow_name, service.id)
        budget = RetryBudget(self._execution.retry_budget, self._execution.failed_attempts or 0)
        progress = Progress(self._claim.execution, rows, budget)
        find_queues(around, progress.tasks)
        ready = queue_for(progress.tasks, read_limits(self._model, self._execution))
        engine = Engine(around, self._claim, progress, ready)
        catch_up(len(rows))
        self._executor.open(self._inbox)  # last: nothing is started for what cannot be read
        return engine.run()

    def _flush(self, ref: CallRef, edits: list[Edit]) -> None:
        self._secrets.learn(edits)
        if not self._executor.runs_operations:
            return
        if not self._model.ledger.record_edits(self._claim, ref.task, ref.attempt, edits):
            raise ChannelError(f"attempt {ref} is not the current one any more; nothing was stored")

    def _say(self, kind: WorkflowEventKind, error: str | None = None, retry_failed: bool = False) -> None:
        row = self._execution
        self._emitter.emit(WorkflowEvent(kind, row.id, row.workflow_name, row.service_id or 0,
                                         self._clock.now(), error, retry_failed))
