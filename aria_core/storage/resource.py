"""Where files live (RAPI): what a resource storage must do, and the friendly face over it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

RESOURCE_STORAGE_API = 1

RESOURCE_KINDS = ("service_template", "service", "plugin")


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
    """The seed's RAPI: the files of every entry of one kind."""

    def __init__(self, storage: ResourceStorage, name: str) -> None:
        self._storage = storage
        self.name = name

    def read(self, entry_id: int | str, path: str | None = None) -> bytes:
        """The bytes of one file; without `path`, of the only file of the entry."""
        raise NotImplementedError

    def download(self, entry_id: int | str, destination: str | Path, path: str | None = None) -> None:
        """Copy a file, a folder or the whole entry to `destination`."""
        raise NotImplementedError

    def upload(self, entry_id: int | str, source: str | Path, path: str | None = None) -> None:
        """Copy a file or the contents of a folder from `source` into the entry, below `path`."""
        raise NotImplementedError

    def delete(self, entry_id: int | str, path: str | None = None) -> bool:
        """Remove a file, a folder or the whole entry; False if there was nothing."""
        raise NotImplementedError

    def list(self, entry_id: int | str, path: str | None = None) -> list[str]:
        """The paths of an entry's files, relative to the entry, sorted."""
        raise NotImplementedError
