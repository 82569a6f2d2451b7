"""How long calls and commits took of late, and what follows from it."""

from __future__ import annotations

WORTH = 0.005
"""Seconds of work that may wait at the executor."""
WORTH_ELSEWHERE = 0.2
"""The same where a call is handed over by broker and database: a free slot must not wait for all that."""
MOST = 64
"""Calls that may wait for each slot."""
WEIGHT = 0.2
"""How much the newest duration counts."""
A_LOOK = 0.00003
"""Seconds that are waited at least."""


class Pace:
    """Means of the durations of calls and commits, the newest of which count most.

    `worth` is how many seconds of work may wait at the executor; `at_first` how many calls may wait for each
    slot as long as nobody knows how long a call takes.
    """

    def __init__(self, worth: float = WORTH, at_first: int = 0) -> None:
        self._worth = worth
        self._at_first = at_first
        self._call: float | None = None
        self._commit = 0.0

    def note_call(self, duration: float) -> None:
        """Note how long a call ran, in seconds."""
        self._call = duration if self._call is None else self._call + WEIGHT * (duration - self._call)

    def note_commit(self, duration: float) -> None:
        """Note how long a transaction took, in seconds."""
        self._commit += WEIGHT * (duration - self._commit)

    def backlog(self, slots: int) -> int:
        """How many calls may wait at the executor beside those that run.

        That is about `worth` seconds of recent work, so that short tasks flow and long ones wait with us:
        what does can still be ordered, cancelled and given to another runner.
        """
        if self._call is None:
            return slots * self._at_first
        return slots * min(MOST, int(self._worth / max(self._call, self._worth / MOST)))

    def gathering(self, left: int) -> float:
        """For how many seconds the ends of the calls that are left are worth waiting for; mostly 0.

        It is where they need less time than the commit that they would have for themselves, as short calls
        do beside an fsync.
        """
        if left < 1 or self._call is None:
            return 0.0
        wait = A_LOOK + left * self._call
        return wait if wait < self._commit else 0.0
