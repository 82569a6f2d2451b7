"""Named places at which a test lets a process die; standard library only, so that workers use it too.

A test writes one `Fault` into a directory with `plan_fault`. Whoever reaches the place that it names,
for the time that it names, removes the plan and carries it out: a plan strikes once, whatever number
of processes come by. Every place that is reached is noted in the directory, so that a test can tell a
place that nobody came to from one that was survived.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

PLACES = {
    "claim": "the execution is inserted",
    "takeover": "a resume makes the execution its own",
    "graph": "the task graph is stored",
    "sent": "a dispatch is written ahead",
    "started": "the start of an operation is stored",
    "success": "the success of an operation is stored",
    "retrying": "a failed attempt is stored that will be followed by another",
    "failed": "the final failure of an operation is stored",
    "pending": "an interrupted or withdrawn task is stored as pending",
    "end": "the end of the execution is stored",
    "beat": "the owner shows that it lives",
    "release": "the owner lets go of an execution that has not ended",
    "cancel-request": "somebody asks to cancel",
    "abandon": "an execution without graph or runner is ended",
    "flush": "an operation commits attributes early",
    "log": "log lines are stored",
    "dispatch": "a call goes to the executor",
    "withdraw": "calls that have not begun are taken back",
    "terminate": "a running call is ended",
    "report": "a report of the executor goes to the engine",
    "effect": "an operation changes the world",
}
"""What happens at each place. The points are ``before-<place>`` and ``after-<place>``."""

PLACES_ELSEWHERE = {
    "call-claim": "a worker elsewhere makes calls its own",
    "call-beat": "a worker elsewhere shows that calls live",
    "call-report": "a worker elsewhere stores how calls have ended",
}
"""The same of workers elsewhere, if they have an executor whose calls survive its runner."""

IN_COMMIT = "in-commit"
"""Everything of a write transaction was sent to the database but its COMMIT (SQL storages only)."""

POINTS = (*(f"{side}-{place}" for place in (*PLACES, *PLACES_ELSEWHERE) for side in ("before", "after")),
          IN_COMMIT)
"""The names of all fault points."""

Whom = Literal["itself", "runner", "everything"]

ACKNOWLEDGED = "acknowledged"
"""The file in which runners note what they were told is committed."""

MEETING, ARRIVED, GATE = "meeting", "arrived", "gate"
"""The files of `aria_core.testing.meeting.Meeting`."""

_PLAN, _REACHED, _RUNNER = "fault.json", "reached", "runner.pid"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to happen at a point: `signal_name` to the process there, the runner, or the runner's tree."""

    point: str
    whom: Whom = "itself"
    nth: int = 1
    """Which time that the point is reached, counted over all processes of the directory."""
    signal_name: str = "SIGKILL"

    def __post_init__(self) -> None:
        if self.point not in POINTS:
            raise ValueError(f"there is no fault point {self.point!r}; there are {', '.join(POINTS)}")


def plan_fault(directory: Path, fault: Fault) -> None:
    """Have `fault` strike once in the processes that work in `directory`; forgets what was reached."""
    (directory / _REACHED).unlink(missing_ok=True)
    made = directory / f"{_PLAN}.new"
    made.write_text(json.dumps(asdict(fault)))
    made.replace(directory / _PLAN)


def forget_fault(directory: Path) -> bool:
    """Remove the plan; whether it had not struck yet."""
    try:
        (directory / _PLAN).unlink()
    except FileNotFoundError:
        return False
    return True


def reached(directory: Path) -> dict[str, int]:
    """How often each point was reached since the last plan was made."""
    counts: dict[str, int] = {}
    for line in _lines(directory / _REACHED):
        counts[line] = counts.get(line, 0) + 1
    return counts


def note_runner(directory: Path) -> None:
    """Say that this process is the runner of the directory."""
    (directory / _RUNNER).write_text(str(os.getpid()))


class FaultPoints:
    """The points of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def reach(self, point: str) -> None:
        """Note that this process is at `point`, wait if others meet there, and let what is planned happen."""
        append_line(self._directory / _REACHED, point)
        self._meet(point)
        fault = self._planned()
        if fault is None or fault.point != point or reached(self._directory)[point] < fault.nth:
            return
        if forget_fault(self._directory):
            self._strike(fault)

    def before(self, *places: str) -> None:
        """Reach the points before these places."""
        for place in places:
            self.reach(f"before-{place}")

    def after(self, *places: str) -> None:
        """Reach the points after these places."""
        for place in places:
            self.reach(f"after-{place}")

    def acknowledge(self, execution: int, epoch: int, batch: int) -> None:
        """Note that the storage said that a transaction is committed: it must be there ever after."""
        append_line(self._directory / ACKNOWLEDGED, f"{execution} {epoch} {batch}")

    def _meet(self, point: str) -> None:
        if any(each == point for each in _lines(self._directory / MEETING)):
            append_line(self._directory / ARRIVED, str(os.getpid()))
            with (self._directory / GATE).open() as gate:
                fcntl.flock(gate, fcntl.LOCK_SH)

    def _planned(self) -> Fault | None:
        try:
            return Fault(**json.loads((self._directory / _PLAN).read_text()))
        except FileNotFoundError:
            return None

    def _strike(self, fault: Fault) -> None:
        number = signal.Signals[fault.signal_name]
        if fault.whom == "itself":
            os.kill(os.getpid(), number)
            return
        runner = int((self._directory / _RUNNER).read_text())
        if fault.whom == "runner":
            _send(runner, number)
        else:
            signal_tree(runner, number)


def append_line(path: Path, line: str) -> None:
    """Append one line with one system call, so that lines of different processes never mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def signal_tree(root: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process and all that descend from it, at one moment; to this process last.

    They are stopped first, so that none has children while the others die.
    """
    found: list[int] = []
    while new := [pid for pid in _tree(root) if pid not in found]:
        for pid in new:
            if pid != os.getpid():
                _send(pid, signal.SIGSTOP)
        found += new
        time.sleep(0.001)
    for pid in sorted(found, key=lambda pid: pid == os.getpid()):
        _send(pid, number)
        if pid != os.getpid():
            _send(pid, signal.SIGCONT)


def _tree(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])


def _parent(entry: Path) -> int | None:
    try:
        fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[1])


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended by itself


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:  # also if a meeting ends right now
        return []
