"""Calls that workers elsewhere claim, beat for and report about, in a SQL database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, select, update

from aria_core.exceptions import FencedError
from aria_core.modeling.base import utc_now
from aria_core.modeling.claimed_calls import ClaimedCall
from aria_core.modeling.models import Execution, Task
from aria_core.modeling.states import ExecutionState, TaskState
from aria_core.storage.elsewhere import CallsElsewhere
from aria_core.storage.records import CallBeat, Claim, ClaimedCallRow, TaskRow
from aria_core.storage.sql import calls_at_once, calls_each
from aria_core.storage.sql.ledger_part import LedgerPart
from aria_core.storage.sql.statements import is_key, write_edits
from aria_core.storage.sql.task_rows import RawTasks, read_tasks
from aria_core.worker.calls import (
    CallRef,
    Edit,
    Failed,
    FinalReport,
    Started,
    report_from_json,
    report_to_json,
)
from aria_core.worker.logs import storable

_execution: Any = Execution.__table__
_task: Any = Task.__table__
_call: Any = ClaimedCall.__table__
_ROW = (_call.c.execution_id, _call.c.task_id, _call.c.attempt, _call.c.location, _call.c.beat,
        _call.c.claimed_at, _call.c.heard, _call.c.progress, _call.c.progress_message, _call.c.report)
_LIVES = (ExecutionState.STARTED, ExecutionState.CANCELLING)


class SqlClaimedCalls(LedgerPart, CallsElsewhere):
    """See `CallsElsewhere`."""

    def claim_calls(self, refs: Sequence[CallRef], where: str, at: datetime, key: str) -> list[CallRef]:
        """See `CallsElsewhere.claim_calls`."""
        return list(self.exchange_calls((), refs, where, at, key))

    def put_reports(self, reports: Sequence[FinalReport]) -> None:
        """See `CallsElsewhere.put_reports`."""
        self.exchange_calls(reports, (), "", utc_now(), "")

    def exchange_calls(self, reports: Sequence[FinalReport], refs: Sequence[CallRef], where: str,
                       at: datetime, key: str) -> dict[CallRef, TaskRow]:
        """See `CallsElsewhere.exchange_calls`."""
        asked = [ref for ref in dict.fromkeys(refs) if _may_exist(ref)]
        first = {each.ref: each for each in reversed(reports) if _may_exist(each.ref)}
        texts = [(ref, _text(first[ref])) for ref in sorted(first)]
        exchange = self._exchange_at_once if self._database.is_postgresql else self._exchange_each
        won = {} if not asked and not texts else exchange(asked, storable(where)[:255], at, key, texts)
        return {ref: won[ref] for ref in asked if ref in won}

    def _exchange_each(self, asked: list[CallRef], where: str, at: datetime, key: str,
                       texts: list[tuple[CallRef, str]]) -> dict[CallRef, TaskRow]:
        with self._writing() as connection:
            if texts:
                calls_each.put(connection, texts)
            won = calls_each.claim(connection, asked, where, at, key) if asked else set()
            return _tasks(connection, won)

    def _exchange_at_once(self, asked: list[CallRef], where: str, at: datetime, key: str,
                          texts: list[tuple[CallRef, str]]) -> dict[CallRef, TaskRow]:
        exchange = calls_at_once.exchange(asked, where, at, key, texts)
        with self._telling():
            rows = self._database.run(exchange.statement, exchange.values, has_rows=exchange.claims)
        won = {CallRef(row[0], task.id, task.attempts): task for row in rows
               for task in (self._raw_tasks.of(row[1:]),)}
        if len(won) == len(asked):
            return won
        with self._database.read() as connection:
            return won | _tasks(connection, calls_each.won_before(connection, asked, key) - won.keys())

    @cached_property
    def _raw_tasks(self) -> RawTasks:
        return RawTasks(self._database.reader.dialect)

    def beat_calls(self, beats: Sequence[CallBeat]) -> frozenset[CallRef]:
        """See `CallsElsewhere.beat_calls`."""
        latest = {each.ref: each for each in beats if _may_exist(each.ref)}
        if not latest:
            return frozenset()
        in_order = [_shown(latest[ref]) for ref in sorted(latest)]
        with self._writing() as connection:
            return frozenset(_ways(connection).beat(connection, in_order))

    def record_call_edits(self, ref: CallRef, edits: Sequence[Edit]) -> bool:
        """See `CallsElsewhere.record_call_edits`."""
        if not _may_exist(ref):
            return False
        execution = select(_execution.c.id).where(
            _execution.c.id == ref.execution, _execution.c.state.in_(_LIVES))
        task = select(_task.c.id).where(
            _task.c.id == ref.task, _task.c.execution_id == ref.execution, _task.c.attempts == ref.attempt,
            _task.c.state == TaskState.STARTED)
        with self._writing() as connection:
            # One after the other, as everybody locks them; the first only against who deletes it.
            if (connection.scalar(execution.with_for_update(read=True, key_share=True)) is None
                    or connection.scalar(task.with_for_update(key_share=True)) is None):
                return False
            write_edits(connection, edits)
        return True

    def claimed_calls(self, execution: int) -> list[ClaimedCallRow]:
        """See `CallsElsewhere.claimed_calls`."""
        of_execution = select(*_ROW).where(_call.c.execution_id == execution).order_by(
            _call.c.task_id, _call.c.attempt)
        with self._database.read() as connection:
            rows = connection.execute(of_execution).all()
        return [_call_row(row) for row in rows]

    def withdraw_calls(self, claim: Claim, refs: Sequence[CallRef], reason: str) -> frozenset[CallRef]:
        """See `CallsElsewhere.withdraw_calls`."""
        with self._writing() as connection:
            self._hold(connection, claim)
            back, free = _unclaimed(connection, claim.execution, refs)
            connection.execute(update(_task).where(_task.c.id.in_([ref.task for ref in free])).values(
                state=TaskState.PENDING, reason=reason, sent_at=None))
        return frozenset(back + free)

    def _hold(self, connection: Connection, claim: Claim) -> None:
        """Have whoever takes the execution over wait; ``FencedError`` if somebody has."""
        of_claim = select(_execution.c.epoch).where(_execution.c.id == claim.execution)
        if connection.scalar(of_claim.with_for_update(key_share=True)) != claim.epoch:
            raise FencedError(f"execution {claim.execution} was taken over by another runner; this one stops")


def _ways(connection: Connection) -> ModuleType:
    return calls_at_once if connection.dialect.name == "postgresql" else calls_each


def _shown(beat: CallBeat) -> CallBeat:
    return replace(beat, message=None if beat.message is None else storable(beat.message))


def _tasks(connection: Connection, refs: Set[CallRef]) -> dict[CallRef, TaskRow]:
    """The tasks of calls that were won; others come by no way to this."""
    of = {(ref.task, ref.attempt): ref for ref in refs}
    rows = read_tasks(connection, [ref.task for ref in refs]) if refs else []
    return {of[row.id, row.attempts]: row for row in rows if (row.id, row.attempts) in of}


def _may_exist(ref: CallRef) -> bool:
    """A ref may come from a message that anybody has written."""
    return is_key(ref.execution) and is_key(ref.task) and is_key(ref.attempt)


def _unclaimed(connection: Connection, execution: int,
               refs: Iterable[CallRef]) -> tuple[list[CallRef], list[CallRef]]:
    """Those that are ``pending`` again already, and those that are still ``sent``, whose rows are locked."""
    asked = {(ref.task, ref.attempt): ref for ref in refs if _may_exist(ref) and ref.execution == execution}
    rows = connection.execute(
        select(_task.c.id, _task.c.attempts, _task.c.state)
        .where(_task.c.id.in_([task for task, _ in asked]), _task.c.execution_id == execution)
        .order_by(_task.c.id).with_for_update(key_share=True))
    found = [(row.state, asked[row.id, row.attempts]) for row in rows if (row.id, row.attempts) in asked]
    return ([ref for state, ref in found if state == TaskState.PENDING],
            [ref for state, ref in found if state == TaskState.SENT])


def _text(report: FinalReport) -> str:
    """It in ASCII, with escapes for what a database might refuse."""
    return json.dumps(report_to_json(report), separators=(",", ":"))


def _call_row(columns: Sequence[Any]) -> ClaimedCallRow:
    execution, task, attempt, where, beat, claimed_at, heard, progress, message, report = columns
    ref = CallRef(execution, task, attempt)
    return ClaimedCallRow(ref, where, beat, claimed_at, heard, progress, message,
                          None if report is None else _report(ref, report))


def _report(ref: CallRef, text: str) -> FinalReport:
    try:
        report = report_from_json(json.loads(text))
    except (ValueError, AttributeError, RecursionError) as error:
        return Failed(ref, f"ProtocolError: the report that its worker has stored cannot be read: {error}")
    if isinstance(report, Started) or report.ref != ref:
        return Failed(ref, "ProtocolError: its worker has stored a report that is not about how it ended")
    return report
