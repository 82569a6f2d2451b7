"""Whether the files that a SQLite connection has open still lie where they were.

SQLite goes on writing to a file that was renamed or removed, and says nothing. Looking costs a few
microseconds a transaction.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from aria_core.exceptions import StorageLostError, StorageUnavailableError

BESIDE = ("", "-wal", "-shm")
"""What the names of a database's files end in."""

Identity: TypeAlias = tuple[int, int] | None
Identities: TypeAlias = tuple[Identity, ...]


class OpenedFiles:
    """The files of one database, as they were when its connections were made."""

    def __init__(self, file: Path) -> None:
        self._places = [f"{file}{ending}" for ending in BESIDE]
        self._first: Identity = None

    def check_before(self) -> None:
        """Raise ``StorageLostError`` if a new connection would open, or make, another database."""
        if self._first is not None and _identity(self._places[0]) != self._first:
            raise _lost(self._places[0])

    def note(self) -> Identities:
        """What a connection that was just made has open."""
        seen = self._look()
        self._first = self._first or seen[0]
        self.check((self._first, *seen[1:]))
        return seen

    def check(self, opened: Identities) -> None:
        """Raise ``StorageLostError`` if what lies there is not what was `opened`."""
        seen = self._look()
        if seen != opened:
            raise _lost(next(place for place, before, now in zip(self._places, opened, seen, strict=True)
                             if before != now))

    def _look(self) -> Identities:
        return tuple([_identity(place) for place in self._places])


def _lost(place: str) -> StorageLostError:
    return StorageLostError(f"the database file {place} was moved, removed or replaced while it was in use; "
                            "put it back where it was, then executions can be resumed")


def _identity(place: str) -> Identity:
    try:
        found = os.stat(place)  # noqa: PTH116 - before and after every transaction
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageUnavailableError(f"the database file {place} cannot be used: {error.strerror}"
                                      ) from error
    return found.st_dev, found.st_ino
