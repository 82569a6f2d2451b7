"""Where the floors keep the states of their tasks: nothing but what durability asks for."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa


class RawStore:
    """SQLite through the driver alone."""

    START = "UPDATE task SET status='started', started=?, attempts=attempts+1 WHERE id=?"
    END = "UPDATE task SET status='succeeded', ended=? WHERE id=?"

    def __init__(self, path: Path, graph: Mapping[int, Sequence[int]], synchronous: str) -> None:
        self.commits = 0
        self._db = db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={synchronous}")
        db.execute("CREATE TABLE task(id INTEGER PRIMARY KEY, name TEXT, status TEXT, started REAL, "
                   "ended REAL, attempts INT)")
        db.execute("CREATE TABLE dependency(task INT, on_task INT)")
        db.execute("BEGIN")
        db.executemany("INSERT INTO task(id, name, status, attempts) VALUES(?, ?, 'pending', 0)",
                       [(index, f"t{index}") for index in graph])
        db.executemany("INSERT INTO dependency VALUES(?, ?)",
                       [(index, each) for index, awaited in graph.items() for each in awaited])
        db.execute("COMMIT")

    def each(self, ended: Iterable[int], started: Iterable[int]) -> None:
        """One commit for each transition."""
        for statement, indexes in ((self.END, ended), (self.START, started)):
            for index in indexes:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute(statement, (time.time(), index))
                self._db.execute("COMMIT")
                self.commits += 1

    def group(self, ended: Iterable[int], started: Iterable[int]) -> None:
        """One commit for all that happened since the last one."""
        now = time.time()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(self.END, [(now, index) for index in ended])
        self._db.executemany(self.START, [(now, index) for index in started])
        self._db.execute("COMMIT")
        self.commits += 1

    def succeeded(self) -> int:
        """How many tasks have begun and succeeded."""
        count = "SELECT count(*) FROM task WHERE status='succeeded' AND started IS NOT NULL"
        return int(self._db.execute(count).fetchone()[0])


class CoreStore:
    """The same through SQLAlchemy Core: SQLite in WAL mode, or PostgreSQL as it comes."""

    def __init__(self, url: str, graph: Mapping[int, Sequence[int]], synchronous: str) -> None:
        self.commits = 0
        engine = sa.create_engine(url)
        if url.startswith("sqlite"):
            set_pragmas(engine, synchronous)
        metadata = sa.MetaData()
        self._task = task = sa.Table(
            "floor_task", metadata, sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("name", sa.String), sa.Column("status", sa.String),
            sa.Column("started", sa.Float), sa.Column("ended", sa.Float))
        metadata.drop_all(engine)
        metadata.create_all(engine)
        self._connection = engine.connect()
        rows = [{"id": index, "name": f"t{index}", "status": "pending"} for index in graph]
        self._connection.execute(sa.insert(task), rows)
        self._connection.commit()
        this = sa.update(task).where(task.c.id == sa.bindparam("b"))
        self._start = this.values(status="started", started=sa.bindparam("x"))
        self._end = this.values(status="succeeded", ended=sa.bindparam("x"))

    def group(self, ended: Iterable[int], started: Iterable[int]) -> None:
        """One commit for all that happened since the last one."""
        now = time.time()
        for statement, indexes in ((self._end, ended), (self._start, started)):
            if rows := [{"x": now, "b": index} for index in indexes]:
                self._connection.execute(statement, rows)
        self._connection.commit()
        self.commits += 1

    def succeeded(self) -> int:
        """How many tasks have begun and succeeded."""
        task = self._task
        count = sa.select(sa.func.count()).where(task.c.status == "succeeded", task.c.started > 0)
        return int(self._connection.execute(count).scalar_one())


def set_pragmas(engine: sa.Engine, synchronous: str) -> None:
    """Have every connection to SQLite write ahead, with or without an fsync for each commit."""
    def prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")

    sa.event.listen(engine, "connect", prepare)
