"""What becomes of an execution's tasks when another runner takes it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, select, update

from aria_core.modeling.claimed_calls import ClaimedCall
from aria_core.modeling.models import Task
from aria_core.modeling.states import RUNNING_TASK_STATES, TaskState

_task: Any = Task.__table__
_call: Any = ClaimedCall.__table__
_RUNNING = [str(state) for state in RUNNING_TASK_STATES]


def recover(connection: Connection, execution: int) -> None:
    """Make its tasks that were in flight ``pending``, but for calls that workers elsewhere have claimed."""
    in_flight = [_task.c.execution_id == execution, _task.c.state.in_(_RUNNING)]
    # Who claims a call meanwhile has its task's row locked: the next statement sees whether it did.
    connection.execute(select(_task.c.id).where(*in_flight).order_by(_task.c.id)
                       .with_for_update(key_share=True)).all()
    connection.execute(update(_task).where(*in_flight, ~_is_claimed()).values(
        state=TaskState.PENDING, reason="its runner vanished", interruptions=_task.c.interruptions + 1,
        sent_at=None, started_at=None))
    connection.execute(delete(_call).where(_call.c.execution_id == execution, ~_runs()))


def _is_claimed() -> ColumnElement[bool]:
    return exists().where(_call.c.task_id == _task.c.id, _call.c.attempt == _task.c.attempts)


def _runs() -> ColumnElement[bool]:
    return exists().where(_task.c.id == _call.c.task_id, _task.c.attempts == _call.c.attempt,
                          _task.c.state == TaskState.STARTED)


def give_failed_another_chance(connection: Connection, execution: int) -> None:
    """Make its failed tasks ``pending``, with new budgets."""
    connection.execute(
        update(_task).where(_task.c.execution_id == execution, _task.c.state == TaskState.FAILED,
                            _task.c.ignore_failure.is_(False)).values(
            state=TaskState.PENDING, reason="retried by resume", failures=0, lost=0, interruptions=0,
            sent_at=None, started_at=None, ended_at=None))
