"""Executions that wait for a runner, in a SQL database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import and_, literal_column, not_, select, update

from aria_core.modeling.models import Execution
from aria_core.modeling.states import ACTIVE_EXECUTION_STATES, ExecutionState
from aria_core.storage.elsewhere import ExecutionQueue
from aria_core.storage.records import Claim, Pulse
from aria_core.storage.sql.ledger_part import LedgerPart
from aria_core.storage.sql.statements import PULSE

_execution: Any = Execution.__table__

# Written out, as in the condition of the index: databases compare the two before they know parameters.
_WAITS = (_execution.c.queued, _execution.c.state == literal_column(f"'{ExecutionState.PENDING}'"),
          _execution.c.owner.is_(None))


class SqlExecutionQueue(LedgerPart, ExecutionQueue):
    """See `ExecutionQueue`."""

    def claim_queued(self, owner: Mapping[str, Any], limit: int,
                     besides: Collection[int] = ()) -> list[Claim]:
        """See `ExecutionQueue.claim_queued`."""
        first = select(_execution.c.id, _execution.c.epoch, _execution.c.batch).where(
            *_WAITS, _execution.c.id.not_in(besides)).order_by(_execution.c.id).limit(limit)
        with self._database.read() as connection:
            if connection.execute(first).first() is None:  # an idle queue is looked at all the time
                return []
        first = first.with_for_update(skip_locked=True, key_share=True)
        with self._writing() as connection:
            self._check_tables(connection)
            rows = connection.execute(first).all()
            connection.execute(update(_execution).where(_execution.c.id.in_([row.id for row in rows])).values(
                epoch=_execution.c.epoch + 1, batch=_execution.c.batch + 1, beat=_execution.c.beat + 1,
                owner=owner))
        return [Claim(row.id, row.epoch + 1, row.batch + 1, ExecutionState.PENDING) for row in rows]

    def active_executions(self, queued_only: bool = False, waiting: bool = True) -> list[Pulse]:
        """See `ExecutionQueue.active_executions`."""
        active = PULSE.where(_execution.c.state.in_([str(state) for state in ACTIVE_EXECUTION_STATES]))
        if queued_only:
            active = active.where(_execution.c.queued)
        if not waiting:
            active = active.where(not_(and_(*_WAITS)))
        with self._database.read() as connection:
            return [Pulse(*row) for row in connection.execute(active.order_by(_execution.c.id))]
