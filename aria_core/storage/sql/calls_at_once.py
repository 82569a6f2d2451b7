"""The writes of claimed calls for PostgreSQL: one statement for any number of calls.

They come as one JSON text. Each statement locks the rows it changes in the order of their tasks, after the
rows of their executions: so it never waits for who waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from aria_core.storage.records import CallBeat
from aria_core.worker.calls import CallRef

# Whoever deletes the execution waits, or has it to itself; the engine, which changes it, does neither.
_CLAIM = text("""
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
    UPDATE task SET state = 'started', started_at = :at FROM free WHERE task.id = free.id
    RETURNING task.execution_id, task.id, task.attempts)
INSERT INTO claimed_call (execution_id, task_id, attempt, location, claim_key, beat, claimed_at, heard)
SELECT execution_id, id, attempts, :where, :key, 0, :at, 0 FROM won
RETURNING execution_id, task_id, attempt""")

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

_PUT = text("""
WITH given AS (
    SELECT * FROM json_to_recordset(CAST(:given AS json))
     AS _(execution int, task int, attempt int, report text)),
held AS (
    SELECT claimed_call.id, given.report
     FROM claimed_call JOIN given ON claimed_call.task_id = given.task
     AND claimed_call.attempt = given.attempt AND claimed_call.execution_id = given.execution
     WHERE claimed_call.report IS NULL
     ORDER BY claimed_call.task_id FOR NO KEY UPDATE OF claimed_call)
UPDATE claimed_call SET report = held.report FROM held WHERE claimed_call.id = held.id""")


def claim(connection: Connection, refs: Sequence[CallRef], where: str, at: datetime,
          key: str) -> set[CallRef]:
    """Start those that nobody has, and give each its row; what was won."""
    given = _json([_named(ref) for ref in refs])
    won = connection.execute(_CLAIM, {"given": given, "where": where, "at": at, "key": key})
    return {CallRef(*row) for row in won}


def beat(connection: Connection, beats: Sequence[CallBeat]) -> frozenset[CallRef]:
    """Count each one's beat; those that are still wanted."""
    given = _json([{**_named(each.ref), "heard": each.heard, "progress": each.progress,
                    "message": each.message} for each in beats])
    return frozenset(CallRef(*row) for row in connection.execute(_BEAT, {"given": given}))


def put(connection: Connection, reports: Sequence[tuple[CallRef, str]]) -> None:
    """Store each report where there is none."""
    connection.execute(_PUT, {"given": _json([{**_named(ref), "report": report} for ref, report in reports])})


def _named(ref: CallRef) -> dict[str, Any]:
    return {"execution": ref.execution, "task": ref.task, "attempt": ref.attempt}


def _json(given: list[dict[str, Any]]) -> str:
    return json.dumps(given, allow_nan=False, separators=(",", ":"))
