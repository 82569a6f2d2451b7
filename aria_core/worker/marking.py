"""The mark of an attempt, ``ARIA_ATTEMPT=<execution>/<task>/<attempt>@<origin>``, as others see it.

What ``/proc/<pid>/environ`` shows is the block of memory a program was started with; a later
``putenv`` does not appear there. A worker is warm, so the attempt it works for changes, and what its
operation forks without an ``exec`` has nothing but a copy of the worker's memory. So the worker is
started with room for a mark and writes each one into that room: it is then visible on the worker
itself and on everything it forks, while programs it starts inherit ``os.environ`` as usual.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from aria_core.worker.calls import Call

ATTEMPT_VARIABLE = "ARIA_ATTEMPT"
TOKEN_VARIABLE = "ARIA_TASK_TOKEN"  # noqa: S105 - the name of a variable

_ATTEMPT, _TOKEN = ATTEMPT_VARIABLE.encode(), TOKEN_VARIABLE.encode()  # as bytes they cost half
_SIZE = 96
ROOM = " " * _SIZE
"""What `ATTEMPT_VARIABLE` holds when a worker starts."""


class AttemptMark:
    """The mark of this process; one for each process."""

    def __init__(self) -> None:
        self._write = _find_room()
        self.clear()

    def set(self, call: Call) -> None:
        """From now on this process and what it starts belong to this attempt."""
        mark = call.mark.encode()
        os.environb[_ATTEMPT] = mark
        os.environb[_TOKEN] = call.ref.token.encode()
        self._write(mark)

    def clear(self) -> None:
        """This process belongs to no attempt any more; what it started keeps its mark."""
        for name in (_ATTEMPT, _TOKEN):
            if name in os.environb:  # the operation may have removed it
                del os.environb[name]
        self._write(b"")


def _nowhere(mark: bytes) -> None:
    """Outside Linux nobody could see it."""


def _find_room() -> Callable[[bytes], None]:
    if not sys.platform.startswith("linux"):
        return _nowhere
    import ctypes

    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    address = libc.getenv(ATTEMPT_VARIABLE.encode())
    if address is None or ctypes.string_at(address) != ROOM.encode():
        return _nowhere

    def write(mark: bytes) -> None:
        ctypes.memmove(address, mark[:_SIZE].ljust(_SIZE, b"\0"), _SIZE)

    return write
