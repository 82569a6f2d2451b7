"""Files on their way into and out of a resource storage."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aria_core.exceptions import NotFoundError, StorageError


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to be uploaded. `path` is relative to the folder that is uploaded."""

    path: str
    place: Path
    executable: bool

    def read(self) -> bytes:
        """Its bytes; ``StorageError`` if it cannot be read or became something else meanwhile."""
        with _explained("read", self.place):
            # Without NONBLOCK a pipe that took the file's place would hang us.
            number = os.open(self.place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(number, "rb") as stream:
                if not stat.S_ISREG(os.fstat(number).st_mode):
                    raise StorageError(_no_file(self.place))
                return stream.read()


def files_of(source: Path) -> list[SourceFile]:
    """The file `source`, or every file below the folder `source`, sorted by path.

    Links to files inside the folder count as those files. ``StorageError`` for any other link and for
    what is neither file nor folder; ``NotFoundError`` without `source`.
    """
    with _explained("read", source):
        top = source.resolve(strict=True)
        if not top.is_dir():
            return [_source_file(top, source.name, top)]
        found = [_source_file(place, place.relative_to(top).as_posix(), top) for place in _walk(top)]
        return sorted(found, key=lambda each: each.path)


def _walk(top: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(top, onerror=_raise):
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in (*linked, *files):
            yield Path(folder) / name


def _raise(error: OSError) -> None:
    raise error


def _source_file(place: Path, path: str, top: Path) -> SourceFile:
    real = _inside(place, top) if place.is_symlink() else place
    mode = real.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise StorageError(_no_file(place))
    return SourceFile(path, real, bool(mode & stat.S_IXUSR))


def _inside(link: Path, top: Path) -> Path:
    real = link.resolve()
    if not real.is_relative_to(top):
        raise StorageError(f"{link} is a link that leaves {top}; only links to files inside it can be stored")
    return real


def _no_file(place: Path) -> str:
    return f"{place} cannot be stored: files can, and folders and links to files inside them"


def write_file(place: Path, data: bytes, *, executable: bool) -> None:
    """Write a new file (instead of an old one) at `place`, making its folders.

    A link at `place` is replaced, not followed. ``StorageError`` if that is not possible.
    """
    with _explained("write", place):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        mode = 0o777 if executable else 0o666
        number = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(number, "wb") as stream:
            stream.write(data)


@contextmanager
def _explained(what: str, place: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file or folder {error.filename or place}") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StorageError(f"cannot {what} {place}: {reason}") from error
