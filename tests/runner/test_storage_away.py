"""A storage that is away for one call, before it did what was asked or after: nothing is lost by it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from aria_core.exceptions import StorageUnavailableError
from aria_core.storage.sql import SqlModelStorage

pytestmark = pytest.mark.parametrize("executor", ["thread"], indirect=True)

STEPS = [{"label": "a", "do": "set_attribute", "arguments": {"name": "x", "value": 1}},
         {"label": "b", "after": ["a"]}]
CALLS = [("claim_new", 1), ("load_graph", 1), ("create_graph", 1), ("load_graph", 2), ("record_batch", 1),
         ("record_batch", 2), ("record_batch", 3)]


class AwayOnce(SqlModelStorage):
    """Its ledger is away at the `number`-th call of `method` by this thread, once it was told so."""

    method = ""

    def break_at(self, method: str, number: int, after: bool) -> None:
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
        storage.break_at(method, number, after)
        runner = away.runner(steps=STEPS)
        assert runner.execute() == "succeeded"
        assert storage.left <= 0
        assert [row.state for row in storage.execution] == ["succeeded"]
        assert [task.attempts for task in away.tasks(runner.execution_id).values()] == [1, 1]
        assert lab.effects == ["a", "b"]
