"""How a worker elsewhere wins calls: those of several threads in one transaction, and each once."""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from sqlalchemy import Row, select

from aria_core.clock import Clock
from aria_core.exceptions import StorageUnavailableError
from aria_core.modeling.models import Task
from aria_core.orchestrator.group_commit import GroupCommit
from aria_core.orchestrator.patience import ride_out
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import TaskRow
from aria_core.worker.calls import CallRef

_LISTS = [TaskRow._fields.index(name) for name in ("waits_for", "dynamic", "secret")]
_ROWS = select(*(getattr(Task, name) for name in TaskRow._fields))


class WonCall(NamedTuple):
    """A call that is ours to run."""

    row: TaskRow | None
    """Its task; None if it could not be read any more before the storage went away."""
    since: float
    """A reading of the clock from before it can have been committed."""


class Claims:
    """Claims calls for the worker at `where` (``host:pid``)."""

    def __init__(self, model: ModelStorage, clock: Clock, where: str) -> None:
        self._model = model
        self._clock = clock
        self._where = where
        self._group: GroupCommit[CallRef, WonCall | None] = GroupCommit(self._claim)

    def claim(self, ref: CallRef) -> WonCall | None:
        """The call if it was won, None if it is not ours to run.

        ``StorageUnavailableError`` if the storage stays away: then nobody knows, and it must not be run.
        """
        return self._group.do(ref)

    def _claim(self, refs: list[CallRef]) -> list[WonCall | None]:
        # The same key again wins what a commit of unknown end has won.
        since, key, at = self._clock.monotonic(), secrets.token_hex(16), self._clock.now()
        won = frozenset(ride_out(
            self._clock, lambda _: self._model.ledger.claim_calls(refs, self._where, at, key)))
        rows = self._read(sorted({ref.task for ref in won})) if won else {}
        told: set[CallRef] = set()
        return [self._won(ref, rows, since) if ref in won and _is_first(ref, told) else None for ref in refs]

    def _won(self, ref: CallRef, rows: dict[int, TaskRow], since: float) -> WonCall:
        return WonCall(rows.get(ref.task), since)

    def _read(self, tasks: list[int]) -> dict[int, TaskRow]:
        try:
            return ride_out(self._clock, lambda _: self._rows(tasks))
        except StorageUnavailableError:
            return {}

    def _rows(self, tasks: list[int]) -> dict[int, TaskRow]:
        with self._model.read_session() as session:
            return {row.id: _task_row(row) for row in session.execute(_ROWS.where(Task.id.in_(tasks)))}


def _is_first(ref: CallRef, told: set[CallRef]) -> bool:
    """The same message may have come twice at once."""
    is_first = ref not in told
    told.add(ref)
    return is_first


def _task_row(row: Row[Any]) -> TaskRow:
    values: list[Any] = list(row)
    for place in _LISTS:
        values[place] = tuple(values[place] or ())
    return TaskRow._make(values)
