"""The process executor: the contract, and what is its own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aria_core import Call, CallRef, Environment, Executor, Failed, Lost, Started, Succeeded
from aria_core.testing.bench import OPERATIONS, PLUGIN_OPERATIONS, Bench, is_alive, with_operations
from aria_core.testing.executor import ExecutorContract
from aria_core.testing.wagons import LIBRARY, PROGRAMS
from aria_core.worker.printing import ATTEMPT_LIMIT, LINE_LIMIT
from aria_plugins.executors.process import ProcessExecutor, aria_executor

SECOND = 1.0
MEBIBYTE = 1024 * 1024


class TestProcessExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Executor:
        return ProcessExecutor(slots=2)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(ProcessExecutor(slots=2), tmp_path) as bench:
        yield bench


def submit_in(bench: Bench, environment: Environment, operation: str, **arguments: Any) -> CallRef:
    ref = CallRef(4, bench.next_number(), 1)
    bench.executor.submit(Call(ref, f"{PLUGIN_OPERATIONS}:{operation}", arguments, plugin=environment,
                               origin=bench.origin))
    return ref


def memory_of_this_process() -> int:
    """Bytes, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_it_declares_what_it_can() -> None:
    assert (ProcessExecutor.can_terminate, ProcessExecutor.isolates_calls) == (True, True)
    assert (ProcessExecutor.survives_runner, ProcessExecutor.runs_operations) == (False, True)
    assert ProcessExecutor().slots == os.cpu_count()


def test_the_hook_gives_the_class() -> None:
    assert aria_executor() is ProcessExecutor


# --- deaths

def test_a_worker_killed_from_outside_is_one_loss_within_a_second(bench: Bench) -> None:
    ref = bench.submit("hang", pids=bench.pids_file)
    worker, *family = bench.pids()
    os.kill(worker, signal.SIGKILL)
    report = bench.inbox.wait_for(ref, SECOND)
    assert isinstance(report, Lost)
    assert report.reason == "killed"
    assert "SIGKILL" in report.detail
    assert [pid for pid in family if is_alive(pid)] == []
    bench.executor.close(SECOND)
    assert bench.inbox.finals() == [report]


def test_a_crash_of_the_interpreter_is_told(bench: Bench) -> None:
    report = bench.run("crash")
    assert isinstance(report, Lost)
    assert report.reason == "killed"
    assert "SIGSEGV" in report.detail
    assert "in crash" in report.detail


def test_a_forked_child_that_comes_back_changes_nothing(bench: Bench) -> None:
    reports = [bench.run("fork_and_return") for _ in range(3)]
    assert all(isinstance(each, Succeeded) and each.result > 0 for each in reports)
    assert isinstance(bench.run("nothing"), Succeeded)


RUNNER = """
import sys
from pathlib import Path
from aria_core.testing.bench import Bench
from aria_plugins.executors.process import ProcessExecutor

with Bench(ProcessExecutor(slots=2), Path(sys.argv[1])) as bench:
    bench.run("leave_server", pids=sys.argv[1] + "/server")
    bench.finish(bench.submit(sys.argv[2], pids=sys.argv[1] + "/attempt"))
"""


@pytest.mark.parametrize("operation", ["hang", "hang_in_interpreter"])
def test_nothing_unfinished_outlives_a_killed_runner(operation: str, tmp_path: Path) -> None:
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(tmp_path), operation])
    look = Bench(ProcessExecutor(), tmp_path)
    try:
        look.wait_until((tmp_path / "attempt").exists)
    finally:
        runner.kill()
        runner.wait()
    attempt = [int(pid) for pid in (tmp_path / "attempt").read_text().split()]
    server = int((tmp_path / "server").read_text())
    look.wait_until(lambda: not any(is_alive(pid) for pid in attempt))
    look.stays_true(lambda: is_alive(server))
    os.kill(server, signal.SIGKILL)


# --- ending calls

def test_an_operation_may_tidy_up_when_it_is_terminated(bench: Bench) -> None:
    done = bench.directory / "done"
    ref = bench.submit("tidy_up", pids=bench.pids_file, done=str(done))
    bench.pids()
    bench.executor.terminate(ref, 5.0)
    assert isinstance(bench.finish(ref), Lost)
    assert done.read_text() == "cancelled=True\n"


def test_a_second_termination_with_less_grace_counts(bench: Bench) -> None:
    ref = bench.submit("hang", pids=bench.pids_file, stubborn=True)
    bench.pids()
    bench.executor.terminate(ref, 60.0)
    bench.executor.terminate(ref, 0.1)
    report = bench.inbox.wait_for(ref, 3 * SECOND)
    assert report == Lost(ref, "terminated")


def test_a_call_that_has_not_begun_is_terminated_without_running(bench: Bench) -> None:
    effect = bench.directory / "effect"
    blocked = [bench.block() for _ in range(2)]
    for ref, _ in blocked:
        bench.inbox.wait_for_start(ref)
    waiting = bench.submit("note", path=str(effect), line="x")
    assert bench.executor.terminate(waiting, SECOND)
    assert bench.inbox.wait_for(waiting) == Lost(waiting, "terminated", "it had not begun")
    for ref, release in blocked:
        release()
        assert isinstance(bench.finish(ref), Succeeded)
    assert not effect.exists()


def test_terminating_finished_calls_harms_none_of_those_behind_them(bench: Bench) -> None:
    for _ in range(30):
        refs = [bench.submit("nothing") for _ in range(12)]
        bench.finish(refs[0])
        bench.executor.terminate(refs[0], SECOND)
        assert all(isinstance(bench.finish(ref), Succeeded) for ref in refs)


def test_withdrawing_in_the_middle_of_a_storm_is_exact(bench: Bench) -> None:
    effects = bench.directory / "effects"
    refs = {number: bench.submit("note", path=str(effects), line=str(number)) for number in range(1500)}
    withdrawn: set[CallRef] = set()
    for number in range(0, 1500, 5):
        withdrawn |= bench.executor.withdraw([refs[number], refs[1499 - number]])
    stay = {number: ref for number, ref in refs.items() if ref not in withdrawn}
    assert all(isinstance(bench.finish(ref), Succeeded) for ref in stay.values())
    bench.executor.close(SECOND)
    assert sorted(map(int, effects.read_text().split())) == sorted(stay)
    assert withdrawn
    assert not any(bench.inbox.reports(ref) for ref in withdrawn)


# --- prints

def test_what_an_operation_prints_becomes_lines_of_its_log(bench: Bench) -> None:
    ref = bench.submit("shout", line="grüße 😀", count=2)
    bench.finish(ref)
    told = [(each["level"], each["message"]) for each in bench.told_at_the_end(ref)]
    assert told == [("INFO", "grüße 😀")] * 2
    ref = bench.submit("say_to_stderr", text="first\nsecond, unfinished")
    bench.finish(ref)
    assert [(each["level"], each["message"]) for each in bench.told_at_the_end(ref)] == [
        ("WARNING", "first"), ("WARNING", "second, unfinished")]


def test_printed_bytes_that_are_no_text_are_replaced(bench: Bench) -> None:
    ref = bench.submit("shout_bytes", data=[0x61, 0xFF, 0x00, 0x62, 0x0A])
    bench.finish(ref)
    assert [each["message"] for each in bench.told_at_the_end(ref)] == ["a\ufffd\ufffdb"]


def test_a_long_line_is_cut(bench: Bench) -> None:
    ref = bench.submit("shout", line="x" * (2 * LINE_LIMIT))
    bench.finish(ref)
    [line] = [each["message"] for each in bench.told_at_the_end(ref)]
    assert line == "x" * LINE_LIMIT + "… (cut)"


def test_a_gigabyte_of_prints_is_capped_and_does_not_grow_the_runner(bench: Bench) -> None:
    bench.run("nothing")
    before = memory_of_this_process()
    ref = bench.submit("shout", line="x" * (MEBIBYTE - 1), count=1024)
    assert isinstance(bench.inbox.wait_for(ref, 60.0), Succeeded)
    told = bench.told_at_the_end(ref)
    assert memory_of_this_process() - before < 50 * MEBIBYTE
    assert sum(len(each["message"]) for each in told) < ATTEMPT_LIMIT + 10_000
    assert "the rest is dropped" in told[-1]["message"]


def test_many_short_lines_are_bounded_too(bench: Bench) -> None:
    ref = bench.submit("shout", line="", count=100_000)
    bench.finish(ref)
    assert len(bench.told_at_the_end(ref)) < 20_000


# --- environments

def test_operations_see_an_allow_list_of_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("A_PASSWORD", "WANTED", "LC_TIME"):
        monkeypatch.setenv(name, "canary")
    with Bench(ProcessExecutor(slots=1, environment=("WANTED",)), tmp_path) as bench:
        seen = bench.result("environment")
        allowed = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV",
                   "PYTHONPATH", "WANTED", "ARIA_TASK_TOKEN", "ARIA_ATTEMPT"}
        assert [name for name in seen if name not in allowed and not name.startswith("LC_")] == []
        assert (seen["WANTED"], seen["LC_TIME"], seen["PATH"]) == ("canary", "canary", os.environ["PATH"])
        assert (seen["ARIA_TASK_TOKEN"], seen["ARIA_ATTEMPT"]) == ("3/1", f"3/1/1@{bench.origin}")


def test_a_plugin_runs_in_a_process_of_its_own_with_its_paths(bench: Bench) -> None:
    (bench.directory / "only_in_the_plugin.py").touch()
    environment = with_operations(
        Environment("books-1.0", None, ("/opt/books/bin",), (str(bench.directory),)), bench.directory)
    seen = bench.finish(submit_in(bench, environment, "environment"))
    assert isinstance(seen, Succeeded)
    assert seen.result["PATH"].split(os.pathsep)[0] == "/opt/books/bin"
    assert "PYTHONPATH" not in seen.result
    found = bench.finish(submit_in(bench, environment, "import_from", module="only_in_the_plugin"))
    assert isinstance(found, Succeeded)
    assert found.result == str(bench.directory / "only_in_the_plugin.py")
    assert bench.result("import_from", module="only_in_the_plugin") == "not installed"
    theirs = bench.finish(submit_in(bench, environment, "where"))
    assert isinstance(theirs, Succeeded)
    assert theirs.result["pid"] != bench.result("where")["pid"]


def virtual_environment(bench: Bench) -> Environment:
    venv.create(bench.directory / "venv", with_pip=False)
    return with_operations(Environment("books-1.0", str(bench.directory / PROGRAMS / "python")),
                           bench.directory / LIBRARY)


def test_an_interpreter_that_has_nothing_of_ours_runs_calls(bench: Bench) -> None:
    environment = virtual_environment(bench)
    report = bench.finish(submit_in(bench, environment, "import_from", module="sqlalchemy"))
    assert isinstance(report, Succeeded)
    assert report.result == "not installed"


def test_an_interpreter_that_is_not_there_is_named(bench: Bench) -> None:
    report = bench.finish(submit_in(bench, Environment("books-1.0", "/no/such/python"), "nothing"))
    assert isinstance(report, Failed)
    assert "/no/such/python" in report.error
    assert "books-1.0" in report.error
    assert isinstance(bench.run("nothing"), Succeeded)


def test_an_interpreter_that_ends_at_once_fails_the_call_with_its_words(bench: Bench) -> None:
    broken = bench.directory / "python"
    broken.write_text("#!/bin/sh\necho this is no interpreter >&2\nexit 3\n")
    broken.chmod(0o755)
    report = bench.finish(submit_in(bench, Environment("books-1.0", str(broken)), "nothing"))
    assert isinstance(report, Failed)
    assert "this is no interpreter" in report.error


def test_a_process_is_replaced_after_its_share_of_calls(tmp_path: Path) -> None:
    with Bench(ProcessExecutor(slots=1, recycle_after=3), tmp_path) as bench:
        refs = [bench.submit("where") for _ in range(9)]
        pids = [report.result["pid"] for report in map(bench.finish, refs) if isinstance(report, Succeeded)]
        assert sorted(map(pids.count, set(pids))) == [3, 3, 3]


# --- limits

def test_a_big_call_arrives_however_busy_the_runner_is(bench: Bench) -> None:
    over = threading.Event()

    def keep_busy() -> None:
        while not over.is_set():
            pass

    busy = [threading.Thread(target=keep_busy) for _ in range(3)]
    for each in busy:
        each.start()
    try:
        sizes = [bench.result("size", text="x" * 70_000) for _ in range(20)]
    finally:
        over.set()
    assert sizes == [70_000] * 20


def test_a_report_too_big_to_travel_is_a_failure_that_says_so(bench: Bench) -> None:
    report = bench.run("edit_big", name="big", size=17 * MEBIBYTE)
    assert isinstance(report, Failed)
    assert "bytes; at most" in report.error
    assert isinstance(bench.run("nothing"), Succeeded)


def test_a_call_too_big_to_travel_is_refused_when_it_is_submitted(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match="at most"):
        bench.submit("size", text="x" * 17 * MEBIBYTE)


def test_a_shortage_of_file_descriptors_delays_calls_and_loses_none(bench: Bench) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 1, hard))
    try:
        refs = [bench.submit("nothing") for _ in range(5)]
        bench.stays_true(lambda: bench.inbox.reports() == [])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert all(isinstance(bench.finish(ref), Succeeded) for ref in refs)


KEEPER_CANNOT_FORK = """
import os
from pathlib import Path

def refuse():
    with Path({tries!r}).open("a") as tries:
        tries.write("x")
    raise BlockingIOError(11, "Resource temporarily unavailable")

if Path({full!r}).exists():
    os.fork = refuse
"""


def test_a_shortage_of_processes_delays_calls_and_loses_none(bench: Bench) -> None:
    """A worker's own fork fails, more often than a worker is tried that is broken."""
    full, tries = bench.directory / "full", bench.directory / "tries"
    full.touch()
    environment = virtual_environment(bench)
    (bench.directory / LIBRARY / "sitecustomize.py").write_text(
        KEEPER_CANNOT_FORK.format(full=str(full), tries=str(tries)))
    refs = [submit_in(bench, environment, "where") for _ in range(5)]
    bench.wait_until(lambda: tries.exists() and len(tries.read_text()) > 4)
    assert bench.inbox.reports() == []
    full.unlink()
    assert all(isinstance(bench.finish(ref), Succeeded) for ref in refs)


def test_a_shortage_of_threads_delays_calls_and_loses_none(bench: Bench, monkeypatch: pytest.MonkeyPatch
                                                          ) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    bench.resources["greeting.txt"] = b"hello"
    monkeypatch.setattr(threading.Thread, "start", refuse)
    hanging = [bench.submit("hang", pids=f"{bench.pids_file}-{number}") for number in range(2)]
    for ref in hanging:
        bench.inbox.wait_for_start(ref)
    asking = [bench.submit("ask", path="greeting.txt") for _ in range(5)]
    for ref in hanging:
        bench.executor.terminate(ref, 0.1)
    assert [bench.finish(ref) for ref in hanging] == [Lost(ref, "terminated") for ref in hanging]
    assert all(isinstance(bench.finish(ref), Succeeded) for ref in asking)


def test_closing_leaves_neither_descriptors_nor_children(tmp_path: Path) -> None:
    def children() -> str:
        return Path(f"/proc/self/task/{os.getpid()}/children").read_text()

    before = len(list(Path("/proc/self/fd").iterdir())), children()
    with Bench(ProcessExecutor(slots=2), tmp_path) as bench:
        refs = [bench.submit("where") for _ in range(10)]
        for ref in refs:
            bench.finish(ref)
        bench.run("end_process", code=0)
    assert (len(list(Path("/proc/self/fd").iterdir())), children()) == before


def test_the_start_says_where(bench: Bench) -> None:
    ref = bench.submit("where")
    report = bench.finish(ref)
    assert isinstance(report, Succeeded)
    [start] = [each for each in bench.inbox.reports(ref) if isinstance(each, Started)]
    assert start.where.endswith(f":{report.result['pid']}")


def test_a_call_that_ends_its_process_at_once_has_begun(bench: Bench) -> None:
    bench.run("nothing")
    for code in (0, 3):
        ref = bench.submit("end_process", code=code)
        bench.finish(ref)
        assert [type(each) for each in bench.inbox.reports(ref)] == [Started, Lost]


def test_what_waits_behind_a_call_that_takes_long_goes_to_another_process(bench: Bench) -> None:
    bench.run("nothing")
    (first, release_first), (second, release_second) = bench.block(), bench.block()
    behind = [bench.submit("nothing") for _ in range(20)]
    for ref in (first, second):
        bench.inbox.wait_for_start(ref)
    release_first()
    for ref in (first, *behind):
        assert isinstance(bench.finish(ref), Succeeded)
    assert [type(each) for each in bench.inbox.reports(second)] == [Started]
    release_second()
    assert isinstance(bench.finish(second), Succeeded)


def test_a_batch_is_taken_over_but_for_what_cannot_travel(bench: Bench) -> None:
    arguments = [{}, {"text": "x" * 17 * MEBIBYTE}, {}]
    calls = [Call(CallRef(9, number, 1), f"{OPERATIONS}:echo", each, origin=bench.origin)
             for number, each in enumerate(arguments, 1)]
    [(ref, error)] = bench.executor.submit_all(calls)
    assert (ref, "16777216" in str(error)) == (CallRef(9, 2, 1), True)
    for number in (1, 3):
        assert isinstance(bench.finish(CallRef(9, number, 1)), Succeeded)
    bench.executor.close(SECOND)
    assert {ref for ref, _ in bench.executor.submit_all(calls)} == {each.ref for each in calls}


def test_closing_while_a_process_is_being_started_does_not_wait_for_it(tmp_path: Path) -> None:
    for milliseconds in range(10):
        executor = ProcessExecutor(slots=1)
        bench = Bench(executor, tmp_path)
        executor.open(bench.inbox)
        bench.submit("nothing")
        time.sleep(milliseconds / 1000)  # somewhere in the start
        began = time.monotonic()
        executor.close(10.0)
        assert time.monotonic() - began < 5.0
