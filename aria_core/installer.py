"""What an installer of plugins promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from aria_core.exceptions import InvalidInputError
from aria_core.worker.calls import Environment

INSTALLER_API = 1


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """What an archive says of itself; names as in the seed's Plugin row."""

    name: str
    package_name: str
    package_version: str
    archive_name: str
    package_source: str | None = None
    supported_platform: str | None = None
    supported_py_versions: tuple[str, ...] = ()
    distribution: str | None = None
    distribution_release: str | None = None
    distribution_version: str | None = None
    wheels: tuple[str, ...] = ()


class Installer(ABC):
    """Puts the code of plugins into directories. Locking, hashing, renaming and rows are the core's."""

    api: ClassVar[int] = INSTALLER_API

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether this is such an archive; reads the header only, never raises."""

    @abstractmethod
    def inspect(self, path: Path) -> PluginInfo:
        """What the archive holds. Changes nothing, runs nothing of it.

        Raises ``InvalidPluginError`` for everything that would fail later, in one line that names the
        archive.
        """

    @abstractmethod
    def install(self, path: Path, directory: Path) -> Environment:
        """Install the archive into the empty `directory` and say how to use it.

        Called once, after `inspect`, with no other install going on. The directory is moved afterwards:
        all paths of the environment lie in it, and nothing in it may depend on where it is. Whatever
        is raised, the directory is removed.
        """

    def pack(self, source: Path, directory: Path, form: str | None = None, wheels: Path | None = None
             ) -> Path:
        """Make an archive of the Python project in the folder `source`, and give its path.

        It is put into `directory`; `source` is left as it is. `form` is a format that the installer
        knows. With `wheels`, a folder, no index is asked: all that is needed is taken from there. An
        installer need not do this; then it raises ``InvalidInputError``, as for what is no project.
        """
        raise InvalidInputError(f"{type(self).__name__} installs archives and makes none")
