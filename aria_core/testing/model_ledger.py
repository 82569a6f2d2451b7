"""What the ledger of every model storage does: the engine's promises rest on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from aria_core.exceptions import (
    AlreadyExistsError,
    ExecutionOwnedError,
    FencedError,
    NotFoundError,
    StorageError,
)
from aria_core.modeling.models import Service
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import Batch, Claim, ClaimChangedError, LogRow, NewExecution, Pulse, TaskRow
from aria_core.testing.sample import (
    JSON_VALUES,
    MOMENT,
    NEW_OWNER,
    OWNER,
    add_service,
    at_once,
    claim_service,
    elsewhere,
    everything,
    in_all_states,
    moved,
    sent,
    start_service,
    take_over,
    tasks_of,
    whole_batch,
)
from aria_core.worker.calls import Edit


def _claiming(storage: ModelStorage, service: Service) -> Callable[[int], Claim]:
    return lambda _: claim_service(storage, service)


class LedgerContract:
    """Claims, the fence, batches, cancel requests, edits and logs through ``storage.ledger``."""

    def test_a_claim_is_a_pending_execution_with_its_owner(self, storage: ModelStorage) -> None:
        service = add_service(storage)
        claim = claim_service(storage, service)
        pulse = elsewhere(lambda: storage.ledger.pulse(claim.execution))
        assert pulse == Pulse(claim.execution, service.id, "pending", 1, 0, 0, OWNER, "thread")
        assert (claim.epoch, claim.batch, claim.state) == (1, 0, "pending")
        row = storage.execution.get(claim.execution)
        assert (row.workflow_name, row.inputs, row.dry) == ("install", {"size": 2**70}, False)

    def test_of_eight_claims_at_once_one_wins(self, storage: ModelStorage) -> None:
        for round_ in range(3):
            service = add_service(storage, f"service {round_}")
            outcomes = at_once(_claiming(storage, service))
            refused = [each for each in outcomes if not isinstance(each, Claim)]
            assert len(refused) == 7
            assert all(isinstance(each, AlreadyExistsError) for each in refused), refused
            assert len(storage.execution.list({"service_id": service.id})) == 1

    def test_services_are_claimed_independently(self, storage: ModelStorage) -> None:
        claims = [claim_service(storage, add_service(storage, name)) for name in ("one", "two")]
        assert claims[0].execution != claims[1].execution

    def test_a_missing_service_cannot_be_claimed(self, storage: ModelStorage) -> None:
        with pytest.raises(NotFoundError):
            storage.ledger.claim_new(NewExecution(99, "install", {}, OWNER))

    def test_a_service_is_free_again_when_its_execution_has_ended(self, storage: ModelStorage) -> None:
        service, ledger = add_service(storage), storage.ledger
        assert (ledger.active(service.id), ledger.latest(service.id)) == (None, None)
        first = claim_service(storage, service)
        assert ledger.active(service.id) == ledger.pulse(first.execution)
        assert ledger.abandon(ledger.pulse(first.execution), "failed", "it raised") is True
        assert ledger.active(service.id) is None
        ended = storage.execution.get(first.execution)
        assert (ended.state, ended.error, ended.ended_at is None) == ("failed", "it raised", False)
        second = claim_service(storage, service)
        assert ledger.latest(service.id) == second.execution

    def test_what_changed_since_is_not_abandoned(self, storage: ModelStorage) -> None:
        claim = claim_service(storage, add_service(storage))
        seen = storage.ledger.pulse(claim.execution)
        storage.ledger.beat(claim)
        assert storage.ledger.abandon(seen, "cancelled") is False
        assert storage.ledger.pulse(claim.execution).state == "pending"

    def test_a_missing_execution_is_not_found(self, storage: ModelStorage) -> None:
        for ask in (storage.ledger.pulse, storage.ledger.request_cancel):
            with pytest.raises(NotFoundError):
                ask(99)

    def test_a_graph_comes_back_as_it_was_in_order(self, storage: ModelStorage) -> None:
        node = add_service(storage).nodes["web"]
        claim = claim_service(storage, storage.service.get_by_name("shop"))
        rows = [TaskRow(position=0, name="first", stub="start_workflow"), TaskRow(
            position=1, name="second \U0001f600", waits_for=(0,), function="m:f",
            arguments={"values": list(JSON_VALUES)}, dynamic=("values",), secret=("x",), node_id=node.id,
            interface_name="Standard", operation_name="create", max_attempts=-1, retry_interval=0.5,
            retry={"backoff": 2.0, "retry_on": ["OSError"]}, ignore_failure=True, timeout=1.5,
            heartbeat_timeout=2.5, priority=-3, pool="database")]
        after = storage.ledger.create_graph(claim, rows[::-1], [Edit("node", node.id, "a", [1])], MOMENT)
        loaded = elsewhere(lambda: storage.ledger.load_graph(claim.execution))
        assert [repr(row._replace(id=0)) for row in loaded] == [repr(row) for row in rows]
        assert all(row.id for row in loaded)
        assert storage.ledger.task_ids(claim.execution) == [row.id for row in loaded]
        assert after == Claim(claim.execution, 1, 1, "started")
        assert storage.execution.get(claim.execution).started_at == MOMENT
        assert dict(storage.node.get(node.id).attributes) == {"a": [1]}

    def test_a_graph_is_stored_entirely_or_not_at_all(self, storage: ModelStorage) -> None:
        node = add_service(storage).nodes["web"]
        claim = claim_service(storage, storage.service.get_by_name("shop"))
        before = everything(storage, claim)
        rows = [TaskRow(position=each, name="t") for each in (0, 1, 1)]
        with pytest.raises(StorageError):
            storage.ledger.create_graph(claim, rows, [Edit("node", node.id, "a", 1)], MOMENT)
        assert everything(storage, claim) == before
        assert storage.ledger.create_graph(claim, rows[:2], (), MOMENT).state == "started"

    def test_a_cancelled_execution_gets_no_graph(self, storage: ModelStorage) -> None:
        claim = claim_service(storage, add_service(storage))
        assert storage.ledger.request_cancel(claim.execution) == "cancelled"
        with pytest.raises(ClaimChangedError) as changed:
            storage.ledger.create_graph(claim, [TaskRow(position=0, name="t")], (), MOMENT)
        assert changed.value.claim.state == "cancelled"
        assert storage.ledger.load_graph(claim.execution) == []

    def test_a_batch_is_written_whole(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        after = storage.ledger.record_batch(claim, whole_batch(storage, claim))
        assert after == replace(claim, batch=claim.batch + 1)
        rows = elsewhere(lambda: storage.ledger.load_graph(claim.execution))
        assert [(row.state, row.attempts) for row in rows] == [("sent", 1), ("sent", 1), ("pending", 0)]
        assert storage.task.get(rows[0].id).sent_at == MOMENT
        assert [(row.progress, row.progress_message) for row in rows] == [
            (0.5, "half \u2603"), (None, None), (None, None)]  # only of the current attempt
        node = storage.node.get_by_name("web")
        assert (node.state, node.attributes["port"]) == ("starting", 80)
        attempts = [(each.task_id, each.number, each.outcome, each.location) for each in storage.attempt]
        assert attempts == [(rows[2].id, 1, "lost", "here:1")]
        assert storage.execution.get(claim.execution).error == "none yet"

    def test_a_batch_ends_an_execution(self, storage: ModelStorage) -> None:
        service = add_service(storage)
        claim = start_service(storage, service)
        end = {"state": "succeeded", "ended_at": MOMENT}
        after = storage.ledger.record_batch(claim, Batch(execution=end))
        assert after.state == "succeeded"
        assert storage.execution.get(claim.execution).ended_at == MOMENT
        assert storage.ledger.active(service.id) is None

    def test_a_task_that_is_not_as_expected_stops_the_whole_batch(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        last, batch = tasks_of(storage, claim)[2], whole_batch(storage, claim)
        before = everything(storage, claim)
        for stray in (moved(last, "started", "success", 0), moved(last, "pending", "success", 5),
                      moved(10**6, "pending", "success", 0)):
            spoilt = replace(batch, transitions=[*batch.transitions, stray])
            with pytest.raises(StorageError):
                storage.ledger.record_batch(claim, spoilt)
            assert everything(storage, claim) == before
        storage.ledger.record_batch(claim, batch)

    def test_a_batch_about_what_does_not_exist_changes_nothing(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        before, batch = everything(storage, claim), whole_batch(storage, claim)
        with pytest.raises(StorageError):
            storage.ledger.record_batch(claim, replace(batch, edits=[Edit("node", 10**6, "a", 1)]))
        assert everything(storage, claim) == before

    def test_who_lost_its_epoch_changes_nothing(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        claim = storage.ledger.record_batch(claim, whole_batch(storage, claim))
        node, task = storage.node.get_by_name("web").id, tasks_of(storage, claim)[0]
        storage.ledger.record_batch(take_over(storage, claim), Batch([sent(task, 1)]))
        before = everything(storage, claim)
        stale = [replace(claim, batch=claim.batch + ahead) for ahead in (0, 2)]
        for each in stale:
            for batch in (Batch(), Batch(transitions=[moved(task, "sent", "success", 2)]),
                          Batch(execution={"state": "failed"})):
                with pytest.raises(FencedError):
                    storage.ledger.record_batch(each, batch)
            with pytest.raises(FencedError):
                storage.ledger.create_graph(each, [TaskRow(position=9, name="t")], (), MOMENT)
            with pytest.raises(FencedError):
                storage.ledger.beat(each)
            assert storage.ledger.record_edits(each, task, 2, [Edit("node", node, "port", 1)]) is False
        assert everything(storage, claim) == before

    def test_a_batch_that_is_not_the_next_changes_nothing(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        storage.ledger.record_batch(claim, Batch())
        before, task = everything(storage, claim), tasks_of(storage, claim)[0]
        for stale in (claim, replace(claim, batch=claim.batch + 5)):
            with pytest.raises(FencedError):
                storage.ledger.record_batch(stale, Batch(transitions=[sent(task)], nodes={1: "error"}))
        assert everything(storage, claim) == before

    def test_a_batch_whose_commit_was_unknown_is_written_once(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        batch = whole_batch(storage, claim)
        once = storage.ledger.record_batch(claim, batch, again=True)
        committed = everything(storage, claim)
        assert storage.ledger.record_batch(claim, batch, again=True) == once
        assert everything(storage, claim) == committed
        assert [row.attempts for row in storage.ledger.load_graph(claim.execution)] == [1, 1, 0]
        take_over(storage, claim)
        with pytest.raises(FencedError):
            storage.ledger.record_batch(claim, batch, again=True)

    def test_a_cancel_request_is_told_at_the_next_batch(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        assert storage.ledger.request_cancel(claim.execution) == "cancelling"
        before, batch = everything(storage, claim), whole_batch(storage, claim)
        with pytest.raises(ClaimChangedError) as changed:
            storage.ledger.record_batch(claim, batch)
        assert everything(storage, claim) == before
        assert changed.value.claim == replace(claim, state="cancelling")
        ended = storage.ledger.record_batch(changed.value.claim, Batch(execution={"state": "cancelled"}))
        assert ended.state == "cancelled"

    def test_a_cancel_request_says_what_holds(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        asked = [storage.ledger.request_cancel(claim.execution) for _ in range(2)]
        assert asked == ["cancelling", "cancelling"]
        now = replace(claim, state="cancelling")
        storage.ledger.record_batch(now, Batch(execution={"state": "succeeded"}))
        assert storage.ledger.request_cancel(claim.execution) == "succeeded"
        assert storage.ledger.pulse(claim.execution).state == "succeeded"

    def test_taking_over_gives_running_tasks_back(self, storage: ModelStorage) -> None:
        claim = in_all_states(storage)
        taken = take_over(storage, claim)
        assert (taken.epoch, taken.state) == (claim.epoch + 1, "started")
        assert storage.ledger.pulse(claim.execution).owner == NEW_OWNER
        rows = storage.ledger.load_graph(claim.execution)
        assert [row.state for row in rows] == [
            "pending", "success", "failed", "retrying", "pending", "pending"]
        assert [row.attempts for row in rows] == [1, 1, 1, 1, 1, 0]
        assert [row.interruptions for row in rows] == [1, 0, 0, 0, 1, 0]
        storage.ledger.record_batch(taken, Batch([sent(rows[0].id, 1)]))

    def test_retry_failed_gives_failed_tasks_new_budgets(self, storage: ModelStorage) -> None:
        claim = in_all_states(storage)
        ended = {"state": "failed", "error": "boom", "ended_at": MOMENT, "failed_attempts": 7}
        storage.ledger.record_batch(claim, Batch(execution=ended))
        take_over(storage, claim, retry_failed=True)
        retried = storage.ledger.load_graph(claim.execution)[2]
        assert (retried.state, retried.failures, retried.attempts) == ("pending", 0, 1)
        execution = storage.execution.get(claim.execution)
        assert (execution.state, execution.error, execution.ended_at) == ("started", None, None)
        assert not execution.failed_attempts

    def test_a_takeover_keeps_what_was_spent_and_stores_what_is_new(self, storage: ModelStorage) -> None:
        claim = in_all_states(storage)
        storage.ledger.record_batch(claim, Batch(execution={"failed_attempts": 7}))
        take_over(storage, claim, changes={"pools": {"database": 2}})
        execution = storage.execution.get(claim.execution)
        assert (execution.failed_attempts, execution.pools) == (7, {"database": 2})

    def test_of_eight_takers_one_wins(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        seen = storage.ledger.pulse(claim.execution)
        outcomes = at_once(lambda number: storage.ledger.claim_existing(
            seen, {**OWNER, "pid": number}, retry_failed=False))
        winners = [each for each in outcomes if isinstance(each, Claim)]
        assert len(winners) == 1
        assert sum(isinstance(each, ExecutionOwnedError) for each in outcomes) == 7, outcomes
        assert storage.ledger.pulse(claim.execution).epoch == winners[0].epoch == 2

    def test_an_owner_that_showed_life_is_not_taken_over(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        for show in (lambda: storage.ledger.beat(claim), lambda: storage.ledger.record_batch(claim, Batch()),
                     lambda: storage.ledger.request_cancel(claim.execution)):
            seen = storage.ledger.pulse(claim.execution)
            show()
            with pytest.raises(ExecutionOwnedError):
                storage.ledger.claim_existing(seen, NEW_OWNER, retry_failed=False)
        assert storage.ledger.pulse(claim.execution).owner == OWNER

    def test_an_ended_execution_is_not_resumed_beside_an_active_one(self, storage: ModelStorage) -> None:
        service = add_service(storage)
        claim = start_service(storage, service)
        storage.ledger.record_batch(claim, Batch(execution={"state": "failed"}))
        claim_service(storage, service)
        with pytest.raises(AlreadyExistsError):
            take_over(storage, claim)
        assert storage.ledger.pulse(claim.execution).state == "failed"

    def test_what_succeeded_is_neither_taken_nor_abandoned(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        storage.ledger.record_batch(claim, Batch(execution={"state": "succeeded", "ended_at": MOMENT}))
        before = everything(storage, claim)
        with pytest.raises(StorageError):
            take_over(storage, claim)
        with pytest.raises(StorageError):
            storage.ledger.abandon(storage.ledger.pulse(claim.execution), "failed")
        assert everything(storage, claim) == before

    def test_an_execution_is_released_by_its_owner_and_nobody_else(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        storage.ledger.record_batch(claim, Batch())
        storage.ledger.request_cancel(claim.execution)
        storage.ledger.release(claim)  # its batch and state are old, its epoch is not
        seen = storage.ledger.pulse(claim.execution)
        assert (seen.owner, seen.state) == (None, "cancelling")
        take_over(storage, claim)
        storage.ledger.release(claim)
        assert storage.ledger.pulse(claim.execution).owner == NEW_OWNER

    def test_pending_and_cancelling_survive_a_takeover(self, storage: ModelStorage) -> None:
        claim = claim_service(storage, add_service(storage, "one"))
        assert take_over(storage, claim).state == "pending"
        claim = start_service(storage, add_service(storage, "two"))
        storage.ledger.request_cancel(claim.execution)
        assert take_over(storage, claim).state == "cancelling"

    def test_beats_are_counted(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        assert [storage.ledger.beat(claim).beat for _ in range(2)] == [1, 2]
        assert storage.ledger.pulse(claim.execution).beat == 2
        storage.ledger.record_batch(claim, Batch())

    def test_the_last_edit_of_a_name_wins(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        node, tie = storage.node.get_by_name("db").id, storage.relationship.list()[0].id
        claim = storage.ledger.record_batch(claim, Batch(edits=[
            Edit("node", node, "ip", "lost"), Edit("node", node, "ip", "10.0.0.2"),
            Edit("node", node, "none"), Edit("node", node, "gone", 1),
            Edit("relationship", tie, "ip", {"v": 2**70})]))
        storage.ledger.record_batch(claim, Batch(edits=[
            Edit("node", node, "gone", deleted=True), Edit("node", node, "never", deleted=True)]))
        assert dict(storage.node.get(node).attributes) == {"ip": "10.0.0.2", "none": None}
        assert dict(storage.relationship.get(tie).attributes) == {"ip": {"v": 2**70}}

    def test_only_the_current_attempt_flushes_edits(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        task, node = tasks_of(storage, claim)[0], storage.node.get_by_name("web").id

        def flush(attempt: int) -> bool:
            return storage.ledger.record_edits(claim, task, attempt, [Edit("node", node, "at", attempt)])

        assert flush(0) is False
        claim = storage.ledger.record_batch(claim, Batch([sent(task)]))
        assert (flush(1), flush(2)) == (True, False)
        assert storage.node.get(node).attributes["at"] == 1
        claim = storage.ledger.record_batch(claim, Batch([moved(task, "sent", "success")]))
        assert flush(1) is False

    def test_times_of_tasks_come_back_aware_and_in_utc(self, storage: ModelStorage) -> None:
        claim = in_all_states(storage)
        due = storage.ledger.load_graph(claim.execution)[3].due_at
        assert due == MOMENT
        assert due is not None
        assert due.utcoffset() == timedelta(0)

    def test_logs_keep_their_order_and_fields(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        task = tasks_of(storage, claim)[0]
        lines = [LogRow(claim.execution, "info", f"line {each} \U0001f600", MOMENT, task, 1, "trace")
                 for each in range(50)]
        storage.ledger.add_logs(lines[:20])
        storage.ledger.add_logs([])
        storage.ledger.add_logs(lines[20:])
        found = storage.log.list({"execution_id": claim.execution}).items
        assert [each.message for each in found] == [each.message for each in lines]
        first: Mapping[str, Any] = found[0].to_dict()
        expected = {"level": "info", "task_id": task, "attempt": 1, "traceback": "trace",
                    "created_at": MOMENT}
        assert {name: first[name] for name in expected} == expected

    def test_logs_of_many_threads_are_all_kept(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))

        def write(number: int) -> None:
            for each in range(5):
                storage.ledger.add_logs([LogRow(claim.execution, "info", f"{number} {each}", MOMENT)])

        at_once(write)
        messages = [each.message for each in storage.log.list({"execution_id": claim.execution})]
        assert len(messages) == 40
        for number in range(8):
            of_thread = [each for each in messages if each.startswith(f"{number} ")]
            assert of_thread == [f"{number} {each}" for each in range(5)]
