"""What a ledger does for workers and runners on other hosts, which share nothing but the database.

A storage that several hosts cannot reach need not do it: what is written here says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from aria_core.exceptions import StorageError
from aria_core.storage.records import CallBeat, Claim, ClaimedCallRow, Pulse, TaskRow
from aria_core.worker.calls import CallRef, Edit, FinalReport


class CallsElsewhere:
    """Calls that leave as a `CallRef` and run wherever a worker claims them.

    The row is the truth, a message only a hint: a worker runs what it has won by `claim_calls` and nothing
    else. Each method is one transaction, whose number of statements does not depend on how many calls it
    is given, and thread-safe. All may be repeated when it is unknown whether they were committed.
    """

    def claim_calls(self, refs: Sequence[CallRef], where: str, at: datetime, key: str) -> list[CallRef]:
        """Claim calls for the worker `where` (``host:pid``); those it won, in the order of `refs`.

        A call is won by whoever moves its task from ``sent`` to ``started`` while that attempt is the
        current one and its execution is ``started``: of any number of messages about it, one leads to
        this. Each call that was won has a row from then on, with its beat at 0.

        `key` is a random text of this claim alone. The same claim with the same key wins what it won
        before: so does a worker that was never told. A ref that is given twice is won once, and told once.
        """
        raise _keeps_none()

    def beat_calls(self, beats: Sequence[CallBeat]) -> frozenset[CallRef]:
        """Show that these calls run, and how far they are; those that are still wanted.

        Wanted is a call whose attempt is current, whose task is ``started`` and whose execution is
        ``started``: the worker ends the others.
        """
        raise _keeps_none()

    def put_reports(self, reports: Sequence[FinalReport]) -> None:
        """Keep final reports until the engine takes them.

        Of two reports about one call the first is kept. A report about a call that has no row (any more)
        comes too late: it is dropped.
        """
        raise _keeps_none()

    def exchange_calls(self, reports: Sequence[FinalReport], refs: Sequence[CallRef], where: str,
                       at: datetime, key: str) -> dict[CallRef, TaskRow]:
        """Keep reports as `put_reports` and claim calls as `claim_calls`, in one transaction.

        Returns the tasks of those that were won, in the order of `refs`.
        """
        raise _keeps_none()

    def record_call_edits(self, ref: CallRef, edits: Sequence[Edit]) -> bool:
        """``ctx.flush`` of a worker: commit edits early if that attempt still runs; False if it does not.

        It runs while it is current, its task is ``started`` and its execution ``started`` or
        ``cancelling``.
        """
        raise _keeps_none()

    def claimed_calls(self, execution: int) -> list[ClaimedCallRow]:
        """The calls of an execution that workers have claimed and whose reports were not taken yet.

        In order of tasks. A report is taken by the batch that names its call in ``Batch.calls``. One that
        nobody can read is a `Failed` that says so.
        """
        return []

    def withdraw_calls(self, claim: Claim, refs: Sequence[CallRef], reason: str) -> frozenset[CallRef]:
        """Take calls back that nobody has claimed: ``sent`` -> ``pending``; those that are back.

        A message about one that is back wins nothing any more. ``FencedError`` if the execution was taken
        over.
        """
        raise _keeps_none()


class ExecutionQueue:
    """Executions that wait for a runner anywhere: ``NewExecution.queued``."""

    def claim_queued(self, owner: Mapping[str, Any], limit: int,
                     besides: Collection[int] = ()) -> list[Claim]:
        """Take up to `limit` queued executions that nobody has, the oldest first, but none of `besides`.

        They stay ``pending`` (none has a graph) and have begun to beat. Runners that ask at the same time
        get different ones, without waiting for each other. Who does not know whether this was committed
        finds its `owner` in `active_executions`.
        """
        raise _keeps_none()

    def active_executions(self, queued_only: bool = False, waiting: bool = True) -> list[Pulse]:
        """The executions that have not ended, the oldest first.

        Without `waiting` those are left out that `claim_queued` would take: they may be very many.
        """
        raise _keeps_none()


def _keeps_none() -> StorageError:
    return StorageError("this model storage keeps no calls elsewhere, and no queue of executions")
