"""Case 39: a runner that has run very many operations is no bigger than one that has run a few.

Memory may hold the task graph, which is there from the beginning: what grows counts from the first tenth on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from aria_core.testing.soak import Sample, soak

MOST_GROWTH = 20.0
"""Megabytes by which a runner may grow."""
MOST_GROWTH_OF_FEW = 5.0
"""The same while a few thousand operations run."""
MOST_DESCRIPTORS = 3
MOST_OF_NEW_WORKERS = 8
"""Descriptors that two processes have besides while they take the places of two others."""
PATIENCE = 5 * 3600.0


@pytest.mark.fault(39, executors=["thread"], databases=["sqlite", "postgresql"], of="one execution")
@pytest.mark.timeout(300)
def test_a_runner_does_not_grow_with_the_operations_it_has_run(cell: Any) -> None:
    _check_one_execution(cell, "free", 100_000 if cell.is_long else 5_000)


@pytest.mark.fault(39, executors=["process"], databases=["sqlite"], of="one execution")
@pytest.mark.timeout(300)
def test_a_runner_of_processes_does_not_grow_either(cell: Any) -> None:
    _check_one_execution(cell, "free", 100_000 if cell.is_long else 3_000)


@pytest.mark.fault(39, executors=["thread"], databases=["sqlite", "postgresql"], of="many executions")
@pytest.mark.timeout(300)
def test_a_program_does_not_grow_with_the_executions_it_has_run(cell: Any) -> None:
    _check_many_executions(cell)


@pytest.mark.fault(39, executors=["process"], databases=["sqlite"], of="many executions")
@pytest.mark.timeout(300)
def test_a_program_with_processes_does_not_grow_either(cell: Any) -> None:
    _check_many_executions(cell)


@pytest.mark.fault(39, executors=["thread"], databases=["sqlite"], of="long results")
@pytest.mark.timeout(300)
def test_a_runner_does_not_keep_the_results_of_operations(cell: Any) -> None:
    _check_one_execution(cell, "results", 10_000 if cell.is_long else 1_000)


def _check_one_execution(cell: Any, shape: str, tasks: int) -> None:
    for trial in cell.trials():
        (trial.directory / "aria.toml").write_text(trial.configuration)
        done = soak(trial.directory, shape, [tasks], PATIENCE)[0]
        assert done.state == "succeeded"
        *running, end = done.samples
        _judge(cell, running, end)
        cell.note(f"{tasks / done.seconds:.0f} tasks/s")


def _check_many_executions(cell: Any) -> None:
    executions, tasks = (100, 1_000) if cell.is_long else (30, 10)
    for trial in cell.trials():
        (trial.directory / "aria.toml").write_text(trial.configuration)
        done = soak(trial.directory, "free", [tasks] * executions, PATIENCE)
        assert {each.state for each in done} == {"succeeded"}
        ends = [each.samples[-1] for each in done]
        _judge(cell, ends[executions // 10 - 1:], ends[-1])
        cell.note(f"{executions / sum(each.seconds for each in done):.1f} executions of {tasks} tasks/s")


def _judge(cell: Any, samples: Sequence[Sample], end: Sample) -> None:
    """`samples` begin at the first tenth."""
    first, last = samples[0], samples[-1]
    cell.note(f"{first.megabytes:.1f} MB at 10 %, {end.megabytes:.1f} MB at the end, "
              f"{first.descriptors} and {last.descriptors} descriptors, {first.threads} and {last.threads} "
              "threads")
    grown = max(each.megabytes for each in [*samples, end]) - first.megabytes
    assert grown <= (MOST_GROWTH if cell.is_long else MOST_GROWTH_OF_FEW), samples
    fewest, most = (pick(each.descriptors for each in samples) for pick in (min, max))
    assert most - fewest <= MOST_DESCRIPTORS + MOST_OF_NEW_WORKERS * (cell.executor == "process"), samples
    assert end.descriptors - fewest <= MOST_DESCRIPTORS, samples
    assert max(each.threads for each in samples) <= first.threads, samples
    assert end.zombies == 0, samples
