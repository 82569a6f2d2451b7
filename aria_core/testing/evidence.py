"""What there is to judge, read once: rows, the history that triggers kept, and the lines of operations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import Engine, inspect, text

from aria_core.testing.history import Change, read_history
from aria_core.testing.traces import Acknowledged, Effect

OF_OPERATIONS = ("begin", "runs", "end")
"""What the lines say that an operation writes while it runs."""


class Case:
    """One database and what was written beside it, at one moment."""

    def __init__(self, engine: Engine, effects: list[Effect], acknowledged: list[Acknowledged]) -> None:
        self.engine = engine
        self.effects = effects
        self.acknowledged = acknowledged
        self.history = read_history(engine)
        self.executions = {row["id"]: row for row in self._rows("execution")}
        self.tasks = {row["id"]: row for row in self._rows("task")}
        self.nodes = {row["id"]: row for row in self._rows("node")}
        self.logs = self._rows("log")
        is_new = inspect(engine).has_table("claimed_call")  # the first release had no calls elsewhere
        self.claimed = self._rows("claimed_call") if is_new else []
        self.told = _grouped(self._rows("attempt"), "task_id")
        """The rows of failed and lost attempts, by task."""
        self.of_execution = _grouped(list(self.tasks.values()), "execution_id")
        """The rows of tasks, by execution."""
        self.origins = {_origin(row["created_at"]) for row in self._rows("service")}
        self._index_effects()
        self._index_history()

    def _index_effects(self) -> None:
        self.begun: dict[int, list[Effect]] = defaultdict(list)
        self.ended: dict[int, list[Effect]] = defaultdict(list)
        self.shown: dict[int, list[Effect]] = defaultdict(list)
        """All lines that say that an operation runs, by task."""
        for each in self.effects:
            if each.what in OF_OPERATIONS:
                self.shown[each.task].append(each)
            if each.what in ("begin", "end"):
                (self.begun if each.what == "begin" else self.ended)[each.task].append(each)

    def _index_history(self) -> None:
        self.moves: dict[int, list[Change]] = defaultdict(list)
        """The changes of each task."""
        self.changes: dict[int, list[Change]] = defaultdict(list)
        """The changes of each execution: one for each transaction of an engine."""
        lists = {"task": self.moves, "execution": self.changes}
        for change in self.history:
            if change.kind in lists:
                kept = lists[change.kind][change.row]
                if not change.before:
                    kept.clear()  # SQLite gives the numbers of deleted rows to others
                kept.append(change)

    def of_kind(self, kind: str) -> list[Change]:
        """The changes of executions, tasks or nodes, in order."""
        return [change for change in self.history if change.kind == kind]

    def periods(self) -> Iterator[tuple[Change, Change | None]]:
        """Each state of an execution under one owner: the change that began it and the one that ended it."""
        for changes in self.changes.values():
            turns = [changes[0], *(later for earlier, later in pairwise(changes)
                                   if (earlier.after, earlier.first) != (later.after, later.first))]
            yield from zip(turns, [*turns[1:], None], strict=True)

    def epochs(self) -> dict[tuple[int, int], int]:
        """Which runner made a transaction of an execution."""
        return {(change.row, change.batch): change.first for change in self.of_kind("execution")}

    def is_dry(self, execution: int) -> bool:
        """Whether nothing was to happen in it."""
        row = self.executions.get(execution)
        return row is not None and bool(row["dry"])

    def _rows(self, table: str) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            rows = connection.execute(text(
                f"SELECT * FROM {table} ORDER BY id"))  # noqa: S608  # nosec B608 # a name of ours
            return [dict(row._mapping) for row in rows]

    def name(self, task: int) -> str:
        """A task for people."""
        row = self.tasks.get(task)
        return f"task {task}" + (f" ({row['name']})" if row else "")


def _grouped(rows: list[dict[str, Any]], by: str) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row[by]].append(row)
    return found


def _origin(created_at: str | datetime) -> str:
    """What marks the processes of a service: the microsecond it was made in."""
    moment = datetime.fromisoformat(created_at) if isinstance(created_at, str) else created_at
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return format(int(aware.timestamp() * 1_000_000), "x")
