"""What the ledger of every model storage refuses: moves that the state machines do not know."""

from __future__ import annotations

import pytest

from aria_core.exceptions import StorageError
from aria_core.modeling.states import TASK_TRANSITIONS, TaskState
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import Batch, TaskRow
from aria_core.testing.sample import (
    MOMENT,
    add_service,
    everything,
    in_all_states,
    moved,
    start_service,
    tasks_of,
)


class StatesContract:
    """Illegal transitions are refused through ``storage.ledger``, and leave no trace."""

    def test_a_task_takes_no_step_that_its_machine_does_not_know(self, storage: ModelStorage) -> None:
        claim = in_all_states(storage)
        rows = storage.ledger.load_graph(claim.execution)
        assert {row.state for row in rows} == set(TaskState)
        legal = {*TASK_TRANSITIONS} - {(TaskState.FAILED, TaskState.PENDING)}  # that is a claim's to make
        before = everything(storage, claim)
        for row in rows:
            for after in TaskState:
                if (row.state, after) not in legal:
                    with pytest.raises(StorageError):
                        storage.ledger.record_batch(
                            claim, Batch([moved(row.id, row.state, after, row.attempts)]))
        assert everything(storage, claim) == before

    def test_what_has_ended_goes_on_by_a_new_claim_only(self, storage: ModelStorage) -> None:
        for state in ("failed", "cancelled", "succeeded"):
            claim = start_service(storage, add_service(storage, f"in the end {state}"))
            ended = storage.ledger.record_batch(claim, Batch(execution={"state": state}))
            before = everything(storage, ended)
            for batch in (Batch(), Batch([moved(tasks_of(storage, ended)[0], "pending", "sent", 0)]),
                          Batch(execution={"state": "started"})):
                with pytest.raises(StorageError):
                    storage.ledger.record_batch(ended, batch)
            with pytest.raises(StorageError):
                storage.ledger.create_graph(ended, [TaskRow(position=9, name="t")], (), MOMENT)
            assert everything(storage, ended) == before
