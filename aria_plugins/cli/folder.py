"""A template's folder, as it is stored: without what belongs to ARIA or to other tools."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aria_core import Config

MAX_FILES = 2_000
MAX_BYTES = 200 * 2**20

_LEFT_OUT = frozenset({"__pycache__", "aria.toml"})
_BESIDE_A_DATABASE = ("", "-wal", "-shm", "-journal")


@contextmanager
def own_files(folder: Path, config: Config) -> Iterator[Path]:
    """A folder with the files to store: `folder` itself, or a copy without what does not belong to it.

    Hidden files, Python's caches, ``aria.toml`` and whatever the configuration keeps in the folder (the
    database, resources, plugins, the log) are left out. ``InvalidInputError`` for a folder that is too
    large to be a template's.
    """
    ours = _places(config)
    files, complete = _files(folder.resolve(), ours)
    if complete:
        yield folder
        return
    from aria_core import scratch_directory

    copy = scratch_directory("template")
    try:
        for path in files:
            target = copy / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / path, target, follow_symlinks=False)
        yield copy
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _files(folder: Path, ours: frozenset[Path]) -> tuple[list[Path], bool]:
    """The files to store, relative to the folder, and whether they are all of its files."""
    found: list[Path] = []
    complete, size = True, 0
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            if name.startswith(".") or name in _LEFT_OUT or path in ours:
                complete = False
                if name in folders:
                    folders.remove(name)
            elif name in names or path.is_symlink():
                found.append(path.relative_to(folder))
                size += path.lstat().st_size
        _check_size(folder, len(found), size)
    return found, complete


def _check_size(folder: Path, files: int, size: int) -> None:
    from aria_core import InvalidInputError

    if files > MAX_FILES or size > MAX_BYTES:
        raise InvalidInputError(
            f"a template is stored with the files of its folder, and {folder} holds more than {MAX_FILES} "
            f"files or {MAX_BYTES // 2**20} MiB; give the template a folder of its own")


def _places(config: Config) -> frozenset[Path]:
    """Where the configuration keeps files: what is a path, or a URL of one, among its values."""
    texts = [each.value for each in config.rows() if isinstance(each.value, str)]
    places = [Path(os.path.realpath(text.partition(":///")[2] or text)) for text in texts
              if Path(text.partition(":///")[2] or text).is_absolute()]
    places += [Path(os.path.realpath(file.parent / text)) for file in config.files for text in texts
               if text and "://" not in text]
    return frozenset(place.with_name(place.name + ending) for place in places if place.name
                     for ending in _BESIDE_A_DATABASE)
