"""What ARIA must write in each transaction to keep its promises, on its own tables, and nothing around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from aria_core import Execution, Node, Task
from benchmarks.peers.floor_stores import set_pragmas

_execution: Any = Execution.__table__
_task: Any = Task.__table__
_node: Any = Node.__table__

_FENCE = (
    sa.update(_execution)
    .where(_execution.c.id == sa.bindparam("b_id"), _execution.c.epoch == sa.bindparam("b_epoch"),
           _execution.c.batch == sa.bindparam("b_batch"), _execution.c.state == "started")
    .values(batch=sa.bindparam("n_batch")))
_NODE = sa.update(_node).where(_node.c.id == sa.bindparam("b_id")).values(state=sa.bindparam("n_state"))
_DURING = {"create": "creating", "configure": "configuring", "start": "starting"}
_AFTER = {"create": "created", "configure": "configured", "start": "started"}


def _transition(state: str, *columns: str) -> sa.Update:
    values = {each: sa.bindparam(f"n_{each}") for each in columns}
    return sa.update(_task).where(
        _task.c.id == sa.bindparam("b_id"), _task.c.state == sa.bindparam("b_state"),
        _task.c.attempts == sa.bindparam("b_attempts")).values(state=state, **values)


_SEND = _transition("sent", "attempts", "sent_at")
_END = _transition("success", "started_at", "ended_at", "result")


class WritesStore:
    """The fence, the guarded transitions and the states of nodes, for an execution whose graph is stored."""

    def __init__(self, url: str, execution: int, synchronous: str) -> None:
        self.commits = 0
        engine = sa.create_engine(url)
        if url.startswith("sqlite"):
            set_pragmas(engine, synchronous)
            sa.event.listen(engine, "begin", _begin_immediate)
        self._connection = engine.connect()
        query = sa.select(_execution).where(_execution.c.id == execution)
        with self._connection.begin():
            row = self._connection.execute(query).one()
            self._tasks = self._read_tasks(execution)
        self._execution, self._epoch, self._batch = execution, row.epoch, row.batch

    def _read_tasks(self, execution: int) -> Mapping[int, Any]:
        query = sa.select(_task.c.id, _task.c.arguments, _task.c.node_id, _task.c.operation_name).where(
            _task.c.execution_id == execution, _task.c.stub.is_(None))
        return {row.arguments["index"]: row for row in self._connection.execute(query)}

    def prepare(self) -> None:
        """Have every statement compiled: change rows that are not there."""
        now, no_row = datetime.now(UTC), {"b_id": 0, "b_state": "sent", "b_attempts": 1}
        with self._connection.begin():
            for statement, values in (
                    (_SEND, {**no_row, "n_attempts": 1, "n_sent_at": now}),
                    (_END, {**no_row, "n_started_at": now, "n_ended_at": now, "n_result": None}),
                    (_NODE, {"b_id": 0, "n_state": "created"})):
                self._connection.execute(statement, [values, values])
                self._connection.execute(statement, values)

    def group(self, ended: Iterable[int], started: Iterable[int]) -> None:
        """One commit for all that happened since the last one."""
        now = datetime.now(UTC)
        ending, starting = [self._tasks[each] for each in ended], [self._tasks[each] for each in started]
        with self._connection.begin():
            self._pass_fence()
            self._write(_END, [
                {"b_id": row.id, "b_state": "sent", "b_attempts": 1, "n_started_at": now, "n_ended_at": now,
                 "n_result": None} for row in ending])
            self._write(_SEND, [
                {"b_id": row.id, "b_state": "pending", "b_attempts": 0, "n_attempts": 1, "n_sent_at": now}
                for row in starting])
            states = {row.node_id: _AFTER[row.operation_name] for row in ending
                      if row.operation_name in _AFTER}
            states |= {row.node_id: _DURING[row.operation_name] for row in starting
                       if row.operation_name in _DURING}
            if states:
                self._connection.execute(
                    _NODE, [{"b_id": node, "n_state": states[node]} for node in sorted(states)])
        self.commits += 1

    def _pass_fence(self) -> None:
        values = {"b_id": self._execution, "b_epoch": self._epoch, "b_batch": self._batch,
                  "n_batch": self._batch + 1}
        if self._connection.execute(_FENCE, values).rowcount != 1:
            raise RuntimeError("somebody else has the execution")
        self._batch += 1

    def _write(self, statement: sa.Update, rows: list[dict[str, Any]]) -> None:
        rows.sort(key=lambda row: row["b_id"])
        if rows and self._connection.execute(statement, rows).rowcount != len(rows):
            raise RuntimeError("a task changed behind our back")

    def succeeded(self) -> int:
        """How many tasks have succeeded."""
        count = sa.select(sa.func.count()).where(
            _task.c.execution_id == self._execution, _task.c.state == "success", _task.c.stub.is_(None))
        with self._connection.begin():
            return int(self._connection.execute(count).scalar_one())


def _begin_immediate(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
