"""Has processes that come to a fault point wait there for each other, so that they race from it on.

The wait ends for all of them at one moment: it is a lock on a file that a test holds and they ask for.
"""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from types import TracebackType

from aria_core.testing.fault_points import ARRIVED, GATE, MEETING, POINTS


class Meeting:
    """A fault point of `directory` that nobody passes until the end of the block, or until `end`."""

    def __init__(self, directory: Path, point: str) -> None:
        if point not in POINTS:
            raise ValueError(f"there is no fault point {point!r}; there are {', '.join(POINTS)}")
        self._directory = directory
        self._point = point

    def __enter__(self) -> Meeting:
        self._arrived.unlink(missing_ok=True)
        self._gate = (self._directory / GATE).open("w")
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        (self._directory / MEETING).write_text(self._point)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.end()

    @property
    def _arrived(self) -> Path:
        return self._directory / ARRIVED

    def wait_for(self, count: int, seconds: float = 60.0) -> None:
        """Until so many are there; ``AssertionError`` if they do not come."""
        until = time.monotonic() + seconds
        while (there := self._arrived.read_text().count("\n") if self._arrived.exists() else 0) < count:
            assert time.monotonic() < until, f"{there} of {count} came to {self._point} within {seconds} s"
            time.sleep(0.005)

    def end(self) -> float:
        """Let all go on, and who comes later pass by; when that was, in seconds since the epoch."""
        (self._directory / MEETING).unlink(missing_ok=True)
        at = time.time()
        self._gate.close()
        return at
