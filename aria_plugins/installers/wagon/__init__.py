"""Wagons: archives of wheels with a ``package.json``, as the tool wagon makes them.

Wagon itself makes them (``wagon create``); reading and installing them is done here:

- ``wagon.install`` extracts with ``extractall``, which on some Pythons writes wherever an archive
  says, and has pip choose from whatever lies beside the wheels, also source packages, whose
  ``setup.py`` pip would run.
- ``wagon.validate`` makes a virtual environment, takes seconds, and finds a wagon without wheels valid.
- It needs an extra; installing a plugin should not.

So an archive is read entry by entry (`archive`), its description (`manifest`) and wheels (`wheels`) are
checked, the wheels for this Python are chosen, and `install_wheels` makes an environment of exactly these.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO
from zipfile import ZipFile

from aria_core import (
    ArchiveBudget,
    ArchiveError,
    ArchiveMember,
    AriaError,
    Environment,
    ExtensionBrokenError,
    Installer,
    InvalidInputError,
    InvalidPluginError,
    PluginInfo,
    archive_kind,
    archive_members,
    hookimpl,
    install_wheels,
    scratch_directory,
)

from .manifest import LIMIT, MANIFEST, Manifest, read_manifest
from .packing import FORMATS, PackingError, pack
from .wheels import Wheel, choose, read_wheel

MAX_ENTRIES = 10_000
MAX_BYTES = 512 << 20
IN_MEMORY = 16 << 20

PYTHONS = ((3, 11), (3, 13))
"""The first and the last Python for which plugins are installed."""

_WHEELS = "wheels"


@dataclass(frozen=True, slots=True)
class _Wagon:
    """A checked wagon and those of its wheels that are for this Python."""

    manifest: Manifest
    wheels: list[Wheel]


class WagonInstaller(Installer):
    """Installs wagons in the zip and the tar.gz format.

    An archive may have `max_entries` entries and unpack to `max_bytes`, wheels inside it included.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes

    def recognises(self, path: Path) -> bool:
        """Whether it is a zip or tar.gz file that is called ``.wgn`` or looks like a wagon inside."""
        try:
            with path.open("rb") as file:
                kind = archive_kind(file.read(4))
            if kind is None or path.suffix.lower() == ".wgn":
                return kind is not None
            return any(_is_wagons(name) for name in _first_names(path, kind))
        except Exception:  # noqa: BLE001 - promised; a file that cannot be looked at is not ours
            return False

    def inspect(self, path: Path) -> PluginInfo:
        """What the wagon says of itself, after all of it has been read and checked."""
        _check_python()
        with _explained(path):
            return _info(self._read(path, lambda _: SpooledTemporaryFile(IN_MEMORY)).manifest, path)

    def install(self, path: Path, directory: Path) -> Environment:
        """Check the wagon as it is now and make an environment of its wheels."""
        _check_python()
        wheels = directory / _WHEELS
        wheels.mkdir(mode=0o700)
        with _explained(path):
            wagon = self._read(path, lambda name: (wheels / name).open("x+b"))
            environment = install_wheels(wagon.manifest.package_name,
                                         [wheels / each.file for each in wagon.wheels], directory)
        shutil.rmtree(wheels)
        return environment

    def pack(self, source: Path, directory: Path, form: str | None = None, wheels: Path | None = None
             ) -> Path:
        """Make a wagon, ``tar.gz`` or ``zip``, with the tool wagon; it is checked before it is given."""
        _check_python()
        pythons = [(PYTHONS[0][0], minor) for minor in range(PYTHONS[0][1], PYTHONS[1][1] + 1)]
        place = scratch_directory("wagon")
        try:
            made = pack(source, place, form or FORMATS[0], wheels, pythons)
            self.inspect(made)
            directory.mkdir(parents=True, exist_ok=True)
            return Path(shutil.move(made, directory / made.name))
        except PackingError as error:
            raise InvalidInputError(f"no wagon can be made of {source}: {error}") from error
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _read(self, path: Path, room: Callable[[str], IO[bytes]]) -> _Wagon:
        budget = ArchiveBudget(self._max_entries, self._max_bytes)
        budget.shrink_to(path.stat().st_size)
        manifest: Manifest | None = None
        wheels: dict[str, Wheel] = {}
        with path.open("rb") as file:
            for member, name in _in_one_folder(archive_members(file, budget)):
                if name == MANIFEST:
                    manifest = read_manifest(member.read(LIMIT))
                elif (wheel := _wheel_name(name)) is not None:
                    wheels[wheel] = _copy_wheel(member, wheel, room, budget)
        if manifest is None:
            raise ArchiveError(f"has no {MANIFEST} in its top folder, so it is no wagon")
        listed = [_listed(each, wheels) for each in manifest.wheels]
        return _Wagon(manifest, choose(listed, manifest.package_name, manifest.package_version))


def _check_python() -> None:
    first, last = (".".join(map(str, each)) for each in PYTHONS)
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        raise ExtensionBrokenError(f"wagons are installed on Python {first} to {last}, "
                                   f"and this is Python {platform.python_version()}")


def _first_names(path: Path, kind: str) -> list[str]:
    if kind == "zip":
        with ZipFile(path) as archive:
            return archive.namelist()
    with tarfile.open(path, "r:gz") as packed:
        return [each.name for each in islice(packed, 3)]


def _is_wagons(name: str) -> bool:
    """Whether a wagon, and hardly anything else, has this entry among its first."""
    parts = name.removeprefix("./").rstrip("/").split("/")
    return len(parts) == 2 and parts[1] in (MANIFEST, _WHEELS)


def _in_one_folder(found: Iterator[ArchiveMember]) -> Iterator[tuple[ArchiveMember, str]]:
    """Each member with its path below the one folder that all are in."""
    top: str | None = None
    for member in found:
        folder, _, name = member.name.partition("/")
        top = folder if top is None else top
        if not name or folder != top:
            raise ArchiveError(f"holds {member.name!r} beside its top folder {top!r}; a wagon has one folder")
        yield member, name


def _wheel_name(name: str) -> str | None:
    folder, _, file = name.partition("/")
    return file if folder == _WHEELS and file.endswith(".whl") and "/" not in file else None


def _copy_wheel(member: ArchiveMember, name: str, room: Callable[[str], IO[bytes]],
                budget: ArchiveBudget) -> Wheel:
    """Read a wheel; zip files can only be read from something that can be sought in."""
    with room(name) as file:
        file.writelines(member.chunks)
        file.seek(0)
        return read_wheel(name, file, budget)


def _listed(name: str, wheels: dict[str, Wheel]) -> Wheel:
    if name not in wheels:
        raise ArchiveError(f"lists the wheel {name!r} in its {MANIFEST}, but has no such file in {_WHEELS}")
    return wheels[name]


def _info(manifest: Manifest, path: Path) -> PluginInfo:
    name, system = manifest.package_name, manifest.build_server_os_properties
    return PluginInfo(
        name=name, package_name=name, package_version=manifest.package_version,
        archive_name=manifest.archive_name or path.name, package_source=manifest.package_source,
        supported_platform=manifest.supported_platform,
        supported_py_versions=tuple(manifest.supported_python_versions), distribution=system.distribution,
        distribution_release=system.distribution_release, distribution_version=system.distribution_version,
        wheels=tuple(manifest.wheels))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Whatever is wrong with an archive is an ``InvalidPluginError`` that begins with its path."""
    try:
        yield
    except InvalidPluginError as error:
        raise InvalidPluginError(f"the plugin archive {path} could not be installed: {error}") from error
    except AriaError:
        raise
    except ArchiveError as error:
        raise InvalidPluginError(f"the plugin archive {path} {error}") from error
    except OSError as error:
        raise InvalidPluginError(
            f"the plugin archive {path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # the readers raise a dozen things for damaged bytes
        raise InvalidPluginError(
            f"the plugin archive {path} cannot be read whole: {type(error).__name__}: {error}") from error


@hookimpl
def aria_installer() -> type[Installer]:
    """The installer of wagons."""
    return WagonInstaller
