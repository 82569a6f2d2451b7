"""Graphs come back from each database as they were stored, however their tasks differ."""

from __future__ import annotations

import pytest

from aria_core.exceptions import StorageError
from aria_core.storage.records import TaskRow
from aria_core.storage.sql import SqlModelStorage
from aria_core.storage.sql.ledger import AT_ONCE
from aria_core.testing.sample import MOMENT, add_service, claim_service

TEXTS = ["", "plain", "'; DROP TABLE task; --", "%s %(x)s :x", 'a "b" \\ \\u0000 {{', "line\nline\r\ttab",
         "\U0001f600 \u202e \u0301", "\\N", "{}", "null", "x" * 10_000]


def stored(storage: SqlModelStorage, rows: list[TaskRow]) -> list[TaskRow]:
    claim = claim_service(storage, add_service(storage))
    storage.ledger.create_graph(claim, rows, (), MOMENT)
    return [row._replace(id=0) for row in storage.ledger.load_graph(claim.execution)]


def test_a_single_task_comes_back(model_storage: SqlModelStorage) -> None:
    rows = [TaskRow(0, "only", arguments={"a": None}, retry_interval=1e-9, max_attempts=-1)]
    assert stored(model_storage, rows) == rows


def test_texts_come_back_as_they_are(model_storage: SqlModelStorage) -> None:
    rows = [TaskRow(place, text, function=text, arguments={"text": text, text: [text]}, pool=text[:255],
                    interface_name=text[:255]) for place, text in enumerate(TEXTS)]
    assert stored(model_storage, rows) == rows


def test_columns_that_only_some_tasks_fill_come_back(model_storage: SqlModelStorage) -> None:
    rows = [TaskRow(0, "start", stub="start_workflow"),
            TaskRow(1, "a", waits_for=(0,), timeout=2.5, retry={"backoff": 2.0}, ignore_failure=True),
            TaskRow(2, "b", waits_for=(0, 1), timeout=3, retry_interval=30, dynamic=("x",), secret=("y", "z"),
                    arguments={"x": {"deep": [1, 2.5, None, True]}}, priority=-1, heartbeat_timeout=1.0)]
    assert stored(model_storage, rows) == rows


def test_more_tasks_than_are_stored_at_once_come_back(model_storage: SqlModelStorage) -> None:
    rows = [TaskRow(place, f"t{place}", waits_for=(place - 1,) if place else (), arguments={"n": place})
            for place in range(2 * AT_ONCE + 1)]
    assert stored(model_storage, rows) == rows


@pytest.mark.parametrize("long_ones", [1, 2])
def test_what_a_column_cannot_hold_is_refused_and_never_cut(model_storage: SqlModelStorage,
                                                            long_ones: int) -> None:
    claim = claim_service(model_storage, add_service(model_storage))
    names = ["x" * 256, "x" * 256 * (long_ones - 1)]
    rows = [TaskRow(place, "a", interface_name=name) for place, name in enumerate(names)]
    try:
        model_storage.ledger.create_graph(claim, rows, (), MOMENT)
    except StorageError:
        rows = []
    assert [row._replace(id=0) for row in model_storage.ledger.load_graph(claim.execution)] == rows
