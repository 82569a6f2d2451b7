"""What every executor must do when a call is ended, when its process dies, and when all is closed."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest

from aria_core.testing.bench import SECOND, Bench, is_alive
from aria_core.worker.calls import Failed, Lost, Succeeded


class EndingsContract:
    """The tests of `ExecutorContract` about ends; it gives the fixture ``bench``."""

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
        bench.settle()
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
