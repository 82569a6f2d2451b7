"""Every contract test of calls and executions elsewhere fails for a ledger that breaks what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from aria_core.exceptions import FencedError, StorageError
from aria_core.modeling.claimed_calls import ClaimedCall
from aria_core.modeling.models import Execution, Task
from aria_core.storage.records import Claim
from aria_core.storage.sql import SqlModelStorage
from aria_core.storage.sql.ledger import SqlLedger
from aria_core.testing.doubles import Doubles, swallowing
from aria_core.testing.model_calls import CallsContract
from aria_core.testing.model_queue import QueueContract
from aria_core.worker.calls import CallRef, Succeeded

CALLS, QUEUE = Doubles(CallsContract), Doubles(QueueContract)

CALLS.breaks("test_who_was_fenced_takes_nothing_back")(
    swallowing(SqlLedger, FencedError, frozenset(), "withdraw_calls"))


class Meddling(SqlLedger):
    """Changes rows besides."""

    def change(self, statement: Any) -> None:
        with self._writing() as connection:
            connection.execute(statement)

    def give_up(self, tasks: Sequence[int], **changes: Any) -> None:
        self.change(update(Task).where(Task.id.in_(tasks)).values(changes))


@CALLS.breaks("test_a_claimed_call_is_started_and_has_a_row", "test_a_call_is_either_won_or_taken_back",
              "test_of_claims_during_a_takeover_none_is_forgotten")
class ClaimsWithoutRow(Meddling):
    def claim_calls(self, refs, where, at, key):
        won = super().claim_calls(refs, where, at, key)
        self.change(delete(ClaimedCall).where(ClaimedCall.task_id.in_([ref.task for ref in won])))
        return won


@CALLS.breaks("test_a_claimed_call_is_started_and_has_a_row")
class ClaimsWithoutStart(Meddling):
    def claim_calls(self, refs, where, at, key):
        won = super().claim_calls(refs, where, at, key)
        self.give_up([ref.task for ref in won], state="sent")
        return won


@CALLS.breaks("test_a_claimed_call_is_started_and_has_a_row")
class WonInAnotherOrder(SqlLedger):
    def claim_calls(self, refs, where, at, key):
        return sorted(super().claim_calls(refs, where, at, key))


@CALLS.breaks("test_only_what_was_sent_and_is_still_wanted_is_won")
class WinsForCancelled(Meddling):
    def claim_calls(self, refs, where, at, key):
        executions = Execution.id.in_([ref.execution for ref in refs if ref.execution < 2**31])
        self.change(update(Execution).where(executions, Execution.state == "cancelling")
                    .values(state="started"))
        return super().claim_calls(refs, where, at, key)


@CALLS.breaks("test_only_what_was_sent_and_is_still_wanted_is_won")
class WinsForAnyExecution(SqlLedger):
    def claim_calls(self, refs, where, at, key):
        with self._database.read() as connection:
            whose = dict(connection.execute(select(Task.id, Task.execution_id)).all())
        return super().claim_calls(
            [replace(ref, execution=whose.get(ref.task, ref.execution)) for ref in refs], where, at, key)


@CALLS.breaks("test_of_eight_workers_that_ask_for_the_same_calls_one_wins_each",
              "test_a_call_is_either_won_or_taken_back", "test_of_claims_during_a_takeover_none_is_forgotten")
class EverybodyWins(SqlLedger):
    def claim_calls(self, refs, where, at, key):
        super().claim_calls(refs, where, at, key)
        return list(refs)


@CALLS.breaks("test_a_claim_whose_commit_was_unknown_wins_the_same_again")
class NeverWinsAgain(Meddling):
    def claim_calls(self, refs, where, at, key):
        return super().claim_calls(refs, where, at, f"{key} {id(object())}"[:64])


@CALLS.breaks("test_a_claim_whose_commit_was_unknown_wins_the_same_again")
class WinsTwice(SqlLedger):
    def claim_calls(self, refs, where, at, key):
        won = super().claim_calls(refs, where, at, key)
        return [ref for ref in refs if ref in won]


@CALLS.breaks("test_beats_are_counted_and_say_how_far_a_call_is")
class BeatsWithoutProgress(SqlLedger):
    def beat_calls(self, beats):
        return super().beat_calls([replace(each, progress=None) for each in beats])


@CALLS.breaks("test_beats_are_counted_and_say_how_far_a_call_is")
class BeatsForgetMessages(SqlLedger):
    def beat_calls(self, beats):
        return super().beat_calls([replace(each, message=each.message or "") for each in beats])


@CALLS.breaks("test_a_beat_says_which_calls_are_still_wanted",
              "test_reports_are_kept_as_they_are_until_a_batch_takes_them")
class WantsEverything(SqlLedger):
    def beat_calls(self, beats):
        super().beat_calls(beats)
        return frozenset(each.ref for each in beats)


@CALLS.breaks("test_reports_and_claims_are_exchanged_in_one_transaction")
class ExchangesWithoutReports(SqlLedger):
    def exchange_calls(self, reports, refs, where, at, key):
        return super().exchange_calls((), refs, where, at, key)


@CALLS.breaks("test_reports_and_claims_are_exchanged_in_one_transaction")
class TakesReportsOfWhatItClaims(SqlLedger):
    def exchange_calls(self, reports, refs, where, at, key):
        won = super().exchange_calls((), refs, where, at, key)
        super().exchange_calls(reports, (), where, at, key)
        return won


@CALLS.breaks("test_reports_and_claims_are_exchanged_in_one_transaction")
class TellsTasksAsTheyWere(SqlLedger):
    def exchange_calls(self, reports, refs, where, at, key):
        won = super().exchange_calls(reports, refs, where, at, key)
        return {ref: row._replace(state="sent") for ref, row in won.items()}


@CALLS.breaks("test_reports_are_kept_as_they_are_until_a_batch_takes_them")
class LastReportWins(Meddling):
    def put_reports(self, reports):
        tasks = [each.ref.task for each in reports if each.ref.task < 2**31]
        self.change(update(ClaimedCall).where(ClaimedCall.task_id.in_(tasks)).values(report=None))
        super().put_reports(reports)


@CALLS.breaks("test_reports_are_kept_as_they_are_until_a_batch_takes_them")
class ReportsWithoutEdits(SqlLedger):
    def put_reports(self, reports):
        super().put_reports([replace(each, edits=()) if isinstance(each, Succeeded) else each
                             for each in reports])


@CALLS.breaks("test_reports_are_kept_as_they_are_until_a_batch_takes_them")
class BatchesTakeNoReports(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        return super().record_batch(claim, replace(batch, calls=()), again=again)


@CALLS.breaks("test_a_report_that_nobody_can_read_is_a_failure")
class UnreadIsNoReport(SqlLedger):
    def claimed_calls(self, execution):
        return [replace(row, report=None) for row in super().claimed_calls(execution)]


@CALLS.breaks("test_calls_that_nobody_has_claimed_are_taken_back")
class TakesClaimedBack(Meddling):
    def withdraw_calls(self, claim, refs, reason):
        self.change(update(Task).where(Task.id.in_([ref.task for ref in refs]), Task.state == "started")
                    .values(state="sent"))
        return super().withdraw_calls(claim, refs, reason)


@CALLS.breaks("test_calls_that_nobody_has_claimed_are_taken_back")
class TakesBackOnce(SqlLedger):
    def withdraw_calls(self, claim, refs, reason):
        pending = {row.id for row in self.load_graph(claim.execution) if row.state == "pending"}
        return super().withdraw_calls(claim, [ref for ref in refs if ref.task not in pending], reason)


@CALLS.breaks("test_who_was_fenced_takes_nothing_back")
class AnybodyTakesBack(SqlLedger):
    def withdraw_calls(self, claim, refs, reason):
        epoch = self.pulse(refs[0].execution).epoch
        return super().withdraw_calls(replace(claim, epoch=epoch), refs, reason)


@CALLS.breaks("test_a_takeover_leaves_claimed_calls_alone",
              "test_of_claims_during_a_takeover_none_is_forgotten",
              "test_a_beat_says_which_calls_are_still_wanted",
              "test_only_a_call_that_runs_commits_edits_early")
class RecoversClaimed(Meddling):
    def claim_existing(self, seen, owner, *, retry_failed, changes=None):
        claim = super().claim_existing(seen, owner, retry_failed=retry_failed, changes=changes)
        self.change(update(Task).where(Task.execution_id == seen.execution, Task.state == "started")
                    .values(state="pending"))
        return claim


@CALLS.breaks("test_only_a_call_that_runs_commits_edits_early")
class AnyCallCommitsEdits(SqlLedger):
    def record_call_edits(self, ref: CallRef, edits):
        row = next((each for each in self.load_graph(ref.execution) if each.id == ref.task), None)
        return row is not None and super().record_call_edits(replace(ref, attempt=row.attempts), edits)


@CALLS.breaks("test_claimed_calls_go_with_their_execution")
class RefusesToClaim(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        if batch.execution:
            raise StorageError("an execution never ends")
        return super().record_batch(claim, batch, again=again)


@QUEUE.breaks("test_a_queued_execution_is_pending_and_nobodys")
class QueuedIsOurs(Meddling):
    def claim_new(self, new):
        claim = super().claim_new(new)
        self.change(update(Execution).where(Execution.id == claim.execution).values(owner=new.owner))
        return claim


@QUEUE.breaks("test_a_queued_execution_is_pending_and_nobodys")
class TakesCancelled(Meddling):
    def claim_queued(self, owner, limit, besides=()):
        self.change(update(Execution).where(Execution.state == "cancelled").values(state="pending"))
        return super().claim_queued(owner, limit, besides)


@QUEUE.breaks("test_the_oldest_are_taken_first")
class TakesAll(SqlLedger):
    def claim_queued(self, owner, limit, besides=()):
        return super().claim_queued(owner, 1000, besides)


@QUEUE.breaks("test_the_oldest_are_taken_first")
class TakesWhatIsNotToBeTaken(SqlLedger):
    def claim_queued(self, owner, limit, besides=()):
        return super().claim_queued(owner, limit)


@QUEUE.breaks("test_the_oldest_are_taken_first")
class TakesWhatIsNotQueued(Meddling):
    def claim_queued(self, owner, limit, besides=()):
        self.change(update(Execution).where(~Execution.queued).values(queued=True, owner=None))
        return super().claim_queued(owner, limit, besides)


@QUEUE.breaks("test_what_was_taken_is_run_like_any_other")
class TakesWithoutCounting(SqlLedger):
    def claim_queued(self, owner, limit, besides=()):
        return [replace(each, batch=0) for each in super().claim_queued(owner, limit, besides)]


@QUEUE.breaks("test_what_its_runner_has_let_go_before_it_began_waits_again")
class QueuesOnce(SqlLedger):
    def claim_queued(self, owner, limit, besides=()):
        return [each for each in super().claim_queued(owner, limit, besides) if each.epoch == 1]


@QUEUE.breaks("test_of_eight_runners_one_gets_each")
class TwoGetOne(SqlLedger):
    def claim_queued(self, owner, limit, besides=()):
        taken = super().claim_queued(owner, limit, besides)
        return [Claim(each.execution + 1, 1, 1, "pending") for each in taken] + taken if taken else []


@QUEUE.breaks("test_active_executions_are_told_in_order")
class ToldBackwards(SqlLedger):
    def active_executions(self, queued_only=False, waiting=True):
        return super().active_executions(queued_only, waiting)[::-1]


@QUEUE.breaks("test_active_executions_are_told_in_order")
class TellsWhatWaits(SqlLedger):
    def active_executions(self, queued_only=False, waiting=True):
        return super().active_executions(queued_only)


@QUEUE.breaks("test_active_executions_are_told_in_order")
class TellsAllAsQueued(SqlLedger):
    def active_executions(self, queued_only=False, waiting=True):
        return super().active_executions(waiting=waiting)


@pytest.mark.parametrize(("doubles", "name"), [
    (doubles, name) for doubles in (CALLS, QUEUE) for name in doubles.names],
    ids=lambda value: value if isinstance(value, str) else "")
def test_a_ledger_that_breaks_it_is_found(doubles: Doubles, name: str, tmp_path: Path) -> None:
    for number, kind in enumerate(doubles.of(name)):
        ledger = property(lambda storage, kind=kind: kind(storage.database, storage.revisions))
        broken = type("Broken", (SqlModelStorage,), {"ledger": ledger})
        with broken(f"sqlite:///{tmp_path}/{number}/aria.db", synchronous="OFF") as storage:
            doubles.check(name, {"storage": storage})
