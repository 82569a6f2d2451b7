"""Whether somebody runs an execution of a database whose tables are about to change."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, select

from aria_core.clock import Clock, SystemClock
from aria_core.exceptions import StorageUnavailableError
from aria_core.modeling.models import Execution
from aria_core.modeling.states import ACTIVE_EXECUTION_STATES
from aria_core.storage.owners import LOOKS_EVERY, TAKES_OVER_AFTER, describe_owner, is_gone
from aria_core.storage.sql.database import Database

_execution: Any = Execution.__table__

# These columns are in every revision: the tables that are asked are not those that our models describe.
_OWNED = select(_execution.c.id, _execution.c.epoch, _execution.c.batch, _execution.c.beat,
                _execution.c.owner).where(
    _execution.c.state.in_([str(state) for state in ACTIVE_EXECUTION_STATES]),
    _execution.c.owner.is_not(None)).order_by(_execution.c.id)

_Row: TypeAlias = Row[Any, Any, Any, Any, Any]

Sign: TypeAlias = tuple[int, int, int, int]
"""Execution, epoch, batch, beat: two equal ones with time in between, and nobody was there."""


class Runners:
    """The runners of one database that wants revision `newest`."""

    def __init__(self, database: Database, newest: int, clock: Clock | None = None) -> None:
        self._database = database
        self._newest = newest
        self._clock = clock or SystemClock()

    def vanished(self) -> frozenset[Sign]:
        """The last signs of runners that are gone.

        A runner that cannot be seen from here is watched, as by who wants to take over. Raises
        ``StorageUnavailableError`` if one lives.
        """
        rows = self._look()
        living = [row for row in rows if is_gone(row.owner) is False]
        living = living or self._awake([row for row in rows if is_gone(row.owner) is None])
        if living:
            raise self._busy(living[0])
        return frozenset(map(_sign, rows))

    def refuse_others(self, connection: Connection, vanished: Collection[Sign]) -> None:
        """Raise ``StorageUnavailableError`` if a runner has shown up that is not among the vanished."""
        for row in connection.execute(_OWNED):
            if _sign(row) not in vanished:
                raise self._busy(row)

    def _look(self) -> list[_Row]:
        with self._database.read() as connection:
            return [*connection.execute(_OWNED)]

    def _awake(self, unseen: list[_Row]) -> list[_Row]:
        """Those that give a sign within the time that a challenger waits."""
        deadline = self._clock.monotonic() + TAKES_OVER_AFTER
        awake: list[_Row] = []
        while unseen and not awake and self._clock.monotonic() < deadline:
            self._clock.sleep(LOOKS_EVERY)
            still = {_sign(row) for row in self._look()}
            awake = [row for row in unseen if _sign(row) not in still]
        return awake

    def _busy(self, row: _Row) -> StorageUnavailableError:
        return StorageUnavailableError(
            f"the tables of the database {self._database.shown_url} must be upgraded to revision "
            f"{self._newest}, but {describe_owner(row.owner)} runs execution {row.id} with an older ARIA; "
            "wait until it ends, or stop it: it can be resumed after the upgrade")


def _sign(row: _Row) -> Sign:
    return row.id, row.epoch, row.batch, row.beat
