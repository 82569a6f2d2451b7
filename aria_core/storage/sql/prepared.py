"""Statements of the hot path: compiled once for a database, then run for many rows with little around them.

What SQLAlchemy does for each execution and each row (look its statement up, name the parameters, choose how
each value is bound) is done here once for the statement. Connections, transactions and errors stay its own.

SQLite is a library, not a server, and a statement of the hot path takes it a few microseconds: there the
driver executes it directly, unless somebody listens to what is executed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ClauseElement, Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from aria_core.storage.sql.failures import connection_is_doubtful

Bind = Callable[[Any], Any]
Parameterized = tuple[ClauseElement, Sequence[str]]
"""A statement and the names of its parameters, in the order in which rows give them."""


class Binds:
    """How a dialect writes values of these types; None is NULL for all of them."""

    def __init__(self, types: Iterable[TypeEngine[Any]], dialect: Dialect) -> None:
        bound = (each.dialect_impl(dialect).bind_processor(dialect) for each in types)
        self._binds: list[tuple[int, Bind]] = [
            (place, bind) for place, bind in enumerate(bound) if bind is not None]

    def apply(self, rows: Iterable[list[Any]]) -> None:
        """Change each row, which has a value for each type, to what the driver is to be given."""
        for place, bind in self._binds:
            last = bound = None  # neighbours often share their value, such as the moment of a batch
            for row in rows:
                if row[place] is not last:
                    last = row[place]
                    bound = None if last is None else bind(last)
                row[place] = bound


class Prepared:
    """One statement with named parameters, as one dialect writes it; None is bound as NULL.

    `names` says in which order rows give the parameters.
    """

    def __init__(self, statement: ClauseElement, names: Sequence[str], dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._sql: str = compiled.string
        self._names = None if compiled.positional else tuple(names)
        if compiled.positional and tuple(compiled.positiontup) != tuple(names):
            raise ValueError(f"the statement takes {compiled.positiontup}, not {names}: {self._sql}")
        self._binds = Binds([compiled.binds[name].type for name in names], dialect)

    def run(self, connection: Connection, rows: list[list[Any]], directly: bool = False) -> int:
        """Execute it once for each row, which is changed; how many rows of the database that changed."""
        self._binds.apply(rows)
        values: Any = [tuple(row) for row in rows]
        if self._names is not None:
            values = [dict(zip(self._names, row, strict=True)) for row in rows]
        if directly:
            return execute_directly(connection, self._sql, values)
        return connection.exec_driver_sql(self._sql, values if len(rows) > 1 else values[0]).rowcount


def execute_directly(connection: Connection, sql: str, rows: Sequence[Any] = ((),)) -> int:
    """Have SQLite's driver execute a statement once for each row; how many rows that changed."""
    driver: Any = connection.connection.driver_connection
    try:
        cursor = driver.execute(sql, rows[0]) if len(rows) == 1 else driver.executemany(sql, rows)
    except sqlite3.Error as error:
        if connection_is_doubtful(error):
            connection.invalidate(error)
        raise DBAPIError.instance(sql, rows, error, sqlite3.Error,
                                  hide_parameters=connection.engine.hide_parameters,
                                  dialect=connection.dialect) from error
    changed: int = cursor.rowcount
    return changed


def is_watched(connection: Connection) -> bool:
    """Whether somebody hears or reads what is executed."""
    heard = connection.dispatch
    return bool(heard.before_cursor_execute or heard.after_cursor_execute or connection.engine.echo)


class PreparedStatements:
    """The statements of one database that are made by a function of the changed columns' names."""

    def __init__(self) -> None:
        self._known: dict[tuple[Callable[..., Any], tuple[str, ...]], Prepared] = {}
        self.go_directly = False
        """Whether the transaction that has begun is SQLite's, and nobody watches it."""

    def run(self, connection: Connection, make: Callable[[tuple[str, ...]], Parameterized],
            columns: tuple[str, ...], rows: list[list[Any]]) -> int:
        """Execute ``make(columns)`` once for each row; how many rows of the database that changed."""
        prepared = self._known.get((make, columns))
        if prepared is None:
            statement, names = make(columns)
            prepared = self._known[make, columns] = Prepared(statement, names, connection.dialect)
        return prepared.run(connection, rows, self.go_directly)
