"""Says in a sentence what a database refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, UniqueConstraint, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aria_core.exceptions import AlreadyExistsError, StorageError
from aria_core.modeling.base import Model
from aria_core.modeling.models import Execution

_UNIQUE = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "23505")
_MISSING = ("SQLITE_CONSTRAINT_NOTNULL", "23502")
_FOREIGN = ("SQLITE_CONSTRAINT_FOREIGNKEY", "23503")
_SQLITE_COLUMN = re.compile(r"(\w+)\.(\w+)")


def explain(error: IntegrityError, entry: Model) -> StorageError:
    """What the database refused when `entry` was written."""
    code = _code(error)
    table, columns = _place(error)
    if code in _UNIQUE:
        return AlreadyExistsError(_already_exists(table, columns, entry))
    if code in _MISSING:
        return StorageError(f"{' and '.join(columns)} of {table} is missing")
    if code in _FOREIGN:
        return StorageError(f"{entry!r} refers to a row that does not exist")
    return StorageError(f"{entry!r} cannot be stored: {str(error.orig).splitlines()[0]}")


def _code(error: IntegrityError) -> str:
    return str(getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", ""))


def _place(error: IntegrityError) -> tuple[str, list[str]]:
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is None:
        found = _SQLITE_COLUMN.findall(str(error.orig).partition(": ")[2])
        return (found[0][0] if found else "row"), [column for _, column in found]
    table = str(diagnosis.table_name or "row")
    if diagnosis.column_name:
        return table, [str(diagnosis.column_name)]
    return table, _columns_of(table, str(diagnosis.constraint_name))


def _columns_of(table: str, constraint: str) -> list[str]:
    known = Model.metadata.tables.get(table)
    if known is None:
        return []
    for each in (*known.indexes, *known.constraints):
        if isinstance(each, (Index, UniqueConstraint, PrimaryKeyConstraint)) and each.name == constraint:
            return [column.name for column in each.columns]
    return []


def _already_exists(table: str, columns: list[str], entry: Model) -> str:
    what = table.replace("_", " ")
    if table == Execution.__tablename__ and columns == ["service_id"]:
        return "the service already has an active execution; wait for it, or cancel it"
    values = entry.__dict__ if entry.__tablename__ == table else {}
    shown = " and ".join(
        f"{column} {values[column]!r}" if column in values else column
        for column in columns if column == "id" or not column.endswith("_id"))
    return f"there is already a {what} with this {shown}" if shown else f"there is already such a {what}"


def still_needed(session: Session, entry: Model) -> StorageError:
    """Who refers to `entry`, so that it cannot be removed."""
    users = [_users(session, column, entry.id) for column in _references(entry.__tablename__)]
    shown = " and ".join(filter(None, users))
    return StorageError(f"{_described(entry)} cannot be removed while it is needed: by {shown}")


def _described(entry: Model) -> str:
    name = entry.__dict__.get("name")
    what = entry.__tablename__.replace("_", " ")
    return f"{what} {name!r}" if name else f"{what} {entry.id}"


def _references(table: str) -> Iterator[Column[Any]]:
    for other in Model.metadata.sorted_tables:
        for key in other.foreign_keys:
            if key.column.table.name == table and key.ondelete is None:
                yield key.parent


def _users(session: Session, column: Column[Any], row: int) -> str:
    table: Table = column.table
    count = session.scalar(select(func.count()).where(column == row)) or 0
    if not count:
        return ""
    what = table.name.replace("_", " ") + ("s" if count > 1 else "")
    if "name" not in table.columns:
        return f"{count} {what}"
    names = session.scalars(select(table.c.name).where(column == row).order_by(table.c.id).limit(3))
    return f"{count} {what} ({', '.join(map(str, names))}{', …' if count > 3 else ''})"
