"""One SQL database: how it is opened, read and written, and how its failures are told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import ClauseElement, Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from aria_core.exceptions import StorageError, StorageLostError, StorageUnavailableError
from aria_core.storage.sql.failures import connection_is_doubtful, first_line, is_busy, meaning_of
from aria_core.storage.sql.lock_holder import describe_lock_holder
from aria_core.storage.sql.opened_files import OpenedFiles
from aria_core.storage.sql.prepared import PreparedStatements, execute_directly, is_watched
from aria_core.storage.sql.singles import Singles

BUSY_TIMEOUT = 10.0
"""Seconds a SQLite connection waits for another process's write."""
WAITS_AGAIN = 1.0
"""Seconds it waits after it has waited in vain: who gives up has more to write, like that it gives up."""
_SOON = 0.1
_FILES, _PATIENCE = "aria_files", "aria_patience"


class Database:
    """Two engines on one database: `reader` sees each statement's own snapshot, `writer` transacts.

    On SQLite the writer is one connection that threads take turns on, and every write transaction
    begins with ``BEGIN IMMEDIATE``: an upgrade from read to write would fail at once instead of
    waiting. No connection survives a fork, because nobody here forks without exec. A file that is moved,
    removed or replaced meanwhile is noticed by the next transaction; one that was committed at that
    moment fails, too.
    """

    def __init__(self, url: str | URL, *, synchronous: str = "FULL",
                 engine_options: Mapping[str, Any] | None = None) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.is_postgresql = self.url.get_backend_name() == "postgresql"
        self._synchronous = synchronous
        self._options = dict(engine_options or {})
        self._turns: AbstractContextManager[Any] = threading.RLock() if self.is_sqlite else nullcontext()
        self._files = None if self.file is None else OpenedFiles(self.file)
        self._gave_up = False
        self._reader: Engine | None = None
        self._writer: Engine | None = None
        self._kept: Connection | None = None
        self.statements = PreparedStatements()
        """What the hot path executes here."""
        self._singles = Singles(lambda: self.reader)

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

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
            return
        self._writer = create_engine(self.url, pool_pre_ping=True, **self._options)
        self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")
        if self._is_psycopg:
            from aria_core.storage.sql.postgresql import make_impatient

            make_impatient(self._writer)

    @property
    def _is_psycopg(self) -> bool:
        return self.url.get_driver_name() == "psycopg"

    def _sqlite_engines(self) -> tuple[Engine, Engine]:
        options: dict[str, Any] = {
            "poolclass": QueuePool,
            "connect_args": {"timeout": BUSY_TIMEOUT, "check_same_thread": False}, **self._options}
        writer = create_engine(self.url, pool_size=1, max_overflow=0, **options)
        reader = create_engine(self.url, isolation_level="AUTOCOMMIT", max_overflow=-1, **options)
        for engine in (writer, reader):
            event.listen(engine, "do_connect", self._check_before)
            event.listen(engine, "connect", self._prepare_sqlite)
            event.listen(engine, "checkout", self._check_files)
            event.listen(engine, "handle_error", _drop_if_doubtful)
        return writer, reader

    def _prepare_sqlite(self, connection: Any, record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", f"synchronous={self._synchronous}", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        if self._files is not None:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # opens what lies beside it
            record.info[_FILES] = self._files.note()

    def _check_before(self, *_: Any) -> None:
        if self._files is not None:
            self._files.check_before()

    def _check_files(self, _connection: Any, record: Any, _proxy: Any) -> None:
        if self._files is not None:
            self._files.check(record.info[_FILES])

    def close(self) -> None:
        """Close every connection. Idempotent."""
        self._singles.close()
        with self._turns:
            self._let_go()
        engines = {id(each.pool): each for each in (self._writer, self._reader) if each is not None}
        for engine in engines.values():
            engine.dispose()
        self._reader = self._writer = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection on which every statement sees what is committed when it begins."""
        with self._told(), self.reader.connect() as connection:
            yield connection

    def run(self, statement: ClauseElement, values: Mapping[str, Any], *, has_rows: bool) -> Sequence[Any]:
        """Execute one statement that is a transaction of its own; its rows. Raises as `write`.

        Whether it was executed may be unknown more often than for `write`: it is one that may be repeated.
        Not for SQLite, whose writers take turns.
        """
        with self._told():
            return self._singles.run(statement, values, has_rows)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in one write transaction, committed at the end, rolled back by any error.

        Raises ``StorageUnavailableError`` when the database cannot be reached or written; integrity
        errors pass, their meaning is the caller's.
        """
        began = time.monotonic()
        with self._turns, self._told():
            waited = time.monotonic() - began
            with self._connected() as connection:
                if self.is_sqlite:
                    _set_patience(connection, self._patience(waited))
                with self._begun(connection):
                    self._gave_up = False
                    yield connection
                if self._files is not None:
                    self._files.check(connection.info[_FILES])

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection for writing; the one of SQLite is kept from turn to turn until something fails."""
        if not self.is_sqlite:
            with self.writer.connect() as connection:
                yield connection
            return
        if self._kept is None:
            self._kept = self.writer.connect()
        try:
            yield self._kept
        except BaseException:
            self._let_go()
            raise

    @contextmanager
    def _begun(self, connection: Connection) -> Iterator[None]:
        with connection.begin():
            if self.is_sqlite:
                self._begin_immediate(connection)
            yield

    def _begin_immediate(self, connection: Connection) -> None:
        directly = connection.dialect.driver == "pysqlite" and not is_watched(connection)
        self.statements.go_directly = directly
        if directly:
            execute_directly(connection, "BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    def _let_go(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _patience(self, waited: float) -> float:
        """Who has waited for its turn has waited for whoever holds the lock of the file, too."""
        patience = WAITS_AGAIN if self._gave_up else BUSY_TIMEOUT
        return max(0.0, patience - waited) if waited > _SOON else patience

    @contextmanager
    def rebuild(self) -> Iterator[Connection]:
        """Like `write`, for who changes tables.

        SQLite replaces a table by dropping it, which would delete the rows that refer to it: foreign
        keys are checked at the end instead. A slow server is waited for. Every error of the database is
        ``StorageUnavailableError``.
        """
        try:
            with (self._turns, self._told(), self._connected() as connection, self._unhurried(connection),
                  self._keys_unenforced(connection), self._begun(connection)):
                yield connection
                self._check_keys(connection)
        except IntegrityError as error:
            raise self._sentence(StorageUnavailableError, error) from error

    @contextmanager
    def _unhurried(self, connection: Connection) -> Iterator[None]:
        if not self._is_psycopg:
            yield
            return
        from aria_core.storage.sql.postgresql import unhurried

        with unhurried(connection):
            yield

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
            raise self.told(error) from error
        except UnicodeDecodeError as error:
            raise self.garbled(error) from error

    def garbled(self, error: UnicodeDecodeError) -> StorageLostError:
        """What SQLite says about a file whose names of tables are damaged cannot even be read."""
        return StorageLostError(
            f"the database {self.shown_url} cannot be used: it is damaged ({error.reason})")

    def told(self, error: SQLAlchemyError) -> StorageError:
        """The error that tells what happened: see `meaning_of`."""
        return self._sentence(meaning_of(error), error)

    def _sentence(self, kind: type[StorageError], error: SQLAlchemyError) -> StorageError:
        if kind is StorageError:
            return StorageError(f"the database {self.shown_url} refused a statement: {first_line(error)}")
        by_whom = self._blamed() if is_busy(error) else ""
        return kind(f"the database {self.shown_url} cannot be used: {first_line(error)}{by_whom}")

    def _blamed(self) -> str:
        self._gave_up = True
        holder = describe_lock_holder(self.file) if self.file else ""
        return f" by {holder}" if holder else ""


def _set_patience(connection: Connection, seconds: float) -> None:
    if connection.info.get(_PATIENCE, BUSY_TIMEOUT) != seconds:
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")
        connection.info[_PATIENCE] = seconds


def _drop_if_doubtful(context: Any) -> None:
    """Have a fresh connection tell what is stored: what one believes whose file failed cannot be known."""
    if connection_is_doubtful(context.original_exception):
        context.is_disconnect = True
