"""When a part around the engine breaks: the execution ends right or can be resumed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from aria_core.exceptions import (
    ExecutionFailedError,
    ExecutionOwnedError,
    ResumeRefusedError,
    StorageUnavailableError,
)
from aria_core.modeling.builder import TemplateBuilder, call
from aria_core.modeling.expressions import get_attribute
from aria_core.modeling.specification import LoadedTemplate
from aria_core.orchestrator.executor import Executor, Inbox
from aria_core.orchestrator.future_executor import FutureExecutor
from aria_core.orchestrator.topology import create_service, store_template
from aria_core.orchestrator.workflow_runner import WorkflowRunner
from aria_core.storage.owners import this_process
from aria_core.storage.records import Claim, Pulse
from aria_core.storage.sql import SqlModelStorage
from aria_core.worker.calls import Call
from aria_plugins.executors.dry import DryExecutor
from aria_plugins.executors.thread import ThreadExecutor

pytestmark = pytest.mark.parametrize("executor", ["thread"], indirect=True)

TOUCH = [{"label": "a"}]


def nothing() -> None:
    """What `Unopened` does first, unless told otherwise."""


class Unopened(ThreadExecutor):
    """Raises `error` when it is to be opened."""

    def __init__(self, error: BaseException, before: Callable[[], object] = nothing) -> None:
        super().__init__()
        self._error, self._before = error, before

    def open(self, report: Inbox) -> None:
        self._before()
        raise self._error


def owner_and_state(lab: Any, execution: int) -> tuple[Any, str]:
    row = lab.model.execution.get(execution)
    return row.owner, row.state


def unbegun(lab: Any, steps: Any = TOUCH, executor: Executor | None = None) -> int:
    """An execution with a graph of which nothing was sent."""
    runner = lab.runner(steps=steps, executor=executor or Unopened(RuntimeError("no")))
    with pytest.raises(RuntimeError, match="no"):
        runner.execute()
    return int(runner.execution_id)


def planning(lab: Any, **inputs: Any) -> tuple[Any, Callable[[], None]]:
    """A runner for a workflow that goes on when the function that comes with it is called."""
    gate = lab.directory / "gate"
    return lab.runner("slow_to_plan", inputs={
        "effects": str(lab.effects_file), "gate": str(gate), **inputs}), gate.touch


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_an_executor_that_does_not_open_leaves_an_execution_to_resume(lab: Any, error: BaseException) -> None:
    runner = lab.runner(steps=TOUCH, executor=Unopened(error))
    with pytest.raises(type(error)):
        runner.execute()
    assert owner_and_state(lab, runner.execution_id) == (None, "started")
    assert lab.runner(execution_id=runner.execution_id).execute() == "succeeded"


def test_an_execution_is_let_go_although_a_cancel_came_meanwhile(lab: Any) -> None:
    runner = lab.runner(steps=TOUCH, executor=Unopened(
        RuntimeError("no"), lambda: lab.model.ledger.request_cancel(runner.execution_id)))
    with pytest.raises(RuntimeError):
        runner.execute()
    assert owner_and_state(lab, runner.execution_id) == (None, "cancelling")
    lab.runner(execution_id=runner.execution_id).cancel()
    assert owner_and_state(lab, runner.execution_id) == (None, "cancelled")


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt"])
def test_a_workflow_function_that_wants_to_end_the_program_fails_its_execution(lab: Any, error: str) -> None:
    runner, go_on = planning(lab, breaks=error)
    go_on()
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        runner.execute()
    assert owner_and_state(lab, runner.execution_id) == (None, "failed")
    assert error in runner.execution.error


def test_an_execution_fails_although_its_lease_beats_at_that_moment(
        lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(lab.model.ledger)
    read_pulse, beats = kind.pulse, []

    def read_then_beat(ledger: Any, execution: int) -> Pulse:
        seen: Pulse = read_pulse(ledger, execution)
        if not beats:
            beats.append(ledger.beat(Claim(seen.execution, seen.epoch, seen.batch, seen.state)))
        return seen

    runner = lab.runner("breaks")
    monkeypatch.setattr(kind, "pulse", read_then_beat)
    with pytest.raises(KeyError):
        runner.execute()
    assert beats
    assert owner_and_state(lab, runner.execution_id) == (None, "failed")


def test_a_cancel_of_an_execution_without_a_graph_is_finished_by_a_resume(lab: Any) -> None:
    runner = lab.runner("breaks")
    with pytest.raises(KeyError):
        runner.execute()
    ledger = lab.model.ledger
    claim = ledger.claim_existing(ledger.pulse(runner.execution_id), this_process(), retry_failed=False)
    ledger.request_cancel(runner.execution_id)
    ledger.release(claim)
    assert lab.runner(execution_id=runner.execution_id).execute() == "cancelled"
    assert owner_and_state(lab, runner.execution_id) == (None, "cancelled")


def test_a_cancel_while_a_resume_makes_the_graph_ends_it(lab: Any) -> None:
    runner, go_on = planning(lab)
    runner.cancel()
    resumed = lab.runner(execution_id=runner.execution_id)
    wait = lab.in_thread(resumed)
    lab.wait_for_effect("planning")
    resumed.cancel()
    go_on()
    assert wait() == "cancelled"
    assert owner_and_state(lab, runner.execution_id) == (None, "cancelled")


def test_a_workflow_function_that_raises_after_its_cancel_leaves_it_cancelled(lab: Any) -> None:
    runner, go_on = planning(lab, breaks="ValueError")
    wait = lab.in_thread(runner)
    lab.wait_for_effect("planning")
    runner.cancel()
    go_on()
    assert isinstance(wait(), ValueError)
    assert owner_and_state(lab, runner.execution_id) == (None, "cancelled")


def test_a_stop_while_the_graph_is_made_sends_nothing(lab: Any) -> None:
    runner, go_on = planning(lab)
    wait = lab.in_thread(runner)
    lab.wait_for_effect("planning")
    runner.stop(30)
    go_on()
    assert wait() == "started"
    assert owner_and_state(lab, runner.execution_id) == (None, "started")
    assert lab.effects == ["planning"]


def test_a_stop_before_execute_holds_for_it_and_not_for_the_next(lab: Any) -> None:
    runner = lab.runner(steps=TOUCH)
    runner.stop(30)
    assert runner.execute() == "started"
    assert (lab.effects, lab.tasks(runner.execution_id)["a"].attempts) == ([], 0)
    assert runner.execute() == "succeeded"


def test_of_many_resumes_at_once_one_runs_it_and_the_others_are_told(lab: Any) -> None:
    gate = lab.directory / "gate"
    execution = unbegun(lab, [{"label": "a", "do": "wait_for", "arguments": {"file": str(gate)}}])
    barrier, outcomes = threading.Barrier(6), []

    def resume() -> None:
        resumed = lab.runner(execution_id=execution)
        barrier.wait()
        try:
            outcomes.append(resumed.execute())
        except Exception as error:
            outcomes.append(error)
        if len(outcomes) == 5:
            gate.touch()

    threads = [threading.Thread(target=resume) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [isinstance(each, ExecutionOwnedError) for each in outcomes].count(True) == 5, outcomes
    assert "succeeded" in outcomes


def test_an_execution_is_resumed_in_the_way_it_began_dry_or_not(lab: Any) -> None:
    real = unbegun(lab)
    with pytest.raises(ResumeRefusedError, match=f"{real} was not dry"):
        lab.runner(execution_id=real, executor=DryExecutor()).execute()
    assert lab.runner(execution_id=real).execute() == "succeeded"
    runner = lab.runner(steps=TOUCH, executor=DryExecutor())
    runner.stop()
    runner.execute()
    with pytest.raises(ResumeRefusedError, match=f"{runner.execution_id} was dry"):
        lab.runner(execution_id=runner.execution_id).execute()
    assert lab.runner(execution_id=runner.execution_id, executor=DryExecutor()).execute() == "succeeded"
    assert lab.effects == ["a"]


def test_a_try_that_a_cancel_took_back_in_the_last_moment_is_pending(lab: Any) -> None:
    runner = lab.runner(steps=[{"label": "a", "do": "fail_first", "arguments": {"times": 1000},
                                "retry_interval": 0.3}])
    wait = lab.in_thread(runner)
    lab.wait_for_state(runner, "a", "retrying")
    due = lab.tasks(runner.execution_id)["a"].due_at
    time.sleep(max(0.0, due.timestamp() - time.time() - 0.03))  # between two looks of the lease at the row
    lab.model.ledger.request_cancel(runner.execution_id)
    assert wait() == "cancelled"
    assert lab.tasks(runner.execution_id)["a"].state == "pending"


def test_an_operation_that_is_always_cut_off_is_not_sent_for_ever(lab: Any) -> None:
    execution = unbegun(lab)
    task = lab.tasks(execution)["a"]
    task.interruptions = 20
    lab.model.task.update(task)
    with pytest.raises(ExecutionFailedError, match="cut off 20 times"):
        lab.runner(execution_id=execution).execute()
    assert (lab.effects, lab.tasks(execution)["a"].state) == ([], "failed")
    assert lab.runner(execution_id=execution).execute(retry_failed=True) == "succeeded"
    assert lab.effects == ["a"]


def test_what_a_resume_keeps_and_what_it_forgets(lab: Any) -> None:
    runner = lab.runner(steps=[{"label": "a", "do": "fail_first", "arguments": {"times": 1},
                                "max_attempts": 1}])
    with pytest.raises(ExecutionFailedError):
        runner.execute()
    before = runner.execution
    started, ended, error = before.started_at, before.ended_at, before.error
    assert None not in (ended, error)
    assert lab.runner(execution_id=before.id).execute(retry_failed=True) == "succeeded"
    after = runner.execution
    assert (after.started_at, after.error) == (started, None)
    assert after.ended_at > ended
    task = lab.tasks(after)["a"]
    assert (task.attempts, task.failures, task.reason) == (2, 0, None)
    assert started < task.sent_at <= task.started_at <= task.ended_at <= after.ended_at


class AwayOnce(SqlModelStorage):
    """Cannot be read twice in a row, once a graph was stored and `goes_away` is set."""

    goes_away, refused = False, 0

    def read_session(self) -> Any:
        if self.goes_away and self.refused < 2 and self.task.list({"state": "sent"}).items:
            self.refused += 1
            raise StorageUnavailableError("it is away")
        return super().read_session()


def test_a_storage_that_is_away_for_a_moment_fails_no_operation(lab: Any, model_storage_url: str) -> None:
    builder = TemplateBuilder("asking")
    builder.node("one", attributes={"word": "a"}, interfaces={"Test": {"touch": call(
        "ops:touch", inputs={"effects": str(lab.effects_file), "label": get_attribute("SELF", "word")})}})
    with AwayOnce(model_storage_url) as storage:
        loaded = LoadedTemplate(builder.build(), directory=str(lab.code))
        template = store_template(storage, lab.resource, loaded)
        service = create_service(storage, template, "asking")
        runner = WorkflowRunner(storage, lab.resource, None, executor=lab.executor, service_id=service.id,
                                workflow_name="execute_operation", task_max_attempts=1, inputs={
                                    "interface_name": "Test", "operation_name": "touch"})
        storage.goes_away = True
        assert runner.execute() == "succeeded"
        assert storage.refused == 2
        assert [row.failures for row in storage.task if row.stub is None] == [0]
    assert lab.effects == ["a"]


class Unlucky(FutureExecutor):
    """Its futures fail with words that no database keeps."""

    def start(self, call: Call) -> Future[bytes]:
        future: Future[bytes] = Future()
        future.set_exception(RuntimeError("a\0b \ud800 " + "x" * 100_000))
        return future


def test_a_reason_that_no_database_keeps_is_kept_as_well_as_it_can_be(lab: Any) -> None:
    with Unlucky() as executor, pytest.raises(ExecutionFailedError, match="RuntimeError: a"):
        lab.runner(steps=[{"label": "a", "max_attempts": 1}], executor=executor).execute()
    attempt, *_ = lab.model.attempt
    assert attempt.outcome == "lost"
    assert len(attempt.error) < 20_000


def test_an_attribute_with_too_long_a_name_fails_its_operation_and_nothing_else(lab: Any) -> None:
    with pytest.raises(ExecutionFailedError, match="at most 255"):
        lab.run({"label": "a", "do": "set_attribute", "arguments": {"name": "n" * 256, "value": 1},
                 "max_attempts": 1})
    assert lab.run({"label": "b", "do": "set_attribute", "arguments": {"name": "n" * 255, "value": 1}})


def test_a_log_line_whose_arguments_do_not_fit_fails_no_workflow(lab: Any) -> None:
    runner = lab.runner("logs_badly")
    assert runner.execute() == "succeeded"
    assert [row.message for row in lab.model.log] == ["%d things ('many',)"]


@pytest.mark.parametrize("step", [{"do": "retry_first", "arguments": {"times": 1, "interval": 1e300}},
                                  {"do": "fail_first", "arguments": {"times": 1}, "retry_interval": 1e300}])
def test_a_wait_that_no_calendar_knows_is_a_long_one(lab: Any, step: dict[str, Any]) -> None:
    runner = lab.runner(steps=[{"label": "a", **step}])
    wait = lab.in_thread(runner)
    lab.wait_for_state(runner, "a", "retrying")
    runner.cancel()
    assert wait() == "cancelled"


def test_a_timeout_that_no_clock_reaches_is_none(lab: Any) -> None:
    assert lab.run({"label": "a", "do": "nap", "arguments": {"seconds": 0.1}, "timeout": 1e300})


def test_logs_and_events_wait_until_the_system_has_a_thread_for_them(
        lab: Any, events: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    start, refused = threading.Thread.start, set[str]()

    def refuse_first(thread: threading.Thread) -> None:
        if thread.name in ("aria-logs", "aria-events") and thread.name not in refused:
            refused.add(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_first)
    execution = lab.run({"label": "a", "do": "say"})
    assert refused == {"aria-logs", "aria-events"}
    assert (events[0].kind, events[-1].kind) == ("started", "succeeded")
    rows = lab.model.log.list(filters={"execution_id": execution.id})
    assert sorted(row.level for row in rows) == ["INFO", "WARNING"]
