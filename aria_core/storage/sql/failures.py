"""What a database's error means: gone for good, away for a while, or asked for what it cannot do."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004 - SQLAlchemy's: no connection of the pool is free
)

from aria_core.exceptions import StorageError, StorageLostError, StorageUnavailableError

_SQLITE_AWAY = frozenset({
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_ABORT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_AUTH})
_SQLITE_LOST = frozenset({
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_SCHEMA,
    sqlite3.SQLITE_ERROR})
"""The last one stands for tables and columns that are not there: our statements are always the same."""
_SQL_AWAY = ("08", "25", "28", "3D", "40", "42501", "53", "55", "57", "58", "XX000")
_SQL_LOST = ("42", "XX")
"""How PostgreSQL's codes begin; those of rights (42501) are looked for before their class."""
_STATEMENTS_FAULT = (DataError, ProgrammingError, NotSupportedError)


def meaning_of(error: SQLAlchemyError) -> type[StorageError]:
    """The kind of error that tells it; ``StorageError`` itself if the statement is at fault."""
    if isinstance(error, DBAPIError):
        return _meaning_for_driver(error)
    return StorageUnavailableError if isinstance(error, TimeoutError) else StorageError


def _meaning_for_driver(error: DBAPIError) -> type[StorageError]:
    number, state = _sqlite_number(error.orig), getattr(error.orig, "sqlstate", None)
    if number is not None:
        return (StorageUnavailableError if number in _SQLITE_AWAY
                else StorageLostError if number in _SQLITE_LOST else StorageError)
    if isinstance(state, str):
        return (StorageUnavailableError if state.startswith(_SQL_AWAY)
                else StorageLostError if state.startswith(_SQL_LOST) else StorageError)
    if isinstance(error.orig, sqlite3.Error) or isinstance(error, _STATEMENTS_FAULT):
        return StorageError  # Python's part of the driver refused a value or could not read one
    return StorageUnavailableError


def _sqlite_number(cause: Any) -> int | None:
    extended: int | None = getattr(cause, "sqlite_errorcode", None)
    return None if extended is None else extended & 0xff


def is_busy(error: SQLAlchemyError) -> bool:
    """Whether SQLite waited in vain for another process's write."""
    return isinstance(error, DBAPIError) and _sqlite_number(error.orig) == sqlite3.SQLITE_BUSY


def connection_is_doubtful(cause: BaseException | None) -> bool:
    """Whether a SQLite connection must not be used again: a file failed under it, or is not what it was."""
    return _sqlite_number(cause) in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def first_line(error: BaseException) -> str:
    """What it says, in one line that is not too long."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    text = lines[0] if lines else type(cause).__name__
    return text if len(text) <= 300 else f"{text[:299]}…"
