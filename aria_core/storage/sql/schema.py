"""Makes the tables of an empty database, upgrades older ones, and refuses all others."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError

from aria_core.exceptions import StorageUnavailableError
from aria_core.modeling.models import Schema
from aria_core.storage.sql.database import Database
from aria_core.storage.sql.migrations import Revisions, apply_revisions
from aria_core.storage.sql.runners import Runners

_CHANGING_TABLES = 0x41524941  # any number of our own: who holds this lock makes or changes the tables

_log = logging.getLogger("aria.storage")


def make_or_upgrade_tables(database: Database, revisions: Revisions) -> None:
    """See that the tables are those of the newest of `revisions`; any number of processes may try at once.

    Tables that are already right cost one SELECT. What changes, changes in one transaction. Raises
    ``StorageUnavailableError`` for tables that a newer release, or somebody else, has made, and for
    older ones while a runner works on them.
    """
    found = _revision_at_a_glance(database)
    if found is None:
        found = _make_if_empty(database, revisions)
    if found == revisions.newest:
        return
    if not 1 <= found < revisions.newest:
        raise _unknown(database, found, revisions)
    _upgrade(database, revisions)


def check_revision(connection: Connection, database: Database, revisions: Revisions) -> None:
    """Raise ``StorageUnavailableError`` if the tables are not of the newest of `revisions` any more."""
    found = _revision(connection)
    if found != revisions.newest:
        raise _unknown(database, found or 0, revisions)


def drop_tables(database: Database) -> None:
    """Remove every table of ours."""
    with database.write() as connection:
        _lock(connection)
        Schema.metadata.drop_all(connection)


def _revision_at_a_glance(database: Database) -> int | None:
    with database.read() as connection:
        try:
            return _revision(connection)
        except DBAPIError:  # there is no such table: a longer look tells whether there are others
            return None


def _revision(connection: Connection) -> int | None:
    versions = connection.scalars(select(Schema.version)).all()
    return versions[0] if len(versions) == 1 and isinstance(versions[0], int) else None


def _make_if_empty(database: Database, revisions: Revisions) -> int:
    """Make all tables if there are none; the revision of those that are there."""
    with database.write() as connection:
        _lock(connection)
        tables = _own_tables(connection)
        if not tables:
            Schema.metadata.create_all(connection, checkfirst=False)
            connection.execute(insert(Schema).values(version=revisions.newest))
            return revisions.newest
        found = _revision(connection) if _tells_revision(connection, tables) else None
    if found is None:
        raise StorageUnavailableError(
            f"the database {database.shown_url} has tables of other origin ({', '.join(sorted(tables))}); "
            "give ARIA a database of its own")
    return found  # somebody was quicker


def _own_tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) & set(Schema.metadata.tables)


def _tells_revision(connection: Connection, tables: set[str]) -> bool:
    name = Schema.__tablename__
    return name in tables and "version" in {each["name"] for each in inspect(connection).get_columns(name)}


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite's writer is alone already
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CHANGING_TABLES})


def _unknown(database: Database, found: int, revisions: Revisions) -> StorageUnavailableError:
    who = ("made by a newer ARIA" if found > revisions.newest else "which this ARIA cannot upgrade")
    return StorageUnavailableError(
        f"the database {database.shown_url} has revision {found} of the tables, {who}; this one works with "
        f"revision {revisions.newest}: use the ARIA that made them, or a later one, or give another database")


def _upgrade(database: Database, revisions: Revisions) -> None:
    runners = Runners(database, revisions.newest)
    vanished = runners.vanished()
    with database.rebuild() as connection:
        _lock_out(connection)
        found = _revision(connection)
        if found == revisions.newest:
            return  # another process was quicker
        runners.refuse_others(connection, vanished)
        apply_revisions(connection, found or 0, revisions)
        connection.execute(update(Schema).values(version=revisions.newest))
    _log.warning("upgraded the tables of the database %s from revision %s to %s", database.shown_url, found,
                 revisions.newest)


def _lock_out(connection: Connection) -> None:
    """Nobody begins or continues an execution until the tables are changed, or those who look see the new."""
    _lock(connection)
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE schema, execution IN ACCESS EXCLUSIVE MODE"))
