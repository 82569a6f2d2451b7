"""Archives of a service (CSAR): a zip or a folder with a template, its types, scripts and artifacts.

Either ``TOSCA-Metadata/TOSCA.meta`` names the template as ``Entry-Definitions``, or it is the only YAML file
in the top folder. What an archive holds is read one entry after the other into a private folder, which is
removed with the template that was loaded from it. In sentences a file of it is ``shop.csar/types/shop.yaml``.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile

from aria_core import ArchiveBudget, ArchiveError, LoadError, Read, archive_kind, zip_members

META = "TOSCA-Metadata/TOSCA.meta"
ENTRY = "Entry-Definitions"
VERSIONS = {"TOSCA-Meta-File-Version": ("1.0", "1.1"), "CSAR-Version": ("1.0", "1.1", "2.0")}
"""Key of the first block of the metadata -> values that are known here."""
ENDINGS = (".yaml", ".yml")
MAX_BYTES = 1 << 30
MAX_ENTRIES = 10_000
MAX_META = 1 << 16


@dataclass(frozen=True)
class Opened:
    """A service's files: where they are shown to lie, where they really lie, and the template among them."""

    root: Path
    """Where they are shown to lie: the archive, or the folder."""
    folder: Path
    main: str
    """Seen from there."""
    is_private: bool

    def read(self, path: Path) -> bytes:
        """The bytes of a file that is shown as `path`; ``FileNotFoundError`` for anything outside."""
        try:
            inside = PurePosixPath(path.as_posix()).relative_to(PurePosixPath(self.root.as_posix()))
        except ValueError:
            raise FileNotFoundError(str(path)) from None
        return (self.folder / inside).read_bytes()

    def discard(self) -> None:
        """Remove what was unpacked."""
        if self.is_private:
            shutil.rmtree(self.folder, ignore_errors=True)


def is_folder(source: Path) -> bool:
    """Whether this is a folder that is laid out like an archive."""
    try:
        return source.is_dir() and ((source / META).is_file() or len(_top(source)) == 1)
    except OSError:
        return False


def opened(source: Path, read: Read) -> Opened:
    """The files of an archive or folder; ``LoadError`` says what is wrong with it as a whole."""
    if source.is_dir():
        return _entered(source, source, is_private=False)
    with _explained(source):
        data = read(source)
        if archive_kind(data[:4]) != "zip":
            raise ArchiveError("is no zip")
        folder = Path(tempfile.mkdtemp(prefix="aria-csar-"))
    try:
        with _explained(source):
            _unpack(data, folder)
        return _entered(source, folder, is_private=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _unpack(data: bytes, folder: Path) -> None:
    budget = ArchiveBudget(MAX_ENTRIES, MAX_BYTES)
    budget.shrink_to(len(data))
    for member in zip_members(io.BytesIO(data), budget):
        place = folder / member.name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            for chunk in member.chunks:
                file.write(chunk)


@contextmanager
def _explained(source: Path) -> Iterator[None]:
    """What is wrong with an archive, as one sentence about it."""
    try:
        yield
    except ArchiveError as error:
        raise LoadError([f"{source}:1:1: this archive {error}"]) from error
    except (BadZipFile, EOFError, zlib.error) as error:
        raise LoadError([f"{source}:1:1: this archive is damaged: {error}"]) from error
    except (NotImplementedError, RuntimeError) as error:
        raise LoadError([f"{source}:1:1: this archive cannot be read: {error}"]) from error
    except OSError as error:
        raise LoadError([f"{source}:1:1: this archive cannot be read: {error.strerror or error}"]) from error


def _entered(source: Path, folder: Path, *, is_private: bool) -> Opened:
    """With the template that the metadata names, or that is alone."""
    meta = folder / META
    if meta.is_file():
        return Opened(source, folder, _entry(source, folder, meta), is_private)
    found = _top(folder)
    if len(found) != 1:
        there = f"there are {', '.join(sorted(found))}" if found else "there is none"
        raise LoadError([f"{source}:1:1: an archive without {META} has one YAML file in its top folder, and "
                         f"{there}"])
    return Opened(source, folder, found[0], is_private)


def _top(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir() if each.suffix.lower() in ENDINGS and each.is_file()]


def _entry(source: Path, folder: Path, meta: Path) -> str:
    shown = f"{source / META}"
    keys = _first_block(meta.read_bytes()[:MAX_META], shown)
    problems = [f"{shown}:{keys[key][0]}:1: `{key}` is {keys[key][1]!r}; known are {', '.join(known)}"
                for key, known in VERSIONS.items() if key in keys and keys[key][1] not in known]
    if ENTRY not in keys:
        problems.append(f"{shown}:1:1: the first block has no `{ENTRY}`, which names the service template")
    elif not _is_inside(keys[ENTRY][1]) or not (folder / keys[ENTRY][1]).is_file():
        line, name = keys[ENTRY]
        problems.append(f"{shown}:{line}:1: there is no file {name} in the archive, which `{ENTRY}` names")
    if problems:
        raise LoadError(problems)
    return str(PurePosixPath(keys[ENTRY][1]))


def _first_block(data: bytes, shown: str) -> dict[str, tuple[int, str]]:
    """Key -> its line and its value. A line that begins with a blank continues the one before."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LoadError([f"{shown}:1:1: this file is not UTF-8"]) from None
    keys: dict[str, tuple[int, str]] = {}
    last = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            if keys:
                break
            continue
        name, colon, value = line.partition(":")
        if line[0] == " " and last:
            keys[last] = keys[last][0], keys[last][1] + line[1:]
        elif not colon:
            raise LoadError([f"{shown}:{number}:1: this line is no `key: value`"])
        else:
            last = name.strip()
            keys[last] = number, value.strip()
    return keys


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and "\0" not in name and not path.is_absolute() and ".." not in path.parts
