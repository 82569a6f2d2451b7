"""The files in a wheel: each as its RECORD says, none that an installer would stumble over.

Neither pip nor uv compare what they install with the RECORD.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import re
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from email.parser import Parser
from typing import IO
from zipfile import ZipFile

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from aria_core import ArchiveBudget, ArchiveError, ArchiveMember, zip_members

LIMIT = 4 << 20
"""How large a file that describes a wheel may be."""

_CHUNK = 1 << 20
_DESCRIBING = ("METADATA", "WHEEL", "RECORD", "entry_points.txt")
_UNSIGNED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_HASHES = ("sha256", "sha384", "sha512")
_SCHEMES = ("purelib", "platlib", "headers", "scripts", "data")
_PROGRAM = re.compile(r"[\w.-]+")
_CALLABLE = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*(\s*\[[\w\s,.-]*\])?")
_INTERPRETER = re.compile(r"(data/)?(pyvenv\.cfg$|(scripts|bin|Scripts)/python)")


class WheelFiles:
    """What is in a wheel, once every byte of it has been read; raises ``ArchiveError``, without its name."""

    def __init__(self, file: IO[bytes], budget: ArchiveBudget, name: str, version: Version) -> None:
        self._file = file
        self._digests: dict[str, str] = {}
        self._described: dict[str, bytes] = {}
        self._folders: set[str] = set()
        for member in zip_members(file, budget):
            self._take(member)
        self._check_folder(name, version)
        self._check_version()
        self._check_record()
        self._check_data()
        self._check_programs()

    @property
    def metadata(self) -> bytes:
        """The text of ``METADATA``."""
        return self._described["METADATA"]

    def _take(self, member: ArchiveMember) -> None:
        folder, _, rest = member.name.partition("/")
        digest, kept = hashlib.sha256(), bytearray()
        describes = folder.endswith(".dist-info") and rest in _DESCRIBING
        if rest and folder.endswith(".dist-info"):
            self._folders.add(folder)
        for chunk in member.chunks:
            digest.update(chunk)
            if describes:
                kept += chunk
            if len(kept) > LIMIT:
                raise ArchiveError(f"has a {rest} of more than {LIMIT} bytes, which is the limit")
        self._digests[member.name] = _encoded(digest.digest())
        if describes:
            self._described[rest] = bytes(kept)

    def _check_folder(self, name: str, version: Version) -> None:
        if len(self._folders) > 1:
            raise ArchiveError(f"has more than one .dist-info folder: {', '.join(sorted(self._folders))}")
        for each in _DESCRIBING[:3]:
            if each not in self._described:
                raise ArchiveError(f"has no {each} in a .dist-info folder")
        (folder,) = self._folders
        said, _, number = folder.removesuffix(".dist-info").rpartition("-")
        try:
            agrees = canonicalize_name(said) == name and Version(number) == version
        except InvalidVersion:
            agrees = False
        if not agrees:
            raise ArchiveError(f"has the folder {folder!r}, which is that of another package or version")
        self._folder = folder

    def _check_version(self) -> None:
        for each in ("WHEEL", "METADATA"):
            self._check_text(each)
        text = self._described["WHEEL"].decode()
        version = str(Parser().parsestr(text).get("Wheel-Version", "none")).strip()
        if not re.fullmatch(r"1\.\d+", version):
            raise ArchiveError(f"is of the wheel version {version[:40]!r}; 1.x can be installed")

    def _check_text(self, name: str) -> None:
        try:
            self._described[name].decode()
        except UnicodeDecodeError as error:
            raise ArchiveError(f"has a {name} that is not UTF-8: {error}") from error

    def _check_record(self) -> None:
        listed = dict(self._listed())
        exempt = {f"{self._folder}/{each}" for each in _UNSIGNED}
        for name in sorted(listed.keys() - self._digests.keys() - exempt):
            raise ArchiveError(f"lacks {name!r}, which its RECORD lists")
        for name in self._digests.keys() - exempt:
            self._check_file(name, listed)

    def _listed(self) -> Iterator[tuple[str, str]]:
        """Each file in RECORD, and its hash as written there."""
        try:
            for row in csv.reader(self._described["RECORD"].decode().splitlines()):
                if row:
                    yield row[0], row[1]
        except (UnicodeDecodeError, csv.Error, IndexError) as error:
            raise ArchiveError(f"has a RECORD that is no list of files with hashes: {error}") from error

    def _check_file(self, name: str, listed: Mapping[str, str]) -> None:
        if name not in listed:
            raise ArchiveError(f"holds {name!r}, which its RECORD does not list")
        algorithm, _, digest = listed[name].partition("=")
        if algorithm not in _HASHES:
            raise ArchiveError(f"has a RECORD that tells no hash of {name!r}; {', '.join(_HASHES)} are read")
        if digest.rstrip("=") != (self._digests[name] if algorithm == "sha256"
                                  else self._digest(name, algorithm)):
            raise ArchiveError(f"holds a {name!r} that is not the one of its RECORD: the hashes differ")

    def _digest(self, name: str, algorithm: str) -> str:
        digest = hashlib.new(algorithm)
        with ZipFile(self._file) as archive, archive.open(name) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        return _encoded(digest.digest())

    def _check_data(self) -> None:
        """What an installer puts elsewhere has a place it knows, and is not the interpreter."""
        for name in self._digests:
            folder, _, rest = name.partition("/")
            scheme, _, place = rest.partition("/")
            if folder.endswith(".data") and scheme not in _SCHEMES:
                raise ArchiveError(f"holds {name!r}; below .data there are {', '.join(_SCHEMES)}")
            if folder.endswith(".data") and scheme == "scripts" and "/" in place:
                raise ArchiveError(f"holds {name!r}; programs have no folders")
            if folder.endswith(".data") and _INTERPRETER.match(rest):
                raise ArchiveError(f"holds {name!r}, which would take the place of its interpreter")

    def _check_programs(self) -> None:
        parser = ConfigParser(delimiters=("=",), interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign] # names as they are written
        try:
            parser.read_string(self._described.get("entry_points.txt", b"").decode())
        except (UnicodeDecodeError, ConfigError) as error:
            what = str(error).splitlines()[0]
            raise ArchiveError(f"has an entry_points.txt that cannot be read: {what}") from error
        for group in ("console_scripts", "gui_scripts"):
            for name, value in parser.items(group) if parser.has_section(group) else ():
                if not _PROGRAM.fullmatch(name) or name.startswith((".", "python")):
                    raise ArchiveError(f"has a program {name!r}, of which no file can be made")
                if not _CALLABLE.fullmatch(value or ""):
                    raise ArchiveError(f"has a program {name} that runs {value!r}, which is not like "
                                       "module:name")


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
