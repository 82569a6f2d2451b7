"""How a runner lets an execution go that it could not bring to an end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from contextlib import suppress
from queue import Empty, SimpleQueue

from aria_core.clock import Clock
from aria_core.exceptions import AriaError, FencedError, StorageUnavailableError
from aria_core.orchestrator.executor import Executor
from aria_core.orchestrator.inbox import EngineInbox
from aria_core.orchestrator.ownership import Lease
from aria_core.storage.model import Ledger
from aria_core.storage.owners import LOOKS_EVERY
from aria_core.storage.records import Claim, LogRow
from aria_core.worker.calls import CallRef, Failed, Lost, Succeeded

ENDS_WITHIN = 1.0
"""Seconds beyond their grace in which calls that are being ended are waited for."""

_log = logging.getLogger(__name__)


def end_calls(executor: Executor, inbox: EngineInbox, clock: Clock, refs: Collection[CallRef],
              grace: float) -> None:
    """Withdraw or end calls whose results nobody will record, and wait a little until they have ended."""
    left = set(refs) - executor.withdraw(list(refs))
    for ref in left:
        executor.terminate(ref, grace)
    until = clock.monotonic() + grace + ENDS_WITHIN
    while left and (patience := until - clock.monotonic()) > 0:
        ends = [each for each in inbox.take(patience) if isinstance(each, Succeeded | Failed | Lost)]
        left -= {each.ref for each in ends}


def let_go(ledger: Ledger, clock: Clock, claim: Claim, executor: Executor | None = None) -> None:
    """Make an execution nobody's, but not while one of its calls runs in this process.

    Such a call is a function in a thread, which nothing can end. Until it returns, or this process
    ends, the execution stays ours: whoever wants to resume it is told so.
    """
    if executor is None or not _running(executor, claim):
        with suppress(AriaError):
            ledger.release(claim)
        return
    with suppress(StorageUnavailableError):
        try:
            ledger.beat(claim)
        except FencedError:
            return
    _tell(ledger, clock, claim, len(_running(executor, claim)))
    threading.Thread(target=_hold, args=(ledger, clock, claim, executor), name="aria-hold",
                     daemon=True).start()


def _running(executor: Executor, claim: Claim) -> list[CallRef]:
    return [ref for ref in executor.running() if ref.execution == claim.execution]


def _tell(ledger: Ledger, clock: Clock, claim: Claim, count: int) -> None:
    what = (f"{count} of its functions still run" if count > 1 else "one of its functions still runs")
    message = (f"this runner has stopped, but {what} in this process: execution {claim.execution} cannot be "
               "resumed until then, or until the process ends")
    _log.warning(message)
    with suppress(AriaError):
        ledger.add_logs([LogRow(claim.execution, "WARNING", message, clock.now())])


def _hold(ledger: Ledger, clock: Clock, claim: Claim, executor: Executor) -> None:
    """Keep the lease until the last call has returned, also over an outage of the storage."""
    ends: SimpleQueue[str | AriaError] = SimpleQueue()
    lease = _lease(ledger, clock, claim, ends)
    while _running(executor, claim):
        with suppress(Empty):
            match ends.get(timeout=LOOKS_EVERY):
                case StorageUnavailableError():
                    lease = _lease(ledger, clock, claim, ends)
                case AriaError():
                    return
    lease.stop()
    with suppress(AriaError):
        ledger.release(claim)


def _lease(ledger: Ledger, clock: Clock, claim: Claim, ends: SimpleQueue[str | AriaError]) -> Lease:
    lease = Lease(ledger, claim, clock, ends.put)
    lease.start()
    return lease
