"""Where files live (RAPI): what a resource storage must do, and the friendly face over it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from aria_core.exceptions import NotFoundError, StorageError
from aria_core.storage.folders import files_of, write_file

RESOURCE_STORAGE_API = 1

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@-]*")


def normalise(path: str) -> str:
    """`path` as a key: relative, with ``/`` between its parts, without ``.`` and empty parts.

    ``StorageError`` for what could lead elsewhere or cannot be a file's name: absolute paths, ``..``,
    backslashes, NUL, text that UTF-8 cannot carry, and paths that name nothing.
    """
    for offends, what in (
            (path.startswith("/"), "begins with '/'"),
            ("\\" in path, "contains a backslash"),
            ("\0" in path, "contains a NUL character"),
            (any("\ud800" <= each <= "\udfff" for each in path), "is not valid UTF-8"),
            (".." in path.split("/"), "contains '..'")):
        if offends:
            raise StorageError(f"the resource path {path!r} {what}; a path is relative to its entry, "
                               "like 'scripts/start.sh'")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        raise StorageError(f"the resource path {path!r} names nothing; leave it out to mean the whole entry")
    return "/".join(parts)


def _safe_name(name: int | str, what: str) -> str:
    text = str(name)
    if isinstance(name, bool) or not _SAFE_NAME.fullmatch(text):
        raise StorageError(f"{name!r} cannot be the {what} of a resource; a number or a name of letters, "
                           "digits and . _ + @ - (not at the beginning) can")
    return text


class ResourceStorage(ABC):
    """Keeps bytes under keys. Made without I/O.

    A key is a relative POSIX path that the core has normalised: no empty, ``.`` or ``..`` part,
    no backslash, no NUL. Safe to use from several threads.
    """

    api: ClassVar[int] = RESOURCE_STORAGE_API
    reach: Literal["process", "host", "network"] = "host"

    @abstractmethod
    def open(self) -> None:
        """Get ready; raise ``StorageUnavailableError`` in one sentence if that is not possible."""

    @abstractmethod
    def close(self) -> None:
        """Release what `open` took. Idempotent."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The bytes under `key`; ``NotFoundError`` if there are none."""

    @abstractmethod
    def put(self, key: str, data: bytes, *, executable: bool = False) -> None:
        """Store `data` under `key`, atomically: a reader sees the old bytes or the new, never both."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[str]:
        """Every key below the folder `prefix` (or `prefix` itself), sorted; "" for all."""

    @abstractmethod
    def delete(self, prefix: str) -> bool:
        """Remove `prefix` and all below it; False if there was nothing."""

    @abstractmethod
    def is_executable(self, key: str) -> bool:
        """Whether `key` was put as executable; ``NotFoundError`` if there is no such key."""

    @abstractmethod
    def spec(self) -> tuple[str, Mapping[str, Any]]:
        """How a worker rebuilds it: ``module:Class`` and JSON keywords."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def kind(self, name: str) -> ResourceKind:
        """The resources of one kind, e.g. ``service_template``."""
        return ResourceKind(self, name)

    @property
    def service_template(self) -> ResourceKind:
        """The files of service templates."""
        return self.kind("service_template")

    @property
    def service(self) -> ResourceKind:
        """The files of services; they hide those of their template."""
        return self.kind("service")

    @property
    def plugin(self) -> ResourceKind:
        """The archives of plugins."""
        return self.kind("plugin")


class ResourceKind:
    """The seed's RAPI: the files of every entry of one kind.

    An entry is a row's id (or a plain name); a path is relative to its entry. Every method raises
    ``StorageError`` for a path that leads elsewhere and ``StorageUnavailableError`` for a storage that
    cannot be reached.
    """

    def __init__(self, storage: ResourceStorage, name: str) -> None:
        self._storage = storage
        self.name = _safe_name(name, "kind")

    def read(self, entry_id: int | str, path: str | None = None) -> bytes:
        """The bytes of one file; of the only file if `path` is a folder, or the whole entry, with one.

        ``NotFoundError`` without a file, ``StorageError`` if there are several.
        """
        key = self._key(entry_id, path)
        found = [*self._storage.list(key)]
        if not found:
            raise self._missing(entry_id, path)
        if len(found) > 1:
            raise StorageError(f"{self._describe(entry_id, path)} holds {len(found)} files; say which to "
                               f"read, for example {self._relative(entry_id, found[0])!r}")
        return self._storage.read(found[0])

    def download(self, entry_id: int | str, destination: str | Path, path: str | None = None) -> None:
        """Copy to `destination`: a file as that file or into that folder, otherwise the folder's contents.

        Executables become executable again; missing folders are made. ``NotFoundError`` without a file.
        """
        key, target = self._key(entry_id, path), Path(destination)
        found = [*self._storage.list(key)]
        if not found:
            raise self._missing(entry_id, path)
        for each in found:
            if each == key:
                place = target / key.rpartition("/")[2] if target.is_dir() else target
            else:
                place = target / normalise(each.removeprefix(f"{key}/"))
            write_file(place, self._storage.read(each), executable=self._storage.is_executable(each))

    def upload(self, entry_id: int | str, source: str | Path, path: str | None = None) -> None:
        """Copy the file `source`, or the contents of the folder `source`, into the entry, below `path`.

        Executables stay executable; a folder without files leaves nothing. Before anything is stored,
        ``StorageError`` refuses links that leave the folder or name folders, and what is no file
        (devices, pipes, sockets); ``NotFoundError`` if there is no `source`.
        """
        below = self._key(entry_id, path)
        files = [(f"{below}/{normalise(each.path)}", each) for each in files_of(Path(source))]
        for key, file in files:
            self._storage.put(key, file.read(), executable=file.executable)

    def delete(self, entry_id: int | str, path: str | None = None) -> bool:
        """Remove a file, a folder or the whole entry; False if there was nothing."""
        return self._storage.delete(self._key(entry_id, path))

    def is_executable(self, entry_id: int | str, path: str) -> bool:
        """Whether a file was uploaded as executable; ``NotFoundError`` without it."""
        return self._storage.is_executable(self._key(entry_id, path))

    def list(self, entry_id: int | str, path: str | None = None) -> list[str]:
        """The paths of an entry's files (below `path`), relative to the entry, sorted."""
        return sorted(self._relative(entry_id, key) for key in self._storage.list(self._key(entry_id, path)))

    def _key(self, entry_id: int | str, path: str | None) -> str:
        entry = f"{self.name}/{_safe_name(entry_id, 'id')}"
        return entry if path is None else f"{entry}/{normalise(path)}"

    def _relative(self, entry_id: int | str, key: str) -> str:
        return key.removeprefix(f"{self._key(entry_id, None)}/")

    def _describe(self, entry_id: int | str, path: str | None) -> str:
        entry = f"the {self.name} {entry_id}".replace("_", " ")
        return entry if path is None else f"{path!r} of {entry}"

    def _missing(self, entry_id: int | str, path: str | None) -> NotFoundError:
        return NotFoundError(f"there is no resource {self._describe(entry_id, path)}")
