"""The wheels in a wagon: read whole, and chosen for this Python and platform."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, sys_tags
from packaging.utils import BuildTag, InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from aria_core import ArchiveBudget, ArchiveError

from .wheel_files import WheelFiles

PROVIDED = frozenset({"aria-core"})
"""What every worker has: a plugin may ask for it and need not bring it."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel; `name` is in its canonical form."""

    file: str
    name: str
    version: Version
    build: BuildTag
    tags: frozenset[Tag]
    requires_python: SpecifierSet
    requires: tuple[Requirement, ...]


def read_wheel(file_name: str, file: IO[bytes], budget: ArchiveBudget) -> Wheel:
    """The wheel in `file`, every byte of which is read; ``ArchiveError`` if it is not valid."""
    try:
        name, version, build, tags = parse_wheel_filename(file_name)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise ArchiveError(f"holds {file_name!r}, which is not how a wheel is called: {error}") from error
    metadata = _metadata(file_name, file, budget, name, version)
    _check_identity(file_name, name, version, metadata)
    try:
        python = SpecifierSet(_field(metadata, "requires_python"))
        requires = tuple(map(Requirement, _list(metadata, "requires_dist")))
    except (InvalidSpecifier, InvalidRequirement) as error:
        mistake = str(error).splitlines()[0]  # the rest points at it, in lines of their own
        raise ArchiveError(f"holds the wheel {file_name}, whose METADATA has a mistake: {mistake}") from error
    for each in requires:
        if each.url:
            raise ArchiveError(f"holds the wheel {file_name}, which requires {each.name} from an address; "
                               "nothing is fetched when a plugin is installed")
    return Wheel(file_name, name, version, build, tags, python, requires)


def _metadata(file_name: str, file: IO[bytes], budget: ArchiveBudget, name: str, version: Version
              ) -> Mapping[str, object]:
    try:
        return parse_email(WheelFiles(file, budget, name, version).metadata)[0]
    except ArchiveError as error:
        raise ArchiveError(f"holds the wheel {file_name}, which {error}") from error
    except Exception as error:  # zipfile raises a dozen things for damaged bytes
        raise ArchiveError(f"holds the wheel {file_name}, which is not whole: {error}") from error


def _field(metadata: Mapping[str, object], name: str) -> str:
    return str(metadata.get(name) or "")


def _list(metadata: Mapping[str, object], name: str) -> list[str]:
    value = metadata.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []


def _check_identity(file_name: str, name: str, version: Version, metadata: Mapping[str, object]) -> None:
    said = _field(metadata, "name"), _field(metadata, "version")
    try:
        agrees = canonicalize_name(said[0]) == name and Version(said[1]) == version
    except InvalidVersion:
        agrees = False
    if not agrees:
        raise ArchiveError(f"holds the wheel {file_name}, whose METADATA is that of {said[0]!r} {said[1]!r}")


def choose(wheels: Iterable[Wheel], name: str, version: str) -> list[Wheel]:
    """One wheel of each package for this Python and platform, that of the plugin itself first.

    A wagon may hold wheels for several. ``ArchiveError`` if there is none of the plugin, or one that
    is needed is missing.
    """
    ranks = {tag: rank for rank, tag in enumerate(sys_tags())}
    wheels, own = list(wheels), canonicalize_name(name)
    _check_own(wheels, own, name, version)
    best: dict[str, Wheel] = {}
    fitting = [each for each in wheels if _fits(each, ranks)]
    for wheel in sorted(fitting, key=lambda each: _order(each, ranks)):
        best[wheel.name] = wheel
    if own not in best or best[own].version != Version(version):
        raise ArchiveError(f"has no wheel of {name} for {_here()}; it has "
                           + "; ".join(_where_for(each, ranks) for each in wheels if each.name == own))
    _check_needs(best, own, wheels)
    return [best.pop(own), *best.values()]


def _check_own(wheels: Sequence[Wheel], own: str, name: str, version: str) -> None:
    mine = [each for each in wheels if each.name == own]
    if not mine:
        raise ArchiveError(f"has no wheel of its own package {name}; it has "
                           + ", ".join(sorted(each.file for each in wheels)))
    if not any(each.version == Version(version) for each in mine):
        raise ArchiveError(f"says that it is version {version} of {name}, but its wheel is {mine[0].file}")


def _fits(wheel: Wheel, ranks: Mapping[Tag, int]) -> bool:
    python = wheel.requires_python.contains(platform.python_version(), prereleases=True)
    return python and not wheel.tags.isdisjoint(ranks)


def _where_for(wheel: Wheel, ranks: Mapping[Tag, int]) -> str:
    """A wheel that does not fit, and why."""
    pythons = {(tag.interpreter, tag.abi) for tag in ranks}
    if not wheel.requires_python.contains(platform.python_version(), prereleases=True):
        return f"{wheel.file}, which asks for Python {wheel.requires_python}"
    if pythons.isdisjoint((tag.interpreter, tag.abi) for tag in wheel.tags):
        return f"{wheel.file}, which is for {_joined(tag.interpreter for tag in wheel.tags)}"
    return f"{wheel.file}, which is for {_joined(tag.platform for tag in wheel.tags)}"


def _joined(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))


def _order(wheel: Wheel, ranks: Mapping[Tag, int]) -> tuple[Version, int, BuildTag]:
    return wheel.version, -min(ranks[tag] for tag in wheel.tags if tag in ranks), wheel.build


def _check_needs(best: Mapping[str, Wheel], own: str, wheels: Sequence[Wheel]) -> None:
    """Follow what the plugin requires: nothing is fetched when it is installed."""
    waiting, seen = [(own, "")], set[tuple[str, str]]()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen or name in PROVIDED:
            continue
        seen.add((name, extra))
        for need in best[name].requires:
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                needed = _needed(need, best, name, wheels)
                waiting.extend((needed, each) for each in ("", *need.extras))


def _needed(need: Requirement, best: Mapping[str, Wheel], by: str, wheels: Sequence[Wheel]) -> str:
    name = canonicalize_name(need.name)
    if name in PROVIDED or (name in best and need.specifier.contains(best[name].version, prereleases=True)):
        return name
    there = ", ".join(each.file for each in wheels if each.name == name) or "none of that name"
    raise ArchiveError(f"has no wheel for {_here()} that fulfils '{need.name}{need.specifier}', which {by} "
                       f"requires; it has {there}")


def _here() -> str:
    return f"Python {platform.python_version()} on {sys.platform} {platform.machine()}"
