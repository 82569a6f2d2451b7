"""Looking at what a driver must leave alone: files, imported modules, paths, variables."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def contents(directory: Path, leave_out: Path | None = None) -> dict[str, tuple[int, bytes]]:
    """Every path below `directory` with its mode and bytes, without what lies below `leave_out`."""
    return {str(path): _state(path) for path in sorted(directory.rglob("*"))
            if leave_out is None or not path.is_relative_to(leave_out)}


def _state(path: Path) -> tuple[int, bytes]:
    status = path.lstat()
    return status.st_mode, path.read_bytes() if stat.S_ISREG(status.st_mode) else b""


@contextmanager
def unchanged(directory: Path, module: str) -> Iterator[None]:
    """What is done inside changes neither `directory` nor this process, and does not import `module`."""
    before = contents(directory), _process()
    yield
    assert (contents(directory), _process()) == before
    assert module.partition(".")[0] not in sys.modules


def _process() -> tuple[list[str], dict[str, str], str]:
    return list(sys.path), dict(os.environ), str(Path.cwd())
