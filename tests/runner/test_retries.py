"""Which failures are followed by another attempt, how much later, and when the whole execution gives up."""

from __future__ import annotations

from typing import Any

import pytest

from aria_core.exceptions import ExecutionFailedError
from aria_core.modeling.retries import ExecutionRetries, RetryPolicy

DOUBLING = {"interval": 0.2, "backoff": 2, "max_interval": 0.3}


def times(lab: Any) -> list[float]:
    return [float(line) for line in lab.effects if line != "a"]


def test_waits_grow_up_to_the_cap(lab: Any) -> None:
    lab.run({"label": "a", "do": "note_time", "arguments": {"times": 2}, "retry": DOUBLING})
    first, second, third = times(lab)
    assert 0.2 <= second - first < 5
    assert 0.3 <= third - second < 5


def test_what_an_execution_says_holds_for_tasks_that_say_nothing_else(lab: Any) -> None:
    policy = RetryPolicy(backoff=2, abort_on=("OSError",))
    execution = lab.run({"label": "a", "do": "fail_first", "arguments": {"times": 1}},
                        {"label": "b", "do": "raise_first", "retry": {"abort_on": []},
                         "arguments": {"times": 1, "error": "TimeoutError"}},
                        retries=ExecutionRetries(policy))
    assert execution.task_retry == {"backoff": 2, "abort_on": ["OSError"]}
    tasks = lab.tasks(execution)
    assert tasks["a"].retry == {"backoff": 2, "abort_on": ["OSError"]}
    assert tasks["b"].retry == {"backoff": 2, "abort_on": []}


@pytest.mark.parametrize(("rules", "error"), [
    ({"abort_on": ["OSError"]}, "TimeoutError"), ({"retry_on": ["OSError"]}, "ValueError"),
    ({"retry_on": ["OSError"], "abort_on": ["TimeoutError"]}, "TimeoutError")])
def test_an_error_that_the_rules_do_not_allow_is_the_last(
        lab: Any, rules: dict[str, Any], error: str) -> None:
    with pytest.raises(ExecutionFailedError, match=f"{error}: as told"):
        lab.run({"label": "a", "do": "raise_first", "arguments": {"times": 9, "error": error},
                 "max_attempts": 9, "retry": rules})
    assert lab.effects == ["a"]


def test_an_error_that_the_rules_allow_is_tried_again(lab: Any) -> None:
    lab.run({"label": "a", "do": "raise_first", "arguments": {"times": 2, "error": "TimeoutError"},
             "max_attempts": 9, "retry": {"retry_on": ["OSError"], "abort_on": ["ValueError"]}})
    assert lab.effects == ["a"] * 3


def test_what_an_operation_decides_goes_before_the_rules(lab: Any) -> None:
    lab.run({"label": "a", "do": "retry_first", "arguments": {"times": 1},
             "retry": {"abort_on": ["Exception"]}})
    assert lab.effects == ["a", "a"]


def test_an_operation_that_asks_to_wait_for_ages_does_not_break_its_runner(lab: Any) -> None:
    runner = lab.runner(steps=[
        {"label": "a", "do": "retry_first", "arguments": {"times": 1, "interval": 1e300}}])
    wait = lab.in_thread(runner)
    lab.wait_for_state(runner, "a", "retrying")
    runner.stop(0)
    assert wait() == "started"


# --- the budget of an execution

STUBBORN = {"do": "fail_first", "arguments": {"times": 99}, "max_attempts": -1}
THEN_LATE = {"interval": 0.001, "backoff": 1e6, "max_interval": 600}


def test_an_execution_that_spends_its_budget_fails_with_a_sentence(lab: Any) -> None:
    runner = lab.runner(steps=[{"label": "a", **STUBBORN}], retries=ExecutionRetries(budget=3))
    with pytest.raises(ExecutionFailedError) as failed:
        runner.execute()
    assert str(failed.value) == ("Test:fail_first@node:one: ValueError: a fails; with this the execution has "
                                 "spent its retry budget of 3 failed attempts")
    assert lab.effects == ["a"] * 3
    assert (runner.execution.retry_budget, runner.execution.failed_attempts) == (3, 3)
    assert runner.execution.error == str(failed.value)


def test_the_budget_counts_the_failures_of_all_tasks(lab: Any) -> None:
    first = {"do": "fail_first", "arguments": {"times": 2}, "max_attempts": -1}
    with pytest.raises(ExecutionFailedError, match=r"node:one: ValueError: b fails; .*budget of 3"):
        lab.run({"label": "a", **first}, {"label": "b", **first, "after": ["a"]},
                retries=ExecutionRetries(budget=3))
    assert lab.effects == ["a"] * 3 + ["b"]


def test_failures_within_the_budget_and_ignored_ones_fail_nothing(lab: Any) -> None:
    execution = lab.run(
        {"label": "a", "do": "fail_first", "arguments": {"times": 2}},
        {"label": "b", "do": "fail_first", "arguments": {"times": 9}, "ignore_failure": True},
        retries=ExecutionRetries(budget=3))
    assert (execution.state, execution.failed_attempts) == ("succeeded", 2)


def fail_twice(lab: Any, runner: Any, failures: int = 2, **how: bool) -> None:
    """Run until the first task waits for ages after its second failure, and stop."""
    wait = lab.in_thread(runner, **how)
    lab.wait_for_failures(runner, "a", failures)
    runner.stop(0)
    assert wait() == "started"


def test_another_runner_counts_on_and_retry_failed_begins_anew(lab: Any) -> None:
    steps = [{"label": "a", **STUBBORN, "retry": THEN_LATE}]
    runner = lab.runner(steps=steps, retries=ExecutionRetries(budget=3))
    fail_twice(lab, runner)
    execution = runner.execution_id
    with pytest.raises(ExecutionFailedError, match="budget of 3"):
        lab.runner(execution_id=execution).execute()
    assert len(lab.effects) == 3
    again = lab.runner(execution_id=execution)
    fail_twice(lab, again, retry_failed=True)
    assert (len(lab.effects), again.execution.failed_attempts) == (5, 2)
