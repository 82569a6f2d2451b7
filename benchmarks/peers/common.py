"""What every peer shares: the task body, the proof that it ran, and the line of JSON.

The body appends one record of 12 bytes (index, clock) to a file: the same for every peer, in whatever
thread or process it lands. `finish` reads the file back and says so if a task is missing, ran twice, or
began before one of its dependencies.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import sqlite3
import statistics
import struct
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.peers import shapes

RECORD = struct.Struct("<Id")
WARM_UP = 64
"""Tasks that are run before those that are measured; their indexes come after the others."""

_log: int | None = None


def touch(index: int, sleep: float = 0.0) -> None:
    """The no-op task."""
    global _log  # noqa: PLW0603 - one file for whichever thread or process runs it
    if _log is None:
        _log = os.open(os.environ["PEER_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(_log, RECORD.pack(index, time.perf_counter()))
    if sleep:
        time.sleep(sleep)


@dataclass(frozen=True)
class Given:
    """What one run is asked to do."""

    shape: str
    n: int
    mode: str
    dir: Path
    """A directory of this run's own, on the disk that is measured."""
    reps: int
    """How often to run, for peers whose start costs more than a run."""

    @cached_property
    def g(self) -> dict[int, list[int]]:
        """Each task with what it depends on."""
        return shapes.graph(self.shape, self.n)

    @property
    def sleep(self) -> float:
        """What a task sleeps."""
        return shapes.SLEEP_S if self.shape == "sleep" else 0.0

    @property
    def threads(self) -> int:
        """How many threads run tasks."""
        return shapes.SLEEPERS if self.sleep else 4

    @property
    def procs(self) -> int:
        """How many processes run tasks."""
        return shapes.SLEEPERS if self.sleep else 2

    def warm_up(self) -> dict[int, list[int]]:
        """A small graph with indexes of its own: what is measured is not the first time."""
        return {self.n + index: [] for index in range(WARM_UP)}


def setup(modes: Sequence[str]) -> Given:
    """Read the command line and prepare the log."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=shapes.SHAPES)
    parser.add_argument("n", type=int)
    parser.add_argument("--mode", choices=modes, default=modes[0])
    given = parser.parse_args()
    if "PEER_DIR" not in os.environ:  # a child of the peer may import its module again
        os.environ["PEER_DIR"] = tempfile.mkdtemp(prefix="peer-")
    directory = Path(os.environ["PEER_DIR"])
    os.environ.setdefault("PEER_LOG", str(directory / "log"))
    Path(os.environ["PEER_LOG"]).touch()
    n = given.n // 3 * 3 if given.shape == "service" else given.n
    return Given(given.shape, n, given.mode, directory, int(os.environ.get("PEER_REPS", "1")))


def forget() -> None:
    """Empty the log: what was in it was a warm-up."""
    os.truncate(os.environ["PEER_LOG"], 0)


def peak_mb(with_own: bool = True) -> float:
    """The peak of this process and the peaks of its live descendants; pages that they share count twice."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 if with_own else 0.0
    return round(peak + sum(map(_peak_of, _descendants())), 1)


def _peak_of(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _descendants() -> list[int]:
    import psutil

    return [each.pid for each in psutil.Process().children(recursive=True)]


def reap() -> None:
    """Kill this process's own descendants (workers, a server it started), then leave without waiting."""
    import psutil

    for each in psutil.Process().children(recursive=True):
        each.kill()
    shutil.rmtree(os.environ["PEER_DIR"], ignore_errors=True)
    os._exit(0)


def finish(given: Given, peer: str, version: str, build_s: float, exec_s: float, durable: bool | str,
           **more: Any) -> None:
    """Judge the run by its log, and print its line."""
    rss = peak_mb()  # before the proof takes memory of its own
    row: dict[str, Any] = {
        "peer": peer, "version": version, "mode": given.mode, "shape": given.shape, "n": given.n,
        "build_s": round(build_s, 5), "exec_s": round(exec_s, 5),
        "tasks_per_s": round(given.n / exec_s, 1), "us_per_task": round(exec_s / given.n * 1e6, 1),
        "rss_mb": rss, "durable": durable}
    row.update(_verdict(given.g))
    if given.sleep:
        row["efficiency_pct"] = round(100 * given.n * given.sleep / shapes.SLEEPERS / exec_s, 1)
    forget()
    emit({**row, **more})


def emit(row: dict[str, Any]) -> None:
    """Print a line of the results, with what the machine was doing."""
    row.update(load1=round(os.getloadavg()[0], 2), python=platform.python_version(),
               sqlite=sqlite3.sqlite_version)
    print("RESULT " + json.dumps(row), flush=True)


def effects() -> list[tuple[int, float]]:
    """What the log holds: index and clock of every task that began."""
    data = Path(os.environ["PEER_LOG"]).read_bytes()
    return list(RECORD.iter_unpack(data[:len(data) // RECORD.size * RECORD.size]))


def _verdict(graph: dict[int, list[int]]) -> dict[str, Any]:
    began: dict[int, float] = {}
    twice = 0
    for index, moment in effects():
        twice += index in began
        began.setdefault(index, moment)
    missing = sum(1 for index in graph if index not in began)
    strange = sum(1 for index in began if index not in graph)
    early = sum(1 for index, awaited in graph.items() if _is_early(index, awaited, began))
    if missing or strange or early or twice:
        return {"verified": False, "problem": f"missing {missing}, unknown {strange}, ran twice {twice}, "
                                              f"began before a dependency {early}"}
    return {"verified": True, **_hops(graph, began)}


def _is_early(index: int, awaited: Iterable[int], began: dict[int, float]) -> bool:
    return any(began.get(each, float("inf")) > began.get(index, 0.0) for each in awaited)


def _hops(graph: dict[int, list[int]], began: dict[int, float]) -> dict[str, float]:
    """From the start of the last dependency to the start of a task, in microseconds."""
    hops = sorted((began[index] - max(began[each] for each in awaited)) * 1e6
                  for index, awaited in graph.items() if awaited)
    if not hops:
        return {}
    return {"hop_us_p50": round(statistics.median(hops), 1),
            "hop_us_p99": round(hops[int(len(hops) * 0.99)], 1)}
