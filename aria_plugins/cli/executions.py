"""``aria executions``: runs of workflows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .active import active
from .inputs import read_inputs
from .printing import show_fields, show_table, tell
from .program import Program, pass_program
from .running import chosen_executor, leave_to_queue, new_run
from .shown import ACTIVE, secrets_of, shown_state

if TYPE_CHECKING:
    from aria_core import Execution, SecretValues, Service, Task, WorkflowRunner

LOOKS_EVERY = 0.2
"""Seconds between two looks at an execution that somebody else runs."""
SILENT_FOR = 15.0
"""Seconds without a sign of life after which its runner may have stopped."""


@click.group()
def executions() -> None:
    """Start, resume, cancel and look at executions."""


executions.add_command(active)


@executions.command("start")
@click.argument("service")
@click.argument("workflow")
@options.inputs
@options.inputs_file
@options.executor
@options.dry
@options.max_attempts
@options.retry_interval
@options.retry_budget
@options.limits
@options.queue
@options.as_json
@pass_program
def start(  # noqa: PLR0917 - click hands one argument for each option
        program: Program, /, service: str, workflow: str, given: tuple[str, ...],
        inputs_file: Path | None, executor: str | None, dry: bool, queue: bool, as_json: bool,
        **settings: Any) -> int:
    """Run WORKFLOW on SERVICE to its end."""
    row = program.model.service.get_by_name(service)
    inputs = read_inputs(given, inputs_file, workflow_types(row, workflow))
    wanted = {"service_id": row.id, "workflow_name": workflow, "inputs": inputs, **settings}
    if queue:
        return leave_to_queue(program, as_json, executor, dry, **wanted)
    return new_run(program, as_json, executor=chosen_executor(program, executor, dry), **wanted).carry_out()


def workflow_types(service: Service, workflow: str) -> dict[str, str]:
    """The declared types of the inputs of a service's own workflow."""
    own = service.workflows.get(workflow)
    return {} if own is None else {name: each.type_name for name, each in own.input_parameters.items()}


@executions.command("resume")
@click.argument("execution", type=int)
@click.option("--retry-failed", is_flag=True, help="Run the tasks that failed again, with new attempts.")
@options.executor
@options.limits
@options.queue
@options.as_json
@pass_program
def resume(  # noqa: PLR0917 - click hands one argument for each option
        program: Program, /, execution: int, retry_failed: bool, executor: str | None, queue: bool,
        as_json: bool, **limits: Any) -> int:
    """Go on with an execution that was stopped, cancelled, failed or left by its runner.

    Operations that succeeded do not run again. Limits stay as they are, but for those that are given.
    """
    row = program.model.execution.get(execution)
    if row.state == "succeeded":
        tell(f"execution {execution} has succeeded; there is nothing to resume")
        return 0
    if queue:
        return leave_to_queue(program, as_json, executor, dry=False, retry_failed=retry_failed,
                              execution_id=execution, **limits)
    run = new_run(program, as_json, execution_id=execution,
                  executor=chosen_executor(program, executor, row.dry and executor is None), **limits)
    return run.carry_out(retry_failed)


@executions.command("cancel")
@click.argument("execution", type=int)
@click.option("--no-wait", is_flag=True, help="Ask for it and return.")
@pass_program
def cancel(program: Program, execution: int, no_wait: bool) -> None:
    """Cancel an execution, whoever runs it; wait until nothing of it runs any more."""
    from aria_core import InvalidInputError, WorkflowRunner

    runner = WorkflowRunner(program.model, program.resources, None, execution_id=execution)
    runner.cancel()
    state = runner.execution.state if no_wait else _wait_until_over(program, runner)
    if state in ("succeeded", "failed"):
        raise InvalidInputError(f"execution {execution} has {state} already; there is nothing to cancel")
    tell(f"execution {execution} is {state}")


def _wait_until_over(program: Program, runner: WorkflowRunner) -> str:
    """The state in which it ended; should its runner die meanwhile, it is cancelled from here."""
    from aria_core import is_gone

    sign, since = None, time.monotonic()
    while (seen := program.model.ledger.pulse(runner.execution_id)).state in ACTIVE:
        if sign != (sign := (seen.epoch, seen.batch, seen.beat)):
            since = time.monotonic()
        if is_gone(seen.owner) or time.monotonic() - since > SILENT_FOR:
            runner.cancel()
        time.sleep(LOOKS_EVERY)
    return seen.state


@executions.command("list")
@click.option("--service", metavar="NAME", help="Only executions of this service.")
@options.as_json
@pass_program
def list_executions(program: Program, service: str | None, as_json: bool) -> None:
    """List executions."""
    filters = {} if service is None else {"service_id": program.model.service.get_by_name(service).id}
    found = program.model.execution.list(filters=filters, sort={"id": "asc"})
    show_table([_row(each) for each in found],
               ("id", "service", "workflow", "status", "created_at", "ended_at"), as_json,
               nothing="there are no executions")


def _row(execution: Execution) -> dict[str, Any]:
    return {"id": execution.id, "service": execution.service.name, "workflow": execution.workflow_name,
            "state": execution.state, "status": shown_state(execution), "dry": execution.dry,
            "queued": execution.queued, "executor": execution.executor, "created_at": execution.created_at,
            "started_at": execution.started_at, "ended_at": execution.ended_at, "error": execution.error}


@executions.command("show")
@click.argument("execution", type=int)
@options.as_json
@pass_program
def show(program: Program, execution: int, as_json: bool) -> None:
    """Show an execution: its inputs, its runner, its tasks by state, its error."""
    from aria_core import describe_owner

    row = program.model.execution.get(execution)
    runner = describe_owner(row.owner) if row.state in ACTIVE else None
    show_fields({**_row(row), "runner": runner, "inputs": _inputs(program, row),
                 "tasks": _task_states(program, row), "task_max_attempts": row.task_max_attempts,
                 "task_retry_interval": row.task_retry_interval, "task_retry": row.task_retry,
                 "retry_budget": row.retry_budget, "failed_attempts": row.failed_attempts or 0,
                 "max_concurrency": row.max_concurrency, "max_per_node": row.max_per_node,
                 "pools": row.pools or {}}, as_json)


def _inputs(program: Program, execution: Execution) -> dict[str, Any]:
    from aria_core import MASK

    own = execution.service.workflows.get(execution.workflow_name)
    secret = {name for name, each in own.input_parameters.items() if each.secret} if own is not None else ()
    values = {name: MASK if name in secret else value for name, value in execution.inputs.items()}
    return dict(secrets_of(program, execution.service).hide_in(values))


def _task_states(program: Program, execution: Execution) -> dict[str, int]:
    from aria_core import TaskState

    counts = {}
    for state in TaskState:
        filters = {"execution_id": execution.id, "stub": None, "state": str(state)}
        counts[str(state)] = program.model.task.list(filters, pagination={"size": 0}).metadata["total"]
    return {state: count for state, count in counts.items() if count}


@executions.command("tasks")
@click.argument("execution", type=int)
@click.option("--all", "everything", is_flag=True, help="Also the stubs that begin and end workflows.")
@options.as_json
@pass_program
def tasks(program: Program, execution: int, everything: bool, as_json: bool) -> None:
    """List the tasks of an execution."""
    row = program.model.execution.get(execution)
    filters = {"execution_id": row.id} if everything else {"execution_id": row.id, "stub": None}
    found = program.model.task.list(filters=filters, sort={"position": "asc"})
    secrets = secrets_of(program, row.service)
    limited = tuple(each for each in ("priority", "pool") if any(getattr(task, each) for task in found))
    show_table([_task_row(each, secrets) for each in found],
               ("id", "name", "state", *limited, "attempts", "progress", "started_at", "ended_at", "reason"),
               as_json,
               nothing=f"execution {execution} has no tasks")


def _task_row(task: Task, secrets: SecretValues) -> dict[str, Any]:
    return {"id": task.id, "name": task.name, "state": task.state, "stub": task.stub,
            "attempts": task.attempts, "max_attempts": task.max_attempts, "reason": task.reason,
            "arguments": secrets.hide_in(_arguments(task)), "function": task.function,
            "waits_for": task.waits_for, "priority": task.priority or 0, "pool": task.pool,
            "sent_at": task.sent_at, "started_at": task.started_at, "ended_at": task.ended_at,
            "due_at": task.due_at, "progress": task.progress,
            "progress_message": secrets.hide_in(task.progress_message)}


def _arguments(task: Task) -> dict[str, Any]:
    from aria_core import MASK

    return {name: MASK if name in (task.secret or ()) else value for name, value in task.arguments.items()}
