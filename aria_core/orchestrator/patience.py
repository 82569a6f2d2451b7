"""Waiting for a storage that is away, for as long as the execution stays ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from aria_core.clock import Clock
from aria_core.exceptions import StorageLostError, StorageUnavailableError
from aria_core.orchestrator.ownership import GIVES_UP_AFTER

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


def ride_out(clock: Clock, action: Callable[[bool], T]) -> T:
    """What ``action(False)`` returns; after a ``StorageUnavailableError``, what ``action(True)`` does.

    True says that it was tried before and perhaps had its effect. Raises ``StorageUnavailableError``
    once the lease would have run out, and at once whatever else the action raises, ``StorageLostError``
    among it.
    """
    pause, again = _FIRST_PAUSE, False
    deadline = clock.monotonic() + GIVES_UP_AFTER
    while True:
        try:
            return action(again)
        except StorageLostError:
            raise
        except StorageUnavailableError:
            if clock.monotonic() + pause > deadline:
                raise
        again = True
        clock.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
