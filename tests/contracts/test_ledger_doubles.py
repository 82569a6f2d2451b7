"""Every contract test of the ledger fails for a storage that breaks what it is about."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from aria_core.exceptions import AlreadyExistsError, NotFoundError, StorageError
from aria_core.modeling.models import Task
from aria_core.storage.records import Batch, Claim
from aria_core.storage.sql import SqlModelStorage
from aria_core.storage.sql.ledger import SqlLedger
from aria_core.testing.doubles import Doubles, swallowing
from aria_core.testing.model_ledger import LedgerContract

DOUBLES = Doubles(LedgerContract)

DOUBLES.breaks("test_a_missing_service_cannot_be_claimed")(
    swallowing(SqlLedger, NotFoundError, None, "claim_new"))
for _method in ("pulse", "request_cancel"):
    DOUBLES.breaks("test_a_missing_execution_is_not_found")(
        swallowing(SqlLedger, NotFoundError, None, _method))
DOUBLES.breaks("test_a_batch_about_what_does_not_exist_changes_nothing")(
    swallowing(SqlLedger, StorageError, None, "record_batch"))


@DOUBLES.breaks("test_a_claim_is_a_pending_execution_with_its_owner")
class ClaimWithoutOwner(SqlLedger):
    def claim_new(self, new):
        return super().claim_new(replace(new, owner={}))


@DOUBLES.breaks("test_of_eight_claims_at_once_one_wins")
class EveryClaimWins(SqlLedger):
    lock = threading.Lock()

    def claim_new(self, new):
        with self.lock:
            active = self.active(new.service_id)
            if active is not None:
                self.abandon(active, "cancelled")
            return super().claim_new(new)


@DOUBLES.breaks("test_services_are_claimed_independently")
class OneExecutionInAll(SqlLedger):
    def claim_new(self, new):
        if any(self.active(service) for service in range(1, new.service_id)):
            raise AlreadyExistsError("one execution at a time")
        return super().claim_new(new)


@DOUBLES.breaks("test_a_service_is_free_again_when_its_execution_has_ended")
class AbandonsNothing(SqlLedger):
    def abandon(self, seen, state, error=None):
        return True


@DOUBLES.breaks("test_what_changed_since_is_not_abandoned")
class AbandonsAnything(SqlLedger):
    def abandon(self, seen, state, error=None):
        return super().abandon(self.pulse(seen.execution), state, error)


@DOUBLES.breaks("test_a_graph_comes_back_as_it_was_in_order")
class GraphWithoutDependencies(SqlLedger):
    def create_graph(self, claim, tasks, edits, started_at):
        return super().create_graph(claim, [task._replace(waits_for=()) for task in tasks], edits, started_at)


@DOUBLES.breaks("test_a_graph_is_stored_entirely_or_not_at_all")
class HalfAGraph(SqlLedger):
    def create_graph(self, claim, tasks, edits, started_at):
        try:
            return super().create_graph(claim, tasks, edits, started_at)
        except StorageError:
            super().create_graph(claim, tasks[:1], (), started_at)
            raise


@DOUBLES.breaks("test_a_cancelled_execution_gets_no_graph")
class GraphAfterCancel(SqlLedger):
    def create_graph(self, claim, tasks, edits, started_at):
        return super().create_graph(
            replace(claim, state=self.pulse(claim.execution).state), tasks, edits, started_at)


@DOUBLES.breaks("test_a_batch_is_written_whole")
class BatchWithoutNodes(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        return super().record_batch(claim, replace(batch, nodes={}), again=again)


@DOUBLES.breaks("test_a_batch_is_written_whole")
class BatchWithoutAttempts(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        return super().record_batch(claim, replace(batch, attempts=()), again=again)


@DOUBLES.breaks("test_a_batch_is_written_whole")
class BatchWithoutProgress(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        return super().record_batch(claim, replace(batch, progress=()), again=again)


@DOUBLES.breaks("test_a_batch_is_written_whole")
class ProgressOfAnyAttempt(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        progress = [replace(each, attempt=1) for each in batch.progress]
        return super().record_batch(claim, replace(batch, progress=progress), again=again)


@DOUBLES.breaks("test_a_batch_ends_an_execution")
class BatchWithoutExecution(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        return super().record_batch(claim, replace(batch, execution={}), again=again)


@DOUBLES.breaks("test_a_task_that_is_not_as_expected_stops_the_whole_batch")
class BatchWithoutGuard(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        try:
            return super().record_batch(claim, batch, again=again)
        except StorageError:
            super().record_batch(claim, replace(batch, transitions=()))
            raise


def up_to_date(ledger: SqlLedger, claim: Claim, *names: str) -> Claim:
    pulse = ledger.pulse(claim.execution)
    return replace(claim, **{name: getattr(pulse, name) for name in names})


@DOUBLES.breaks("test_who_lost_its_epoch_changes_nothing")
class NoEpoch(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        return super().record_batch(up_to_date(self, claim, "epoch", "batch"), batch, again=again)


@DOUBLES.breaks("test_who_lost_its_epoch_changes_nothing")
class BeatOfAnybody(SqlLedger):
    def beat(self, claim):
        return super().beat(up_to_date(self, claim, "epoch"))


@DOUBLES.breaks("test_who_lost_its_epoch_changes_nothing")
class FlushOfAnybody(SqlLedger):
    def record_edits(self, claim, task, attempt, edits):
        return super().record_edits(up_to_date(self, claim, "epoch"), task, attempt, edits)


@DOUBLES.breaks("test_a_batch_that_is_not_the_next_changes_nothing",
        "test_a_batch_whose_commit_was_unknown_is_written_once")
class AnyBatch(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        return super().record_batch(up_to_date(self, claim, "batch"), batch)


@DOUBLES.breaks("test_a_batch_whose_commit_was_unknown_is_written_once")
class NeverAgain(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        return super().record_batch(claim, batch)


@DOUBLES.breaks("test_a_cancel_request_is_told_at_the_next_batch")
class CancelUnseen(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        return super().record_batch(up_to_date(self, claim, "state"), batch, again=again)


@DOUBLES.breaks("test_a_cancel_request_says_what_holds")
class CancelSaysCancelling(SqlLedger):
    def request_cancel(self, execution):
        super().request_cancel(execution)
        return "cancelling"


@DOUBLES.breaks("test_taking_over_gives_running_tasks_back")
class RecoversNothing(SqlLedger):
    def claim_existing(self, seen, owner, *, retry_failed, changes=None):
        before = self.load_graph(seen.execution)
        claim = super().claim_existing(seen, owner, retry_failed=retry_failed, changes=changes)
        with self._writing() as connection:
            for row in before:
                connection.execute(update(Task).where(Task.id == row.id).values(state=row.state))
        return claim


@DOUBLES.breaks("test_retry_failed_gives_failed_tasks_new_budgets")
class NeverRetries(SqlLedger):
    def claim_existing(self, seen, owner, *, retry_failed):
        return super().claim_existing(seen, owner, retry_failed=False)


@DOUBLES.breaks("test_retry_failed_gives_failed_tasks_new_budgets")
class GivesNoNewBudget(SqlLedger):
    def claim_existing(self, seen, owner, *, retry_failed):
        claim = super().claim_existing(seen, owner, retry_failed=retry_failed)
        return self.record_batch(claim, Batch(execution={"failed_attempts": 7}))


@DOUBLES.breaks("test_a_takeover_keeps_what_was_spent_and_stores_what_is_new")
class TakeoverForgetsWhatWasSpent(SqlLedger):
    def claim_existing(self, seen, owner, *, retry_failed, changes=None):
        claim = super().claim_existing(seen, owner, retry_failed=retry_failed, changes=changes)
        return self.record_batch(claim, Batch(execution={"failed_attempts": None}))


@DOUBLES.breaks("test_a_takeover_keeps_what_was_spent_and_stores_what_is_new")
class TakeoverStoresNothingNew(SqlLedger):
    def claim_existing(self, seen, owner, *, retry_failed, changes=None):
        return super().claim_existing(seen, owner, retry_failed=retry_failed)


@DOUBLES.breaks("test_of_eight_takers_one_wins", "test_an_owner_that_showed_life_is_not_taken_over")
class TakesAnything(SqlLedger):
    lock = threading.Lock()

    def claim_existing(self, seen, owner, *, retry_failed):
        with self.lock:
            return super().claim_existing(
                self.pulse(seen.execution), owner, retry_failed=retry_failed)


@DOUBLES.breaks("test_an_ended_execution_is_not_resumed_beside_an_active_one")
class ResumeCancelsOthers(SqlLedger):
    def claim_existing(self, seen, owner, *, retry_failed):
        active = self.active(seen.service)
        if active is not None:
            self.abandon(active, "cancelled")
        return super().claim_existing(seen, owner, retry_failed=retry_failed)


DOUBLES.breaks("test_what_succeeded_is_neither_taken_nor_abandoned")(
    swallowing(SqlLedger, StorageError, None, "claim_existing"))


@DOUBLES.breaks("test_an_execution_is_released_by_its_owner_and_nobody_else")
class AnybodyReleases(SqlLedger):
    def release(self, claim):
        super().release(up_to_date(self, claim, "epoch"))


@DOUBLES.breaks("test_an_execution_is_released_by_its_owner_and_nobody_else")
class ReleasesOnlyTheLatest(SqlLedger):
    def release(self, claim):
        if self.pulse(claim.execution).batch == claim.batch:
            super().release(claim)


@DOUBLES.breaks("test_pending_and_cancelling_survive_a_takeover")
class TakeoverStarts(SqlLedger):
    def claim_existing(self, seen, owner, *, retry_failed):
        claim = super().claim_existing(seen, owner, retry_failed=retry_failed)
        return replace(claim, state="started")


@DOUBLES.breaks("test_beats_are_counted")
class NoBeat(SqlLedger):
    def beat(self, claim):
        return self.pulse(claim.execution)


@DOUBLES.breaks("test_the_last_edit_of_a_name_wins")
class FirstEditWins(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        return super().record_batch(claim, replace(batch, edits=batch.edits[::-1]), again=again)


@DOUBLES.breaks("test_only_the_current_attempt_flushes_edits")
class EveryAttemptFlushes(SqlLedger):
    def record_edits(self, claim, task, attempt, edits):
        super().record_edits(claim, task, attempt, edits)
        return True


@DOUBLES.breaks("test_times_of_tasks_come_back_aware_and_in_utc")
class NaiveTimes(SqlLedger):
    def load_graph(self, execution):
        return [row._replace(due_at=row.due_at and row.due_at.replace(tzinfo=None))
                for row in super().load_graph(execution)]


@DOUBLES.breaks("test_logs_keep_their_order_and_fields")
class BackwardLogs(SqlLedger):
    def add_logs(self, rows):
        super().add_logs(rows[::-1])


@DOUBLES.breaks("test_logs_of_many_threads_are_all_kept")
class LogsOfSomeThreads(SqlLedger):
    def add_logs(self, rows):
        super().add_logs([row for row in rows if not row.message.startswith("3 ")])


@pytest.mark.parametrize("name", DOUBLES.names)
def test_a_ledger_that_breaks_it_is_found(name: str, tmp_path: Path) -> None:
    for number, kind in enumerate(DOUBLES.of(name)):
        ledger = property(lambda storage, kind=kind: kind(storage.database, storage.revisions))
        broken = type("Broken", (SqlModelStorage,), {"ledger": ledger})
        with broken(f"sqlite:///{tmp_path}/{number}/aria.db", synchronous="OFF") as storage:
            DOUBLES.check(name, {"storage": storage})
