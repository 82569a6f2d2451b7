"""The writes of claimed calls for PostgreSQL: one statement for any number of calls.

They come as one JSON text. Each statement locks the rows it changes in the order of their tasks, after the
rows of their executions: so it never waits for who waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, TextClause, text

from aria_core.storage.records import CallBeat
from aria_core.storage.sql.statements import TASK_COLUMNS
from aria_core.worker.calls import CallRef

# Whoever deletes the execution waits, or has it to itself; the engine, which changes it, does neither.
_WINS = """
WITH given AS (
    SELECT * FROM json_to_recordset(CAST(:given AS json)) AS _(execution int, task int, attempt int)),
begun AS (
    SELECT id FROM execution WHERE id IN (SELECT execution FROM given) AND state = 'started'
     ORDER BY id FOR KEY SHARE),
free AS (
    SELECT task.id FROM task JOIN given ON task.id = given.task AND task.attempts = given.attempt
     AND task.execution_id = given.execution
     WHERE task.state = 'sent' AND task.execution_id IN (SELECT id FROM begun)
     ORDER BY task.id FOR NO KEY UPDATE OF task),
won AS (
    UPDATE task SET state = 'started', started_at = CAST(:at AS timestamptz) FROM free WHERE task.id = free.id
    RETURNING task.*),
called AS (
    INSERT INTO claimed_call (execution_id, task_id, attempt, location, claim_key, beat, claimed_at, heard)
    SELECT execution_id, id, attempts, CAST(:where AS text), CAST(:key AS text), 0,
     CAST(:at AS timestamptz), 0 FROM won)"""

_ENDS = """
told AS (
    SELECT * FROM json_to_recordset(CAST(:told AS json))
     AS _(execution int, task int, attempt int, report text)),
held AS (
    SELECT claimed_call.id, told.report
     FROM claimed_call JOIN told ON claimed_call.task_id = told.task
     AND claimed_call.attempt = told.attempt AND claimed_call.execution_id = told.execution
     WHERE claimed_call.report IS NULL {after}
     ORDER BY claimed_call.task_id FOR NO KEY UPDATE OF claimed_call)"""
_PUTS = "UPDATE claimed_call SET report = held.report FROM held WHERE claimed_call.id = held.id"
_TELLS = " ".join(["SELECT execution_id,", ", ".join(column.name for column in TASK_COLUMNS), "FROM won"])

_CLAIM = text("\n".join([_WINS, _TELLS]))
_PUT = text("\n".join(["WITH", _ENDS.format(after=""), _PUTS]))
# Rows of tasks are locked before those of calls: that they are counted has them locked first.
_BOTH = text("\n".join([f"{_WINS},", _ENDS.format(after="AND (SELECT count(*) FROM won) >= 0"),
                        f", ended AS ({_PUTS})", _TELLS]))

_BEAT = text("""
WITH given AS (
    SELECT * FROM json_to_recordset(CAST(:given AS json))
     AS _(execution int, task int, attempt int, heard int, progress float8, message text)),
held AS (
    SELECT claimed_call.id, given.heard, given.progress, given.message
     FROM claimed_call JOIN given ON claimed_call.task_id = given.task
     AND claimed_call.attempt = given.attempt AND claimed_call.execution_id = given.execution
     ORDER BY claimed_call.task_id FOR NO KEY UPDATE OF claimed_call),
beaten AS (
    UPDATE claimed_call SET beat = beat + 1, heard = held.heard,
     progress = coalesce(held.progress, claimed_call.progress),
     progress_message = coalesce(held.message, claimed_call.progress_message)
     FROM held WHERE claimed_call.id = held.id
    RETURNING execution_id, task_id, attempt)
SELECT beaten.* FROM beaten JOIN task ON task.id = beaten.task_id AND task.attempts = beaten.attempt
 JOIN execution ON execution.id = beaten.execution_id
 WHERE task.state = 'started' AND execution.state = 'started'""")

class Exchange(NamedTuple):
    """The statement that puts reports and claims calls, and what it is given."""

    statement: TextClause
    values: dict[str, Any]
    claims: bool
    """Whether it tells what was won."""


def exchange(refs: Sequence[CallRef], where: str, at: datetime, key: str,
             reports: Sequence[tuple[CallRef, str]] = ()) -> Exchange:
    """Store each report where there is none; start calls that nobody has, and give each its row."""
    told = _json([{**_named(ref), "report": report} for ref, report in reports]) if reports else ""
    if not refs:
        return Exchange(_PUT, {"told": told}, claims=False)
    given = {"given": _json([_named(ref) for ref in refs]), "where": where, "at": at, "key": key}
    if not reports:
        return Exchange(_CLAIM, given, claims=True)
    return Exchange(_BOTH, {**given, "told": told}, claims=True)


def beat(connection: Connection, beats: Sequence[CallBeat]) -> frozenset[CallRef]:
    """Count each one's beat; those that are still wanted."""
    given = _json([{**_named(each.ref), "heard": each.heard, "progress": each.progress,
                    "message": each.message} for each in beats])
    return frozenset(CallRef(*row) for row in connection.execute(_BEAT, {"given": given}))


def _named(ref: CallRef) -> dict[str, Any]:
    return {"execution": ref.execution, "task": ref.task, "attempt": ref.attempt}


def _json(given: list[dict[str, Any]]) -> str:
    return json.dumps(given, allow_nan=False, separators=(",", ":"))
