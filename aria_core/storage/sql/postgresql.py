"""Connections to PostgreSQL that do not wait for ever for a server that has fallen silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, event

ANSWERS_WITHIN = 10.0
"""Seconds without a byte from the server after which a connection is given up."""
PINGS_WITHIN = 3.0
"""The same for a connection that is asked, before it is used, whether it still is one."""
HOLDS_BACK = 1.0
"""Seconds after a vain attempt to connect in which there is no other: who gives up has more to write, and
each line of that would wait as long.
"""
LEFT_OPEN_FOR = 10.0
"""Seconds after which the server ends a transaction whose client stands still, as when it was stopped."""
_DEFAULTS: Mapping[str, int] = MappingProxyType({
    "connect_timeout": 3, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
    "tcp_user_timeout": 10_000})


class ImpatientConnection(psycopg.Connection[Any]):
    """Raises ``psycopg.OperationalError``, and is closed, when the server does not answer.

    Neither the kernel nor the server can do that for us: a connection through a proxy, or to a host that
    vanished, looks alive from here.
    """

    patience: float | None = None
    """Seconds; None: `ANSWERS_WITHIN`."""

    def wait(self, gen: Any, *arguments: Any, **keywords: Any) -> Any:
        """See ``psycopg.Connection.wait``."""
        patience = ANSWERS_WITHIN if self.patience is None else self.patience
        try:
            return super().wait(_answered(gen, patience), *arguments, **keywords)
        except _SilenceError:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server has not answered for {patience:g} s") from None


class _SilenceError(Exception):
    """Nothing came for too long."""


def _answered(gen: Any, patience: float) -> Any:
    """What `gen` does, until the server is silent for `patience` seconds."""
    deadline, ready = time.monotonic() + patience, None
    while True:
        try:
            wanted = gen.send(ready)
        except StopIteration as done:
            return done.value
        ready = yield wanted
        now = time.monotonic()
        if ready:
            deadline = now + patience
        elif now > deadline:
            raise _SilenceError


def make_impatient(engine: Engine) -> None:
    """Have `engine` make such connections; what its URL says about time-outs holds."""
    event.listen(engine, "do_connect", _Server().connect)
    event.listen(engine, "connect", _prepare)
    dialect: Any = engine.dialect
    dialect.do_ping = _brief(dialect.do_ping)


class _Server:
    """Where the connections of one engine lead to."""

    def __init__(self) -> None:
        self._vain: tuple[float, str] | None = None
        """When an attempt to connect got no answer, if that was the last one, and how that was told."""

    def connect(self, _dialect: Any, _record: Any, arguments: Any, keywords: Any) -> Any:
        hurry: dict[str, int] = {}
        if self._vain is not None:
            moment, told = self._vain
            if time.monotonic() < moment + HOLDS_BACK:
                raise psycopg.OperationalError(told)
            hurry = {"connect_timeout": 2}
        try:
            made = ImpatientConnection.connect(*arguments, **{**_DEFAULTS, **hurry, **keywords})
        except psycopg.errors.ConnectionTimeout as error:
            self._vain = time.monotonic(), str(error)
            raise
        self._vain = None
        return made


def _brief(ping: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def ping_briefly(connection: ImpatientConnection) -> bool:
        connection.patience = min(PINGS_WITHIN, ANSWERS_WITHIN)
        try:
            return ping(connection)
        finally:
            connection.patience = None

    return ping_briefly


def _prepare(connection: Any, _: Any) -> None:
    connection.execute(f"SET idle_in_transaction_session_timeout = {LEFT_OPEN_FOR * 1000:.0f}")
    connection.commit()


@contextmanager
def unhurried(connection: Connection) -> Iterator[None]:
    """For statements that may take long, as those that change tables: wait for them."""
    driver: Any = connection.connection.driver_connection
    driver.patience = float("inf")
    try:
        yield
    finally:
        driver.patience = None
