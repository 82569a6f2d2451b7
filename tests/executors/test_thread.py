"""The thread executor: the contract, and what is its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aria_core import Call, CallRef, Environment, Executor, Lost, Started, Succeeded
from aria_core.testing.bench import PLUGIN_OPERATIONS, Bench, is_alive, with_operations
from aria_core.testing.executor import ExecutorContract
from aria_plugins.executors.thread import ThreadExecutor, aria_executor


class TestThreadExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Executor:
        return ThreadExecutor(slots=3)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(ThreadExecutor(slots=2), tmp_path) as bench:
        yield bench


def submit_plugin_call(bench: Bench, operation: str, **arguments: str) -> CallRef:
    ref = CallRef(4, bench.next_number(), 1)
    bench.executor.submit(
        Call(ref, f"{PLUGIN_OPERATIONS}:{operation}", arguments, plugin=books(bench), origin=bench.origin))
    return ref


def books(bench: Bench) -> Environment:
    return with_operations(Environment("books-1.0", None, (), (str(bench.directory),)), bench.directory)


def test_it_declares_what_it_can() -> None:
    assert (ThreadExecutor.can_terminate, ThreadExecutor.isolates_calls) == (False, False)
    assert (ThreadExecutor.survives_runner, ThreadExecutor.runs_operations) == (False, True)
    assert ThreadExecutor().slots == 4


def test_the_hook_gives_the_class() -> None:
    assert aria_executor() is ThreadExecutor


def test_calls_run_in_threads_of_this_process(bench: Bench) -> None:
    place = bench.result("where")
    assert place["pid"] == os.getpid()
    assert place["thread"] != threading.get_ident()


def test_a_function_is_only_told_that_it_should_end(bench: Bench) -> None:
    ref = bench.submit("until_cancelled")
    bench.inbox.wait_for_start(ref)
    assert not bench.executor.terminate(ref, 1.0)
    report = bench.finish(ref)
    assert isinstance(report, Succeeded)
    assert report.result == "tidied up"


def test_a_child_process_of_a_call_is_ended(bench: Bench) -> None:
    ref = bench.submit("run_marked_child", pids=bench.pids_file)
    [child] = bench.pids()
    assert bench.executor.terminate(ref, 1.0)
    report = bench.finish(ref)
    assert isinstance(report, Lost)
    assert report.reason == "terminated"
    assert not is_alive(child)


def test_a_call_that_has_not_begun_is_terminated_without_running(bench: Bench) -> None:
    effect = bench.directory / "effect"
    blocked = [bench.block() for _ in range(2)]
    for ref, _ in blocked:
        bench.inbox.wait_for_start(ref)
    waiting = bench.submit("note", path=str(effect), line="x")
    assert bench.executor.terminate(waiting, 1.0)
    assert bench.inbox.reports(waiting) == [Lost(waiting, "terminated", "it had not begun")]
    for ref, release in blocked:
        release()
        assert isinstance(bench.finish(ref), Succeeded)
    assert not effect.exists()


def test_the_calls_of_a_plugin_run_in_a_process_of_its_environment(bench: Bench) -> None:
    ref = submit_plugin_call(bench, "where")
    report = bench.finish(ref)
    assert isinstance(report, Succeeded)
    assert report.result["pid"] != os.getpid()
    assert [type(each) for each in bench.inbox.reports(ref)] == [Started, Succeeded]


def test_the_calls_of_a_plugin_can_be_ended(bench: Bench) -> None:
    ref = submit_plugin_call(bench, "hang", pids=bench.pids_file)
    pids = bench.pids()
    assert bench.executor.terminate(ref, 1.0)
    assert bench.finish(ref) == Lost(ref, "terminated")
    assert [pid for pid in pids if is_alive(pid)] == []


def test_the_calls_of_a_plugin_take_slots_like_all_others(bench: Bench) -> None:
    blocked = [bench.block() for _ in range(2)]
    for ref, _ in blocked:
        bench.inbox.wait_for_start(ref)
    waiting = submit_plugin_call(bench, "nothing")
    bench.stays_true(lambda: bench.inbox.reports(waiting) == [])
    assert bench.executor.withdraw([waiting]) == {waiting}
    for ref, release in blocked:
        release()
        assert isinstance(bench.finish(ref), Succeeded)


def test_more_slots_are_used_as_soon_as_there_are_more(bench: Bench) -> None:
    blocked = [bench.block() for _ in range(2)]
    bench.executor.slots = 3
    assert isinstance(bench.run("nothing"), Succeeded)
    for ref, release in blocked:
        release()
        assert isinstance(bench.finish(ref), Succeeded)


def test_calls_that_come_at_once_do_not_wait_for_one_idle_thread(bench: Bench) -> None:
    for _ in range(20):
        bench.result("where")  # leaves a thread without work
        blocked = [bench.block() for _ in range(2)]
        for ref, _ in blocked:
            bench.inbox.wait_for_start(ref)
        for ref, release in blocked:
            release()
            bench.finish(ref)
