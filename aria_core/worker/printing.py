"""What a Python operation prints becomes lines of its task's log, within bounds.

Only ``sys.stdout`` and ``sys.stderr`` are caught. The file descriptors 1 and 2 of a worker lead to
``/dev/null``: a server that an operation leaves running inherits them, and must neither block nor
break when the worker is gone. What child processes print is for the operation to read.
"""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

LINE_LIMIT = 64 * 1024
ATTEMPT_LIMIT = 1024 * 1024

_SMALLEST = 64  # bytes a line counts at least: a million empty lines are a million rows, too

Tell = Callable[[Mapping[str, Any]], None]


class Printing:
    """The two streams of this process and the log they currently lead to."""

    def __init__(self) -> None:
        self._tell: Tell | None = None
        self._left = 0
        self._streams = (_Lines(self, "INFO"), _Lines(self, "WARNING"))

    def catch(self) -> None:
        """Replace ``sys.stdout`` and ``sys.stderr``."""
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(each, "utf-8", "backslashreplace", write_through=True)  # type: ignore[type-var]
            for each in self._streams)

    def begin(self, tell: Tell) -> None:
        """From now on lines go to `tell`, up to 1 MiB of them."""
        self._left = ATTEMPT_LIMIT
        self._tell = tell

    def end(self) -> None:
        """Pass on unfinished lines; what is printed from now on belongs to nobody and is dropped."""
        for each in self._streams:
            each.finish()
        self._tell = None

    @property
    def wants_more(self) -> bool:
        """Whether anything printed now would reach the log."""
        return self._tell is not None and self._left > 0

    def line(self, level: str, line: bytes) -> None:
        """Pass on one line, cut to what a line and what is left of the attempt may have."""
        if not self.wants_more:
            return
        kept = line[:min(LINE_LIMIT, self._left)]
        self._left -= max(len(kept) + 1, _SMALLEST)
        text = kept.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}").rstrip("\r")
        self._log(level, text + ("… (cut)" if len(kept) < len(line) else ""))
        if self._left <= 0:
            self._log("WARNING", f"this attempt printed more than {ATTEMPT_LIMIT} bytes; the rest is dropped")

    def _log(self, level: str, text: str) -> None:
        if self._tell is not None:
            self._tell({"tell": "log", "level": level, "message": text, "created_at": time.time()})


class _Lines(io.RawIOBase):
    """Cuts what is written into lines; holds back no more than a line may have."""

    def __init__(self, printing: Printing, level: str) -> None:
        super().__init__()
        self._printing = printing
        self._level = level
        self._rest = bytearray()
        self._writing = threading.RLock()

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any, /) -> int:
        """Take bytes; whole lines are passed on."""
        view = memoryview(data).cast("B")
        with self._writing:
            for start in range(0, len(view), LINE_LIMIT):
                if not self._printing.wants_more:
                    break
                self._take(bytes(view[start:start + LINE_LIMIT]))
        return len(view)

    def finish(self) -> None:
        """Pass on the unfinished line."""
        with self._writing:
            if self._rest:
                self._pass_on()

    def _take(self, data: bytes) -> None:
        first, *others = data.split(b"\n")
        self._keep(first)
        for each in others:
            self._pass_on()
            self._keep(each)

    def _keep(self, piece: bytes) -> None:
        self._rest += piece[:max(LINE_LIMIT + 1 - len(self._rest), 0)]

    def _pass_on(self) -> None:
        line, self._rest = bytes(self._rest), bytearray()
        self._printing.line(self._level, line)
