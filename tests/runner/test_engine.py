"""The engine's behaviours: what runs, in which order, how often, and what is said and stored of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from aria_core.exceptions import ExecutionFailedError
from aria_core.orchestrator.events import Event, TaskEvent, WorkflowEvent
from aria_plugins.executors.thread import ThreadExecutor


def workflow_kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events if isinstance(event, WorkflowEvent)]


def task_kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events if isinstance(event, TaskEvent)]


def test_an_empty_graph_starts_and_succeeds(lab: Any, events: list[Event]) -> None:
    runner = lab.runner("nothing")
    assert runner.execute() == "succeeded"
    execution = runner.execution
    assert workflow_kinds(events) == ["started", "succeeded"]
    assert task_kinds(events) == []
    assert execution.created_at <= execution.started_at <= execution.ended_at <= datetime.now(UTC)
    assert (execution.state, execution.error, len(execution.tasks)) == ("succeeded", None, 2)


def test_a_single_operation_is_sent_once_and_succeeds(lab: Any, events: list[Event]) -> None:
    execution = lab.run({"label": "a"})
    assert lab.effects == ["a"]
    assert task_kinds(events) == ["sent", "started", "succeeded"]
    assert execution.state == "succeeded"
    task = lab.tasks(execution)["a"]
    assert (task.state, task.attempts, task.failures, task.lost) == ("success", 1, 0, 0)
    assert task.sent_at <= task.started_at <= task.ended_at


def test_a_single_failing_operation_fails_the_workflow_with_its_cause(lab: Any, events: list[Event]) -> None:
    runner = lab.runner(steps=[
        {"label": "a", "do": "fail_first", "arguments": {"times": 9}, "max_attempts": 1}])
    with pytest.raises(ExecutionFailedError, match="ValueError: a fails"):
        runner.execute()
    assert workflow_kinds(events) == ["started", "failed"]
    assert next(event.error for event in events if event.kind == "failed") == "ValueError: a fails"
    execution = runner.execution
    assert execution.state == "failed"
    assert "ValueError: a fails" in execution.error
    attempt = lab.tasks(execution)["a"].attempt_rows[0]
    assert (attempt.number, attempt.outcome, attempt.error) == (1, "failed", "ValueError: a fails")
    assert "fail_first" in attempt.traceback


def test_a_sequence_runs_in_order(lab: Any) -> None:
    lab.run({"label": "a"}, {"label": "b", "after": ["a"]}, {"label": "c", "after": ["b"]})
    assert lab.effects == ["a", "b", "c"]


def test_stubs_and_sub_workflows_run_and_stubs_send_no_signal(lab: Any, events: list[Event]) -> None:
    execution = lab.run(
        {"label": "a"}, {"label": "s", "stub": True, "after": ["a"]},
        {"label": "sub", "sub": [{"label": "b"}, {"label": "c", "after": ["b"]}], "after": ["s"]},
        {"label": "d", "after": ["sub"]})
    assert lab.effects == ["a", "b", "c", "d"]
    assert task_kinds(events).count("sent") == 4
    assert {task.state for task in execution.tasks} == {"success"}


def test_cancelling_a_chain_in_the_middle_stops_it(lab: Any, events: list[Event]) -> None:
    steps = [{"label": str(each), "do": "nap", "arguments": {"seconds": 0.02},
              "after": [str(each - 1)] if each else []} for each in range(100)]
    runner = lab.runner(steps=steps)
    wait = lab.in_thread(runner)
    lab.wait_for_effect("3 ended")
    runner.cancel()
    assert wait() == "cancelled"
    execution = runner.execution
    assert (execution.state, execution.error) == ("cancelled", None)
    assert 0 < len(lab.effects) < 200
    assert workflow_kinds(events) == ["started", "cancelling", "cancelled"]
    assert not {task.state for task in execution.tasks} & {"sent", "started", "retrying"}


def test_cancelling_a_pending_execution_ends_it_at_once(lab: Any) -> None:
    runner = lab.runner("nothing")
    runner.cancel()
    assert runner.execution.state == "cancelled"
    assert runner.execution.tasks == []


@pytest.mark.parametrize(("times", "max_attempts"), [(1, 2), (1, 3), (2, 3), (4, -1)])
def test_an_operation_that_fails_at_first_is_tried_again(lab: Any, events: list[Event], times: int,
                                                         max_attempts: int) -> None:
    execution = lab.run({"label": "a", "do": "fail_first", "arguments": {"times": times},
                         "max_attempts": max_attempts})
    assert lab.effects == ["a"] * (times + 1)
    assert task_kinds(events).count("sent") == times + 1
    task = lab.tasks(execution)["a"]
    assert (task.attempts, task.failures, len(task.attempt_rows)) == (times + 1, times, times)


def test_an_operation_that_always_fails_is_tried_as_often_as_it_may(lab: Any) -> None:
    with pytest.raises(ExecutionFailedError):
        lab.run({"label": "a", "do": "fail_first", "arguments": {"times": 9}, "max_attempts": 2})
    assert lab.effects == ["a", "a"]


@pytest.mark.parametrize("interval", [0.3, 1])
def test_the_retry_interval_is_kept(lab: Any, interval: float) -> None:
    lab.run({"label": "a", "do": "note_time", "arguments": {"times": 1}, "max_attempts": 2,
             "retry_interval": interval})
    first, second = (float(line) for line in lab.effects if line != "a")
    assert interval <= second - first < interval + 5


def test_an_ignored_failure_is_not_retried_and_does_not_fail_the_workflow(lab: Any) -> None:
    execution = lab.run({"label": "a", "do": "fail_first", "arguments": {"times": 9}, "max_attempts": 100,
                         "ignore_failure": True}, {"label": "b", "after": ["a"]})
    assert lab.effects == ["a", "b"]
    assert execution.state == "succeeded"
    assert lab.tasks(execution)["a"].state == "failed"


def test_ctx_task_retry_waits_the_tasks_own_interval_and_counts(lab: Any) -> None:
    with pytest.raises(ExecutionFailedError, match="not yet"):
        lab.run({"label": "a", "do": "retry_first", "arguments": {"times": 9}, "max_attempts": 2,
                 "retry_interval": 0.1})
    assert lab.effects == ["a", "a"]


def test_ctx_task_retry_may_set_another_interval(lab: Any) -> None:
    lab.run({"label": "a", "do": "retry_first", "arguments": {"times": 1, "interval": 0.1}, "max_attempts": 2,
             "retry_interval": 100})
    assert lab.effects == ["a", "a"]


def test_ctx_task_abort_fails_at_once(lab: Any) -> None:
    with pytest.raises(ExecutionFailedError, match="no way"):
        lab.run({"label": "a", "do": "abort", "max_attempts": 100})
    assert lab.effects == ["a"]


def test_after_a_failure_nothing_new_begins_and_what_runs_is_recorded(lab: Any) -> None:
    proceed, both_run = lab.directory / "proceed", lab.directory / "both run"
    runner = lab.runner(steps=[
        {"label": "slow", "do": "wait_for", "arguments": {"file": str(proceed)}},
        {"label": "after slow", "after": ["slow"]},
        {"label": "before bad", "do": "wait_for", "arguments": {"file": str(both_run)}},
        {"label": "bad", "do": "fail_first", "arguments": {"times": 9}, "max_attempts": 1,
         "after": ["before bad"]},
        {"label": "after bad", "after": ["bad"]}])
    wait = lab.in_thread(runner)
    lab.wait_for_effect("slow")
    lab.wait_for_effect("before bad")
    both_run.touch()
    lab.wait_for_state(runner, "bad", "failed")
    proceed.touch()
    assert isinstance(wait(), ExecutionFailedError)
    tasks = lab.tasks(runner.execution)
    assert [tasks[label].state for label in ("slow", "after slow", "bad", "after bad")] == [
        "success", "pending", "failed", "pending"]


@pytest.mark.parametrize("executor", ["process"], indirect=True)
def test_an_operation_over_its_time_counts_as_failed(lab: Any) -> None:
    with pytest.raises(ExecutionFailedError, match=r"timed out after 0\.2 s"):
        lab.run({"label": "a", "do": "nap", "arguments": {"seconds": 600}, "timeout": 0.2, "max_attempts": 1})
    assert lab.effects == ["a"]
    (attempt,) = lab.model.attempt.iter()
    assert (attempt.outcome, attempt.error) == ("failed", "timed out after 0.2 s")


def test_a_workflow_that_raises_fails_its_execution_and_stores_no_task(lab: Any, events: list[Event]) -> None:
    runner = lab.runner("breaks")
    with pytest.raises(KeyError):
        runner.execute()
    assert (runner.execution.state, runner.execution.tasks) == ("failed", [])
    assert "the author's mistake" in runner.execution.error
    assert "by_workflow" not in lab.node().attributes
    assert workflow_kinds(events) == ["failed"]


def test_a_cycle_is_refused_and_named_and_nothing_is_stored(lab: Any) -> None:
    runner = lab.runner("cycle")
    with pytest.raises(Exception, match=r"cycle.*waits for"):
        runner.execute()
    assert (runner.execution.state, runner.execution.tasks) == ("failed", [])


def test_a_workflow_function_may_change_attributes(lab: Any) -> None:
    lab.runner("edits").execute()
    assert lab.node().attributes["by_workflow"] == {"a": 1}
    assert lab.node().attributes["known"] == "changed"


@pytest.mark.parametrize("interface", ["Standard", "tosca.interfaces.node.lifecycle.Standard"])
@pytest.mark.parametrize(("operation", "during", "after"), [
    ("create", "creating", "created"), ("configure", "configuring", "configured"),
    ("start", "starting", "started"), ("stop", "stopping", "configured"), ("delete", "deleting", "deleted")])
def test_lifecycle_operations_move_the_state_of_their_node(lab: Any, interface: str, operation: str,
                                                          during: str, after: str) -> None:
    execute(lab, interface, operation)
    assert lab.effects == [f"x {during}"]
    assert lab.node().state == after


@pytest.mark.parametrize(("interface", "operation"), [("Other", "create"), ("Standard", "repair")])
def test_other_interfaces_and_operations_leave_the_state_of_the_node_alone(
        lab: Any, interface: str, operation: str) -> None:
    execute(lab, interface, operation)
    assert lab.effects == ["x initial"]
    assert lab.node().state == "initial"


def execute(lab: Any, interface: str, operation: str) -> None:
    lab.runner("execute_operation", inputs={
        "interface_name": interface, "operation_name": operation, "node_ids": [lab.node().id],
        "arguments": {"effects": str(lab.effects_file), "label": "x"}}).execute()


class Looking(ThreadExecutor):
    """Has the engine look for what it has not, and counts how often that listens."""

    def open(self, report: Any) -> None:
        self.listened = 0
        take = report.take

        def counted(timeout: float | None) -> Any:
            self.listened += 1
            return take(timeout)

        report.take = counted
        report.look()
        super().open(report)


def test_a_look_for_what_nobody_has_does_not_keep_the_engine_awake(lab: Any) -> None:
    executor = Looking(slots=1)
    try:
        lab.run({"label": "a", "do": "nap", "arguments": {"seconds": 2.0}}, executor=executor)
    finally:
        executor.close(1.0)
    assert executor.listened <= 6
