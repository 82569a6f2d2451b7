"""Workers elsewhere for crash tests: real ``aria worker`` processes on what might be other hosts."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aria_core.orchestrator.executor import Station
from aria_core.testing.crash import CrashSite
from aria_core.testing.crash_process import CrashProcess
from aria_core.testing.crash_runner import faulty_application
from aria_core.testing.effects import EFFECTS
from aria_core.testing.fault_points import FaultPoints
from aria_core.testing.few_processes import become_user
from aria_core.testing.traces import read_effects

MANY = 10_000
OTHER_USER = 61_234
"""Nobody's number. Those of runners and workers differ if the tests run as root."""


class WorkerSite:
    """The directory of one host with its own configuration, and the workers that were started there.

    They run as another user if the tests run as root, with nothing of the runner's files.
    """

    def __init__(self, directory: Path, configuration: str) -> None:
        directory.mkdir(exist_ok=True)
        directory.chmod(0o777)
        self.directory = directory
        self._begun: list[CrashProcess] = []
        (directory / "aria.toml").write_text(configuration)

    def launch(self, *words: str) -> CrashProcess:
        """Begin ``aria worker`` with these words."""
        return self._begin(_be_a_worker, words)

    def launch_faulty(self, site: CrashSite, slots: int) -> CrashProcess:
        """Begin a worker that comes to the fault points of `site`."""
        return self._begin(_be_a_faulty_worker, (str(site.directory), str(slots)))

    def _begin(self, be: Callable[..., None], arguments: tuple[str, ...]) -> CrashProcess:
        process = CrashProcess(be, self.directory, arguments, len(self._begun))
        self._begun.append(process)
        sys.stderr.write(f"worker {process.pid} in {self.directory}\n")
        return process

    def close(self) -> None:
        """End what is left."""
        for process in self._begun:
            process.kill()


@contextmanager
def worker_sites(directories: Iterable[Path], configuration: str) -> Iterator[list[WorkerSite]]:
    """Hosts with the same configuration; their workers end with the block."""
    sites = [WorkerSite(each, configuration) for each in directories]
    try:
        yield sites
    finally:
        for each in sites:
            each.close()


def running_pids(site: CrashSite) -> dict[int, str]:
    """The processes whose operation has begun and has not ended, and the marks of their attempts."""
    running: dict[int, str] = {}
    for each in read_effects(site.directory / EFFECTS):
        if each.what == "begin":
            running[each.pid] = str(each.mark)
        elif each.what == "end":
            running.pop(each.pid, None)
    return {pid: mark for pid, mark in running.items() if Path(f"/proc/{pid}").exists()}


def kill(pid: int) -> None:
    """End a process as a power cut would; nothing happens if it has ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _be_a_worker(out: str, err: str, directory: str, *words: str) -> None:
    from aria_core.__main__ import main

    _be_elsewhere(out, err, directory)
    sys.argv = ["aria", "worker", *words]
    main()


def _be_a_faulty_worker(out: str, err: str, directory: str, points: str, slots: str) -> None:
    _be_elsewhere(out, err, directory)
    with faulty_application(FaultPoints(Path(points))) as application:
        application.executor().serve(Station(application.remote_worker, int(slots)))


def _be_elsewhere(out: str, err: str, directory: str) -> None:
    os.setsid()
    for path, descriptor in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    if os.geteuid() == 0:
        become_user(OTHER_USER, MANY)
    os.chdir(directory)
    os.environ["HOME"] = directory
