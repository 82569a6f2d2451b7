"""Storing the tasks of a new graph, many at once.

PostgreSQL takes them as one JSON text, and the values that all of them share once: a third of what a message
for each row costs it and us. Other databases get a row each.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    String,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
)

from aria_core.modeling.models import Task
from aria_core.modeling.types import JsonText
from aria_core.storage.records import TaskRow
from aria_core.storage.sql.prepared import Binds, Parameterized, PreparedStatements

_task: Any = Task.__table__
_MADE_LATER = frozenset({"id", "due_at", "reason", "progress", "progress_message"})
_OF_ROW = tuple(each.name for each in _task.c
                if each.name in TaskRow._fields and each.name not in _MADE_LATER)
_COLUMNS = ("execution_id", *_OF_ROW)
_WAITS_FOR = _COLUMNS.index("waits_for")
_TYPES = {name: Text() if name == "waits_for" else _task.c[name].type for name in _COLUMNS}
_values = itemgetter(*(TaskRow._fields.index(name) for name in _OF_ROW))


def store_tasks(connection: Connection, statements: PreparedStatements, execution: int,
                tasks: Sequence[TaskRow]) -> None:
    """Store new tasks of an execution."""
    rows = [[execution, *_values(task)] for task in tasks]
    for row in rows:  # integers, of which there may be ten times as many as tasks
        row[_WAITS_FOR] = f"[{','.join(map(str, row[_WAITS_FOR]))}]"
    if connection.dialect.name == "postgresql":
        _store_as_json(connection, rows)
    else:
        statements.run(connection, _new_task, _COLUMNS, rows)


def _new_task(columns: tuple[str, ...]) -> Parameterized:
    """INSERT of a task with these columns."""
    return (insert(_task).values({name: bindparam(f"n_{name}", type_=_TYPES[name]) for name in columns}),
            [f"n_{name}" for name in columns])


def _store_as_json(connection: Connection, rows: list[list[Any]]) -> None:
    Binds(_TYPES.values(), connection.dialect).apply(rows)
    columns = dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True))
    shared = {name: values[0] for name, values in columns.items() if values.count(values[0]) == len(values)}
    own = [name for name in _COLUMNS if name not in shared or name == "position"]
    given = [dict(zip(own, each, strict=True)) for each in zip(*(columns[name] for name in own), strict=True)]
    text = json.dumps(given, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    connection.execute(_insertion(tuple(own)), {**shared, "tasks": text})


@lru_cache(64)
def _insertion(own: tuple[str, ...]) -> Any:
    """INSERT of the rows in the JSON text ``tasks``; what they do not give themselves is a parameter."""
    types = {name: _type(name) for name in _COLUMNS}
    given = func.json_to_recordset(cast(bindparam("tasks", type_=Text), JSON)).table_valued(
        *(column(name, types[name]) for name in own)).render_derived(name="given", with_types=True)
    return insert(_task).from_select(list(_COLUMNS), select(*(
        given.c[name] if name in own else cast(bindparam(name, type_=types[name]), types[name])
        for name in _COLUMNS)))


def _type(name: str) -> Any:
    """Its type for values that are bound already; without a length, to which a cast would cut them."""
    type_ = _task.c[name].type
    return Text() if isinstance(type_, (String, JsonText)) else type_
