"""How the reports of a worker elsewhere are kept: those of several threads in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from aria_core.exceptions import AriaError, StorageLostError, StorageUnavailableError
from aria_core.orchestrator.group_commit import GroupCommit
from aria_core.storage.model import Ledger
from aria_core.worker.calls import CallRef, Failed, FinalReport

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

_logger = logging.getLogger("aria.worker")


class _Ended(NamedTuple):
    report: FinalReport
    settle: Callable[[], bool]


class Reports:
    """Stores final reports, however long the storage is away, unless `wait` says that there is no time.

    `wait` waits for so many seconds; it returns False at once, or as soon as, no more is to be waited for.
    """

    def __init__(self, ledger: Ledger, wait: Callable[[float], bool],
                 stored: Callable[[set[int]], None]) -> None:
        self._ledger = ledger
        self._wait = wait
        self._stored = stored
        self._group: GroupCommit[_Ended, bool] = GroupCommit(self._put)

    def put(self, report: FinalReport, settle: Callable[[], bool]) -> bool:
        """Store a report, after `settle` has stored what the attempt logged; False if it was given up."""
        return self._group.do(_Ended(report, settle))

    def _put(self, ended: list[_Ended]) -> list[bool]:
        if not self._persist(lambda: _all_settled(ended)):
            return [False for _ in ended]
        reports = [each.report for each in ended]
        try:
            is_stored = self._persist(lambda: self._try(reports))
        except AriaError:
            return [self._put_alone(each) for each in reports]
        return [is_stored for _ in ended]

    def _try(self, reports: list[FinalReport]) -> bool:
        try:
            self._ledger.put_reports(reports)
        except StorageLostError:
            raise
        except StorageUnavailableError as error:
            _logger.debug("reports wait: %s", error)
            return False
        self._stored({each.ref.execution for each in reports})
        return True

    def _put_alone(self, report: FinalReport) -> bool:
        """One that the storage refuses must not take others with it."""
        for each in (report, _refused(report.ref)):
            try:
                return self._persist(lambda each=each: self._try([each]))  # type: ignore[misc]
            except AriaError:
                _logger.exception("the report on %s cannot be stored", report.ref)
        return False

    def _persist(self, succeeds: Callable[[], bool]) -> bool:
        pause = _FIRST_PAUSE
        while not succeeds():
            if not self._wait(pause):
                return False
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True


def _all_settled(ended: list[_Ended]) -> bool:
    return all(each.settle() for each in ended)


def _refused(ref: CallRef) -> Failed:
    return Failed(ref, "StorageError: the storage refused the report of this attempt; the worker's log says "
                       "why", retry=False)
