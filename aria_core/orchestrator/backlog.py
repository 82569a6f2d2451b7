"""How many calls may wait at the executor beside those that run."""

from __future__ import annotations

WORTH = 0.005
"""Seconds of work that may wait at the executor."""
MOST = 64
"""Calls that may wait for each slot."""
WEIGHT = 0.2
"""How much the newest duration counts."""


class Backlog:
    """Sized to about 5 ms of recent work, so that short tasks flow and long ones wait with us.

    What waits with us can still be ordered, cancelled and given to another runner.
    """

    def __init__(self) -> None:
        self._mean: float | None = None

    def observe(self, duration: float) -> None:
        """Note how long a call ran, in seconds."""
        self._mean = duration if self._mean is None else self._mean + WEIGHT * (duration - self._mean)

    def size(self, slots: int) -> int:
        """How many calls may wait now."""
        if self._mean is None:
            return 0
        return slots * min(MOST, int(WORTH / max(self._mean, WORTH / MOST)))
