"""The dry executor."""

from __future__ import annotations

from pathlib import Path

import pytest

from aria_core import Executor, Started, Succeeded
from aria_core.testing.bench import Bench
from aria_core.testing.executor import ExecutorContract
from aria_plugins.executors.dry import DryExecutor, aria_executor


class TestDryExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Executor:
        return DryExecutor()


def test_it_declares_that_it_runs_nothing() -> None:
    assert not DryExecutor.runs_operations
    assert not (DryExecutor.can_terminate or DryExecutor.isolates_calls or DryExecutor.survives_runner)
    assert DryExecutor().slots is None


def test_the_hook_gives_the_class() -> None:
    assert aria_executor() is DryExecutor


def test_a_call_is_begun_and_succeeds_without_happening(tmp_path: Path) -> None:
    effect = tmp_path / "effect"
    with Bench(DryExecutor(), tmp_path) as bench:
        ref = bench.submit("note", path=str(effect), line="x")
        assert bench.inbox.reports(ref) == [Started(ref, "dry"), Succeeded(ref)]
    assert not effect.exists()
