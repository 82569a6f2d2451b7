"""One SQL database: how it is opened, read and written, and how its failures are told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from aria_core.exceptions import StorageUnavailableError

BUSY_TIMEOUT = 10.0
"""Seconds a SQLite connection waits for another process's write."""


class Database:
    """Two engines on one database: `reader` sees each statement's own snapshot, `writer` transacts.

    On SQLite the writer is one connection that threads take turns on, and every write transaction
    begins with ``BEGIN IMMEDIATE``: an upgrade from read to write would fail at once instead of
    waiting. No connection survives a fork, because nobody here forks without exec.
    """

    def __init__(self, url: str | URL, *, synchronous: str = "FULL",
                 engine_options: Mapping[str, Any] | None = None) -> None:
        self.url = make_url(url)
        self._synchronous = synchronous
        self._options = dict(engine_options or {})
        self._turns = threading.RLock() if self.is_sqlite else nullcontext()
        self._reader: Engine | None = None
        self._writer: Engine | None = None

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @property
    def reader(self) -> Engine:
        """The engine for reading: every statement is its own transaction."""
        return self._opened(self._reader)

    @property
    def writer(self) -> Engine:
        """The engine for writing."""
        return self._opened(self._writer)

    def _opened(self, engine: Engine | None) -> Engine:
        if engine is None:
            raise StorageUnavailableError(f"the database {self.shown_url} is not open")
        return engine

    def open(self) -> None:
        """Make the engines; connects to nothing yet."""
        if self._writer is not None:
            return
        if self.is_sqlite:
            self._writer, self._reader = self._sqlite_engines()
        else:
            self._writer = create_engine(self.url, pool_pre_ping=True, **self._options)
            self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")

    def _sqlite_engines(self) -> tuple[Engine, Engine]:
        options: dict[str, Any] = {
            "poolclass": QueuePool,
            "connect_args": {"timeout": BUSY_TIMEOUT, "check_same_thread": False}, **self._options}
        writer = create_engine(self.url, pool_size=1, max_overflow=0, **options)
        reader = create_engine(self.url, isolation_level="AUTOCOMMIT", max_overflow=-1, **options)
        for engine in (writer, reader):
            event.listen(engine, "connect", self._prepare_sqlite)
        event.listen(writer, "begin", _begin_immediate)
        return writer, reader

    def _prepare_sqlite(self, connection: Any, _: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", f"synchronous={self._synchronous}", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    def close(self) -> None:
        """Close every connection. Idempotent."""
        engines = {id(each.pool): each for each in (self._writer, self._reader) if each is not None}
        for engine in engines.values():
            engine.dispose()
        self._reader = self._writer = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection on which every statement sees what is committed when it begins."""
        with self._told(), self.reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in one write transaction, committed at the end, rolled back by any error.

        Raises ``StorageUnavailableError`` when the database cannot be reached or written; integrity
        errors pass, their meaning is the caller's.
        """
        with self._turns, self._told(), self.writer.begin() as connection:
            yield connection

    @contextmanager
    def rebuild(self) -> Iterator[Connection]:
        """Like `write`, for who changes tables.

        SQLite replaces a table by dropping it, which would delete the rows that refer to it: foreign
        keys are checked at the end instead. Every error of the database is ``StorageUnavailableError``.
        """
        try:
            with (self._turns, self._told(), self.writer.connect() as connection,
                  self._keys_unenforced(connection), connection.begin()):
                yield connection
                self._check_keys(connection)
        except IntegrityError as error:
            raise self.unavailable(error) from error

    @contextmanager
    def _keys_unenforced(self, connection: Connection) -> Iterator[None]:
        driver: Any = connection.connection.driver_connection
        if self.is_sqlite:
            driver.execute("PRAGMA foreign_keys=OFF")  # it would do nothing within a transaction
        try:
            yield
        finally:
            if self.is_sqlite:
                driver.execute("PRAGMA foreign_keys=ON")

    def _check_keys(self, connection: Connection) -> None:
        if self.is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
            raise StorageUnavailableError(
                f"a row of the table {broken[0]} in the database {self.shown_url} refers to a row of "
                f"{broken[2]} that is not there; nothing was changed")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise self.unavailable(error) from error

    def unavailable(self, error: SQLAlchemyError) -> StorageUnavailableError:
        """The sentence for a database that failed."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        first_line = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        return StorageUnavailableError(f"the database {self.shown_url} cannot be used: {first_line}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
