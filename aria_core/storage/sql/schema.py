"""Makes the tables of an empty database, and refuses those of another version."""

from __future__ import annotations

from sqlalchemy import Connection, insert, inspect, select, text

from aria_core.exceptions import StorageUnavailableError
from aria_core.modeling.models import SCHEMA_VERSION, Model, Schema
from aria_core.storage.sql.database import Database

_MAKING_TABLES = 0x41524941  # any number of our own: who holds this lock makes the tables


def make_or_check_tables(database: Database) -> None:
    """All tables and the row with their version, in one transaction; any number may try at once.

    Raises ``StorageUnavailableError`` for tables that another release, or somebody else, has made.
    """
    with database.read() as connection:
        found = _own_tables(connection)
    if not found:
        with database.write() as connection:
            _lock(connection)
            found = _own_tables(connection)  # somebody may have been quicker
            if not found:
                _make(connection)
                return
    with database.read() as connection:
        _check(connection, database, found)


def drop_tables(database: Database) -> None:
    """Remove every table of ours."""
    with database.write() as connection:
        _lock(connection)
        Model.metadata.drop_all(connection)


def _own_tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) & set(Model.metadata.tables)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite's writer is alone already
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MAKING_TABLES})


def _make(connection: Connection) -> None:
    Model.metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(Schema).values(version=SCHEMA_VERSION))


def _check(connection: Connection, database: Database, found: set[str]) -> None:
    version = _version(connection, found)
    if version == SCHEMA_VERSION:
        return
    if version is None:
        what = f"has tables of other origin ({', '.join(sorted(found))}); give ARIA a database of its own"
    elif version > SCHEMA_VERSION:
        what = (f"has tables of version {version}, made by a newer ARIA; this one knows version "
                f"{SCHEMA_VERSION}: update ARIA, or give another database")
    else:
        what = (f"has tables of version {version}, which this ARIA (version {SCHEMA_VERSION}) cannot "
                "upgrade; use the release that made them, or give another database")
    raise StorageUnavailableError(f"the database {database.shown_url} {what}")


def _version(connection: Connection, found: set[str]) -> int | None:
    name = Schema.__tablename__
    if name not in found or "version" not in {each["name"] for each in inspect(connection).get_columns(name)}:
        return None
    versions = connection.scalars(select(Schema.version)).all()
    return versions[0] if len(versions) == 1 and isinstance(versions[0], int) else None
