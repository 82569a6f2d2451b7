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
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aria_core.orchestrator.executor import Executor
from aria_core.testing.bench import Bench, is_alive
from aria_core.worker.calls import Edit, Failed, Lost, Started, Succeeded

SECOND = 1.0


class ExecutorContract:
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

    # --- ending a call

    def test_terminating_ends_the_call_and_all_it_has_started(self, bench: Bench) -> None:
        bench.needs("can_terminate")
        ref = bench.submit("hang", pids=bench.pids_file)
        pids = bench.pids()
        assert bench.executor.terminate(ref, SECOND)
        report = bench.finish(ref)
        assert isinstance(report, Lost)
        assert report.reason == "terminated"
        assert [pid for pid in pids if is_alive(pid)] == []

    def test_what_ignores_the_request_to_end_is_forced_after_the_grace(self, bench: Bench) -> None:
        bench.needs("can_terminate")
        ref = bench.submit("hang", pids=bench.pids_file, stubborn=True)
        pids = bench.pids()
        began = time.monotonic()
        bench.executor.terminate(ref, 0.3)
        report = bench.finish(ref)
        assert isinstance(report, Lost)
        assert 0.25 <= bench.inbox.moment(report) - began <= 0.3 + 2 * SECOND
        assert [pid for pid in pids if is_alive(pid)] == []

    def test_terminating_one_call_leaves_its_neighbours_alone(self, bench: Bench) -> None:
        bench.needs("can_terminate", at_least_slots=2)
        neighbour, release = bench.block()
        ref = bench.submit("hang", pids=bench.pids_file)
        bench.pids()
        bench.inbox.wait_for_start(neighbour, bench.patience)
        bench.executor.terminate(ref, SECOND)
        bench.finish(ref)
        after = bench.submit("nothing")
        assert isinstance(bench.finish(after), Succeeded)
        release()
        assert isinstance(bench.finish(neighbour), Succeeded)

    def test_terminating_an_unknown_call_is_false_and_reports_nothing(self, bench: Bench) -> None:
        ref = bench.submit("nothing")
        bench.finish(ref)
        assert not bench.executor.terminate(ref, 0.0) or bench.executor.survives_runner  # it asks workers
        bench.executor.close(SECOND)
        assert len(bench.inbox.finals()) == 1

    def test_what_a_failed_call_has_started_is_ended(self, bench: Bench) -> None:
        bench.needs("can_terminate")
        ref = bench.submit("fail_with_family", pids=bench.pids_file)
        pids = bench.pids()
        assert isinstance(bench.finish(ref), Failed)
        assert [pid for pid in pids if is_alive(pid)] == []

    def test_what_a_successful_call_left_running_lives_on(self, bench: Bench) -> None:
        bench.needs("runs_operations")
        ref = bench.submit("leave_server", pids=bench.pids_file)
        pids = bench.pids()
        assert isinstance(bench.finish(ref), Succeeded)
        assert isinstance(bench.run("fail"), Failed)
        bench.executor.close(SECOND)
        assert all(is_alive(pid) for pid in pids)

    @pytest.mark.parametrize("code", [0, 3, None])
    def test_a_process_that_dies_is_lost_within_a_second(self, bench: Bench, code: int | None) -> None:
        bench.needs("isolates_calls", at_least_slots=2)
        neighbour, release = bench.block()
        bench.inbox.wait_for_start(neighbour, bench.patience)
        bench.run("nothing")
        began = time.monotonic()
        report = bench.run("end_process", code=code)
        assert isinstance(report, Lost)
        assert report.reason == ("killed" if code is None else "exited")
        assert bench.inbox.moment(report) - began < SECOND
        assert isinstance(bench.run("nothing"), Succeeded)
        release()
        assert isinstance(bench.finish(neighbour), Succeeded)

    def test_what_a_dying_process_has_started_dies_with_it(self, bench: Bench) -> None:
        bench.needs("isolates_calls")
        ref = bench.submit("end_process_with_child", pids=bench.pids_file)
        pids = bench.pids()
        assert isinstance(bench.finish(ref), Lost)
        assert [pid for pid in pids if is_alive(pid)] == []

    # --- the end

    def test_a_closed_executor_refuses_calls_and_says_so(self, bench: Bench) -> None:
        bench.run("nothing")
        bench.executor.close(SECOND)
        with pytest.raises(RuntimeError, match="closed"):
            bench.submit("nothing")
        calls = [bench.call("nothing") for _ in range(3)]
        refused = bench.executor.submit_all(calls)
        assert [ref for ref, _ in refused] == [call.ref for call in calls]
        assert all("closed" in str(error) for _, error in refused)

    def test_closing_twice_is_harmless(self, bench: Bench) -> None:
        bench.run("nothing")
        bench.executor.close(SECOND)
        bench.executor.close(SECOND)

    def test_after_closing_nothing_is_reported(self, bench: Bench) -> None:
        blocked = [bench.block() for _ in range(4)] if bench.executor.runs_operations else []
        with suppress(TimeoutError):
            bench.inbox.wait_for_start(blocked[0][0] if blocked else bench.submit("nothing"), bench.patience)
        bench.executor.close(0.1)
        by_then = bench.inbox.reports()
        for _, release in blocked:
            release()
        bench.stays_true(lambda: bench.inbox.reports() == by_then)
        finals: list[Any] = [each.ref for each in bench.inbox.finals()]
        assert len(finals) == len(set(finals))

    def test_closing_ends_what_runs(self, bench: Bench) -> None:
        bench.needs("can_terminate")
        bench.is_not_for("survives_runner", "calls go on")
        ref = bench.submit("hang", pids=bench.pids_file)
        pids = bench.pids()
        bench.executor.close(SECOND)
        assert [type(each) for each in bench.inbox.finals(ref)] == [Lost]
        assert [pid for pid in pids if is_alive(pid)] == []

    def test_what_survives_goes_on_after_closing(self, bench: Bench) -> None:
        bench.needs("survives_runner")
        ref = bench.submit("note_when_released", path=str(bench.directory / "noted"),
                           gate=str(bench.directory / "released"))
        bench.inbox.wait_for_start(ref, bench.patience)
        bench.executor.close(SECOND)
        (bench.directory / "released").touch()
        bench.wait_until((bench.directory / "noted").exists)
        assert bench.inbox.finals(ref) == []
