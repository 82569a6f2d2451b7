"""A storage that is away for one call, before it did what was asked or after: nothing is lost by it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from aria_core.exceptions import ExecutionOwnedError, StorageUnavailableError
from aria_core.orchestrator import ownership
from aria_core.orchestrator.executor import Inbox
from aria_core.storage.sql import SqlModelStorage
from aria_plugins.executors.thread import ThreadExecutor

pytestmark = pytest.mark.parametrize("executor", ["thread"], indirect=True)

STEPS = [{"label": "a", "do": "set_attribute", "arguments": {"name": "x", "value": 1}},
         {"label": "b", "after": ["a"]}]
CALLS = [("claim_new", 1), ("load_graph", 1), ("create_graph", 1), ("task_ids", 1), ("record_batch", 1),
         ("record_batch", 2), ("record_batch", 3)]


class AwayOnce(SqlModelStorage):
    """Its ledger is away at the `number`-th call of `method` by this thread, once it was told so."""

    method = ""

    def break_at(self, method: str, number: int, *, after: bool) -> None:
        self.method, self.left, self.after = method, number, after
        self.thread = threading.get_ident()

    def is_due(self, method: str) -> bool:
        if method != self.method or threading.get_ident() != self.thread:
            return False
        self.left -= 1
        return self.left == 0

    @property
    def ledger(self) -> Any:
        return AwayLedger(self, super().ledger)


class AwayLedger:
    """The true ledger but for one call, which fails before or after its effect."""

    def __init__(self, storage: AwayOnce, ledger: Any) -> None:
        self._storage, self._ledger = storage, ledger

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            if not self._storage.is_due(name):
                return method(*arguments, **keywords)
            if self._storage.after:
                method(*arguments, **keywords)
            raise StorageUnavailableError("it is away")
        return call


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("method", "number"), CALLS)
def test_one_call_that_fails_costs_nothing(lab: Any, model_storage_url: str, method: str, number: int,
                                           after: bool) -> None:
    with AwayOnce(model_storage_url) as storage:
        away = type(lab)(storage, lab.resource, lab.directory, lab.executor, name="away")
        storage.break_at(method, number, after=after)
        runner = away.runner(steps=STEPS)
        assert runner.execute() == "succeeded"
        assert storage.left <= 0
        assert [row.state for row in storage.execution] == ["succeeded"]
        assert [task.attempts for task in away.tasks(runner.execution_id).values()] == [1, 1]
        assert lab.effects == ["a", "b"]


class Unopened(ThreadExecutor):
    """Cannot be opened."""

    def open(self, report: Inbox) -> None:
        raise RuntimeError("no")


def test_a_runner_that_could_not_let_go_does_not_block_its_own_process(
        lab: Any, model_storage_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "TAKES_OVER_AFTER", 0.5)
    with AwayOnce(model_storage_url) as storage:
        away = type(lab)(storage, lab.resource, lab.directory, lab.executor, name="away")
        storage.break_at("release", 1, after=False)
        runner = away.runner(steps=STEPS, executor=Unopened())
        with pytest.raises(RuntimeError):
            runner.execute()
        assert runner.execution.owner is not None
        assert away.runner(execution_id=runner.execution_id).execute() == "succeeded"


def test_a_runner_of_the_same_process_that_works_is_not_taken_for_one_that_is_lost(
        lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "TAKES_OVER_AFTER", 4.0)  # less than the time between two beats
    gate = lab.directory / "gate"
    runner = lab.runner(steps=[{"label": "a", "do": "wait_for", "arguments": {"file": str(gate)}}])
    wait = lab.in_thread(runner)
    lab.wait_for_effect("a")
    with pytest.raises(ExecutionOwnedError):
        lab.runner(execution_id=runner.execution_id).execute()
    gate.touch()
    assert wait() == "succeeded"
