"""Runners of crash tests under ``strace``, which lets system calls fail or kill, and tells their order."""

from __future__ import annotations

import re
import shutil
import subprocess  # nosec B404 # a program of the machine, with words of the test
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from aria_core.testing.crash import Ended

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
