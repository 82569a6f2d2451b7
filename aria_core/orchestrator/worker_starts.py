"""When another worker may be started, after one could not be."""

from __future__ import annotations

import time
from collections import Counter

from aria_core.worker.calls import Environment

_HOPELESS = 3
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


class WorkerStarts:
    """Waits longer and longer while the system is short of something; counts vain starts."""

    def __init__(self) -> None:
        self._vain: Counter[Environment | None] = Counter()
        self._pause = 0.0
        self.again_at: float | None = None
        """When, by the monotonic clock, to try again; None: now."""

    def wait(self) -> None:
        """Try again later. One shortage may end several workers: they are one reason to wait."""
        if self.again_at is None:
            self._pause = min(max(2 * self._pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            self.again_at = time.monotonic() + self._pause

    def may_try(self) -> bool:
        """Whether the pause, if there is one, is over."""
        if self.again_at is not None and self.again_at <= time.monotonic():
            self.again_at = None
        return self.again_at is None

    def note_ready(self, environment: Environment | None) -> None:
        """A worker is ready: nothing is short, and its environment is sound."""
        self._vain.pop(environment, None)
        self._pause = 0.0

    def note_vain(self, environment: Environment | None) -> bool:
        """A worker ended before it was ready; True if there is no sense in another one."""
        self._vain[environment] += 1
        return self._vain[environment] >= _HOPELESS

    def forget(self, environment: Environment | None) -> None:
        """Count anew."""
        self._vain.pop(environment, None)
