"""Model storage in a SQL database: SQLite and PostgreSQL, and what an extension makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, cast
from weakref import finalize

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session

from aria_core.exceptions import ConfigurationError, StorageUnavailableError
from aria_core.modeling.base import Model
from aria_core.storage.model import Ledger, ModelStorage, ModelTable
from aria_core.storage.sql.database import Database
from aria_core.storage.sql.ledger import SqlLedger
from aria_core.storage.sql.migrations import Revisions
from aria_core.storage.sql.schema import drop_tables, make_or_upgrade_tables
from aria_core.storage.sql.sessions import ReadSession, Sessions
from aria_core.storage.sql.sqlite_file import prepare_file
from aria_core.storage.sql.tables import SqlModelTable
from aria_core.worker.scratch import scratch_directory

M = TypeVar("M", bound=Model)


class SqlModelStorage(ModelStorage):
    """Rows in the database that a SQLAlchemy URL names.

    ``sqlite:///file`` is a file for this host, ``sqlite://`` a database that vanishes at `close`,
    everything else is taken to be reachable over the network. To support another database, derive
    from this class, give it engine options (``sqlalchemy.create_engine``), and override `spec`.
    """

    revisions: ClassVar[Revisions] = Revisions()
    """Which tables it works with."""

    def __init__(self, url: str, *, synchronous: str = "FULL",
                 engine_options: Mapping[str, Any] | None = None) -> None:
        self.url = _parsed(url)
        self._synchronous = synchronous
        self._engine_options = dict(engine_options or {})
        self._database: Database | None = None
        self._sessions: Sessions | None = None
        self._remove_file: Callable[[], object] | None = None
        self.reach = self._reach()

    def _reach(self) -> Literal["process", "host", "network"]:
        if self.url.get_backend_name() != "sqlite":
            return "network"
        return "process" if self.url.database is None else "host"

    @property
    def database(self) -> Database:
        """The open database."""
        if self._database is None:
            shown = self.url.render_as_string(hide_password=True)
            raise StorageUnavailableError(f"the database {shown} is not open")
        return self._database

    def open(self) -> None:
        """Connect; make the tables of an empty database, upgrade those of an older revision.

        An upgrade is one transaction, and is refused while somebody runs an execution on the tables;
        tables of a newer revision, or of other origin, are refused always. A SQLite file is made
        readable for its owner only. ``StorageUnavailableError`` in one sentence. Opening twice is no harm.
        """
        fresh = self._database is None
        try:
            database = self._opened()
            make_or_upgrade_tables(database, self.revisions)
        except BaseException:
            if fresh:
                self.close()
            raise

    def _opened(self) -> Database:
        if self._database is None:
            self._database = Database(
                self._place(), synchronous=self._synchronous, engine_options=self._engine_options)
            self._sessions = Sessions(self._database)
            with _driver_explained(self.url):
                self._database.open()
        return self._database

    def _place(self) -> URL:
        if self.reach == "process":
            # Several connections must see one database, and SQLite's shared memory locks readers out.
            directory = scratch_directory("memory")
            self._remove_file = finalize(self, shutil.rmtree, directory, ignore_errors=True)
            return self.url.set(database=str(directory / "aria.db"))
        if self.reach == "host":
            prepare_file(Path(self.url.database or ""))
        return self.url

    def close(self) -> None:
        """Close every connection; what was kept in memory is gone. Idempotent."""
        database, self._database, self._sessions = self._database, None, None
        if database is not None:
            database.close()
        remove_file, self._remove_file = self._remove_file, None
        if remove_file is not None:
            remove_file()

    def spec(self) -> tuple[str, Mapping[str, Any]]:
        """Its class and URL, password included."""
        keywords = {"url": self.url.render_as_string(hide_password=False), "synchronous": self._synchronous}
        return f"{type(self).__module__}:{type(self).__qualname__}", keywords

    @property
    def ledger(self) -> Ledger:
        """The engine's part."""
        return SqlLedger(self.database, self.revisions)

    def table(self, model: type[M]) -> ModelTable[M]:
        """The friendly table of a model."""
        self.database  # noqa: B018  a closed storage says so here
        return SqlModelTable(cast(Sessions, self._sessions), model)

    def read_session(self) -> Session:
        """A session whose objects are nobody else's; it holds a connection for one statement only."""
        return ReadSession(self.database)

    def drop(self) -> None:
        """Remove every table; `open` makes them anew."""
        drop_tables(self.database)
        cast(Sessions, self._sessions).forget()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(
            "the url of the model storage is not a database URL; examples are sqlite:///aria.db and "
            "postgresql://user:password@host/database") from error
    if parsed.drivername == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        return _absolute(parsed)
    return parsed


def _absolute(url: URL) -> URL:
    if url.database in (None, "", ":memory:"):
        return URL.create(url.drivername)
    if "uri" in url.query or str(url.database).startswith("file:"):
        raise ConfigurationError(f"the url {url} names its file by a URI; give a path: sqlite:///aria.db")
    return url.set(database=str(Path(str(url.database)).absolute()))


@contextmanager
def _driver_explained(url: URL) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        how = ("; pip install 'aria-core[postgres]'" if url.get_backend_name() == "postgresql"
               else "; install the driver that its URL names")
        raise StorageUnavailableError(
            f"the driver for {url.drivername} databases is not installed ({error.name}){how}") from error
    except NoSuchModuleError as error:
        raise StorageUnavailableError(
            f"no installed package knows databases of the kind {url.drivername!r}; sqlite:///file and "
            "postgresql://user:password@host/database always work") from error
