"""Runners in processes of their own, to be killed."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import distribution
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

PATIENCE = 60.0
"""Seconds that one runner of a crash test may take."""

# Processes of their own, as a command line's would be, but forked from one that has imported everything:
# our own extensions, and what they and the runner import late.
_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload([
    "aria_core.testing.crash", "aria_core.testing.crash_runner", "aria_core.__main__",
    "aria_core.extensions.drivers", "aria_core.extensions.hooks", "aria_core.orchestrator.worker_pool",
    "aria_core.storage.sql", "networkx", "psycopg", "sqlite3",
    *sorted({each.module for each in distribution("aria-core").entry_points})])


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for a condition; ``AssertionError`` with `what` was waited for."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a runner ended: its exit code (negative: the signal that killed it) and what it wrote."""

    code: int
    said: str
    complained: str


class CrashProcess:
    """A runner in a process of its own; its files are numbered."""

    def __init__(self, be: Callable[..., None], directory: Path, arguments: tuple[str, ...],
                 number: int) -> None:
        self._out, self._err = directory / f"out-{number}", directory / f"err-{number}"
        target = (str(self._out), str(self._err), str(directory), *arguments)
        self._process: ForkServerProcess = _PROCESSES.Process(target=be, args=target)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid or 0

    def send(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        if self._process.is_alive():
            os.kill(self.pid, number)

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def said(self) -> str:
        """What it wrote until now."""
        return _text(self._out)

    def wait_until_stopped(self) -> None:
        """Until a SIGSTOP has stopped it; ``AssertionError`` if it ends instead."""
        wait_until(lambda: _is_stopped(self.pid) or not self.is_running(), "a SIGSTOP")
        assert self.is_running(), f"it was not stopped: {_text(self._err)}"

    def ends_within(self, seconds: float) -> bool:
        """Wait so long at most; whether it has ended."""
        self._process.join(seconds)
        return not self._process.is_alive()

    def end(self, seconds: float = PATIENCE) -> Ended:
        """Wait for its end; ``AssertionError`` if that does not come."""
        self._process.join(seconds)
        code = self._process.exitcode
        assert code is not None, f"a runner did not end within {seconds} s: {_text(self._err)}"
        return Ended(code, _text(self._out), _text(self._err))

    def memory(self) -> tuple[int, int]:
        """Its resident memory in bytes, now and at most since `forget_peak`; zeros if it has ended."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return 0, 0
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Vm")}
        return sizes.get("VmRSS", 0), sizes.get("VmHWM", 0)

    def forget_peak(self) -> None:
        """Count what it has at most from now on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def limit(self, what: int, soft: int) -> None:
        """Set a soft limit of ``resource`` for it, while it runs."""
        resource.prlimit(self.pid, what, (soft, resource.prlimit(self.pid, what)[1]))

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.join()


def be_a_runner(out: str, err: str, *arguments: str) -> None:
    """What such a process does: ``crash_runner`` with what it says in files."""
    from aria_core.testing.crash_runner import main

    os.setsid()
    with ExitStack() as opened:
        opened.enter_context(redirect_stdout(opened.enter_context(Path(out).open("w"))))
        opened.enter_context(redirect_stderr(opened.enter_context(Path(err).open("w"))))
        code = main(list(arguments))
    os._exit(code)


def _is_stopped(pid: int) -> bool:
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return fields[:1] == ["T"]


def be_the_command(out: str, err: str, directory: str, *words: str) -> None:
    """What a process does that is the command ``aria``."""
    from aria_core.__main__ import main

    os.setsid()
    os.chdir(directory)
    for path, descriptor in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = ["aria", *words]
    main()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
