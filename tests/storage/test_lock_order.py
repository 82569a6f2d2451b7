"""Transactions on PostgreSQL take locks in one order, so that no two of them wait for each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from aria_core.storage.records import Batch
from aria_core.storage.sql import SqlModelStorage
from aria_core.testing.sample import add_service, sent, start_service, tasks_of
from aria_core.worker.calls import Edit


@pytest.fixture
def storage(postgresql_url: str) -> Iterator[SqlModelStorage]:
    with SqlModelStorage(postgresql_url) as storage:
        yield storage


def test_a_flush_that_waits_for_the_engine_holds_no_task(storage: SqlModelStorage) -> None:
    claim = start_service(storage, add_service(storage))
    task, node = tasks_of(storage, claim)[0], storage.node.get_by_name("web").id
    storage.ledger.record_batch(claim, Batch([sent(task)]))
    stored: list[bool] = []
    with storage.database.write() as engine:
        engine.execute(text("UPDATE execution SET batch = batch WHERE id = :id"), {"id": claim.execution})
        flush = threading.Thread(target=lambda: stored.append(
            storage.ledger.record_edits(claim, task, 1, [Edit("node", node, "a", 1)])))
        flush.start()
        wait_until_somebody_waits(storage)
        engine.execute(text("SELECT id FROM task WHERE id = :id FOR UPDATE NOWAIT"), {"id": task})
    flush.join()
    assert stored == [True]


def wait_until_somebody_waits(storage: SqlModelStorage) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    deadline = time.monotonic() + 30
    while True:
        with storage.database.read() as connection:
            if connection.scalar(waiting):
                return
        assert time.monotonic() < deadline, "nobody waits for a lock"
        time.sleep(0.01)
