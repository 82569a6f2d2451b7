"""Workers and runners elsewhere on a real PostgreSQL: many at once, in each other's way, and cut off."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text

from aria_core.exceptions import StorageUnavailableError
from aria_core.storage.records import Batch, CallBeat, Claim
from aria_core.storage.sql import SqlModelStorage, calls_at_once
from aria_core.testing.model_calls import claim_calls, sent_calls, states_of
from aria_core.testing.model_queue import queue_execution
from aria_core.testing.sample import MOMENT, NEW_OWNER, moved, sent, take_over
from aria_core.worker.calls import CallRef, Edit, Succeeded

CLAIM_ALL = """
import json, random, sys
from aria_core.storage.sql import SqlModelStorage
from aria_core.testing.model_calls import claim_calls
from aria_core.worker.calls import CallRef

url, worker, execution, tasks = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
refs = [CallRef(execution, task, 1) for task in tasks]
random.Random(worker).shuffle(refs)
with SqlModelStorage(url) as storage:
    print("ready", flush=True)
    sys.stdin.readline()
    won = []
    for start in range(0, len(refs), 7):
        won += claim_calls(storage, refs[start:start + 7], f"{worker} {start}")
print(json.dumps([ref.task for ref in won]))
"""


@pytest.fixture
def storage(postgresql_url: str) -> Iterator[SqlModelStorage]:
    with SqlModelStorage(postgresql_url, engine_options={"pool_size": 12}) as storage:
        yield storage


def deadlocks(storage: SqlModelStorage) -> int:
    with storage.database.read() as connection:
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        return int(connection.scalar(
            text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")) or 0)


def wait_until(happens: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def wait_until_somebody_waits(storage: SqlModelStorage) -> None:
    def waits() -> Any:
        with storage.database.read() as connection:
            return connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    wait_until(waits, "nobody waits for a lock")


# --- one winner


def test_of_eight_processes_that_are_told_of_a_thousand_calls_one_starts_each(
        storage: SqlModelStorage, postgresql_url: str) -> None:
    claim, refs = sent_calls(storage, 1000)
    tasks = json.dumps([ref.task for ref in refs])
    workers = [subprocess.Popen(
        [sys.executable, "-c", CLAIM_ALL, postgresql_url, f"{each}", f"{claim.execution}", tasks],
        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for each in range(8)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    won = [json.loads(worker.communicate(timeout=120)[0]) for worker in workers]
    assert sorted(task for each in won for task in each) == [ref.task for ref in refs]
    assert sum(map(bool, won)) > 1, "only one process came by"
    assert states_of(storage, claim) == ["started"] * 1000 + ["pending"]
    assert len(storage.ledger.claimed_calls(claim.execution)) == 1000
    assert deadlocks(storage) == 0


def test_of_a_message_that_comes_eight_times_one_starts_a_call_a_thousand_times(
        storage: SqlModelStorage) -> None:
    _, refs = sent_calls(storage, 1000)
    barrier, won = threading.Barrier(8, timeout=30), Counter[CallRef]()

    def work(worker: int) -> list[CallRef]:
        mine: list[CallRef] = []
        for start in range(0, 1000, 50):
            barrier.wait()  # all ask for the same, in another order
            some = refs[start:start + 50]
            random.Random(worker).shuffle(some)
            mine += claim_calls(storage, some, f"{worker} {start}")
        return mine

    with ThreadPoolExecutor(8) as pool:
        for mine in pool.map(work, range(8)):
            won.update(mine)
    assert won == Counter(refs)
    assert deadlocks(storage) == 0


# --- others at the same moment


def test_a_claim_does_not_wait_for_the_engine(storage: SqlModelStorage) -> None:
    claim, refs = sent_calls(storage)
    with storage.database.write() as engine, ThreadPoolExecutor(1) as pool:
        engine.execute(text("UPDATE execution SET batch = batch + 1 WHERE id = :id"), {"id": claim.execution})
        assert pool.submit(claim_calls, storage, refs).result(10) == refs
        assert pool.submit(storage.ledger.beat_calls, [CallBeat(refs[0])]).result(10) == {refs[0]}
        assert pool.submit(storage.ledger.record_call_edits, refs[0], ()).result(10)
        pool.submit(storage.ledger.put_reports, [Succeeded(refs[0])]).result(10)


@pytest.fixture
def claiming(storage: SqlModelStorage) -> Iterator[tuple[Claim, list[CallRef], Callable[[Any], Any]]]:
    """Calls of which a worker's claim has the first but is not committed, and how to do a thing meanwhile."""
    claim, refs = sent_calls(storage)

    def meanwhile(act: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            with storage.database.write() as worker:
                claim_of_one = calls_at_once.exchange(refs[:1], "there:1", MOMENT, "key")
                assert len(worker.execute(claim_of_one.statement, claim_of_one.values).all()) == 1
                other = pool.submit(act)
                wait_until_somebody_waits(storage)
                assert not other.done()
            return other.result(30)

    yield claim, refs, meanwhile
    assert deadlocks(storage) == 0


def test_a_takeover_sees_a_claim_that_was_not_committed_when_it_began(
        storage: SqlModelStorage, claiming: tuple[Claim, list[CallRef], Callable[[Any], Any]]) -> None:
    claim, refs, meanwhile = claiming
    meanwhile(lambda: take_over(storage, claim))
    assert states_of(storage, claim) == ["started", "pending", "pending", "pending"]
    assert [row.ref for row in storage.ledger.claimed_calls(claim.execution)] == refs[:1]


def test_a_withdrawal_leaves_a_claim_that_was_not_committed_when_it_began(
        storage: SqlModelStorage, claiming: tuple[Claim, list[CallRef], Callable[[Any], Any]]) -> None:
    claim, refs, meanwhile = claiming
    assert meanwhile(lambda: storage.ledger.withdraw_calls(claim, refs, "w")) == set(refs[1:])
    assert states_of(storage, claim) == ["started", "pending", "pending", "pending"]


def test_a_second_claim_waits_for_the_first_and_loses(
        storage: SqlModelStorage, claiming: tuple[Claim, list[CallRef], Callable[[Any], Any]]) -> None:
    _, refs, meanwhile = claiming
    assert meanwhile(lambda: claim_calls(storage, refs[::-1], "second")) == [refs[2], refs[1]]


def test_a_claim_after_a_cancel_wins_nothing_though_it_waited(storage: SqlModelStorage) -> None:
    claim, refs = sent_calls(storage)
    with ThreadPoolExecutor(1) as pool:
        with storage.database.write() as other:
            other.execute(text("SELECT id FROM execution WHERE id = :id FOR UPDATE"), {"id": claim.execution})
            won = pool.submit(claim_calls, storage, refs)
            wait_until_somebody_waits(storage)
            other.execute(text("UPDATE execution SET state = 'cancelling' WHERE id = :id"),
                          {"id": claim.execution})
        assert won.result(30) == []


def test_a_queue_is_shared_without_waiting(storage: SqlModelStorage) -> None:
    first, second, third = [queue_execution(storage, f"shop {each}") for each in range(3)]
    with storage.database.write() as slow, ThreadPoolExecutor(1) as pool:
        slow.execute(text("SELECT id FROM execution WHERE id = :id FOR NO KEY UPDATE"), {"id": first})
        (taken,) = pool.submit(storage.ledger.claim_queued, NEW_OWNER, 1).result(10)
        assert taken.execution == second
    assert [each.execution for each in storage.ledger.claim_queued(NEW_OWNER, 9)] == [first, third]


def test_workers_runner_and_takers_never_wait_for_each_other_in_a_circle(storage: SqlModelStorage) -> None:
    """All that ever changes an execution's rows, at once, each in an order of its own where it may."""
    claim, refs = sent_calls(storage, 200)
    node = storage.node.get_by_name("web").id
    site = Site(storage, claim, refs, node)
    acts = [site.work, site.work, site.work, site.withdraw, site.engine, site.take_over]
    with ThreadPoolExecutor(len(acts)) as pool:
        for done in [pool.submit(act, number) for number, act in enumerate(acts)]:
            done.result(120)
    assert deadlocks(storage) == 0
    assert site.started, "no worker won anything"
    assert Counter(site.started).most_common(1)[0][1] == 1
    assert site.withdrawn.isdisjoint(site.started)


class Site:
    """An execution that workers, its runner and takers change at the same time."""

    def __init__(self, storage: SqlModelStorage, claim: Claim, refs: Sequence[CallRef], node: int) -> None:
        self._ledger, self._storage, self._claim, self._node = storage.ledger, storage, claim, node
        self._refs = list(refs)
        self.started: list[CallRef] = []
        self.withdrawn: set[CallRef] = set()
        self._turn = threading.Lock()

    def work(self, number: int) -> None:
        order = random.Random(number)
        for turn in range(40):
            some = order.sample(self._refs, 10)
            won = claim_calls(self._storage, some, f"{number} {turn}")
            self.started += won
            order.shuffle(some)
            self._ledger.beat_calls([CallBeat(ref) for ref in some])
            if won:
                self._ledger.record_call_edits(won[0], [Edit("node", self._node, "a", turn)])
            self._ledger.put_reports([Succeeded(ref) for ref in some])

    def withdraw(self, number: int) -> None:
        order = random.Random(number)
        for _ in range(40):
            with self._turn:
                self.withdrawn |= self._ledger.withdraw_calls(self._claim, order.sample(self._refs, 1), "w")

    def engine(self, _: int) -> None:
        """Takes reports, and sends what comes next."""
        for _ in range(40):
            with self._turn:
                rows = [row.ref for row in self._ledger.claimed_calls(self._claim.execution) if row.report]
                ends = [moved(ref.task, "started", "success", ref.attempt) for ref in rows]
                self._claim = self._ledger.record_batch(self._claim, Batch(
                    ends, [Edit("node", self._node, "a", 0)], {self._node: "started"}, calls=rows))

    def take_over(self, _: int) -> None:
        for _ in range(10):
            with self._turn:
                self._claim = take_over(self._storage, self._claim)
                recovered = [row for row in self._ledger.load_graph(self._claim.execution)
                             if row.state == "pending" and row.attempts][:20]
                again = [sent(row.id, row.attempts) for row in recovered]
                self._claim = self._ledger.record_batch(self._claim, Batch(again))
                self._refs += [CallRef(self._claim.execution, row.id, row.attempts + 1) for row in recovered]


# --- cut off


@pytest.mark.parametrize("committed", [True, False])
def test_a_worker_that_was_not_told_finds_out_what_it_has_won(
        storage: SqlModelStorage, committed: bool) -> None:
    claim, refs = sent_calls(storage, 40)
    cut = iter([True] * 20)

    def lose(connection: Any, *_: Any) -> None:
        if next(cut, False):
            connection.connection.driver_connection.close()
            raise psycopg.OperationalError("the connection is lost")

    event.listen(storage.database.reader, f"{'after' if committed else 'before'}_cursor_execute", lose)
    for start in range(0, 40, 2):
        some = refs[start:start + 2]
        with pytest.raises(StorageUnavailableError):
            claim_calls(storage, some, f"mine {start}")
    for start in range(0, 40, 2):
        some = refs[start:start + 2]
        assert claim_calls(storage, some, f"other {start}") == ([] if committed else some)
        assert claim_calls(storage, some, f"mine {start}") == (some if committed else [])
    assert states_of(storage, claim) == ["started"] * 40 + ["pending"]


def test_claims_whose_connections_are_killed_are_won_once(storage: SqlModelStorage) -> None:
    claim, refs = sent_calls(storage, 200)
    over, kills = threading.Event(), []

    def kill() -> None:
        with SqlModelStorage(storage.url.render_as_string(hide_password=False)) as other:
            while not over.wait(0.01):
                with other.database.read() as connection:
                    kills.append(connection.scalar(text(
                        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> "
                        "pg_backend_pid() AND datname = current_database() AND query LIKE :claims"),
                        {"claims": "%INSERT INTO claimed_call%"}))

    def work(worker: int) -> list[CallRef]:
        won: list[CallRef] = []
        for ref in refs:
            while True:
                try:
                    won += claim_calls(storage, [ref], f"{worker} {ref}")
                    break
                except StorageUnavailableError:
                    continue
        return won

    with ThreadPoolExecutor(5) as pool:
        killing = pool.submit(kill)
        outcomes = [pool.submit(work, worker) for worker in range(4)]
        won = [ref for each in outcomes for ref in each.result(120)]
        over.set()
        killing.result(30)
    assert sorted(won) == refs
    assert sum(kills) > 0, "no connection was killed"
    assert states_of(storage, claim) == ["started"] * 200 + ["pending"]
