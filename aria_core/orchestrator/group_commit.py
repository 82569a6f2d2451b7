"""One transaction for what several threads want to have stored at about the same time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST = 256
"""How many items one transaction is given."""


class _Turn(Generic[T, R]):
    """What one thread wants, and what became of it."""

    __slots__ = ("error", "item", "leads", "over", "result")

    def __init__(self, item: T) -> None:
        self.item = item
        self.over = threading.Event()
        self.leads = False
        self.result: R | None = None
        self.error: BaseException | None = None


class GroupCommit(Generic[T, R]):
    """Gives `commit` what threads bring, all at once what came while it was at work.

    A thread that comes alone commits for itself and at once: nobody waits for company. `commit` returns one
    result for each item, in their order; what it raises every thread of that group is told.
    """

    def __init__(self, commit: Callable[[list[T]], Sequence[R]]) -> None:
        self._commit = commit
        self._waiting: deque[_Turn[T, R]] = deque()
        self._is_led = False
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many wait for the next commit."""
        return len(self._waiting)

    def do(self, item: T) -> R:
        """Have the item committed, perhaps with others; its result. Blocks until then."""
        turn: _Turn[T, R] = _Turn(item)
        with self._lock:
            self._waiting.append(turn)
            turn.leads = not self._is_led
            self._is_led = True
        if not turn.leads:
            turn.over.wait()
        if turn.leads:
            self._lead()
        if turn.error is not None:
            raise turn.error
        return turn.result  # type: ignore[return-value] # it has one: there was no error

    def _lead(self) -> None:
        """Commit what waits, our own first; whoever came meanwhile leads the next group."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        try:
            for turn, result in zip(group, self._commit([turn.item for turn in group]), strict=True):
                turn.result = result
        except BaseException as error:  # noqa: BLE001 - it belongs to all who are in the group
            for turn in group:
                turn.error = error
        with self._lock:
            successor = self._waiting[0] if self._waiting else None
            self._is_led = successor is not None
        if successor is not None:
            successor.leads = True
            successor.over.set()
        for turn in group:
            turn.over.set()
