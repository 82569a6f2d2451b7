"""The writes of claimed calls for databases whose writers are alone: a row for each call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, insert, literal, select, update

from aria_core.modeling.claimed_calls import ClaimedCall
from aria_core.modeling.models import Execution, Task
from aria_core.modeling.states import ExecutionState, TaskState
from aria_core.storage.records import CallBeat
from aria_core.worker.calls import CallRef

_execution: Any = Execution.__table__
_task: Any = Task.__table__
_call: Any = ClaimedCall.__table__

_REF = (_call.c.execution_id, _call.c.task_id, _call.c.attempt)
_IS_GIVEN = (_call.c.execution_id == bindparam("b_execution"), _call.c.task_id == bindparam("b_task"),
             _call.c.attempt == bindparam("b_attempt"))
_FREE = (_task.c.id == bindparam("b_task"), _task.c.attempts == bindparam("b_attempt"),
         _task.c.execution_id == bindparam("b_execution"), _task.c.state == TaskState.SENT)
_BEGUN = exists().where(_execution.c.id == _task.c.execution_id, _execution.c.state == ExecutionState.STARTED)
_NEW_ROW = insert(_call).from_select(
    ["execution_id", "task_id", "attempt", "location", "claim_key", "beat", "claimed_at", "heard"],
    select(_task.c.execution_id, _task.c.id, _task.c.attempts,
           bindparam("n_where", type_=_call.c.location.type),
           bindparam("n_key", type_=_call.c.claim_key.type), literal(0),
           bindparam("n_at", type_=_call.c.claimed_at.type), literal(0)).where(*_FREE, _BEGUN))
_START = update(_task).where(*_FREE, exists().where(
    _call.c.task_id == _task.c.id, _call.c.attempt == _task.c.attempts,
    _call.c.claim_key == bindparam("b_key"))).values(state=TaskState.STARTED, started_at=bindparam("n_at"))
_BEAT = update(_call).where(*_IS_GIVEN).values(
    beat=_call.c.beat + 1, heard=bindparam("n_heard"),
    progress=func.coalesce(bindparam("n_progress", type_=_call.c.progress.type), _call.c.progress),
    progress_message=func.coalesce(bindparam("n_message", type_=_call.c.progress_message.type),
                                   _call.c.progress_message))
_PUT = update(_call).where(*_IS_GIVEN, _call.c.report.is_(None)).values(report=bindparam("n_report"))


def claim(connection: Connection, refs: Sequence[CallRef], where: str, at: datetime,
          key: str) -> set[CallRef]:
    """Start those that nobody has, and give each its row; what was won, now or before with this `key`."""
    given = [_named(ref) for ref in refs]
    connection.execute(_NEW_ROW, [{**each, "n_where": where, "n_key": key, "n_at": at} for each in given])
    connection.execute(_START, [{**each, "b_key": key, "n_at": at} for each in given])
    return won_before(connection, refs, key)


def won_before(connection: Connection, refs: Iterable[CallRef], key: str) -> set[CallRef]:
    """Those that were claimed with this `key`."""
    of_key = select(*_REF).where(_call.c.task_id.in_({ref.task for ref in refs}), _call.c.claim_key == key)
    return {CallRef(*row) for row in connection.execute(of_key)}


def beat(connection: Connection, beats: Sequence[CallBeat]) -> frozenset[CallRef]:
    """Count each one's beat; those that are still wanted."""
    connection.execute(_BEAT, [{**_named(each.ref), "n_heard": each.heard, "n_progress": each.progress,
                                "n_message": each.message} for each in beats])
    refs = {each.ref for each in beats}
    wanted = select(*_REF).join(_task, _task.c.id == _call.c.task_id).join(
        _execution, _execution.c.id == _call.c.execution_id).where(
        _call.c.task_id.in_({ref.task for ref in refs}), _task.c.attempts == _call.c.attempt,
        _task.c.state == TaskState.STARTED, _execution.c.state == ExecutionState.STARTED)
    return frozenset(refs & {CallRef(*row) for row in connection.execute(wanted)})


def put(connection: Connection, reports: Sequence[tuple[CallRef, str]]) -> None:
    """Store each report where there is none."""
    connection.execute(_PUT, [{**_named(ref), "n_report": report} for ref, report in reports])


def _named(ref: CallRef) -> dict[str, Any]:
    return {"b_execution": ref.execution, "b_task": ref.task, "b_attempt": ref.attempt}
