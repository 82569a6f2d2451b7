"""A user of one's own who may have few processes, and a crowd that takes them up."""

from __future__ import annotations

import ctypes
import os
import resource
import threading
from pathlib import Path

_OVERRIDE = 1
"""The capability to read and write files of others; those for which RLIMIT_NPROC does not count go."""
_SET_KEEPCAPS, _AMBIENT, _AMBIENT_RAISE = 8, 47, 2
_VERSION_3 = 0x20080522


def become_user(user: int, most: int) -> None:
    """Let this process and its children count as those of `user`, who may have `most` processes and threads.

    They may read and write what root may, as Python itself can lie in root's home. The user should be
    nobody else's.
    """
    assert os.geteuid() == 0, "this test has processes of another user: run it as root"
    libc = ctypes.CDLL(None, use_errno=True)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    _must(libc.prctl(_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setresuid(user, user, user)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    _must(libc.capset(header, (ctypes.c_uint32 * 6)(*[1 << _OVERRIDE] * 3)))
    _must(libc.prctl(_AMBIENT, _AMBIENT_RAISE, _OVERRIDE, 0, 0))


def _must(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def be_a_crowd(out: str, err: str, directory: str, user: str, count: str) -> None:
    """Be `count` threads of that user until killed; says so in the file `out` when they are all there."""
    become_user(int(user), int(count))
    for _ in range(int(count) - 1):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    Path(out).write_text("all here")
    threading.Event().wait()
