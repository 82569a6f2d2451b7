"""Operations that say that they live, and those that fall silent."""

from __future__ import annotations

from typing import Any

import pytest

from aria_core.exceptions import ExecutionFailedError


def silent(times: int) -> dict[str, Any]:
    return {"label": "a", "do": "go_silent", "arguments": {"times": times}, "heartbeat_timeout": 0.4}


def test_a_lost_heartbeat_is_a_lost_attempt_and_another_follows(lab: Any) -> None:
    execution = lab.run({**silent(1), "max_attempts": 1})
    assert lab.effects == ["a", "a"]
    task = lab.tasks(execution)["a"]
    assert (task.state, task.attempts, task.lost, task.failures) == ("success", 2, 1, 0)
    attempt, = task.attempt_rows
    assert (attempt.outcome, attempt.error) == ("lost", "the attempt was lost: no heartbeat for 0.4 s")
    assert execution.failed_attempts == 1


def test_an_operation_that_always_falls_silent_fails_by_the_budget_of_lost_attempts(lab: Any) -> None:
    with pytest.raises(ExecutionFailedError, match=r"no heartbeat for 0\.4 s"):
        lab.run({**silent(99), "max_attempts": -1})
    assert lab.effects == ["a"] * 3


def test_who_shows_life_is_left_alone_however_long_it_takes(lab: Any) -> None:
    execution = lab.run({"label": "a", "do": "beat", "arguments": {"seconds": 2.5, "every": 0.02},
                         "heartbeat_timeout": 0.8})
    assert (lab.effects, lab.tasks(execution)["a"].attempts) == (["a"], 1)


def test_without_a_heartbeat_timeout_silence_is_no_sign_of_anything(lab: Any) -> None:
    execution = lab.run({"label": "a", "do": "nap", "arguments": {"seconds": 1}})
    task = lab.tasks(execution)["a"]
    assert (task.attempts, task.progress, task.progress_message) == (1, None, None)


def test_progress_can_be_seen_while_the_operation_runs_and_after_its_end(lab: Any) -> None:
    gate = lab.directory / "gate"
    runner = lab.runner(steps=[{"label": "a", "do": "show_progress", "arguments": {"gate": str(gate)}}])
    wait = lab.in_thread(runner)
    lab.wait_for_progress(runner, "a", 0.5)
    task = lab.tasks(runner.execution)["a"]
    assert (task.state, task.progress_message) == ("started", "a quarter")
    gate.touch()
    assert wait() == "succeeded"
    task = lab.tasks(runner.execution)["a"]
    assert (task.progress, task.progress_message) == (1, "all")


def test_a_new_attempt_forgets_what_the_one_before_said(lab: Any) -> None:
    runner = lab.runner(steps=[{
        "label": "a", "do": "show_then_fail", "arguments": {"times": 1}, "retry_interval": 0}])
    assert runner.execute() == "succeeded"
    task = lab.tasks(runner.execution)["a"]
    assert (task.attempts, task.progress, task.progress_message) == (2, None, None)


def test_another_runner_forgets_it_too(lab: Any) -> None:
    runner = lab.runner(steps=[{
        "label": "a", "do": "show_then_fail", "arguments": {"times": 1}, "retry_interval": 600}])
    wait = lab.in_thread(runner)
    lab.wait_for_failures(runner, "a", 1)
    assert lab.tasks(runner.execution)["a"].progress == 0.75
    runner.stop(0)
    assert wait() == "started"
    assert lab.runner(execution_id=runner.execution_id).execute() == "succeeded"
    assert lab.tasks(runner.execution)["a"].progress is None
