"""Private temporary directories that do not outlive their process for long, however it ends.

They lie in one folder of this user, each under the name of the process that made it. Whoever removes
its own directory in time leaves nothing; what a killed process left is swept by the next runner.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from aria_core.worker.processes import is_alive, started_at

_LONGEST_BASE = 40  # a socket's path has room for 104 bytes on macOS, 108 on Linux


def scratch_directory(kind: str, *, for_socket: bool = False) -> Path:
    """A new directory that only this user may enter; its maker removes it.

    With `for_socket` its path is short enough for a socket in it.
    """
    pid = os.getpid()
    prefix = f"{kind}-{_namespace()}-{pid}-{started_at(pid) or 0}-"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=_base(_short_place() if for_socket else _place())))


def sweep() -> None:
    """Remove the directories of processes that are gone, as far as that can be told from here."""
    for place in {_place(), _short_place()}:
        for entry in _base(place).iterdir():
            _, namespace, pid, started, _ = [*entry.name.split("-"), *[""] * 4][:5]
            if namespace == _namespace() and pid.isdecimal() and not is_alive(int(pid), started):
                shutil.rmtree(entry, ignore_errors=True)


def _place() -> Path:
    return Path(tempfile.gettempdir())


def _short_place() -> Path:
    place = _place()
    if len(os.fsencode(place)) <= _LONGEST_BASE:
        return place
    return Path("/tmp")  # noqa: S108  # nosec B108 # below it only a folder of our own is used


def _base(place: Path) -> Path:
    base = place / f"aria-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    status = base.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or base.is_symlink():
        raise PermissionError(f"{base} must be a folder that only this user may enter; remove it")
    return base


def _namespace() -> str:
    try:
        return "".join(filter(str.isdecimal, str(Path("/proc/self/ns/pid").readlink())))
    except OSError:
        return "0"
