"""The judge on databases that were written by hand: what is as promised is not condemned, and soon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from aria_core.storage.sql import SqlModelStorage
from aria_core.testing.fault_points import ACKNOWLEDGED
from aria_core.testing.judge import Judge

NOW = "2026-01-01 00:00:00.000000+00:00"
EFFECT = "aria_core.testing.effects:effect"


class Stage:
    """A database with triggers, and SQL that plays an engine."""

    def __init__(self, url: str, directory: Path) -> None:
        with SqlModelStorage(url):
            pass
        self.effects = directory / "effects"
        self.judge = Judge(url, self.effects)
        self.engine: Engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        self.judge.watch()

    def insert(self, table: str, **values: Any) -> int:
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        with self.engine.begin() as connection:
            statement = text(f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING id")
            return int(connection.execute(statement, values).scalar_one())

    def run(self, *statements: str) -> None:
        """All in one transaction."""
        with self.engine.begin() as connection:
            for each in statements:
                connection.execute(text(each))

    def service(self, name: str) -> int:
        return self.insert("service", name=name, description="", created_at=NOW)

    def execution(self, service: int, dry: bool = False) -> int:
        key = self.insert("execution", service_id=service, workflow_name="w", state="pending", inputs="{}",
                          executor="", dry=dry, task_max_attempts=3, task_retry_interval=0.0,
                          created_at=NOW, epoch=1, batch=0, beat=0)
        self.step(key, state="'started'")
        return key

    def task(self, execution: int, position: int, **values: Any) -> int:
        return self.insert("task", **{
            "execution_id": execution, "position": position, "name": f"t{position}", "state": "pending",
            "waits_for": "[]", "function": EFFECT, "arguments": "{}", "interface_name": "",
            "operation_name": "",
            "max_attempts": 3, "retry_interval": 0.0, "ignore_failure": False, "attempts": 0, "failures": 0,
            "lost": 0, "interruptions": 0, **values})

    def step(self, execution: int, *statements: str, **values: str) -> None:
        """One transaction of an engine."""
        changes = "".join(f", {name} = {value}" for name, value in values.items())
        self.run(f"UPDATE execution SET batch = batch + 1{changes} WHERE id = {execution}", *statements)

    def tell(self, execution: int, task: int, attempt: int, *whats: str) -> None:
        with self.effects.open("a") as file:
            for what in whats:
                file.write(f"{execution}/{task}/{attempt} {what} 1 {time.time():.6f}\n")

    def succeed(self, execution: int, task: int) -> None:
        self.step(execution, f"UPDATE task SET state = 'sent', attempts = attempts + 1 WHERE id = {task}")
        self.tell(execution, task, 1, "begin", "end")
        self.step(execution, f"UPDATE task SET state = 'success' WHERE id = {task}")

    def end(self, execution: int, state: str = "succeeded") -> None:
        self.step(execution, state=f"'{state}'", ended_at=f"'{NOW}'", owner="NULL")

    def promises(self) -> set[str]:
        return {each.promise for each in self.judge.violations()}


@pytest.fixture
def stage(model_storage_url: str, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(model_storage_url, tmp_path)
    yield made
    made.judge.close()
    made.engine.dispose()


def test_executions_of_several_services_are_judged_apart(stage: Stage) -> None:
    first, second = (stage.execution(stage.service(name)) for name in ("one", "two"))
    tasks = {execution: stage.task(execution, 0) for execution in (first, second)}
    for execution, task in tasks.items():
        stage.succeed(execution, task)
    for execution in tasks:
        stage.end(execution)
    assert stage.promises() == set()


def test_what_was_deleted_is_not_condemned(stage: Stage) -> None:
    service = stage.service("one")
    execution = stage.execution(service)
    stage.succeed(execution, stage.task(execution, 0))
    stage.run("PRAGMA foreign_keys = ON" if stage.engine.dialect.name == "sqlite" else "SELECT 1",
              f"DELETE FROM task WHERE execution_id = {execution}",
              f"DELETE FROM execution WHERE id = {execution}", f"DELETE FROM service WHERE id = {service}")
    stage.end(stage.execution(stage.service("one")))
    assert stage.promises() == set()


def test_a_dry_execution_has_no_effects(stage: Stage) -> None:
    execution = stage.execution(stage.service("one"), dry=True)
    task = stage.task(execution, 0)
    stage.step(execution, f"UPDATE task SET state = 'sent', attempts = 1 WHERE id = {task}")
    stage.step(execution, f"UPDATE task SET state = 'success' WHERE id = {task}")
    stage.end(execution)
    assert stage.promises() == set()
    stage.tell(execution, task, 1, "begin")
    assert "S5" in stage.promises()


def test_a_resume_with_retry_failed_begins_budgets_anew(stage: Stage) -> None:
    execution = stage.execution(stage.service("one"))
    task = stage.task(execution, 0, max_attempts=1)
    stage.step(execution, f"UPDATE task SET state = 'sent', attempts = 1 WHERE id = {task}")
    stage.step(execution, f"UPDATE task SET state = 'failed', failures = 1 WHERE id = {task}")
    stage.insert("attempt", task_id=task, number=1, outcome="failed", error="", traceback="", location="",
                 ended_at=NOW)
    stage.end(execution, "failed")
    stage.step(execution, f"UPDATE task SET state = 'pending', failures = 0 WHERE id = {task}",
               state="'started'", epoch="epoch + 1", ended_at="NULL")
    stage.step(execution, f"UPDATE task SET state = 'sent', attempts = 2 WHERE id = {task}")
    stage.tell(execution, task, 2, "begin", "end")
    stage.step(execution, f"UPDATE task SET state = 'success' WHERE id = {task}")
    stage.end(execution)
    assert stage.promises() == set()


def test_a_failure_that_is_ignored_frees_others(stage: Stage) -> None:
    execution = stage.execution(stage.service("one"))
    failing, after = stage.task(execution, 0, ignore_failure=True), stage.task(execution, 1, waits_for="[0]")
    stage.step(execution, f"UPDATE task SET state = 'sent', attempts = 1 WHERE id = {failing}")
    stage.step(execution, f"UPDATE task SET state = 'failed', failures = 1 WHERE id = {failing}")
    stage.insert("attempt", task_id=failing, number=1, outcome="failed", error="", traceback="", location="",
                 ended_at=NOW)
    stage.succeed(execution, after)
    stage.end(execution)
    assert stage.promises() == set()


def test_a_commit_that_was_acknowledged_must_be_there(stage: Stage) -> None:
    execution = stage.execution(stage.service("one"))
    acknowledged = stage.effects.with_name(ACKNOWLEDGED)
    acknowledged.write_text(f"{execution} 1 1\n")
    assert stage.promises() == set()
    acknowledged.write_text(f"{execution} 1 1\n{execution} 1 2\n")
    assert stage.promises() == {"S15"}


def test_ten_thousand_tasks_are_judged_within_seconds(stage: Stage) -> None:
    execution = stage.execution(stage.service("one"))
    for column in range(2):  # wide, through a stub, and wide again
        start = column * 5001
        waits = "[]" if column == 0 else "[5000]"
        _insert_many(stage, execution, range(start, start + 5000), waits)
        if column == 0:
            stage.task(execution, 5000, stub="stub", waits_for=str(list(range(5000))))
    operations = f"execution_id = {execution} AND stub IS NULL"
    for part, begins in (("position < 5000", "begin"), ("position > 5000", "begin")):
        stage.step(execution, f"UPDATE task SET state = 'sent', attempts = 1 WHERE {operations} AND {part}")
        rows = stage.judge.rows(f"SELECT id FROM task WHERE {operations} AND {part}")
        for row in rows:
            stage.tell(execution, row["id"], 1, begins, "end")
        stage.step(execution, f"UPDATE task SET state = 'success' WHERE {operations} AND {part}",
                   f"UPDATE task SET state = 'success' WHERE execution_id = {execution} AND stub = 'stub' "
                   "AND state = 'pending'")
    stage.end(execution)
    began = time.monotonic()
    assert stage.promises() == set()
    assert time.monotonic() - began < 20.0  # a second or two on a machine at rest


def _insert_many(stage: Stage, execution: int, positions: range, waits_for: str) -> None:
    with stage.engine.begin() as connection:
        connection.execute(text(
            "INSERT INTO task (execution_id, position, name, state, waits_for, function, arguments, "
            "interface_name, operation_name, max_attempts, retry_interval, ignore_failure, attempts, "
            "failures, lost, interruptions) "
            f"VALUES ({execution}, :position, 't', 'pending', '{waits_for}', '{EFFECT}', "
            "'{}', '', '', 3, 0.0, false, 0, 0, 0, 0)"), [{"position": each} for each in positions])
