"""What a script prints: passed on line by line while it runs, within bounds, and its end kept."""

from __future__ import annotations

import logging
from collections.abc import Callable

LINE_LIMIT = 64 * 1024
ATTEMPT_LIMIT = 1024 * 1024
TAIL = 16 * 1024

_SMALLEST = 64  # bytes a line counts at least: a million empty lines are a million rows, too


class Budget:
    """How much one attempt may still log."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._left = ATTEMPT_LIMIT
        self._note = note

    @property
    def is_spent(self) -> bool:
        """Whether nothing will be logged any more."""
        return self._left <= 0

    def take(self, size: int) -> bool:
        """Whether a line of `size` bytes still fits; the first that does not is noted."""
        if self._left <= 0:
            return False
        self._left -= max(size, _SMALLEST)
        if self._left <= 0:
            self._note(f"the script printed more than {ATTEMPT_LIMIT // 1024} KiB; the rest is not logged")
        return self._left > 0


class Output:
    """One stream: takes bytes, gives lines."""

    def __init__(self, log: Callable[[str], None], budget: Budget) -> None:
        self._log = log
        self._budget = budget
        self._line = bytearray()
        self._cut = 0
        self._tail = bytearray()

    def take(self, data: bytes) -> None:
        """Take what was read; log the lines that are complete."""
        self._tail += data
        del self._tail[:-TAIL]
        if self._budget.is_spent:
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._add(line)
            self.finish(even_empty=True)
        self._add(rest)

    def finish(self, even_empty: bool = False) -> None:
        """Log the line that has no end yet."""
        if self._line or even_empty:
            if self._budget.take(len(self._line)):
                text = self._line.decode("utf-8", "replace").removesuffix("\r")
                self._log(f"{text} … ({self._cut} bytes cut)" if self._cut else text)
            self._line.clear()
            self._cut = 0

    @property
    def tail(self) -> str:
        """The end of everything that was printed."""
        return self._tail.decode("utf-8", "replace")

    def _add(self, piece: bytes) -> None:
        room = LINE_LIMIT - len(self._line)
        self._line += piece[:room]
        self._cut += max(len(piece) - room, 0)


class ScriptOutput:
    """Both streams of a script, logged as info and as warning, within one budget."""

    def __init__(self, logger: logging.Logger) -> None:
        budget = Budget(logger.warning)
        self.stdout = Output(lambda line: logger.info("%s", line), budget)
        self.stderr = Output(lambda line: logger.warning("%s", line), budget)

    def finish(self) -> None:
        """Log the lines that have no end yet."""
        self.stdout.finish()
        self.stderr.finish()
