"""What operations and runners leave outside of the database: lines in files, and processes.

Imports nothing of ARIA: whoever judges must not believe what he judges.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of the effects file."""

    execution: int
    task: int
    attempt: int
    origin: str
    what: str
    pid: int
    at: float
    line: int
    """Which line it is: who wrote later stands below, whatever the clocks say."""

    @property
    def mark(self) -> str:
        """What the environment of its attempt's processes says."""
        return f"{self.execution}/{self.task}/{self.attempt}" + (f"@{self.origin}" if self.origin else "")


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A transaction that a runner was told is committed."""

    execution: int
    epoch: int
    batch: int


def read_effects(path: Path, *, still_written: bool = False) -> list[Effect]:
    """The lines of an effects file, in order; raises ``ValueError`` for a line that is torn.

    Of one that is `still_written` the last line may lack its end, and is left out.
    """
    effects = []
    for number, line in enumerate(_lines(path, whole_only=still_written)):
        mark, what, pid, at = line.split()
        numbers, _, origin = mark.partition("@")
        execution, task, attempt = map(int, numbers.split("/"))
        effects.append(Effect(execution, task, attempt, origin, what, int(pid), float(at), number))
    return effects


def read_acknowledged(path: Path) -> list[Acknowledged]:
    """The lines that `aria_core.testing.faulty.FaultyLedger` writes after each commit."""
    return [Acknowledged(*map(int, line.split())) for line in _lines(path)]


def _lines(path: Path, *, whole_only: bool = False) -> list[str]:
    text = path.read_text() if path.exists() else ""
    return (text[:text.rfind("\n") + 1] if whole_only else text).splitlines()


def marked_processes() -> Iterator[tuple[int, str]]:
    """Every process of ours that belongs to an attempt, with its mark."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or is not ours
        for each in variables:
            if each.startswith(b"ARIA_ATTEMPT="):
                yield int(entry.name), each.partition(b"=")[2].decode().strip()
