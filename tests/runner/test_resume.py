"""Stopping in the middle and going on: cancel, failure, a vanished runner, and who may take over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aria_core.exceptions import (
    AriaError,
    ExecutionFailedError,
    ExecutionOwnedError,
    FencedError,
    ResumeRefusedError,
)
from aria_core.orchestrator.call_maker import origin_of
from aria_core.orchestrator.exceptions import ActiveExecutionsError
from aria_core.storage.owners import this_process
from aria_core.storage.records import Batch, Claim
from aria_core.worker import processes
from aria_core.worker.calls import CallRef, mark_of


def gate(lab: Any) -> Path:
    return lab.directory / "gate"


def cancelled_in_the_middle(lab: Any) -> Any:
    """An execution that was cancelled while b waited for its gate."""
    runner = lab.runner(steps=[
        {"label": "a"},
        {"label": "b", "do": "wait_for", "arguments": {"file": str(gate(lab))}, "after": ["a"]},
        {"label": "c", "after": ["b"]}])
    wait = lab.in_thread(runner)
    lab.wait_for_effect("b")
    runner.cancel()
    if not lab.executor.can_terminate:
        gate(lab).touch()
    assert wait() == "cancelled"
    return runner


def test_a_cancelled_execution_goes_on_where_it_was(lab: Any) -> None:
    runner = cancelled_in_the_middle(lab)
    gate(lab).touch()
    resumed = lab.runner(execution_id=runner.execution_id)
    assert resumed.execute() == "succeeded"
    assert lab.effects.count("a") == 1
    assert lab.effects.count("c") == 1
    assert {task.state for task in resumed.execution.tasks} == {"success"}


@pytest.mark.parametrize("executor", ["process"], indirect=True)
def test_an_operation_that_a_cancel_cut_off_runs_again(lab: Any) -> None:
    runner = cancelled_in_the_middle(lab)
    task = lab.tasks(runner.execution)["b"]
    assert (task.state, task.attempts, task.failures, task.interruptions) == ("pending", 1, 0, 1)
    gate(lab).touch()
    lab.runner(execution_id=runner.execution_id).execute()
    assert lab.effects == ["a", "b", "b", "c"]
    assert lab.tasks(runner.execution)["b"].attempts == 2


def test_an_operation_between_two_tries_keeps_the_tries_it_has_left(lab: Any) -> None:
    runner = lab.runner(steps=[{"label": "a", "do": "fail_first", "arguments": {"times": 1},
                                "max_attempts": 2, "retry_interval": 600}])
    wait = lab.in_thread(runner)
    lab.wait_for_effect("a")
    lab.wait_for_state(runner, "a", "retrying")
    runner.cancel()
    assert wait() == "cancelled"
    assert lab.tasks(runner.execution)["a"].state == "pending"
    assert lab.runner(execution_id=runner.execution_id).execute() == "succeeded"
    assert lab.effects == ["a", "a"]


def failed(lab: Any) -> Any:
    """An execution in which `bad` failed twice, `good` succeeded and `later` waits for `bad`."""
    runner = lab.runner(steps=[
        {"label": "good"}, {"label": "bad", "do": "fail_first", "arguments": {"times": 2}, "max_attempts": 2,
                            "after": ["good"]}, {"label": "later", "after": ["bad"]}])
    with pytest.raises(ExecutionFailedError):
        runner.execute()
    return runner


def test_retrying_the_failed_runs_only_them_with_new_budgets(lab: Any) -> None:
    runner = failed(lab)
    assert lab.runner(execution_id=runner.execution_id).execute(retry_failed=True) == "succeeded"
    assert lab.effects == ["good", "bad", "bad", "bad", "later"]
    task = lab.tasks(runner.execution)["bad"]
    assert (task.state, task.attempts, task.failures) == ("success", 3, 0)


def test_a_resume_without_retry_failed_does_not_run_what_depends_on_the_failed(lab: Any) -> None:
    runner = failed(lab)
    with pytest.raises(ExecutionFailedError, match="bad"):
        lab.runner(execution_id=runner.execution_id).execute()
    assert lab.effects == ["good", "bad", "bad"]
    assert lab.tasks(runner.execution)["later"].state == "pending"


def test_resuming_what_succeeded_changes_nothing(lab: Any) -> None:
    execution = lab.run({"label": "a"})
    assert lab.runner(execution_id=execution.id).execute() == "succeeded"
    assert lab.effects == ["a"]


def test_an_execution_that_failed_before_it_had_a_graph_builds_it_again(lab: Any) -> None:
    runner = lab.runner("breaks")
    with pytest.raises(KeyError):
        runner.execute()
    with pytest.raises(KeyError):
        lab.runner(execution_id=runner.execution_id).execute()
    assert runner.execution.state == "failed"


def test_a_living_runner_is_not_taken_over(lab: Any) -> None:
    runner = lab.runner("nothing")
    with pytest.raises(ExecutionOwnedError, match=str(os.getpid())):
        lab.runner(execution_id=runner.execution_id).execute()
    runner.cancel()


def test_an_execution_with_a_successor_is_not_resumed(lab: Any) -> None:
    runner = failed(lab)
    later = lab.run({"label": "x"})
    with pytest.raises(ResumeRefusedError, match=f"later execution {later.id}"):
        lab.runner(execution_id=runner.execution_id).execute()


def test_stopping_the_runner_lets_what_runs_end_and_the_rest_be_resumed(lab: Any) -> None:
    runner = lab.runner(steps=[
        {"label": "a", "do": "wait_for", "arguments": {"file": str(gate(lab))}},
        {"label": "b", "after": ["a"]}])
    wait = lab.in_thread(runner)
    lab.wait_for_effect("a")
    runner.stop(grace=30)
    gate(lab).touch()
    assert wait() == "started"
    execution = runner.execution
    assert (execution.state, execution.owner) == ("started", None)
    assert lab.effects == ["a"]
    assert lab.runner(execution_id=execution.id).execute() == "succeeded"
    assert lab.effects == ["a", "b"]


@pytest.mark.parametrize("executor", ["process"], indirect=True)
def test_stopping_without_patience_ends_what_runs(lab: Any) -> None:
    runner = lab.runner(steps=[{"label": "a", "do": "wait_for", "arguments": {"file": str(gate(lab))}}])
    wait = lab.in_thread(runner)
    lab.wait_for_effect("a")
    runner.stop(grace=0)
    assert wait() == "started"
    task = lab.tasks(runner.execution)["a"]
    assert (task.state, task.failures, task.interruptions) == ("pending", 0, 1)


def test_a_runner_that_was_taken_over_changes_nothing_any_more(lab: Any) -> None:
    runner = lab.runner(steps=[
        {"label": "a", "do": "wait_for", "arguments": {"file": str(gate(lab))}},
        {"label": "b", "after": ["a"]}])
    wait = lab.in_thread(runner)
    lab.wait_for_effect("a")
    lab.wait_for_state(runner, "a", "started")  # nothing else moves the row then
    ledger = lab.model.ledger
    lab.wait_until(lambda: ledger.pulse(runner.execution_id).beat, "the first beat")
    thief = ledger.claim_existing(ledger.pulse(runner.execution_id), this_process(), retry_failed=False)
    gate(lab).touch()
    assert isinstance(wait(), FencedError)
    assert "b" not in lab.effects
    assert ledger.pulse(runner.execution_id).epoch == thief.epoch
    ledger.record_batch(thief, Batch(execution={"owner": None}))


def test_one_start_of_many_at_once_wins(lab: Any) -> None:
    barrier, outcomes = threading.Barrier(8), []

    def start() -> None:
        barrier.wait()
        try:
            outcomes.append(lab.runner("nothing"))
        except ActiveExecutionsError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runners = [each for each in outcomes if not isinstance(each, Exception)]
    assert len(outcomes) == 8
    assert len(runners) == 1
    runners[0].cancel()


def test_an_ended_execution_does_not_block_the_next(lab: Any) -> None:
    first, second = lab.run({"label": "a"}), lab.run({"label": "b"})
    assert first.id < second.id


def test_another_service_may_run_at_the_same_time(lab: Any) -> None:
    runner = lab.runner("nothing")
    other = lab.runner("nothing", service_id=lab.new_service("other").id)
    assert (other.execute(), runner.execute()) == ("succeeded", "succeeded")


RUNNER = """
    import json, sys
    from pathlib import Path
    from aria_core.orchestrator.workflow_runner import WorkflowRunner
    from aria_core.storage.sql import SqlModelStorage
    from aria_plugins.executors.process import ProcessExecutor
    from aria_plugins.storage.file import FileStorage

    url, resources, service, steps = sys.argv[1:]
    model, files = SqlModelStorage(url), FileStorage(directory=Path(resources))
    model.open(); files.open()
    with ProcessExecutor(slots=2) as executor:
        WorkflowRunner(model, files, None, service_id=int(service), workflow_name="plan",
                       inputs={"steps": json.loads(steps)}, executor=executor).execute()
"""


@pytest.mark.parametrize("executor", ["process"], indirect=True)
def test_after_kill_9_of_the_runner_a_resume_finishes_and_repeats_nothing_that_was_done(
        lab: Any, model_storage_url: str) -> None:
    steps = [{"label": "a"},
             {"label": "b", "do": "wait_for", "arguments": {"file": str(gate(lab))}, "after": ["a"]},
             {"label": "c", "after": ["b"]}]
    script = lab.directory / "runner.py"
    script.write_text(textwrap.dedent(RUNNER))
    process = subprocess.Popen([sys.executable, str(script), model_storage_url,
                                str(lab.directory / "resources"), str(lab.service.id), json.dumps(steps)])
    lab.wait_for_effect("b")
    process.send_signal(signal.SIGKILL)
    process.wait()
    execution = lab.model.execution.list(filters={"service_id": lab.service.id}).items[0]
    assert execution.state == "started"
    gate(lab).touch()
    assert lab.runner(execution_id=execution.id).execute() == "succeeded"
    assert lab.effects == ["a", "b", "b", "c"]
    task = lab.tasks(execution)["b"]
    assert (task.attempts, task.failures, task.interruptions) == (2, 0, 1)


def test_a_cancel_of_an_execution_whose_runner_vanished_ends_it(lab: Any) -> None:
    execution = orphaned(lab)
    lab.runner(execution_id=execution).cancel()
    row = lab.model.execution.get(execution)
    assert (row.state, row.owner) == ("cancelled", None)
    assert not {task.state for task in row.tasks} & {"sent", "started"}


def test_a_pending_claim_whose_owner_vanished_does_not_block_a_start(lab: Any) -> None:
    runner = lab.runner("nothing")
    pretend_dead(lab, runner.execution_id)
    assert lab.runner("nothing").execute() == "succeeded"
    assert lab.model.execution.get(runner.execution_id).state == "cancelled"


def test_one_resume_of_many_at_once_wins_and_nobody_takes_it_from_the_winner(lab: Any) -> None:
    for _ in range(5):
        execution = orphaned(lab)
        barrier = threading.Barrier(8)

        def resume(execution: int = execution, barrier: threading.Barrier = barrier) -> str:
            runner = lab.runner(execution_id=execution)
            barrier.wait()
            try:
                return runner.execute()
            except AriaError as error:
                return type(error).__name__

        with ThreadPoolExecutor(8) as threads:
            outcomes = [each.result() for each in [threads.submit(resume) for _ in range(8)]]
        assert "FencedError" not in outcomes
        assert "ExecutionFailedError" in outcomes


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")
def test_what_an_attempt_left_is_ended_also_if_the_one_who_took_over_first_died_at_it(lab: Any) -> None:
    execution = orphaned(lab)
    task = lab.model.ledger.load_graph(execution)[0]
    mark = mark_of(CallRef(execution, task.id, 1), origin_of(lab.service))
    with subprocess.Popen(["sleep", "300"], env={**os.environ, "ARIA_ATTEMPT": mark}) as left:
        ledger = lab.model.ledger
        ledger.claim_existing(ledger.pulse(execution), this_process(), retry_failed=False)
        pretend_dead(lab, execution)
        wait = lab.in_thread(lab.runner(execution_id=execution))
        try:
            assert left.wait(10) == -signal.SIGKILL
        finally:
            left.kill()
    wait()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")
def test_what_an_attempt_left_and_cannot_be_ended_is_named_and_nothing_is_taken_over(
        lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a program that has become another user's: the kernel refuses to signal it."""
    execution = orphaned(lab)
    task = lab.model.ledger.load_graph(execution)[0]
    mark = mark_of(CallRef(execution, task.id, 1), origin_of(lab.service))
    kill = os.kill
    with subprocess.Popen(["sleep", "300"], env={**os.environ, "ARIA_ATTEMPT": mark}) as stubborn:

        def refusing(pid: int, number: int) -> None:
            if pid == stubborn.pid:
                raise PermissionError
            kill(pid, number)

        monkeypatch.setattr(processes, "_FORCE_SECONDS", 0.2)
        monkeypatch.setattr(os, "kill", refusing)
        try:
            runner = lab.runner(execution_id=execution)
            for go_on in (runner.execute, runner.cancel):
                with pytest.raises(ResumeRefusedError, match=rf"processes {stubborn.pid}\)"):
                    go_on()
                row = lab.model.execution.get(execution)
                assert (row.owner, [task.attempts for task in row.tasks]) == (None, [1])
                assert stubborn.poll() is None
        finally:
            monkeypatch.setattr(os, "kill", kill)
            stubborn.kill()


def orphaned(lab: Any) -> int:
    """An execution whose first task was sent by a runner that is gone."""
    runner = lab.runner(steps=[{"label": "a"}])
    ledger = lab.model.ledger
    claim = Claim(runner.execution_id, 1, 0, "pending")
    from aria_core.modeling.base import utc_now
    from aria_core.storage.records import TaskRow, Transition

    claim = ledger.create_graph(claim, [TaskRow(0, "a", function="ops:touch")], [], utc_now())
    task = ledger.load_graph(claim.execution)[0]
    ledger.record_batch(claim, Batch([Transition(task.id, "pending", 0, {"state": "sent", "attempts": 1})]))
    pretend_dead(lab, runner.execution_id)
    return runner.execution_id


def pretend_dead(lab: Any, execution: int) -> None:
    row = lab.model.execution.get(execution)
    row.owner = {**row.owner, "pid": 2**22 + 1, "started": "1"}
    lab.model.execution.update(row)
