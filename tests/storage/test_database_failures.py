"""What a database that fails is told as: gone for good, away for a while, or asked for what it cannot do."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError

from aria_core.exceptions import StorageError, StorageLostError, StorageUnavailableError
from aria_core.modeling.models import ServiceTemplate
from aria_core.storage.model import ModelStorage
from aria_core.storage.sql import SqlModelStorage, database, postgresql
from aria_core.testing.link import Link, linked
from aria_core.testing.sample import add_service, elsewhere

HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "aria.db"


@pytest.fixture
def storage(file: Path) -> Iterator[SqlModelStorage]:
    with SqlModelStorage(f"sqlite:///{file}") as opened:
        opened.service_template.put(ServiceTemplate(name="before"))
        yield opened


@pytest.fixture
def blocker(file: Path, storage: SqlModelStorage) -> Iterator[subprocess.Popen[str]]:
    """Another process that has begun to write and does not end."""
    process = subprocess.Popen([sys.executable, "-c", HOLD_THE_LOCK, str(file)], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def rename(file: Path) -> None:
    file.rename(file.with_suffix(".old"))


def unlink(file: Path) -> None:
    file.unlink()


def replace(file: Path) -> None:
    copy = file.with_suffix(".copy")
    shutil.copy(file, copy)
    copy.replace(file)


def rename_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


@pytest.mark.parametrize("move", [rename, unlink, replace, rename_folder])
def test_a_database_file_that_is_not_where_it_was_ends_every_call(
        file: Path, storage: SqlModelStorage, move: Callable[[Path], None]) -> None:
    assert len(storage.service_template.list()) == 1
    move(file)
    for call in (lambda: storage.service_template.put(ServiceTemplate(name="after")),
                 storage.service_template.list, lambda: storage.ledger.active(1)):
        with pytest.raises(StorageLostError, match=r"aria\.db was moved, removed or replaced"):
            call()


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_a_file_beside_the_database_is_missed_too(
        file: Path, storage: SqlModelStorage, ending: str) -> None:
    file.with_name(file.name + ending).unlink()
    with pytest.raises(StorageLostError, match=rf"aria\.db{ending} was moved, removed or replaced"):
        storage.service_template.put(ServiceTemplate(name="after"))


def test_what_is_committed_while_the_file_is_moved_is_not_taken_for_stored(
        file: Path, storage: SqlModelStorage) -> None:
    with pytest.raises(StorageLostError), storage.database.write() as connection:
        connection.execute(text("UPDATE service_template SET name = 'after'"))
        rename(file)


def test_a_new_connection_does_not_go_to_another_file(
        file: Path, storage: SqlModelStorage) -> None:
    replace(file)
    storage.database.reader.dispose()
    with pytest.raises(StorageLostError):
        storage.service_template.list()


def test_who_holds_the_lock_is_named_with_what_it_does(
        monkeypatch: pytest.MonkeyPatch, file: Path, blocker: subprocess.Popen[str]) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.5)
    os.kill(blocker.pid, signal.SIGSTOP)
    with SqlModelStorage(f"sqlite:///{file}") as storage:
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError,
                           match=rf"locked by process {blocker.pid} \(python.*, stopped\)"):
            storage.service_template.put(ServiceTemplate(name="after"))
        assert time.monotonic() - began < 5
        blocker.kill()
        blocker.wait()
        assert storage.service_template.put(ServiceTemplate(name="after")).id


def test_threads_that_wait_for_their_turn_give_up_together(
        monkeypatch: pytest.MonkeyPatch, file: Path, blocker: subprocess.Popen[str]) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 2.0)
    waited: list[float] = []

    def write(storage: SqlModelStorage) -> None:
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="locked"), storage.database.write():
            """Never reached."""
        waited.append(time.monotonic() - began)

    with SqlModelStorage(f"sqlite:///{file}") as storage:
        threads = [threading.Thread(target=write, args=[storage]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(waited) == 4
    assert max(waited) < 4  # one after the other, each with a patience of its own, would be 8


def test_who_has_waited_in_vain_waits_less_until_it_may_write_again(
        monkeypatch: pytest.MonkeyPatch, file: Path, blocker: subprocess.Popen[str]) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 6.0)
    monkeypatch.setattr(database, "WAITS_AGAIN", 0.1)

    def write() -> float:
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="locked"), storage.database.write():
            """Never reached."""
        return time.monotonic() - began

    with SqlModelStorage(f"sqlite:///{file}") as storage:
        assert write() >= 5.9
        assert max(write(), write()) < 5
        blocker.kill()
        blocker.wait()
        assert storage.service_template.put(ServiceTemplate(name="after")).id
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert write() >= 5.9


@pytest.mark.parametrize("statement", [
    "INSERT INTO service_template (name, content) VALUES (CAST('x' AS INTEGER) / 0, '')",
    "UPDATE service SET name = CAST('no number' AS INTEGER)"])
def test_a_value_the_server_does_not_take_is_not_the_servers_absence(
        postgresql_url: str, statement: str) -> None:
    with SqlModelStorage(postgresql_url) as storage:
        with pytest.raises(StorageError) as refused, storage.database.write() as connection:
            connection.execute(text(statement))
        assert not isinstance(refused.value, StorageUnavailableError)


def test_a_value_no_column_takes_is_not_the_databases_absence(model_storage: ModelStorage) -> None:
    assert isinstance(model_storage, SqlModelStorage)
    with pytest.raises(StorageError) as refused, model_storage.database.write() as connection:
        connection.execute(text("INSERT INTO schema (version) VALUES (:value)"), {"value": object()})
    assert not isinstance(refused.value, StorageUnavailableError)
    assert "\n" not in str(refused.value)


def test_tables_that_are_gone_are_not_waited_for(model_storage: ModelStorage) -> None:
    assert isinstance(model_storage, SqlModelStorage)
    service = add_service(model_storage)
    with model_storage.database.write() as connection:
        connection.execute(text("DROP TABLE attempt"))
    with pytest.raises(StorageLostError):
        model_storage.attempt.list()
    assert model_storage.service.get(service.id).name == service.name


def test_a_damaged_file_is_not_waited_for(file: Path) -> None:
    with SqlModelStorage(f"sqlite:///{file}") as storage:
        for number in range(200):
            storage.service_template.put(ServiceTemplate(name=f"{number}", description="x" * 500))
    with closing(sqlite3.connect(file)) as connection:
        root, = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'service_template'").fetchone()
        size, = connection.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as stream:
        stream.seek((root - 1) * size)
        stream.write(b"\xaa" * size)
    with SqlModelStorage(f"sqlite:///{file}") as storage:
        with pytest.raises(StorageLostError, match="malformed"):
            storage.service_template.list()
        assert len(storage.service.list()) == 0


@pytest.mark.parametrize(("whole", "damaged"), [
    (b"CREATE TABLE", b"CRE\xd9TE TABLE"), (b"NOT NULL", b"NOT `ULL")], ids=["not text", "an open quote"])
def test_a_damaged_schema_is_told_in_one_line_although_sqlite_quotes_it(
        file: Path, whole: bytes, damaged: bytes) -> None:
    with SqlModelStorage(f"sqlite:///{file}"):
        """Makes the tables."""
    file.write_bytes(file.read_bytes().replace(whole, damaged))
    with pytest.raises(StorageUnavailableError) as refused:
        SqlModelStorage(f"sqlite:///{file}").open()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("column", "value"), [
    ("content", "{not json"), ("content", "[" * 100_000), ("created_at", "yesterday"), ("name", b"\xff\xfe")])
def test_a_value_that_cannot_be_read_is_told_in_a_sentence(
        file: Path, storage: SqlModelStorage, column: str, value: object) -> None:
    with closing(sqlite3.connect(file)) as connection:
        as_text = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
        connection.execute(f"UPDATE service_template SET {column} = {as_text}", [value])
        connection.commit()
    with pytest.raises(StorageError) as refused:
        storage.service_template.list()
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.fixture
def link(postgresql_url: str) -> Iterator[Link]:
    """A connection to PostgreSQL that can fail."""
    with linked(postgresql_url) as made:
        yield made


@pytest.mark.parametrize("during", ["read", "write"])
def test_a_server_that_falls_silent_is_given_up(
        link: Link, monkeypatch: pytest.MonkeyPatch, during: str) -> None:
    monkeypatch.setattr(postgresql, "ANSWERS_WITHIN", 1.0)
    monkeypatch.setattr(postgresql, "HOLDS_BACK", 0.0)
    with SqlModelStorage(link.through) as storage:
        service = add_service(storage)
        link.fall_silent()
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError, match=r"not answered for 1 s|timeout"):
            if during == "read":
                storage.ledger.active(service.id)
            else:
                storage.service_template.put(ServiceTemplate(name="after"))
        assert time.monotonic() - began < 15
        link.heal()
        assert storage.service.get(service.id).name == service.name


def test_who_has_asked_a_silent_server_in_vain_need_not_wait_for_each_further_statement(
        link: Link) -> None:
    with SqlModelStorage(link.through) as storage:
        service = add_service(storage)
        link.fall_silent()
        began = time.monotonic()
        for _ in range(5):
            with pytest.raises(StorageUnavailableError):
                storage.ledger.active(service.id)
        assert time.monotonic() - began < 5 * postgresql.PINGS_WITHIN
        link.heal()
        time.sleep(postgresql.HOLDS_BACK)
        assert storage.service.get(service.id).name == service.name


def test_a_client_that_stands_still_in_a_transaction_does_not_block_others(
        postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "LEFT_OPEN_FOR", 1.0)
    with SqlModelStorage(postgresql_url) as one, SqlModelStorage(postgresql_url) as two:
        add_service(one)
        with pytest.raises(StorageUnavailableError), one.database.write() as connection:
            connection.execute(text("UPDATE service SET description = 'one'"))
            with two.database.write() as other:
                other.execute(text("UPDATE service SET description = 'two'"))
        assert [each.description for each in two.service] == ["two"]


def test_a_connection_that_breaks_while_rows_are_written_is_told_in_one_sentence(
        model_storage: ModelStorage) -> None:
    assert isinstance(model_storage, SqlModelStorage)
    service = add_service(model_storage)
    engine = model_storage.database.writer

    broken: list[bool] = []

    def break_it(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if broken or not statement.startswith("UPDATE"):
            return
        broken.append(True)
        if connection.dialect.name == "postgresql":
            with contextlib.suppress(DBAPIError):
                connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        else:
            storage_failure = sqlite3.OperationalError("disk I/O error")
            storage_failure.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise storage_failure

    service.description = "changed"
    event.listen(engine, "before_cursor_execute", break_it)
    with pytest.raises(StorageUnavailableError):
        model_storage.service.update(service)
    service.description = "changed after all"
    model_storage.service.update(service)
    assert elsewhere(lambda: [each.description for each in model_storage.service]) == ["changed after all"]


def test_a_connection_that_breaks_at_the_commit_is_told_in_one_sentence(
        postgresql_url: str, postgresql_admin: Callable[[str], None]) -> None:
    with SqlModelStorage(postgresql_url) as storage:
        service = add_service(storage)

        def break_it(_: Connection) -> None:
            postgresql_admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
                             f"'{storage.database.url.database}'")

        service.description = "changed"
        event.listen(storage.database.writer, "commit", break_it)
        with pytest.raises(StorageUnavailableError):
            storage.service.update(service)
        event.remove(storage.database.writer, "commit", break_it)
        service.description = "changed after all"
        storage.service.update(service)
        assert [each.description for each in storage.service] == ["changed after all"]
