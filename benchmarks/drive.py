"""Runs cells one after the other, in rounds, and keeps a line of every run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cells import OURS, Cell, key_of
from benchmarks.postgresql import Server, server

ROOT = Path(__file__).parents[1]
_MARK = "RESULT "


@dataclass
class Driver:
    """Runs each cell until it has enough lines in the file of results.

    Rounds go through all cells in turn, so that a busy moment slows each of them. What is in the file
    already counts: a run that was cut short goes on where it was. A cell that failed is not tried again.
    """

    results: Path
    venvs: Path | None
    about: Mapping[str, Any]
    """What is written into every line."""
    done: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    failed: set[tuple[str, str, str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for row in read(self.results):
            self._count(row)

    def run(self, cells: Sequence[Cell]) -> None:
        """Run what is missing."""
        wanted = [each for each in cells if self._python(each) is not None]
        with ExitStack() as stack:
            running: Server | None = None
            for cell in self._rounds(wanted):
                if cell.needs_postgresql and running is None:
                    running = stack.enter_context(server())
                self._run(cell, running)

    def missing(self, cells: Iterable[Cell]) -> list[str]:
        """Peers that are asked for and not installed."""
        return sorted({each.peer for each in cells if self._python(each) is None})

    def _rounds(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        for number in range(max((each.repeats for each in cells), default=0)):
            for cell in cells:
                if self.done[cell.key] <= number < cell.repeats and cell.key not in self.failed:
                    yield cell

    def _python(self, cell: Cell) -> str | None:
        if cell.peer in OURS:
            return sys.executable
        python = self.venvs and self.venvs / cell.peer / "bin" / "python"
        return str(python) if python and python.exists() else None

    def _run(self, cell: Cell, postgresql: Server | None) -> None:
        with ExitStack() as stack:
            own = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True))
            environment = {**os.environ, "PEER_DIR": own, "PEER_REPS": "1"}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling is not what is measured
            if cell.needs_postgresql and postgresql is not None:
                environment["PEER_PG"] = stack.enter_context(postgresql.database())
            before = os.getloadavg()[0]
            row = self._output(cell, environment)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._keep({**row, "load_before": round(before, 2), "at": at, **self.about})

    def _output(self, cell: Cell, environment: Mapping[str, str]) -> dict[str, Any]:
        command = [str(self._python(cell)), "-m", cell.module, cell.shape, str(cell.n), "--mode", cell.mode]
        with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
                command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=errors,
                start_new_session=True) as process:
            try:
                printed = process.communicate(timeout=cell.timeout)[0]
                problem = f"it ended with {process.returncode} and without a result"
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                printed, problem = process.communicate()[0], f"no result within {cell.timeout:.0f} s"
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            found = [json.loads(line.removeprefix(_MARK)) for line in printed.splitlines()
                     if line.startswith(_MARK)]
            if found:
                return dict(found[0])
            errors.seek(0)
            sys.stderr.write(errors.read()[-2000:])
        return {"peer": cell.peer, "mode": cell.mode, "shape": cell.shape, "n": cell.n, "failed": problem}

    def _keep(self, row: dict[str, Any]) -> None:
        with self.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self._count(row)
        print(time.strftime("%H:%M:%S"), *key_of(row), _in_short(row), flush=True)

    def _count(self, row: dict[str, Any]) -> None:
        self.done[key_of(row)] += 1
        if "failed" in row:
            self.failed.add(key_of(row))


def read(results: Path) -> list[dict[str, Any]]:
    """The runs in a file of results; none if there is no file."""
    return [each for each in _lines(results) if "peer" in each]


def machines(results: Path) -> list[dict[str, str]]:
    """What the runs in a file of results were made on, the last one last."""
    return [each["machine"] for each in _lines(results) if "machine" in each]


def note_machine(results: Path, described: Mapping[str, str]) -> None:
    """Write down what the runs that follow are made on, unless those before were made on the same."""
    if machines(results)[-1:] != [described]:
        with results.open("a") as file:
            file.write(json.dumps({"machine": described}) + "\n")


def _lines(results: Path) -> list[dict[str, Any]]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines() if line]


def _in_short(row: Mapping[str, Any]) -> str:
    if "failed" in row:
        return f"FAILED: {row['failed']}"
    if not row.get("verified", True):
        return f"WRONG: {row.get('problem')}"
    if "executed" in row:
        return f"killed when {row['executed']:,} tasks had begun"
    rate = f"{row['tasks_per_s']:,.0f}/s" if "tasks_per_s" in row else ""
    return f"{row.get('exec_s', 0):.3f} s {rate}"
