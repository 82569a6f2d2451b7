"""What the parts of a SQL ledger have in common: one database, and how it is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from aria_core.exceptions import StorageError
from aria_core.storage.sql.database import Database
from aria_core.storage.sql.migrations import Revisions
from aria_core.storage.sql.schema import check_revision


class LedgerPart:
    """On one `Database` with the newest of `revisions`."""

    def __init__(self, database: Database, revisions: Revisions) -> None:
        self._database = database
        self._revisions = revisions
        self._statements = database.statements

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._telling(), self._database.write() as connection:
            yield connection

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise StorageError(f"the database refused what was written: {error.orig}") from error

    def _check_tables(self, connection: Connection) -> None:
        # They may have been upgraded after this process opened them; who upgrades waits for claims.
        check_revision(connection, self._database, self._revisions)
