"""Statements that are a transaction each: sent in one go, on connections that are kept for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ClauseElement, Connection, Dialect, Engine

KEPT = 2
"""Connections that are kept; more are given back to the pool after each statement."""
FRESH_FOR = 1.0
"""Seconds after which a kept connection is given back, so that it is asked whether it still is one."""


class Singles:
    """Executes statements on `engine`, whose statements are each committed by the server at once.

    A transaction in so many words would be three trips to the server, and asking whether the connection
    lives a fourth. Who uses this repeats what may have got lost. From any thread.
    """

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._idle: list[tuple[Connection, float]] = []
        self._known: dict[ClauseElement, tuple[str, Sequence[str] | None]] = {}
        self._lock = threading.Lock()

    def run(self, statement: ClauseElement, values: Mapping[str, Any], has_rows: bool) -> Sequence[Any]:
        """Execute it, with values as the driver takes them; its rows, as the driver gives them."""
        connection = self._take()
        try:
            sql, names = self._compiled(statement, connection.dialect)
            result = connection.exec_driver_sql(
                sql, dict(values) if names is None else tuple(values[name] for name in names))
            rows = result.all() if has_rows else []
            connection.commit()
        except BaseException:
            connection.close()
            raise
        self._keep(connection)
        return rows

    def _compiled(self, statement: ClauseElement, dialect: Dialect) -> tuple[str, Sequence[str] | None]:
        if statement not in self._known:
            made: Any = statement.compile(dialect=dialect)
            self._known[statement] = made.string, made.positiontup if made.positional else None
        return self._known[statement]

    def close(self) -> None:
        """Give all connections back."""
        with self._lock:
            given_back, self._idle = self._idle, []
        for connection, _ in given_back:
            connection.close()

    def _take(self) -> Connection:
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is None:
            return self._engine().connect()
        connection, since = kept
        if time.monotonic() - since > FRESH_FOR:
            connection.close()
            return self._engine().connect()
        return connection

    def _keep(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()
