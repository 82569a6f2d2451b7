"""`FutureExecutor`: on threads and on processes of the standard library."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from aria_core import Call, Executor, FutureExecutor, Lost, Started, Succeeded, run_encoded
from aria_core.testing.bench import Bench
from aria_core.testing.executor import ExecutorContract


class OnThreads(FutureExecutor):
    def __init__(self) -> None:
        self.slots = 2
        self._pool = ThreadPoolExecutor(2)

    def start(self, call: Call) -> Future[bytes]:
        return self._pool.submit(run_encoded, call.encode())

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class OnProcesses(FutureExecutor):
    def __init__(self) -> None:
        self.slots = 2
        self._pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))

    def start(self, call: Call) -> Future[bytes]:
        return self._pool.submit(run_encoded, call.encode())

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Fixed(FutureExecutor):
    """Its one future is for the test to complete."""

    def __init__(self) -> None:
        self.future: Future[bytes] = Future()

    def start(self, call: Call) -> Future[bytes]:
        self.call = call
        return self.future


class TestOnThreads(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Executor:
        return OnThreads()


class TestOnProcesses(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Executor:
        return OnProcesses()


@pytest.fixture
def fixed(tmp_path: Path) -> Iterator[Bench]:
    with Bench(Fixed(), tmp_path) as bench:
        yield bench


def future_of(bench: Bench) -> Future[bytes]:
    assert isinstance(bench.executor, Fixed)
    return bench.executor.future


def test_a_future_that_raises_is_a_lost_attempt(fixed: Bench) -> None:
    ref = fixed.submit("nothing")
    future_of(fixed).set_exception(OSError("the pool broke"))
    assert fixed.inbox.reports(ref) == [Lost(ref, "exited", "OSError: the pool broke")]


def test_a_future_that_gives_no_report_is_a_lost_attempt(fixed: Bench) -> None:
    ref = fixed.submit("nothing")
    future_of(fixed).set_result(b"[]")
    [report] = fixed.inbox.reports(ref)
    assert isinstance(report, Lost)


def test_a_report_on_another_call_is_a_lost_attempt(fixed: Bench) -> None:
    ref = fixed.submit("nothing")
    future_of(fixed).set_result(run_encoded(Call(ref=type(ref)(9, 9, 9), function="math:pi").encode()))
    [report] = fixed.inbox.reports(ref)
    assert isinstance(report, Lost)
    assert "9/9/9" in report.detail


def test_a_start_that_raises_is_surely_not_started(fixed: Bench) -> None:
    def refuse(call: Call) -> Future[bytes]:
        raise OSError("no room")

    fixed.executor.start = refuse  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="no room"):
        fixed.submit("nothing")
    assert fixed.inbox.reports() == []


def test_a_future_cancelled_by_others_is_a_lost_attempt_and_one_withdrawn_is_none(fixed: Bench) -> None:
    ref = fixed.submit("nothing")
    assert fixed.executor.withdraw([ref]) == {ref}
    assert fixed.inbox.reports() == []
    future: Future[bytes] = Future()
    fixed.executor.future = future  # type: ignore[attr-defined]
    other = fixed.submit("nothing")
    future.cancel()
    assert fixed.inbox.reports() == [Lost(other, "terminated", "it had not begun")]


def test_the_start_says_where(tmp_path: Path) -> None:
    with Bench(OnProcesses(), tmp_path) as bench:
        ref = bench.submit("where")
        report = bench.finish(ref)
        assert isinstance(report, Succeeded)
        [start, _] = bench.inbox.reports(ref)
        assert isinstance(start, Started)
        assert start.where.endswith(f":{report.result['pid']}")
