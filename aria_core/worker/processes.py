"""Finding and ending what an attempt has started, daemons included.

Whatever an attempt starts inherits its mark (`aria_core.worker.marking`) in its environment, or
stands in the session of its script. Both are read from ``/proc``; elsewhere than on Linux nothing is
found there, and only the process group of a session can be ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Set
from pathlib import Path

from aria_core.worker.marking import ATTEMPT_VARIABLE

Find = Callable[[], list[int]]

_PROC = Path("/proc")
_FORCE_SECONDS = 5.0
_LONGEST_PAUSE = 0.05
_LONGEST_EXEC = 1.0
_EXEC_PAUSE = 0.0005
_SESSION_FIELD, _FLAGS_FIELD, _CODE_FIELD, _ENVIRONMENT_FIELD = 3, 6, 23, 47
"""Fields of ``/proc/<pid>/stat``, counted behind the name."""
_KERNEL_THREAD = 0x00200000
_GONE = b"ZX"


def started_at(pid: int) -> str | None:
    """When a process started, in ticks since boot; None if it ended, even if nobody has reaped it yet."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return fields[19].decode() if fields and fields[0] not in _GONE else None


def is_alive(pid: int, started: str | None) -> bool:
    """Whether the process that began at `started` runs; without ``/proc``, whether one of its number does."""
    if (_PROC / "self/stat").exists():
        return started is not None and started_at(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def find_marked(mark: str, variable: str = ATTEMPT_VARIABLE) -> list[int]:
    """The processes of this user, but for this one, whose environment has ``variable=mark``."""
    return _having({f"{variable}={mark}".encode()})


def find_session(session: int) -> list[int]:
    """The living processes of this user in the session that the process `session` opened."""
    return [pid for pid in _own_processes() if _living_session(pid) == session]


def kill_marked(mark: str, grace: float, variable: str = ATTEMPT_VARIABLE) -> bool:
    """End what `find_marked` finds: SIGTERM, after `grace` seconds SIGKILL; True once nothing is left."""
    return kill_all(lambda: find_marked(mark, variable), grace)


def kill_all_marked(marks: Collection[str]) -> list[int]:
    """End at once what carries one of `marks`; each look at all processes serves for all of them.

    Returns what could not be ended.
    """
    entries = {f"{ATTEMPT_VARIABLE}={mark}".encode() for mark in marks}
    if not marks or kill_all(lambda: _having(entries), 0.0):
        return []
    return _having(entries)


def _having(entries: Set[bytes]) -> list[int]:
    until = time.monotonic() + _LONGEST_EXEC
    return [pid for pid in _own_processes() if not entries.isdisjoint(_environment(pid, until).split(b"\0"))]


def _environment(pid: int, until: float) -> bytes:
    """A process's environment, b"" if it has ended.

    While a program takes another's place there is none, and while a process is ending neither: it is read
    again until there is one, or no process.
    """
    while not (block := _read(pid, "environ")) and _has_one_soon(pid) and time.monotonic() < until:
        time.sleep(_EXEC_PAUSE)
    return block


def _has_one_soon(pid: int) -> bool:
    """Whether a process whose environment was read as empty is a program in the making, or just was.

    Threads of the kernel never have one, who has ended has none any more, and that of a program which
    was given an empty one begins where it ends. In the making it does so too, but then has no code yet.
    """
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    if len(fields) <= _ENVIRONMENT_FIELD + 1 or fields[0] in _GONE:
        return False
    begin, end = fields[_ENVIRONMENT_FIELD:_ENVIRONMENT_FIELD + 2]
    is_unfinished = begin != end or fields[_CODE_FIELD] == b"0"
    return is_unfinished and not int(fields[_FLAGS_FIELD]) & _KERNEL_THREAD


def kill_session(session: int, grace: float) -> bool:
    """End what `find_session` finds in the same way; elsewhere than on Linux, the process group."""
    if sys.platform.startswith("linux"):
        return kill_all(lambda: find_session(session), grace)
    return kill_all(lambda: _group(session), grace, os.killpg)


def kill_all(find: Find, grace: float, send: Callable[[int, int], None] | None = None) -> bool:
    """End what `find` returns until it returns nothing: SIGTERM, after `grace` seconds SIGKILL.

    True if nothing was left; False if something was still there five seconds after the first SIGKILL.
    """
    if grace > 0:
        _send(find(), signal.SIGTERM, send)
        if _wait(lambda: not find(), grace):
            return True

    def forced() -> bool:
        # Again and again: what is being killed may have forked meanwhile.
        left = find()
        _send(left, signal.SIGKILL, send)
        return not left

    return _wait(forced, _FORCE_SECONDS)


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    deadline, pause = time.monotonic() + seconds, 0.001
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
    return True


def _send(pids: list[int], number: int, send: Callable[[int, int], None] | None) -> None:
    for pid in pids:
        try:
            (send or os.kill)(pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # it ended by itself, or became somebody else's


def _group(group: int) -> list[int]:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return []
    return [group]


def _own_processes() -> Iterator[int]:
    user, ourselves = os.getuid(), os.getpid()
    for entry in _listing():
        if entry.isdecimal() and int(entry) != ourselves and _user(entry) == user:
            yield int(entry)


def _listing() -> list[str]:
    try:
        return os.listdir(_PROC)  # noqa: PTH208 - only the names are wanted
    except OSError:
        return []


def _user(entry: str) -> int | None:
    try:
        return (_PROC / entry).stat().st_uid
    except OSError:
        return None


def _read(pid: int, name: str) -> bytes:
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""


def _living_session(pid: int) -> int | None:
    # The name stands in parentheses and may hold anything, so the fields begin behind the last one.
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    if len(fields) <= _SESSION_FIELD or fields[0] in _GONE:
        return None
    return int(fields[_SESSION_FIELD])
