"""What the ledger of every model storage does for runners that share a queue."""

from __future__ import annotations

import pytest

from aria_core.exceptions import AlreadyExistsError
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import Batch, Claim, NewExecution, Pulse, TaskRow
from aria_core.testing.sample import (
    MOMENT,
    NEW_OWNER,
    OWNER,
    add_service,
    at_once,
    claim_service,
    elsewhere,
    end_execution,
    take_over,
)


def queue_execution(storage: ModelStorage, name: str) -> int:
    """An execution on a service of its own that waits for a runner."""
    service = add_service(storage, name)
    new = NewExecution(service.id, "install", {}, OWNER, executor="thread", queued=True)
    return storage.ledger.claim_new(new).execution


class QueueContract:
    """Queued executions through ``storage.ledger``."""

    def test_a_queued_execution_is_pending_and_nobodys(self, storage: ModelStorage) -> None:
        service = add_service(storage)
        new = NewExecution(service.id, "install", {"a": 1}, OWNER, executor="thread", queued=True)
        claim = storage.ledger.claim_new(new)
        assert claim == Claim(claim.execution, 0, 0, "pending")
        pulse = elsewhere(lambda: storage.ledger.pulse(claim.execution))
        assert pulse == Pulse(claim.execution, service.id, "pending", 0, 0, 0, None, "thread", True)
        with pytest.raises(AlreadyExistsError):
            claim_service(storage, service)
        assert storage.ledger.request_cancel(claim.execution) == "cancelled"
        assert storage.ledger.claim_queued(NEW_OWNER, 5) == []

    def test_the_oldest_are_taken_first(self, storage: ModelStorage) -> None:
        waiting = [queue_execution(storage, f"shop {each}") for each in range(4)]
        claim_service(storage, add_service(storage, "not queued"))
        taken = storage.ledger.claim_queued(NEW_OWNER, 3)
        assert taken == [Claim(each, 1, 1, "pending") for each in waiting[:3]]
        pulse = elsewhere(lambda: storage.ledger.pulse(waiting[0]))
        assert (pulse.owner, pulse.state, pulse.epoch, pulse.beat) == (NEW_OWNER, "pending", 1, 1)
        assert storage.ledger.claim_queued(OWNER, 3, besides={waiting[3]}) == []
        assert storage.ledger.claim_queued(OWNER, 3) == [Claim(waiting[3], 1, 1, "pending")]
        assert storage.ledger.claim_queued(OWNER, 3) == []

    def test_what_was_taken_is_run_like_any_other(self, storage: ModelStorage) -> None:
        queue_execution(storage, "shop")
        (claim,) = storage.ledger.claim_queued(NEW_OWNER, 1)
        assert storage.ledger.beat(claim).beat == 2
        started = storage.ledger.create_graph(claim, [TaskRow(position=0, name="t")], (), MOMENT)
        assert started == Claim(claim.execution, 1, 2, "started")
        assert take_over(storage, started).epoch == 2

    def test_what_its_runner_has_let_go_before_it_began_waits_again(self, storage: ModelStorage) -> None:
        execution = queue_execution(storage, "shop")
        (claim,) = storage.ledger.claim_queued(OWNER, 1)
        storage.ledger.release(claim)
        again = storage.ledger.claim_queued(NEW_OWNER, 1)
        assert again == [Claim(execution, 2, 2, "pending")]
        begun = storage.ledger.create_graph(again[0], [], (), MOMENT)
        storage.ledger.release(begun)
        assert storage.ledger.claim_queued(OWNER, 1) == []  # it has a graph: taken over, not begun anew

    def test_of_eight_runners_one_gets_each(self, storage: ModelStorage) -> None:
        waiting = [queue_execution(storage, f"shop {each}") for each in range(24)]

        def act(runner: int) -> list[Claim]:
            got: list[Claim] = []
            while some := storage.ledger.claim_queued({**OWNER, "pid": runner}, 2):
                got += some
            return got

        outcomes = at_once(act)
        assert all(isinstance(each, list) for each in outcomes), outcomes
        assert sorted(claim.execution for each in outcomes for claim in each) == waiting
        owners = {storage.ledger.pulse(claim.execution).owner["pid"] == runner  # type: ignore[index]
                  for runner, each in enumerate(outcomes) for claim in each}
        assert owners == {True}

    def test_active_executions_are_told_in_order(self, storage: ModelStorage) -> None:
        assert storage.ledger.active_executions() == []
        first = queue_execution(storage, "first")
        mine = claim_service(storage, add_service(storage, "mine"))
        second = queue_execution(storage, "second")
        ended = storage.ledger.create_graph(claim_service(storage, add_service(storage, "x")), [], (), MOMENT)
        end_execution(storage, ended)
        active = storage.ledger.active_executions()
        assert active == [storage.ledger.pulse(each) for each in (first, mine.execution, second)]
        queued = storage.ledger.active_executions(queued_only=True)
        assert queued == [storage.ledger.pulse(each) for each in (first, second)]
        assert storage.ledger.active_executions(queued_only=True, waiting=False) == []
        (claim,) = storage.ledger.claim_queued(OWNER, 1)
        taken = storage.ledger.active_executions(waiting=False)
        assert [each.execution for each in taken] == [first, mine.execution]
        started = storage.ledger.create_graph(claim, [], (), MOMENT)
        storage.ledger.record_batch(started, Batch(execution={"state": "cancelling"}))
        states = [each.state for each in storage.ledger.active_executions(queued_only=True)]
        assert states == ["cancelling", "pending"]
