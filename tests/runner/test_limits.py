"""How many operations run at once, in which order they are sent, and that nobody stands in the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from aria_core.exceptions import InvalidInputError
from aria_core.orchestrator.exceptions import PoolNotFoundError
from aria_core.orchestrator.executor import Executor
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor

A_WHILE = 0.3
"""Seconds in which whatever is not held back would begin."""


@pytest.fixture(params=["thread", "process"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """An executor that has room for more than any test lets run."""
    with ThreadExecutor(slots=5) if request.param == "thread" else ProcessExecutor(slots=4) as executor:
        yield executor


def holding(lab: Any, labels: Iterable[str], **settings: Any) -> list[dict[str, Any]]:
    """Operations that begin, and end once there is a gate."""
    gate = str(lab.directory / "gate")
    return [{"label": each, "do": "hold", "arguments": {"gate": gate}, **settings} for each in labels]


def brief(labels: Iterable[str], **settings: Any) -> list[dict[str, Any]]:
    return [{"label": each, "do": "hold", **settings} for each in labels]


def open_gate(lab: Any) -> None:
    (lab.directory / "gate").touch()


def begun(lab: Any) -> list[str]:
    """The operations that have begun, in the order in which they did."""
    return [line.removesuffix(" begins") for line in lab.effects if line.endswith(" begins")]


def most_at_once(lab: Any, counts: Callable[[str], bool] = lambda label: True) -> int:
    """How many operations, of those that count, ran at once when it was most."""
    running = most = 0
    for line in lab.effects:
        label, _, what = line.rpartition(" ")
        running += {"begins": 1, "ends": -1}.get(what, 0) * counts(label)
        most = max(most, running)
    return most


def run_until_begun(lab: Any, steps: list[dict[str, Any]], count: int, **limits: Any) -> Any:
    """Have a runner begin so many operations and no more; the runner, and how to wait for its end."""
    runner = lab.runner(steps=steps, **limits)
    wait = lab.in_thread(runner)
    lab.wait_until(lambda: len(begun(lab)) >= count, f"{count} operations to begin")
    time.sleep(A_WHILE)
    assert len(begun(lab)) == count
    return runner, wait


# --- limits

def test_an_execution_runs_as_many_tasks_at_once_as_it_may(lab: Any) -> None:
    runner, wait = run_until_begun(lab, holding(lab, "abcdefgh"), 2, max_concurrency=2)
    open_gate(lab)
    assert wait() == "succeeded"
    assert sorted(begun(lab)) == list("abcdefgh")
    assert most_at_once(lab) == 2
    assert runner.execution.max_concurrency == 2


def test_a_node_runs_as_many_operations_at_once_as_it_may_and_others_go_on(lab: Any) -> None:
    steps = holding(lab, ["a1", "a2", "a3"]) + holding(lab, ["tie1", "tie2"], relationship=True)
    steps += holding(lab, ["b1", "b2", "b3"], node="two")
    _, wait = run_until_begun(lab, steps, 2, max_per_node=1)
    assert sorted(begun(lab)) == ["a1", "b1"]
    open_gate(lab)
    assert wait() == "succeeded"
    assert len(begun(lab)) == 8
    assert most_at_once(lab, lambda label: label[0] == "b") == 1
    assert most_at_once(lab, lambda label: label[0] != "b") == 1  # those of its relationships are among them


def test_a_pool_is_never_fuller_than_its_size_and_holds_up_nobody_else(lab: Any) -> None:
    steps = holding(lab, ["p1", "p2", "p3", "p4"], pool="database") + brief(["free1", "free2"])
    _, wait = run_until_begun(lab, steps, 4, pools={"database": 2, "idle": 1})
    assert sorted(begun(lab)) == ["free1", "free2", "p1", "p2"]
    open_gate(lab)
    assert wait() == "succeeded"
    assert most_at_once(lab, lambda label: label[0] == "p") == 2
    assert sorted(begun(lab)[4:]) == ["p3", "p4"]


def test_tasks_that_wait_for_one_limit_do_not_hold_up_those_of_another(lab: Any) -> None:
    steps = holding(lab, ["x1", "x2"], pool="x", priority=9) + holding(lab, ["y1", "y2"], pool="y")
    _, wait = run_until_begun(lab, steps, 2, pools={"x": 1, "y": 1})
    assert sorted(begun(lab)) == ["x1", "y1"]
    open_gate(lab)
    assert wait() == "succeeded"


def test_short_operations_that_are_sent_ahead_count_too(lab: Any) -> None:
    labels = [f"p{number}" for number in range(60)]
    lab.run(*brief(["warm", "up"]), *brief(labels, pool="one", after=["warm", "up"]),
            *brief([f"f{number}" for number in range(60)], after=["warm", "up"]), pools={"one": 1})
    assert most_at_once(lab, lambda label: label[0] == "p") == 1
    assert [each for each in begun(lab) if each[0] == "p"] == labels


def test_a_pool_without_end_and_a_limit_without_end_hold_nobody_back(lab: Any) -> None:
    _, wait = run_until_begun(lab, holding(lab, "abc", pool="p"), 3, pools={"p": -1}, max_concurrency=-1,
                              max_per_node=-1)
    open_gate(lab)
    assert wait() == "succeeded"


# --- priorities

def test_the_highest_priority_is_sent_first_and_among_equals_the_first_in_the_graph(lab: Any) -> None:
    priorities = {"a": None, "b": 5, "c": -1, "d": 5, "e": 0, "f": 7}
    steps = [{"label": label, "do": "hold", "priority": each} for label, each in priorities.items()]
    execution = lab.run(*steps, max_concurrency=1)
    assert begun(lab) == ["f", "b", "d", "a", "e", "c"]
    assert {label: task.priority for label, task in lab.tasks(execution).items()} == {
        "a": None, "b": 5, "c": -1, "d": 5, "e": None, "f": 7}


def test_what_becomes_ready_later_goes_before_what_is_less_urgent(lab: Any) -> None:
    steps = brief("a", priority=9) + brief("bcd") + brief("e", after=["a"], priority=1)
    lab.run(*steps, max_concurrency=1)
    assert begun(lab) == ["a", "e", "b", "c", "d"]


def test_without_limits_and_priorities_the_order_is_that_of_the_graph(lab: Any) -> None:
    lab.run(*brief("abcdef"), max_concurrency=1)
    assert begun(lab) == list("abcdef")


# --- who gives back what it has taken

def test_a_task_that_waits_for_another_attempt_frees_its_place(lab: Any) -> None:
    fails = {"label": "r", "do": "fail_first", "arguments": {"times": 1}, "retry_interval": 600}
    steps = [{**fails, "pool": "p"}, *brief("ab", pool="p")]
    runner = lab.runner(steps=steps, pools={"p": 1}, max_concurrency=1)
    wait = lab.in_thread(runner)
    lab.wait_for_state(runner, "b", "success")
    assert lab.tasks(runner.execution_id)["r"].state == "retrying"
    runner.stop(0)
    assert wait() == "started"


def test_another_attempt_waits_for_a_place_like_the_first(lab: Any) -> None:
    steps = [{"label": "r", "do": "fail_first", "arguments": {"times": 1}, "retry_interval": 0, "pool": "p"},
             *holding(lab, "a", pool="p")]
    runner, wait = run_until_begun(lab, steps, 1, pools={"p": 1})
    assert lab.effects == ["r", "a begins"]
    open_gate(lab)
    assert wait() == "succeeded"
    assert lab.effects == ["r", "a begins", "a ends", "r"]
    assert lab.tasks(runner.execution_id)["r"].pool == "p"


def test_an_attempt_that_took_too_long_frees_its_place_when_it_has_ended(lab: Any) -> None:
    lab.run({"label": "slow", "do": "go_silent", "arguments": {"times": 99}, "timeout": 0.3,
             "max_attempts": 1, "ignore_failure": True, "pool": "p"}, *brief("ab", pool="p"), pools={"p": 1})
    assert begun(lab) == ["a", "b"]


def test_an_execution_is_cancelled_while_tasks_stand_aside_and_a_resume_keeps_its_limits(lab: Any) -> None:
    steps = holding(lab, "abcd", pool="p")
    runner, wait = run_until_begun(lab, steps, 1, pools={"p": 1}, max_concurrency=3, max_per_node=2)
    runner.cancel()
    open_gate(lab)  # functions in threads cannot be ended
    assert wait() == "cancelled"
    states = {label: task.state for label, task in lab.tasks(runner.execution_id).items()}
    assert {states[each] for each in "bcd"} == {"pending"}
    before = len(begun(lab))
    assert lab.runner(execution_id=runner.execution_id).execute() == "succeeded"
    resumed = lab.effects[-2 * (len(begun(lab)) - before):]
    assert [line.rpartition(" ")[2] for line in resumed] == ["begins", "ends"] * (len(resumed) // 2)
    row = runner.execution
    assert (row.pools, row.max_concurrency, row.max_per_node) == ({"p": 1}, 3, 2)


def test_a_stopped_runner_leaves_those_that_stand_aside_to_the_next_with_other_limits(lab: Any) -> None:
    runner, wait = run_until_begun(lab, holding(lab, "abcdef", pool="p"), 1, pools={"p": 1, "q": 5})
    runner.stop(60)
    open_gate(lab)
    assert wait() == "started"
    assert begun(lab) == ["a"]
    (lab.directory / "gate").unlink()
    again = lab.runner(execution_id=runner.execution_id, pools={"p": 4}, max_concurrency=3)
    wait = lab.in_thread(again)
    lab.wait_until(lambda: len(begun(lab)) == 4, "three more to begin")
    time.sleep(A_WHILE)
    assert sorted(begun(lab)) == list("abcd")
    open_gate(lab)
    assert wait() == "succeeded"
    assert (again.execution.pools, again.execution.max_concurrency) == ({"p": 4, "q": 5}, 3)


# --- errors

def test_a_pool_without_a_size_is_refused_before_anything_runs(lab: Any) -> None:
    runner = lab.runner(steps=[*brief("a"), *brief("b", pool="datbase")], pools={"database": 2, "api": 1})
    with pytest.raises(PoolNotFoundError) as refused:
        runner.execute()
    assert str(refused.value) == (
        "Test:hold@node:one runs in the pool 'datbase', which has no size; those with a size: api, database. "
        "Sizes stand in [pools] of the configuration, or are given when an execution is started")
    assert (lab.effects, runner.execution.state, len(runner.execution.tasks)) == ([], "failed", 0)
    assert runner.execution.error == str(refused.value)


def test_a_task_may_leave_the_pool_of_its_operation(lab: Any) -> None:
    execution = lab.run(*brief("a", pool=""))
    assert lab.tasks(execution)["a"].pool is None


@pytest.mark.parametrize(("limits", "said"), [
    ({"max_concurrency": 0}, "max_concurrency is 0; it is a whole number, at least 1"),
    ({"max_per_node": 1.5}, "max_per_node is 1.5; it is a whole number"),
    ({"pools": {"p": 0}}, "the size of the pool 'p' is 0; it is a whole number, at least 1"),
    ({"pools": {"": 1}}, "a pool is called ''; that is a name of 1 to 255 characters"),
    ({"pools": [1]}, r"the pools are \[1\]; they are names with sizes")])
def test_a_limit_that_is_none_is_refused_and_nothing_is_claimed(
        lab: Any, limits: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        lab.runner(steps=[], **limits)
    assert lab.model.execution.list().items == []


@pytest.mark.parametrize(("setting", "said"), [
    ({"priority": "high"}, "priority is 'high'; it must be a whole number"),
    ({"priority": True}, "priority is True; it must be a whole number"),
    ({"pool": " x"}, "pool is ' x'; it must be a name"), ({"pool": 5}, "pool is 5; it must be a name")])
def test_a_setting_of_a_task_that_does_not_fit_is_refused(
        lab: Any, setting: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=f"Test:hold@node:one: {said}"):
        lab.run(*brief("a", **setting))
