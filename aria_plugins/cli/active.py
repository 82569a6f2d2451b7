"""``aria executions active``: who runs what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import options
from .printing import show_json, show_table, tell
from .program import Program, pass_program
from .shown import ACTIVE, secrets_of, shown_state

if TYPE_CHECKING:
    from aria_core import Execution


@click.command()
@options.as_json
@pass_program
def active(program: Program, as_json: bool) -> None:
    """List the executions that are not over, who runs them, and the calls that workers elsewhere have."""
    found = program.model.execution.list(filters={"state": list(ACTIVE)}, sort={"id": "asc"})
    rows = [_row(program, each) for each in found]
    if as_json:
        show_json(rows)
        return
    show_table(rows, ("id", "service", "workflow", "status", "runner", "calls_elsewhere"), as_json,
               nothing="no execution is active")
    calls = [call for row in rows for call in row["calls"]]
    if calls:
        tell()
        show_table(calls, ("execution", "task", "attempt", "worker", "since", "progress"), as_json)


def _row(program: Program, execution: Execution) -> dict[str, Any]:
    from aria_core import describe_owner

    calls = _calls(program, execution)
    runner = describe_owner(execution.owner) if execution.owner is not None else None
    return {"id": execution.id, "service": execution.service.name, "workflow": execution.workflow_name,
            "state": execution.state, "status": shown_state(execution), "queued": execution.queued,
            "runner": runner, "runners": execution.epoch, "beat": execution.beat,
            "created_at": execution.created_at, "started_at": execution.started_at,
            "calls_elsewhere": len(calls), "calls": calls}


def _calls(program: Program, execution: Execution) -> list[dict[str, Any]]:
    calls = program.model.ledger.claimed_calls(execution.id)
    secrets = secrets_of(program, execution.service) if calls else None
    return [{"execution": execution.id, "task": program.model.task.get(each.ref.task).name,
             "attempt": each.ref.attempt, "worker": each.where, "since": each.claimed_at,
             "progress": each.progress,
             "progress_message": secrets.hide_in(each.message) if secrets is not None else each.message,
             "has_reported": each.report is not None}
            for each in calls]
