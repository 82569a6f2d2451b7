"""Tasks as they are read: rows of the database become `TaskRow`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, select
from sqlalchemy.types import TypeDecorator

from aria_core.modeling.models import Task
from aria_core.storage.records import TaskRow
from aria_core.storage.sql.statements import TASK_COLUMNS

_task: Any = Task.__table__
_LISTS = [TaskRow._fields.index(name) for name in ("waits_for", "dynamic", "secret")]
_COMMON = [TaskRow._fields.index(name) for name in ("state", "function", "interface_name", "operation_name")]


def task_row(row: Iterable[Any], texts: dict[str, str]) -> TaskRow:
    """The task; texts that many tasks have in common are shared."""
    values = list(row)
    for place in _LISTS:
        values[place] = tuple(values[place] or ())
    for place in _COMMON:
        values[place] = texts.setdefault(values[place], values[place])
    return TaskRow._make(values)


def read_tasks(connection: Connection, ids: Iterable[int]) -> list[TaskRow]:
    """The tasks with these ids that there are."""
    texts: dict[str, str] = {}
    rows = connection.execute(select(*TASK_COLUMNS).where(_task.c.id.in_(list(ids))))
    return [task_row(row, texts) for row in rows]


class RawTasks:
    """Makes tasks of what a driver returns for `TASK_COLUMNS`."""

    def __init__(self, dialect: Dialect) -> None:
        made = ((place, column.type.result_processor(dialect, None))
                for place, column in enumerate(TASK_COLUMNS) if isinstance(column.type, TypeDecorator))
        self._makes = [(place, make) for place, make in made if make is not None]

    def of(self, row: Sequence[Any]) -> TaskRow:
        """The task of one row."""
        values = list(row)
        for place, make in self._makes:
            if values[place] is not None:
                values[place] = make(values[place])
        return task_row(values, {})
