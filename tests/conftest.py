"""Databases and directories for everyone's tests; the PostgreSQL here is a real one. The fault matrix."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aria_core.orchestrator.events import SIGNALS, Event
from aria_core.storage.model import ModelStorage
from aria_core.storage.resource import ResourceStorage
from aria_core.testing.brokers import Broker, RabbitMQ, Valkey, find_rabbitmq
from aria_core.testing.postgresql_server import make_reachable, start_server


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("numprocesses", None):  # xdist's own processes need them
        os.environ.pop("PYTEST_ADDOPTS", None)  # meant for this run, not for those that tests start


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The fault matrix: one line for each test of a cell of `tests/faults`.

    Here, because under xdist only this file is read by the process that prints.
    """
    lines = defaultdict(list)
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            properties = dict(getattr(report, "user_properties", ()))  # a file that cannot be read has none
            if "cell" in properties and (report.when == "call" or outcome == "error"):
                row = properties["cell"]
                lines[row["case"]].append(_line_of_matrix(row, outcome, report.nodeid))
    if lines:
        terminalreporter.section("fault matrix (case executor database N result)")
    for case in sorted(lines):
        for line in sorted(lines[case]):
            terminalreporter.write_line(line)


def _line_of_matrix(row: dict[str, Any], outcome: str, test: str) -> str:
    result = "kept" if outcome == "passed" else f"BROKEN at seed {row.get('seed', '?')}"
    name = test.partition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")
    figures = [f"{row['case']:>2}", f"{row['executor']:8}", f"{row['database']:10}", f"N={row['n']:<4}"]
    return "  ".join([*figures, f"{result:5}", f"{name} {row['variant']}".rstrip(), *row["notes"]])


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Any]:
    """A PostgreSQL of this test run; the processes of xdist share one."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}-{os.urandom(4).hex()}")
    # Not below pytest's base directory: the server runs as another user when the tests run as root, and
    # pytest takes the rights of others away from its directories whenever a second run starts.
    directory = Path(tempfile.gettempdir()) / f"aria-pg-{run}"
    program = directory.with_name(f"{directory.name}-program")
    make_reachable(program)
    server = start_server(directory)
    yield server
    server.cleanup()
    if not directory.exists():  # the last process of xdist is done
        shutil.rmtree(program, ignore_errors=True)


@pytest.fixture
def own_postgresql_server(postgresql_server: Any) -> Iterator[Any]:
    """A PostgreSQL that only this test uses, with the settings it is shipped with."""
    server = start_server(Path(tempfile.mkdtemp(prefix="aria-pg-own-")))
    yield server
    server.cleanup()


@pytest.fixture(scope="session")
def postgresql_admin(postgresql_server: Any) -> Iterator[Callable[[str], None]]:
    """Runs one statement as the superuser, outside transactions."""
    import psycopg

    with psycopg.connect(postgresql_server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes"):  # only a power cut would tell the difference
            connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        connection.execute("SELECT pg_reload_conf()")
        yield lambda statement: connection.execute(statement.encode()) and None


class Databases:
    """Makes PostgreSQL databases that are dropped at the end."""

    def __init__(self, server: Any, admin: Callable[[str], None], owner: str) -> None:
        self._server, self._admin, self._owner = server, admin, owner
        self._made: list[str] = []

    def create(self, template: str = "template1") -> str:
        """A new database like `template`; its name."""
        name = f"{self._owner}_{len(self._made)}"
        self._admin(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        self._made.append(name)
        return name

    def url(self, name: str) -> str:
        """The URL of a database."""
        return str(self._server.get_uri(database=name))

    def drop(self, name: str) -> None:
        """Remove a database and whoever is connected to it."""
        self._admin(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def postgresql_databases(
        postgresql_server: Any, postgresql_admin: Callable[[str], None]) -> Databases:
    """Makes databases on the server of this run."""
    owner = f"t_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{os.getpid()}"
    return Databases(postgresql_server, postgresql_admin, owner)


@pytest.fixture(scope="session")
def postgresql_template(postgresql_databases: Databases) -> str:
    """The name of a database that has our tables: copying it takes a tenth of making them."""
    from aria_core.storage.sql import SqlModelStorage

    name = postgresql_databases.create()
    with SqlModelStorage(postgresql_databases.url(name)):
        return name


@pytest.fixture
def postgresql_url(postgresql_databases: Databases) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test's own."""
    name = postgresql_databases.create()
    yield postgresql_databases.url(name)
    postgresql_databases.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def model_storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh database of each kind; the PostgreSQL one has its tables already."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'aria.db'}"
        return
    databases: Databases = request.getfixturevalue("postgresql_databases")
    name = databases.create(request.getfixturevalue("postgresql_template"))
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def model_storage(model_storage_url: str) -> Iterator[ModelStorage]:
    """An opened, fresh model storage: on SQLite, then on PostgreSQL."""
    from aria_core.storage.sql import SqlModelStorage

    with SqlModelStorage(model_storage_url, synchronous="NORMAL") as storage:  # no fsync for each commit
        yield storage


@pytest.fixture(scope="session")
def object_server() -> Iterator[Any]:
    """A real object store that speaks S3."""
    from aria_core.testing.object_server import ObjectServer

    server = ObjectServer(Path(tempfile.mkdtemp(prefix="aria-s3-")))
    server.start()
    yield server
    server.cleanup()


@pytest.fixture
def own_object_server() -> Iterator[Any]:
    """An object store that only this test uses, and may kill."""
    from aria_core.testing.object_server import ObjectServer

    server = ObjectServer(Path(tempfile.mkdtemp(prefix="aria-s3-own-")))
    server.start()
    yield server
    server.cleanup()


@pytest.fixture
def resource_storage(tmp_path: Path) -> Iterator[ResourceStorage]:
    """An opened, empty directory of resources."""
    from aria_plugins.storage.file import FileStorage

    storage = FileStorage(directory=tmp_path / "resources")
    storage.open()
    yield storage
    storage.close()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Broker]:
    """A Valkey of this process's own; a test that kills it starts it again."""
    yield from _broker(Valkey)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[Broker]:
    """A RabbitMQ node of this process's own; a test that kills it starts it again."""
    if find_rabbitmq() is None:
        pytest.skip("rabbitmq-server is not installed: `apt-get install rabbitmq-server`")
    yield from _broker(RabbitMQ)


def _broker(kind: type[Broker]) -> Iterator[Broker]:
    broker = kind(Path(tempfile.mkdtemp(prefix="aria-broker-")))
    try:
        broker.start()
        yield broker
    finally:
        broker.cleanup()


@pytest.fixture(params=["valkey", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """A real broker: Valkey, then RabbitMQ."""
    broker: Broker = request.getfixturevalue(request.param)
    return broker


@pytest.fixture
def events() -> Iterator[list[Event]]:
    """Every event that the seed's signals carried."""
    heard: list[Event] = []

    def hear(event: Event, **_: object) -> None:
        heard.append(event)

    for signal in SIGNALS.values():
        signal.connect(hear)
    yield heard
    for signal in SIGNALS.values():
        signal.disconnect(hear)
