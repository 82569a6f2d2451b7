"""Runners of crash tests under ``strace``, which lets system calls fail or kill, and tells their order."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess  # nosec B404 # a program of the machine, with words of the test
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from aria_core.testing.crash import CrashSite
from aria_core.testing.crash_process import Ended, wait_until
from aria_core.testing.fault_points import Fault, plan_fault

_CALL = re.compile(r"^(?P<thread>\d+) +(?P<name>\w+)\((?P<rest>.*)$")
_FILE = re.compile(r"^\d+<(?P<file>[^>]*)>")


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One line of a trace: a call as it began."""

    thread: int
    name: str
    file: str
    """What the descriptor in its first argument leads to; empty if there is none."""
    rest: str
    """The arguments."""


def under_strace(options: list[str], program: list[str], seconds: float = 120.0) -> Ended:
    """Run a program of Python's with its threads and children under ``strace -f``; skips without strace."""
    # Not with --seccomp-bpf, which would be faster: strace 6.1 then miscounts the calls that it injects into.
    command = [_strace(), "-f", "-qq", *options, sys.executable, *program]
    done = subprocess.run(  # nosec B603 # words of the test
        command, capture_output=True, text=True, timeout=seconds, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


def run_traced(site: CrashSite, options: list[str], *arguments: str) -> Ended:
    """Run ``crash_runner`` under ``strace -f`` from its claim on; skips where that is not possible.

    It is attached to a runner that waits for it: to trace the start of an interpreter takes longer than all
    that follows.
    """
    plan_fault(site.directory, Fault("before-claim", signal_name="SIGSTOP"))
    runner = site.launch(*arguments)
    runner.wait_until_stopped()
    command = [_strace(), "-f", "-qq", *options, "-p", str(runner.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:  # nosec B603 # of the test
        wait_until(lambda: _is_traced(runner.pid) or tracer.poll() is not None, "strace")
        if tracer.poll() is not None and tracer.stderr is not None:
            runner.kill()
            pytest.skip(f"needs a strace that may trace: {tracer.stderr.read().strip()}")
        runner.send(signal.SIGCONT)
        return runner.end(120.0)


def _is_traced(pid: int) -> bool:
    threads = [(each / "status").read_text() for each in Path(f"/proc/{pid}/task").iterdir()]
    return not any("TracerPid:\t0\n" in each for each in threads)


def read_trace(path: Path) -> Iterator[SystemCall]:
    """The calls that ``-y -o path`` wrote down, in order."""
    for line in path.read_text(errors="replace").splitlines():
        if found := _CALL.match(line):
            file = _FILE.match(found["rest"])
            yield SystemCall(int(found["thread"]), found["name"], file["file"] if file else "", found["rest"])


@cache
def _strace() -> str:
    program = shutil.which("strace")
    if program is None:
        pytest.skip("needs the program strace (apt-get install strace)")
    trial = subprocess.run([program, "-f", "-o", "/dev/null", "true"],  # nosec B603
                           capture_output=True, text=True, check=False)
    if trial.returncode != 0:
        pytest.skip(f"needs a strace that may trace: {trial.stderr.strip()}")
    return program
