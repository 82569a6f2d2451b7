"""Statements of the hot path: compiled once for a database, then run for many rows with little around them.

What SQLAlchemy does for each execution and each row (look its statement up, name the parameters, choose how
each value is bound) is done here once for the statement. Connections, transactions and errors stay its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ClauseElement, Connection, Dialect

Bind = Callable[[Any], Any]


class Prepared:
    """One statement with named parameters, as one dialect writes it."""

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._sql: str = compiled.string
        self._is_positional = compiled.positiontup is not None
        self._names: tuple[str, ...] = tuple(compiled.positiontup or compiled.binds)
        self._parameters = [(name, _binding(compiled.binds[name].type, dialect)) for name in self._names]

    def run(self, connection: Connection, columns: Mapping[str, Sequence[Any]]) -> int:
        """Execute it once for each row, whose parameters are in `columns`; the number of rows it changed."""
        bound = [columns[name] if bind is None else _each_bound(bind, columns[name])
                 for name, bind in self._parameters]
        values: Any = list(zip(*bound, strict=True))
        if not self._is_positional:
            values = [dict(zip(self._names, row, strict=True)) for row in values]
        return connection.exec_driver_sql(self._sql, values if len(values) > 1 else values[0]).rowcount


def _each_bound(bind: Bind, values: Sequence[Any]) -> list[Any]:
    """Neighbours are often the same object, such as the moment of one batch: it is bound once."""
    bound, last, result = [], values[0], bind(values[0])
    for value in values:
        if value is not last:
            last, result = value, bind(value)
        bound.append(result)
    return bound


def _binding(kind: Any, dialect: Dialect) -> Bind | None:
    bind: Bind | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return bind


class PreparedStatements:
    """The prepared statements of one database."""

    def __init__(self) -> None:
        self._known: dict[ClauseElement, Prepared] = {}

    def run(self, connection: Connection, statement: ClauseElement, columns: Mapping[str, Sequence[Any]]
            ) -> int:
        """Execute a statement once for each row of `columns`; the number of rows it changed.

        `statement` must be one that is made once: it is kept.
        """
        prepared = self._known.get(statement)
        if prepared is None:
            prepared = self._known[statement] = Prepared(statement, connection.dialect)
        return prepared.run(connection, columns)
