"""How a worker elsewhere wins calls: those of several threads in one transaction, and each once."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from aria_core.clock import Clock
from aria_core.orchestrator.group_commit import GroupCommit
from aria_core.orchestrator.patience import ride_out
from aria_core.storage.model import Ledger
from aria_core.storage.records import TaskRow
from aria_core.worker.calls import CallRef


class WonCall(NamedTuple):
    """A call that is ours to run."""

    row: TaskRow
    """Its task, as it was when it was won."""
    since: float
    """A reading of the clock from before it can have been committed."""


class Claims:
    """Claims calls for the worker at `where` (``host:pid``)."""

    def __init__(self, ledger: Ledger, clock: Clock, where: str) -> None:
        self._ledger = ledger
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
        won = dict(ride_out(self._clock, lambda _: self._ledger.exchange_calls(
            (), refs, self._where, at, key)))
        rows = [won.pop(ref, None) for ref in refs]  # the same message may have come twice at once
        return [None if row is None else WonCall(row, since) for row in rows]
