"""What every executor must do, as tests. Give them yours::

    from aria_core.testing.executor import ExecutorContract

    class TestMyExecutor(ExecutorContract):
        @pytest.fixture
        def executor(self):
            return MyExecutor("an address")        # not opened

A test is skipped only because of what the class declares: `runs_operations`, `can_terminate`,
`isolates_calls`, `survives_runner`, `slots`. One that survives its runner overrides the fixture `bench`: with
a `SurvivingBench` (`aria_core.testing.surviving_bench`) and workers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aria_core.orchestrator.executor import Executor
from aria_core.testing.bench import SECOND, Bench
from aria_core.testing.executor_endings import EndingsContract
from aria_core.worker.calls import Edit, Failed, Started, Succeeded


class ExecutorContract(EndingsContract):
    """The tests. A subclass gives the fixture `executor`, made and not opened."""

    @pytest.fixture
    def executor(self) -> Executor:
        """The executor to test."""
        raise NotImplementedError("give your contract class a fixture `executor`")

    @pytest.fixture
    def bench(self, executor: Executor, tmp_path: Path) -> Iterator[Bench]:
        """The opened executor and what a test needs around it."""
        with Bench(executor, tmp_path) as bench:
            yield bench

    # --- what is delivered

    def test_a_success_is_reported(self, bench: Bench) -> None:
        assert isinstance(bench.run("nothing"), Succeeded)

    def test_a_call_runs_outside_the_thread_that_submits_it(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        place = bench.result("where")
        ours = {"pid": os.getpid(), "thread": threading.get_ident()}
        assert place["pid"] != ours["pid"] if bench.executor.isolates_calls else place != ours

    def test_arguments_and_results_are_delivered(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        arguments = {"text": "ä€😀\n\"\\", "number": 1.5, "none": None, "tree": {"list": [1, [True, {}]]}}
        assert bench.result("echo", **arguments) == arguments

    def test_the_attempt_is_known_to_the_operation(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        ref = bench.submit("attempt", attempt=7)
        report = bench.finish(ref)
        assert isinstance(report, Succeeded)
        assert report.result == {"attempt": 7, "token": ref.token}

    def test_big_values_travel_whole(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        big = "ä€😀x" * 250_000
        assert bench.result("size", text=big) == len(big)
        assert len(bench.result("text", length=6_000)) == 6_000
        report = bench.run("edit", name="big", value=big)
        assert isinstance(report, Succeeded)
        assert report.edits == (Edit("node", bench.node, "big", big),)

    # --- plugins and wrappers

    def test_a_call_of_a_plugin_runs_in_the_environment_of_the_plugin(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        bench.is_not_for("survives_runner", "workers install plugins that are rows")
        call = bench.of_plugin(bench.call("import_from", module="sqlalchemy"))
        bench.executor.submit(call)
        assert bench.finish(call.ref) == Succeeded(call.ref, "not installed")

    def test_wrappers_go_around_a_call(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        bench.is_not_for("survives_runner", "workers wrap calls by hooks of their own")
        call, file = bench.wrapped_call()
        bench.executor.submit(call)
        assert bench.finish(call.ref) == Succeeded(call.ref, call.arguments)
        assert file.exists()
        assert file.read_text() == "before\nafter\n"

    def test_wrappers_run_in_the_core_around_a_call_of_a_plugin(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        bench.is_not_for("survives_runner", "workers wrap calls by hooks of their own")
        call, file = bench.wrapped_call()
        bench.executor.submit(bench.of_plugin(call))
        assert bench.finish(call.ref) == Succeeded(call.ref, call.arguments)
        assert file.exists()
        assert file.read_text() == "before\nafter\n"

    # --- how it ends

    def test_a_failure_keeps_the_class_and_the_message(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        report = bench.run("fail", message="no 😀 today")
        assert isinstance(report, Failed)
        assert report.error == "OperationError: no 😀 today"
        assert report.retry is None
        assert "in fail" in report.traceback

    def test_a_function_that_is_not_there_fails_by_name(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        report = bench.run("no_such_operation")
        assert isinstance(report, Failed)
        assert "no_such_operation" in report.error

    def test_system_exit_is_a_failure(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        report = bench.run("leave", code=0)
        assert isinstance(report, Failed)
        assert report.error.startswith("SystemExit")
        assert isinstance(bench.run("nothing"), Succeeded)

    def test_retry_is_told_from_failure(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        report = bench.run("retry", message="later", after=1.5)
        assert isinstance(report, Failed)
        assert (report.retry, report.after) == (True, 1.5)

    def test_abort_is_told_from_failure(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        report = bench.run("abort", message="never")
        assert isinstance(report, Failed)
        assert report.retry is False
        assert "never" in report.error

    def test_changed_attributes_come_with_success(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        report = bench.run("edit", name="port", value=8080)
        assert isinstance(report, Succeeded)
        assert report.edits == (Edit("node", bench.node, "port", 8080),)

    def test_changed_attributes_come_with_failure(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        report = bench.run("edit", name="port", value=8080, message="after the edit")
        assert isinstance(report, Failed)
        assert report.edits == (Edit("node", bench.node, "port", 8080),)

    # --- talking to the runner

    def test_a_question_is_answered(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        bench.resources["greeting.txt"] = "grüß dich".encode()
        assert bench.result("ask", path="greeting.txt") == "grüß dich"

    def test_a_question_without_answer_raises_in_the_operation(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        report = bench.run("ask", path="nowhere.txt")
        assert isinstance(report, Failed)
        assert "nowhere.txt" in report.error

    def test_a_slow_answer_delays_no_other_call(self, bench: Bench) -> None:
        bench.needs("runs_operations", at_least_slots=2)
        bench.is_not_for("survives_runner", "workers answer from the database")
        bench.resources["slow.txt"] = b"at last"
        with bench.holding_answers():
            slow = bench.submit("ask", path="slow.txt")
            bench.wait_until(lambda: bench.questions > 0)
            bench.resources["quick.txt"] = b"now"
            assert isinstance(bench.run("nothing"), Succeeded)
        report = bench.finish(slow)
        assert isinstance(report, Succeeded)
        assert report.result == "at last"

    def test_what_is_told_arrives_in_order_and_before_the_end(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        messages = [f"line {number} 😀" for number in range(50)]
        ref = bench.submit("tell", messages=messages)
        bench.finish(ref)
        told_by_then = bench.told_at_the_end(ref)
        assert [each["message"] for each in told_by_then] == messages
        assert {each["level"] for each in told_by_then} == {"INFO"}

    # --- reports

    def test_each_call_gets_one_final_report_and_at_most_one_start_before_it(self, bench: Bench) -> None:
        refs = [bench.submit("nothing") for _ in range(40)]
        for ref in refs:
            bench.finish(ref)
        bench.executor.close(SECOND)
        for ref in refs:
            *before, final = bench.inbox.reports(ref)
            assert not isinstance(final, Started)
            assert len(before) <= 1
            assert all(isinstance(each, Started) for each in before)

    def test_a_long_call_is_reported_as_started_while_it_runs(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        ref, release = bench.block()
        bench.inbox.wait_for_start(ref, bench.patience)
        assert [type(each) for each in bench.inbox.reports(ref)] == [Started]
        release()
        bench.finish(ref)

    # --- slots and withdrawing

    def test_never_more_calls_run_at_once_than_there_are_slots(self, bench: Bench) -> None:
        slots = bench.needs("runs_operations", at_least_slots=1)
        directory = bench.folder("at-once")
        refs = [bench.submit("count_at_once", directory=directory, seconds=0.1) for _ in range(2 * slots + 1)]
        reports = [bench.finish(ref) for ref in refs]
        assert all(isinstance(each, Succeeded) for each in reports)
        most = max(each.result for each in reports if isinstance(each, Succeeded))
        assert most <= slots

    def test_as_many_calls_run_at_once_as_there_are_slots(self, bench: Bench) -> None:
        slots = bench.needs("runs_operations", at_least_slots=1)
        blocked = [bench.block() for _ in range(slots)]
        for ref, _ in blocked:
            bench.inbox.wait_for_start(ref, bench.patience)
        assert bench.inbox.finals() == []
        for ref, release in blocked:
            release()
            assert isinstance(bench.finish(ref), Succeeded)

    def test_a_long_call_holds_no_short_one_back_while_a_slot_is_free(self, bench: Bench) -> None:
        bench.needs("runs_operations", at_least_slots=2)
        long, release = bench.block()
        for ref in [bench.submit("nothing") for _ in range(20)]:
            assert isinstance(bench.finish(ref), Succeeded)
        release()
        assert isinstance(bench.finish(long), Succeeded)

    def test_a_batch_is_taken_over_as_a_whole(self, bench: Bench) -> None:
        calls = [bench.call("nothing") for _ in range(50)]
        assert bench.executor.submit_all(calls) == []
        for call in calls:
            assert isinstance(bench.finish(call.ref), Succeeded)
        assert bench.executor.submit_all([]) == []

    def test_withdrawn_calls_never_run_and_all_others_do(self, bench: Bench) -> None:
        slots = bench.needs("runs_operations", at_least_slots=1)
        effects = bench.directory / "effects"
        blocked = [bench.block() for _ in range(slots)]
        for ref, _ in blocked:
            bench.inbox.wait_for_start(ref, bench.patience)
        waiting = [bench.submit("note", path=str(effects), line=str(number)) for number in range(12)]
        withdrawn = bench.withdraw(waiting[:8])
        assert withdrawn <= set(waiting[:8])
        for _, release in blocked:
            release()
        for ref in {*waiting} - withdrawn:
            assert isinstance(bench.finish(ref), Succeeded)
        bench.executor.close(SECOND)
        assert sorted(map(int, effects.read_text().split())) == [
            number for number, ref in enumerate(waiting) if ref not in withdrawn]
        assert not any(bench.inbox.reports(ref) for ref in withdrawn)

    def test_what_has_begun_is_not_withdrawn(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        ref, release = bench.block()
        bench.inbox.wait_for_start(ref, bench.patience)
        assert bench.withdraw([ref]) == frozenset()
        release()
        assert isinstance(bench.finish(ref), Succeeded)
