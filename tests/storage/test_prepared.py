"""Statements that are compiled once: they bind what SQLAlchemy would, and say what they changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import bindparam, event, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError

from aria_core.modeling.models import Task
from aria_core.storage.sql import SqlModelStorage
from aria_core.storage.sql.prepared import Parameterized, Prepared
from aria_core.storage.sql.statements import transition
from aria_core.testing.sample import add_service, start_service, tasks_of

NOON = datetime(2026, 2, 3, 12, 0, 0, 5, tzinfo=UTC)
_task: Any = Task.__table__


@pytest.fixture
def tasks(model_storage: SqlModelStorage) -> list[int]:
    return tasks_of(model_storage, start_service(model_storage, add_service(model_storage), tasks=3))


def run(storage: SqlModelStorage, columns: tuple[str, ...], *rows: list[Any]) -> int:
    with storage.database.write() as connection:
        return storage.database.statements.run(connection, transition, columns, list(rows))


def read(storage: SqlModelStorage, task: int, *columns: str) -> tuple[Any, ...]:
    with storage.database.read() as connection:
        return tuple(connection.execute(
            select(*(_task.c[name] for name in columns)).where(_task.c.id == task)).one())


def test_values_are_bound_as_their_columns_say(model_storage: SqlModelStorage, tasks: list[int]) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    columns = ("state", "sent_at", "ended_at", "result", "reason")
    row = ["sent", elsewhere, None, {"a": [1, "ä"]}, None, tasks[0], "pending", 0]
    assert run(model_storage, columns, row) == 1
    assert read(model_storage, tasks[0], *columns) == ("sent", NOON, None, {"a": [1, "ä"]}, None)


def test_each_row_has_its_own_values(model_storage: SqlModelStorage, tasks: list[int]) -> None:
    times = [NOON, None, NOON + timedelta(seconds=1)]
    rows = [["sent", time, task, "pending", 0] for time, task in zip(times, tasks, strict=True)]
    assert run(model_storage, ("state", "sent_at"), *rows) == 3
    assert [read(model_storage, task, "sent_at") for task in tasks] == [(time,) for time in times]


def test_what_its_guards_keep_out_is_not_counted(model_storage: SqlModelStorage, tasks: list[int]) -> None:
    rows = [["sent", tasks[0], "pending", 0], ["sent", tasks[1], "pending", 7], ["sent", tasks[2], "sent", 0]]
    assert run(model_storage, ("state",), *rows) == 1
    assert [read(model_storage, task, "state") for task in tasks] == [("sent",), ("pending",), ("pending",)]


def test_a_time_without_a_zone_is_refused(model_storage: SqlModelStorage, tasks: list[int]) -> None:
    with pytest.raises(ValueError, match="no timezone"):
        run(model_storage, ("state", "sent_at"), ["sent", NOON.replace(tzinfo=None), tasks[0], "pending", 0])
    assert read(model_storage, tasks[0], "state") == ("pending",)


def test_parameters_in_another_order_are_refused() -> None:
    statement = update(_task).where(_task.c.id == bindparam("b")).values(state=bindparam("a"))
    with pytest.raises(ValueError, match="takes"):
        Prepared(statement, ["b", "a"], sqlite.dialect())


def test_who_listens_hears_every_statement(model_storage: SqlModelStorage, tasks: list[int]) -> None:
    heard: list[str] = []
    engine = model_storage.database.writer

    def note(*each: Any) -> None:
        heard.append(each[2])

    event.listen(engine, "before_cursor_execute", note)
    run(model_storage, ("state",), ["sent", tasks[0], "pending", 0])
    event.remove(engine, "before_cursor_execute", note)
    assert [each for each in heard if each.startswith("UPDATE task")]
    heard.clear()
    assert run(model_storage, ("state",), ["sent", tasks[1], "pending", 0]) == 1
    assert heard == []


def test_what_a_database_refuses_is_told_in_sqlalchemys_classes(
        model_storage: SqlModelStorage, tasks: list[int]) -> None:
    nobody = tasks[0], 2**30
    with (pytest.raises(IntegrityError), model_storage.database.write() as connection):
        model_storage.database.statements.run(connection, _give_away, ("node_id",), [[nobody[1], nobody[0]]])
    assert read(model_storage, tasks[0], "state") == ("pending",)
    assert run(model_storage, ("state",), ["sent", tasks[0], "pending", 0]) == 1


def _give_away(columns: tuple[str, ...]) -> Parameterized:
    statement = update(_task).where(_task.c.id == bindparam("b_id")).values(node_id=bindparam("n_node_id"))
    return statement, ["n_node_id", "b_id"]
