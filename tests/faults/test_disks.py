"""Cases 3, 6, 19, 20, 21, 45: locks that are held; writes that kill, fail, find no room; their order."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aria_core.exceptions import StorageUnavailableError
from aria_core.storage.sql import SqlModelStorage
from aria_core.storage.sql.database import BUSY_TIMEOUT
from aria_core.testing.crash import KILLED, CrashSite
from aria_core.testing.crash_process import CrashProcess, Ended, wait_until
from aria_core.testing.effects import EFFECTS
from aria_core.testing.fault_points import Fault, plan_fault
from aria_core.testing.judge import read_effects
from aria_core.testing.strace import read_trace, run_traced

pytestmark = pytest.mark.timeout(600)

WRITES = 300
"""A runner of the crash tests makes nearly as many writes in its main thread."""
RIDES_OUT = 10.0 + 2 * BUSY_TIMEOUT
"""Seconds after which a runner that cannot write has certainly given up."""
LOST_LOGS = "could not be stored"
"""What a runner says besides of log lines that it had not stored yet."""
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@contextmanager
def held(file: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program holds the write lock, until it is told a line or killed."""
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def release(holder: subprocess.Popen[str]) -> None:
    holder.communicate("\n")
    assert holder.returncode == 0


def effects(site: CrashSite) -> int:
    return len(read_effects(site.directory / EFFECTS))


def working(site: CrashSite) -> CrashProcess:
    """A runner in the middle of its work."""
    site.let_operations_last(0.3)
    runner = site.launch("start")
    wait_until(lambda: effects(site) > 3, "effects")
    return runner


def assert_gave_up(site: CrashSite, done: Ended, *words: str) -> None:
    """It ended with one sentence about the storage, and nothing that it ran goes on."""
    assert done.code == 5, done
    sentence, = [each for each in done.complained.splitlines() if LOST_LOGS not in each]
    assert all(word in sentence for word in words), sentence
    seen = effects(site)
    site.assert_promises_kept()
    assert effects(site) == seen


def assert_resumes(site: CrashSite) -> None:
    """It can be brought to its end, and every promise was kept."""
    site.let_operations_last(0.03)
    assert site.resume() == "succeeded"
    site.assert_promises_kept()


def seconds_until_refused(url: str, *words: str) -> float:
    """How long a write waits before it fails with a sentence that has these words."""
    with SqlModelStorage(url) as storage:
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError) as refused:
            storage.ledger.request_cancel(1)
        took = time.monotonic() - began
    assert all(word in str(refused.value) for word in words), refused.value
    return took


@pytest.mark.fault(3, executors=["process"], databases=["sqlite"], small=10, long=WRITES)
def test_killed_at_every_write(cell: Any) -> None:
    struck = tried = 0
    for trial in cell.trials():
        nth = 1 + (trial.seed - 1) * WRITES // cell.wanted
        with trial.site() as site:
            done = run_traced(site, [
                "-o", "/dev/null", "-e", "trace=pwrite64", "-e", f"inject=pwrite64:signal=KILL:when={nth}",
            ], "start")
            assert done.code in (KILLED, 0), done
            struck, tried = struck + (done.code == KILLED), tried + 1
            site.assert_promises_kept()
            assert_resumes(site)
    assert struck >= tried * 0.8, f"only {struck} of {tried} runners were killed"
    cell.note(f"{struck} of {tried} killed")


@pytest.mark.fault(6, executors=["process"], databases=["sqlite"], small=1, long=10,
                   of="a runner that is frozen in a commit")
def test_frozen_in_a_commit(cell: Any) -> None:
    slowest = 0.0
    for trial in cell.trials():
        with trial.site() as site:
            plan_fault(site.directory, Fault("in-commit", nth=trial.random.randint(4, 15),
                                             signal_name="SIGSTOP"))
            runner = site.launch("start")
            runner.wait_until_stopped()
            holder = f"locked by process {runner.pid} ("
            cancel = site.launch("cancel")
            took = seconds_until_refused(trial.url, holder, "stopped")
            assert took <= BUSY_TIMEOUT + 1
            slowest = max(slowest, took)
            assert_refused(cancel.end(), holder, "stopped")
            runner.send(signal.SIGCONT)
            assert runner.end().code in (0, 4, 5)
            site.assert_promises_kept()
            assert_resumes(site)
    cell.note(f"refused after {slowest:.1f} s at most")


@pytest.mark.fault(6, executors=["process"], databases=["sqlite"], small=1, long=10,
                   of="a stranger that is frozen with the lock")
def test_a_stranger_is_frozen_with_the_lock(cell: Any) -> None:
    slowest = 0.0
    for trial in cell.trials():
        with trial.site() as site:
            runner = working(site)
            with held(trial.directory / "aria.db") as holder:
                os.kill(holder.pid, signal.SIGSTOP)
                began = time.monotonic()
                done = runner.end(RIDES_OUT + 30)
                slowest = max(slowest, time.monotonic() - began)
                assert_gave_up(site, done, f"locked by process {holder.pid} (", "stopped")
                os.kill(holder.pid, signal.SIGCONT)
                release(holder)
            assert_resumes(site)
    cell.note(f"a runner gave up after {slowest:.1f} s at most")


def assert_refused(done: Ended, *words: str) -> None:
    assert done.code == 5, done
    assert all(word in done.complained for word in words), done.complained


@pytest.mark.fault(19, executors=["process"], databases=["sqlite"], small=1, long=10, of="held for 10 s")
def test_a_lock_of_ten_seconds_is_waited_for(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site() as site:
            runner = working(site)
            with held(trial.directory / "aria.db") as holder:
                time.sleep(10)  # for so long it is held
                release(holder)
            done = runner.end()
            assert (done.code, done.said, done.complained) == (0, "succeeded", "")
            site.assert_promises_kept()


@pytest.mark.fault(19, executors=["process"], databases=["sqlite"], small=1, long=5, of="held for 60 s")
def test_a_longer_lock_ends_the_runner(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site() as site:
            runner = working(site)
            with held(trial.directory / "aria.db") as holder:
                began = time.monotonic()
                done = runner.end(RIDES_OUT + 30)
                took = time.monotonic() - began
                assert_gave_up(site, done, f"locked by process {holder.pid} (")
                release(holder)
            assert_resumes(site)
    cell.note(f"a runner gave up after {took:.1f} s")


@pytest.mark.fault(20, executors=["process"], databases=["sqlite"], small=2, long=20)
def test_no_room_is_left(cell: Any) -> None:
    how = set()
    for trial in cell.trials():
        small = trial.directory / "small"
        small.mkdir()
        url = f"sqlite:///{small / 'aria.db'}"
        with small_disk(small) as is_small:
            site = CrashSite(trial.directory, trial.configuration.replace(trial.url, url), url)
            try:
                site.prepare()
                runner = working(site)
                # Every other time a file that may not grow: strangers cannot mount, and it fails otherwise.
                full = is_small and trial.seed % 2 == 1
                how.add("a full disk" if full else "a file that may not grow")
                (fill if full else let_nothing_grow)(small, runner, trial.random.randint(0, 60_000))
                assert_gave_up(site, runner.end())
                (small / "fill").unlink(missing_ok=True)
                assert_resumes(site)
            finally:
                site.close()
    cell.note(" and ".join(sorted(how)))


@contextmanager
def small_disk(directory: Path) -> Iterator[bool]:
    """A disk of 1.4 MB in memory; false if we may not make one."""
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1400k", "none", str(directory)], capture_output=True,
        check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(directory)], check=True)


def fill(small: Path, runner: CrashProcess, leave: int) -> None:
    """Leave so many bytes and no more."""
    room = os.statvfs(small)
    with (small / "fill").open("wb", buffering=0) as file:
        file.write(bytes(max(0, room.f_bavail * room.f_bsize - leave)))


def let_nothing_grow(small: Path, runner: CrashProcess, leave: int) -> None:
    """Let no file that the runner writes become longer by so many bytes than the longest is now."""
    longest = max(each.stat().st_size for each in small.glob("aria.db*"))
    runner.limit(resource.RLIMIT_FSIZE, longest + leave)


@pytest.mark.fault(21, executors=["process"], databases=["sqlite"], small=3, long=30)
def test_the_disk_fails_to_synchronise(cell: Any) -> None:
    ended = []
    for trial in cell.trials():
        first = trial.random.randint(1, 20)
        when = (f"{first}+", f"{first}+3", f"{first}")[trial.seed % 3]
        with trial.site() as site:
            done = run_traced(site, [
                "-o", "/dev/null", "-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=EIO:when={when}",
            ], "start")
            ended.append(f"{when} exit {done.code}")
            if done.code != 0 or when == f"{first}+":
                assert_gave_up(site, done)
            assert_resumes(site)
    cell.note(", ".join(ended[:3]))


@pytest.mark.fault(45, executors=["process"], databases=["sqlite"], small=1, long=10,
                   of="what is committed is on the disk before anybody is told")
def test_what_is_told_is_on_the_disk(cell: Any) -> None:
    for trial in cell.trials():
        calls = syncs = 0
        trace = trial.directory / "trace"
        with trial.site() as site:
            done = run_traced(site, [
                "-y", "-s", "64", "-o", str(trace), "-e", "trace=pwrite64,fdatasync,write,sendto,sendmsg",
            ], "start")
            assert done.said == "succeeded", done
            site.assert_promises_kept()
        unsynced = set()  # threads; who commits does all of it, and tells afterwards what was committed
        for each in read_trace(trace):
            if each.file.endswith("aria.db-wal"):
                (unsynced.discard if each.name == "fdatasync" else unsynced.add)(each.thread)
                syncs += each.name == "fdatasync"
            elif each.name != "pwrite64":
                assert each.thread not in unsynced, f"told before it was on the disk: {each}"
                calls += r'{\"call\":' in each.rest
        assert min(calls, syncs) > 10, (calls, syncs)
        cell.note(f"{syncs} synchronised commits, {calls} calls after them")
