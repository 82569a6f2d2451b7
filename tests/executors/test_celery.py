"""The Celery executor with real brokers, PostgreSQL and workers: its contract, and what is its own."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from aria_core import Lost, Secret, SqlModelStorage, Succeeded
from aria_core.testing.bench import Bench
from aria_core.testing.brokers import Broker
from aria_core.testing.executor import ExecutorContract
from aria_core.testing.link import Link
from aria_core.testing.object_server import ObjectServer
from aria_core.testing.surviving_bench import SurvivingBench
from aria_core.testing.worker_hosts import Hosts
from aria_plugins.executors.celery import CeleryExecutor
from aria_plugins.executors.celery.messages import TASK, call_message
from aria_plugins.storage.objects import ObjectStorage


class Place(Hosts):
    """Hosts with a database that the tests look into."""

    def __init__(self, database: str, objects: ObjectServer, broker: Broker) -> None:
        self._link = Link(database)  # PostgreSQL's own socket lies where other users may not go
        database = self._link.through
        resources = objects.keywords(secrets.token_hex(4))
        super().__init__(database, resources, broker.url, f"aria-{secrets.token_hex(4)}")
        self.broker = broker
        self.model = SqlModelStorage(database)
        self.model.open()
        self.resource = ObjectStorage(**{**resources, "secret_key": Secret(str(resources["secret_key"]))})
        self.resource.open()

    def executor(self, **settings: Any) -> CeleryExecutor:
        return CeleryExecutor(Secret(self.broker.url), queue=self._config["executor"]["queue"], **settings)

    def bench(self, **settings: Any) -> SurvivingBench:
        directory = self.shared / secrets.token_hex(4)
        directory.mkdir()
        directory.chmod(0o777)
        return SurvivingBench(self.executor(**settings), directory, self.model, self.resource)

    def close(self) -> None:
        super().close()
        self.model.close()
        self.resource.close()
        self._link.close()


@pytest.fixture(scope="module", params=["valkey", "rabbitmq"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A database, a broker and a worker with two slots, for all tests of this module."""
    databases = request.getfixturevalue("postgresql_databases")
    name = databases.create(request.getfixturevalue("postgresql_template"))
    place = Place(databases.url(name), request.getfixturevalue("object_server"),
                  request.getfixturevalue(request.param))
    try:
        place.worker(2)
        yield place
    finally:
        place.close()
        databases.drop(name)


class TestCeleryExecutor(ExecutorContract):
    @pytest.fixture
    def bench(self, place: Place) -> Iterator[Bench]:
        try:
            with place.bench() as bench:
                yield bench
        finally:
            sys.stderr.write(place.logs())


def test_of_a_thousand_messages_about_a_call_one_runs_it(place: Place) -> None:
    with place.bench() as bench:
        effects = bench.directory / "effects"
        call = bench.call("note", path=str(effects), line="ran")
        app = place.executor().app()
        with app.connection_for_write() as connection:
            producer = connection.Producer()
            for _ in range(1000):
                app.send_task(TASK, kwargs=call_message(call.ref, call.origin), producer=producer)
        assert isinstance(bench.finish(call.ref), Succeeded)
        assert isinstance(bench.run("nothing"), Succeeded)  # behind all of them
        assert effects.read_text() == "ran\n"
        assert len(bench.inbox.finals(call.ref)) == 1


def test_a_running_call_is_ended_within_two_seconds(place: Place) -> None:
    with place.bench() as bench:
        ref = bench.submit("hang", pids=bench.pids_file)
        bench.pids()
        began = time.monotonic()
        bench.executor.terminate(ref, 0.5)
        assert isinstance(bench.finish(ref), Lost)
        assert time.monotonic() - began < 2.0
