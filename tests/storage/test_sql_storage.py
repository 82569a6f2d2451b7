"""Opening, sharing, closing and refusing databases."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from aria_core.exceptions import ConfigurationError, StorageUnavailableError
from aria_core.modeling.models import SCHEMA_VERSION, ServiceTemplate
from aria_core.storage.model import ModelStorage
from aria_core.storage.sql import SqlModelStorage
from aria_core.storage.sql.migrations import Revisions
from aria_core.testing.sample import add_service, at_once
from aria_plugins.storage.sql import SqlStorage

OPEN_AND_PUT = """
import sys
from aria_core.modeling.models import ServiceTemplate
from aria_core.storage.sql import SqlModelStorage
storage = SqlModelStorage(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
storage.open()
storage.service_template.put(ServiceTemplate(name=sys.argv[2]))
storage.close()
"""

WITHOUT_PSYCOPG = """
import sys
sys.modules["psycopg"] = None
from aria_core.exceptions import StorageUnavailableError
from aria_plugins.storage.sql import SqlStorage
storage = SqlStorage("postgresql://user:hidden@host/name")
try:
    storage.open()
except StorageUnavailableError as error:
    print(error)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'aria.db'}"
    return str(request.getfixturevalue("postgresql_url"))


def test_processes_that_open_an_empty_database_at_once_share_it(empty_url: str) -> None:
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    processes = [subprocess.Popen([sys.executable, "-c", OPEN_AND_PUT, empty_url, str(number)],
                                  text=True, **pipes)
                 for number in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    outcomes = [process.communicate("go\n")[1] for process in processes]
    assert outcomes == [""] * 4
    with SqlModelStorage(empty_url) as storage:
        assert len(storage.service_template.list()) == 4
        with storage.database.read() as connection:
            assert connection.scalars(text("SELECT version FROM schema")).all() == [SCHEMA_VERSION]


def test_threads_that_open_an_empty_database_at_once_share_it(empty_url: str) -> None:
    def act(number: int) -> int:
        with SqlModelStorage(empty_url) as storage:
            return storage.service_template.put(ServiceTemplate(name=str(number))).id

    assert len(set(at_once(act, 6))) == 6


@pytest.mark.parametrize(("version", "sentence"), [
    (SCHEMA_VERSION + 1, "newer ARIA"), (0, "cannot upgrade"), (None, "other origin")])
def test_tables_of_another_version_are_refused_and_left_alone(
        model_storage_url: str, version: int | None, sentence: str) -> None:
    statement = text("DELETE FROM schema" if version is None else f"UPDATE schema SET version = {version}")
    with SqlModelStorage(model_storage_url) as storage:
        storage.service_template.put(ServiceTemplate(name="kept"))
        with storage.database.write() as connection:
            connection.execute(statement)
    with pytest.raises(StorageUnavailableError, match=sentence):
        SqlModelStorage(model_storage_url).open()
    with SqlModelStorageWithoutCheck(model_storage_url) as storage, storage.database.read() as connection:
        assert connection.scalar(text("SELECT name FROM service_template")) == "kept"


class SqlModelStorageWithoutCheck(SqlModelStorage):
    def open(self) -> None:
        self._opened()


def test_tables_of_somebody_else_are_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.execute("CREATE TABLE node (their TEXT)")
    with pytest.raises(StorageUnavailableError, match=r"other origin \(node\)"):
        SqlModelStorage(f"sqlite:///{tmp_path}/theirs.db").open()


def test_an_interrupted_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/aria.db"
    storage = SqlModelStorage(url)
    with monkeypatch.context() as patch:
        patch.setattr(SqlModelStorage, "revisions", Revisions(newest=None))  # the last statement fails
        with pytest.raises(Exception, match="NOT NULL"):
            storage.open()
    with SqlModelStorage(url) as again:
        assert len(again.service.list()) == 0


def test_a_database_file_and_its_folder_are_private(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "aria.db"
    before = os.umask(0)
    try:
        with SqlModelStorage(f"sqlite:///{file}") as storage:
            add_service(storage)
            files = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}
    finally:
        os.umask(before)
    assert files == {"aria.db": 0o600, "aria.db-shm": 0o600, "aria.db-wal": 0o600}
    assert [stat.S_IMODE(each.stat().st_mode) for each in (file.parent, file.parent.parent)] == [0o700] * 2


def test_a_readable_database_file_is_made_private(tmp_path: Path) -> None:
    file = tmp_path / "aria.db"
    with SqlModelStorage(f"sqlite:///{file}"):
        file.chmod(0o644)
    with SqlModelStorage(f"sqlite:///{file}"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_read_only_database_file_stays_read_only(tmp_path: Path) -> None:
    file = tmp_path / "aria.db"
    with SqlModelStorage(f"sqlite:///{file}"):
        file.chmod(0o444)
    with suppress(StorageUnavailableError), SqlModelStorage(f"sqlite:///{file}"):
        assert os.geteuid() == 0  # who may do everything
    assert stat.S_IMODE(file.stat().st_mode) == 0o400


def test_the_constructor_touches_nothing(tmp_path: Path) -> None:
    SqlModelStorage(f"sqlite:///{tmp_path}/a/aria.db")
    SqlModelStorage("postgresql://nobody@nowhere.invalid/x")
    assert [*tmp_path.iterdir()] == []


def test_a_database_in_memory_vanishes_and_is_nobody_elses(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with SqlModelStorage("sqlite://") as one, SqlModelStorage("sqlite:///:memory:") as two:
        add_service(one)
        assert len(two.service.list()) == 0
        [ours] = tmp_path.iterdir()
        assert [stat.S_IMODE(each.stat().st_mode) for each in (ours, *ours.iterdir())] == [0o700] * 3
    assert [*ours.iterdir()] == []


@pytest.mark.parametrize(("content", "sentence"), [
    (b"this is no database, but long enough to be taken for one" * 100, "not a database"),
    (None, "unable to open")])
def test_what_is_no_database_is_refused_in_a_sentence(
        tmp_path: Path, content: bytes | None, sentence: str) -> None:
    file = tmp_path / "aria.db"
    file.mkdir() if content is None else file.write_bytes(content)
    with pytest.raises(StorageUnavailableError, match=sentence) as refused:
        SqlModelStorage(f"sqlite:///{file}").open()
    assert "\n" not in str(refused.value)


def test_a_server_that_cannot_be_reached_is_told_without_its_password() -> None:
    storage = SqlModelStorage("postgresql://user:hidden@127.0.0.1:1/name?connect_timeout=2")
    with pytest.raises(StorageUnavailableError, match=r"127\.0\.0\.1") as refused:
        storage.open()
    assert "hidden" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_driver_is_told_with_the_command_that_installs_it() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PSYCOPG], capture_output=True, text=True, check=True)
    assert "pip install 'aria-core[postgres]'" in done.stdout
    assert "hidden" not in done.stdout + done.stderr


@pytest.mark.parametrize("url", ["", "aria.db", "sqlite", "sqlite:///file:x?uri=true", "mysql://host/name"])
def test_a_url_of_another_kind_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite:///"):
        SqlStorage(url)


def test_postgresql_means_psycopg_and_normal_means_less_syncing(tmp_path: Path) -> None:
    assert SqlStorage("postgresql://host/name").url.drivername == "postgresql+psycopg"
    for durability, level in (("full", 2), ("normal", 1)):
        with SqlStorage(f"sqlite:///{tmp_path}/aria.db", durability=durability) as storage, \
                storage.database.write() as connection:
            assert connection.scalar(text("PRAGMA synchronous")) == level
            assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert SqlStorage(f"sqlite:///{tmp_path}/aria.db", durability).spec()[1]["durability"] == durability


def test_a_relative_file_stays_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = SqlModelStorage("sqlite:///aria.db")
    monkeypatch.chdir("/")
    with storage:
        assert (tmp_path / "aria.db").exists()
    assert storage.spec()[1]["url"] == f"sqlite:///{tmp_path}/aria.db"


def test_no_transaction_and_no_connection_stays_open_after_a_call(model_storage: ModelStorage) -> None:
    assert isinstance(model_storage, SqlModelStorage)
    service = add_service(model_storage)
    model_storage.service.get(service.id).nodes["web"].attributes.get("x")
    for row in model_storage.node.iter():
        assert row.name
        break
    database = model_storage.database
    kept = 1 if database.is_sqlite else 0  # SQLite's one connection for writing
    assert database.writer.pool.checkedout() <= kept  # type: ignore[attr-defined]
    assert database.is_sqlite is False or database.reader.pool.checkedout() == 0  # type: ignore[attr-defined]
    if database.file is not None:
        other = sqlite3.connect(database.file, timeout=0)
        other.execute("BEGIN EXCLUSIVE")
        other.close()


def test_a_lock_by_somebody_else_is_waited_for(tmp_path: Path) -> None:
    with SqlModelStorage(f"sqlite:///{tmp_path}/aria.db") as storage:
        other = sqlite3.connect(tmp_path / "aria.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        assert len(storage.service.list()) == 0  # readers do not wait
        timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        timer.start()
        assert storage.service_template.put(ServiceTemplate(name="after")).id
        timer.join()
        other.close()


def test_a_full_disk_is_told_and_leaves_the_database_intact(tmp_path: Path) -> None:
    with SqlModelStorage(f"sqlite:///{tmp_path}/aria.db") as storage:
        with storage.database.write() as connection:
            pages = connection.scalar(text("PRAGMA page_count"))
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))
        with pytest.raises(StorageUnavailableError, match="full"):
            storage.service_template.put(ServiceTemplate(name="big", description="x" * 1_000_000))
        with storage.database.write() as connection:
            connection.execute(text("PRAGMA max_page_count = 1000000"))
        assert storage.service_template.put(ServiceTemplate(name="big")).id
        with storage.database.read() as connection:
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"


def test_connections_that_the_server_cut_are_made_anew(
        postgresql_url: str, postgresql_admin: Callable[[str], None]) -> None:
    with SqlModelStorage(postgresql_url) as storage:
        service = add_service(storage)
        postgresql_admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
                         f"'{storage.database.url.database}'")
        assert storage.service.get(service.id).nodes["web"].name == "web"
