"""Who keeps others from writing to a SQLite database, as far as Linux tells."""

from __future__ import annotations

import os
from pathlib import Path

_WRITE_LOCK = "120"
"""The byte of the file ``-shm`` that who writes has locked; see ``UNIX_SHM_BASE`` in SQLite's os_unix.c."""
_STOPPED = ("T", "t")


def describe_lock_holder(file: Path) -> str:
    """The process that writes to the database `file`, for people; "" if that cannot be seen from here."""
    try:
        pid = _holder(file)
        return "" if pid is None else f"process {pid} ({_what_it_is(pid)})"
    except OSError:
        return ""  # elsewhere than on Linux, or it has just ended


def _holder(file: Path) -> int | None:
    found = file.with_name(f"{file.name}-shm").stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        match line.split():
            case [_, "POSIX", _, "WRITE", pid, place, first, _] if (place, first) == (device, _WRITE_LOCK):
                return int(pid) if int(pid) > 0 else None  # others are of another pid namespace
    return None


def _what_it_is(pid: int) -> str:
    if pid == os.getpid():
        return "this one"
    name, _, rest = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").partition("(")[2].rpartition(")")
    state = rest.split()[0]
    # Not its command line: that may hold a secret.
    return f"{name}, stopped" if state in _STOPPED else name
