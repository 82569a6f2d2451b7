"""Reading zip and tar.gz archives that come from anywhere.

One entry after the other, with its bytes counted as they come: what an archive says of its sizes is
never believed, and the libraries that read it extract nothing.
"""

from __future__ import annotations

import gzip
import re
import stat
import tarfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO
from zipfile import ZipFile

CHUNK = 1 << 20
RATIO = 200
"""An archive may grow to so many times its size ..."""
HEADROOM = 16 << 20
"""... or at least to this: small archives of text shrink well."""

_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
_REGULAR = (0, stat.S_IFREG, stat.S_IFDIR)
_LOCAL_HEADER = 30
"""The least bytes between where an entry of a zip begins and its data."""
_LONGEST_NAME = 255
_LONGEST_PATH = 1000
_DRIVE = re.compile(r"[A-Za-z]:")


class ArchiveError(Exception):
    """What is wrong with an archive, as the end of a sentence that begins with its name."""


class ArchiveBudget:
    """How many entries and bytes may still come; archives inside the archive count, too."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._entries, self._max_entries = 0, max_entries
        self._bytes, self._max_bytes = 0, max_bytes

    def shrink_to(self, size: int) -> None:
        """Adapt to the size of the archive on disk."""
        self._max_bytes = min(self._max_bytes, max(HEADROOM, RATIO * size))

    def count_entry(self) -> None:
        """One more entry; ``ArchiveError`` if it is too many."""
        self._entries += 1
        if self._entries > self._max_entries:
            raise ArchiveError(f"has more than {self._max_entries} entries, which is the limit")

    def count_bytes(self, number: int) -> None:
        """So many more bytes; ``ArchiveError`` if it is too many."""
        self._bytes += number
        if self._bytes > self._max_bytes:
            raise ArchiveError(f"unpacks to more than {self._max_bytes} bytes, the limit for its size")


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """A file in an archive: its path with ``/`` and its bytes, to be read before the next one."""

    name: str
    chunks: Iterator[bytes]

    def read(self, limit: int) -> bytes:
        """All of it; ``ArchiveError`` if it is larger than `limit`."""
        data = bytearray()
        for chunk in self.chunks:
            data += chunk
            if len(data) > limit:
                raise ArchiveError(f"has a {self.name} of more than {limit} bytes, which is the limit")
        return bytes(data)


def archive_kind(header: bytes) -> str | None:
    """``zip`` or ``tar.gz`` by the first bytes of a file, None for anything else."""
    if header.startswith(_ZIP):
        return "zip"
    return "tar.gz" if header.startswith(_GZIP) else None


def archive_members(file: IO[bytes], budget: ArchiveBudget) -> Iterator[ArchiveMember]:
    """Every file in a zip or tar.gz archive, whole and with a harmless path; else ``ArchiveError``."""
    kind = archive_kind(file.read(4))
    file.seek(0)
    if kind is None:
        raise ArchiveError("is neither a zip nor a tar.gz archive")
    return zip_members(file, budget) if kind == "zip" else _tar_members(file, budget)


def zip_members(file: IO[bytes], budget: ArchiveBudget) -> Iterator[ArchiveMember]:
    """The files of a zip."""
    names = _Names()
    with ZipFile(file) as archive:
        _check_layout(archive)
        for info in archive.infolist():
            budget.count_entry()
            if stat.S_IFMT(info.external_attr >> 16) not in _REGULAR:
                raise ArchiveError(f"holds {info.filename!r}, which is neither a file nor a folder")
            if names.take(info.orig_filename, info.is_dir()):
                with archive.open(info) as stream:
                    yield from _whole(ArchiveMember(info.filename, _metered(stream, budget)))


def _check_layout(archive: ZipFile) -> None:
    """Entries lie one after the other from the first byte on, and none reaches into the next."""
    entries = sorted(archive.infolist(), key=lambda info: info.header_offset)
    if entries and entries[0].header_offset > 0:
        # in a zip that was cut off, zipfile takes the directory of a wheel inside it for the archive's
        raise ArchiveError("is cut off, or something else stands before its first entry")
    ends = [info.header_offset for info in entries[1:]] + [archive.start_dir]
    for info, end in zip(entries, ends, strict=bool(entries)):
        if info.header_offset + _LOCAL_HEADER + info.compress_size > end:
            raise ArchiveError(f"holds {info.filename!r}, which reaches into what stands behind it")


def _tar_members(file: IO[bytes], budget: ArchiveBudget) -> Iterator[ArchiveMember]:
    names = _Names()
    with _Unpacked(fileobj=file) as unpacked, tarfile.open(fileobj=unpacked, mode="r:") as archive:
        for info in archive:
            budget.count_entry()
            if not (info.isfile() or info.isdir()):
                raise ArchiveError(f"holds {info.name!r}, which is neither a file nor a folder")
            name = info.name.removeprefix("./")
            if name != "." and names.take(name, info.isdir()):
                stream = archive.extractfile(info)
                assert stream is not None  # noqa: S101 - it is a file
                yield from _whole(ArchiveMember(name, _metered(stream, budget)))
        for _ in _metered(unpacked, budget):
            continue  # only at its end a gzip archive tells whether it was whole


def _whole(member: ArchiveMember) -> Iterator[ArchiveMember]:
    """The member, and then whatever its reader left of it: the check sum comes last."""
    yield member
    for _ in member.chunks:
        continue


def _metered(stream: IO[bytes] | gzip.GzipFile, budget: ArchiveBudget) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        budget.count_bytes(len(chunk))
        yield chunk


class _Names:
    """Refuses paths that lead out, that no file can have, or that mean the same on some file system."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def take(self, name: str, is_folder: bool) -> bool:
        """Whether this is a file to read; ``ArchiveError`` if its path is not acceptable."""
        parts = name.rstrip("/").split("/") if is_folder else name.split("/")
        if {"", ".", ".."} & set(parts) or "\\" in name or "\0" in name or _DRIVE.match(name):
            raise ArchiveError(f"holds {name!r}, a path that leads out of it or means nothing")
        if not _can_be_written(parts):
            raise ArchiveError(f"holds {name[:300]!r}, a path that no file can have")
        same = unicodedata.normalize("NFC", "/".join(parts)).casefold()
        above = {same[:at] for at, letter in enumerate(same) if letter == "/"}
        if not is_folder and same in self._files:
            raise ArchiveError(f"holds {name!r} twice, or in two spellings that some systems take for one")
        self._folders |= above | ({same} if is_folder else set())
        if above & self._files or same in (self._files if is_folder else self._folders):
            raise ArchiveError(f"holds {name!r}, which would be a file and a folder")
        if not is_folder:
            self._files.add(same)
        return not is_folder


def _can_be_written(parts: Sequence[str]) -> bool:
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return False
    return max(lengths) <= _LONGEST_NAME and sum(lengths) + len(lengths) <= _LONGEST_PATH


class _Unpacked(gzip.GzipFile):
    """For tarfile, which reads extended headers at once however large they say they are."""

    def read(self, size: int | None = -1) -> bytes:
        """At most `CHUNK` bytes at once."""
        if size is None or not 0 <= size <= CHUNK:
            raise ArchiveError(f"has a header of more than {CHUNK} bytes")
        return super().read(size)
