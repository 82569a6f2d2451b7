"""Every contract test of the states fails for a ledger that lets a wrong step pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aria_core.exceptions import StorageError
from aria_core.storage.records import Batch
from aria_core.storage.sql import SqlModelStorage
from aria_core.storage.sql.ledger import SqlLedger
from aria_core.testing.doubles import Doubles, swallowing
from aria_core.testing.model_states import StatesContract

DOUBLES = Doubles(StatesContract)

DOUBLES.breaks("test_a_task_takes_no_step_that_its_machine_does_not_know")(
    swallowing(SqlLedger, StorageError, None, "record_batch"))
DOUBLES.breaks("test_what_has_ended_goes_on_by_a_new_claim_only")(
    swallowing(SqlLedger, StorageError, None, "create_graph"))


@DOUBLES.breaks("test_a_task_takes_no_step_that_its_machine_does_not_know")
class TriesEverythingAgain(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        known = [each for each in batch.transitions if each.before != "success"]
        return super().record_batch(claim, replace(batch, transitions=known), again=again)


@DOUBLES.breaks("test_what_has_ended_goes_on_by_a_new_claim_only")
class EndsWithoutAWord(SqlLedger):
    def record_batch(self, claim, batch, *, again=False):
        if claim.state == "failed" and batch == Batch():
            return claim
        return super().record_batch(claim, batch, again=again)


@pytest.mark.parametrize("name", DOUBLES.names)
def test_a_ledger_that_breaks_it_is_found(name: str, tmp_path: Path) -> None:
    for number, kind in enumerate(DOUBLES.of(name)):
        ledger = property(lambda storage, kind=kind: kind(storage.database, storage.revisions))
        broken = type("Broken", (SqlModelStorage,), {"ledger": ledger})
        with broken(f"sqlite:///{tmp_path}/{number}/aria.db", synchronous="OFF") as storage:
            DOUBLES.check(name, {"storage": storage})
