"""A SQLite database's file: private to its owner, and in write-ahead mode before anybody uses it."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from contextlib import closing, suppress
from pathlib import Path

from aria_core.exceptions import StorageUnavailableError
from aria_core.storage.sql.database import BUSY_TIMEOUT
from aria_core.storage.sql.failures import first_line

_PAUSE = 0.02


def prepare_file(file: Path) -> None:
    """Make the file (0600) and its folders (0700) if they are missing, and switch it to WAL.

    Raises ``StorageUnavailableError`` in one sentence.
    """
    try:
        _make_private(file)
        _switch_to_wal(file)
    except OSError as error:
        raise StorageUnavailableError(f"the database file {file} cannot be used: {error.strerror}") from error
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StorageUnavailableError(f"the database file {file} cannot be used: {first_line(error)}"
                                      ) from error


def _make_private(file: Path) -> None:
    for folder in reversed([each for each in file.parents if not each.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
    if not file.exists():
        # Never open an existing database: closing it again would drop the locks SQLite has on it.
        new = file.with_name(f".{file.name}.{os.getpid()}.{time.monotonic_ns()}")
        new.touch(mode=0o600, exist_ok=False)
        with suppress(FileExistsError):
            file.hardlink_to(new)
        new.unlink()
    if file.is_file() and (mode := stat.S_IMODE(file.stat().st_mode)) & 0o077:
        file.chmod(mode & 0o700)  # and what its owner may not do stays so


def _switch_to_wal(file: Path) -> None:
    """SQLite does not wait here when two processes try at once, whatever its timeout says."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            with closing(sqlite3.connect(file, timeout=BUSY_TIMEOUT)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)
