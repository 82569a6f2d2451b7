"""What is installed, read once and without importing any of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, entry_points, version
from typing import Literal, TypeAlias

from aria_core.distribution import OURS, normal
from aria_core.exceptions import (
    ExtensionConflictError,
    ExtensionIncompatibleError,
    ExtensionNotFoundError,
)

DISABLE_VARIABLE = "ARIA_DISABLE_EXTENSIONS"

WORDS: Mapping[str, str] = {
    "aria.executors": "executor",
    "aria.model_storages": "model storage",
    "aria.resource_storages": "resource storage",
    "aria.installers": "installer",
    "aria.loaders": "loader",
    "aria.hooks": "hook extension",
    "aria.commands": "command",
}
"""Entry-point group -> what one of it is called."""

Status: TypeAlias = Literal[
    "available", "disabled", "incompatible", "reserved", "clashing", "broken", "not installed"]


@dataclass(frozen=True, slots=True)
class Provider:
    """An entry point of ours and the distribution that installed it."""

    group: str
    name: str
    value: str
    distribution: str
    version: str
    ours: bool
    entry_point: EntryPoint = field(repr=False, compare=False)
    asks_for: str | None = field(default=None, repr=False)
    """The requirement on ARIA that this release does not meet."""

    def __str__(self) -> str:
        return f"the {WORDS[self.group]} {self.name!r} of {self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class ExtensionRow:
    """One line of ``aria extensions list``; `problem` is a sentence unless it is available."""

    kind: str
    name: str
    distribution: str
    version: str
    value: str
    status: Status
    problem: str = ""


def disabled_names(environ: Mapping[str, str]) -> frozenset[str]:
    """The names in ``ARIA_DISABLE_EXTENSIONS``: extensions or distributions, or ``*`` for all."""
    return frozenset(normal(each) for each in re.split(r"[,\s]+", environ.get(DISABLE_VARIABLE, "")) if each)


def scan(found: Iterable[EntryPoint] | None = None) -> list[Provider]:
    """Every entry point of a group of ours, one look at what is installed."""
    described: dict[int, _Described] = {}
    everything = _installed() if found is None else found
    return sorted((_provider(each, described) for each in everything if each.group in WORDS), key=_place)


def _place(provider: Provider) -> tuple[int, bool, str, str]:
    return list(WORDS).index(provider.group), not provider.ours, provider.name, provider.distribution


def _installed() -> Iterable[EntryPoint]:
    everything = entry_points()
    return [each for group in WORDS for each in everything.select(group=group)]


_Described: TypeAlias = tuple[str, str, str | None]


def _provider(found: EntryPoint, described: dict[int, _Described]) -> Provider:
    home = found.dist
    if home is None:
        raise ValueError(f"the entry point {found.name!r} belongs to no distribution")
    if id(home) not in described:  # reading metadata costs a millisecond, and is not kept
        described[id(home)] = _describe(home)
    name, release, unmet = described[id(home)]
    return Provider(found.group, found.name, found.value, name, release, normal(name) == OURS, found, unmet)


def _describe(home: Distribution) -> _Described:
    metadata = home.metadata
    name = str(metadata["Name"])
    unmet = None if normal(name) == OURS else _unmet(metadata.get_all("Requires-Dist") or ())
    return name, str(metadata["Version"]), unmet


def _unmet(requirements: Iterable[str]) -> str | None:
    asked = [each for each in requirements if re.match(r"\s*aria[-_.]+core\b(?![-_.])", each, re.IGNORECASE)]
    if not asked:
        return None
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import Version

    try:
        # a pre-release of ours is as good as its release: extensions are tried against it
        release = Version(version(OURS)).base_version
        parsed = [Requirement(each) for each in asked]
    except (InvalidRequirement, PackageNotFoundError):
        return None
    meant = [each for each in parsed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return next((str(each) for each in meant if not each.specifier.contains(release, prereleases=True)), None)


class Catalogue:
    """What is installed, and what of it may be used: all decided before anything is imported."""

    def __init__(self, providers: Collection[Provider], disabled: Collection[str] = ()) -> None:
        self.providers = tuple(providers)
        self._disabled = frozenset(disabled)

    def of(self, group: str) -> list[Provider]:
        """The providers of a group, ours first, then by name."""
        return [each for each in self.providers if each.group == group]

    def usable(self, group: str) -> list[Provider]:
        """Those of them that nothing speaks against."""
        return [each for each in self.of(group) if self.problem(each)[0] == "available"]

    def choose(self, group: str, name: str) -> Provider:
        """The provider of this name.

        Raises ``ExtensionNotFoundError``, ``ExtensionIncompatibleError`` or ``ExtensionConflictError``.
        """
        named = [each for each in self.of(group) if each.name == name]
        available = [each for each in named if self.problem(each)[0] == "available"]
        if available:
            return available[0]
        problems = [(status, text) for status, text in map(self.problem, named) if status != "reserved"]
        for status, text in problems:
            if status == "clashing":
                raise ExtensionConflictError(text)
            if status == "incompatible":
                raise ExtensionIncompatibleError(text)
        installed = ", ".join(sorted({each.name for each in self.usable(group)})) or "none"
        reason = problems[0][1] if problems else f"there is no {WORDS[group]} {name!r}"
        raise ExtensionNotFoundError(f"{reason}; installed are {installed}")

    def problem(self, provider: Provider) -> tuple[Status, str]:
        """Whether a provider may be used, and if not, why in one sentence."""
        if self._is_disabled(provider):
            return "disabled", f"{provider} is disabled by {DISABLE_VARIABLE}"
        if provider.asks_for is not None:
            return "incompatible", f"{provider} asks for {provider.asks_for}; this is {OURS} {version(OURS)}"
        same = [each for each in self.of(provider.group) if each.name == provider.name]
        if not provider.ours and any(each.ours for each in same):
            return "reserved", f"{provider} has a name that belongs to ARIA; ours is used"
        rivals = [each for each in same if not (each.asks_for or self._is_disabled(each))]
        if len(rivals) > 1 and not provider.ours:
            return "clashing", self._clash(provider, rivals)
        return "available", ""

    def rows(self) -> list[ExtensionRow]:
        """Every provider and its status, for people."""
        return [
            ExtensionRow(WORDS[each.group], each.name, each.distribution, each.version, each.value,
                         *self.problem(each))
            for each in self.providers
        ]

    @cached_property
    def _all_disabled(self) -> bool:
        return "*" in self._disabled

    def _is_disabled(self, provider: Provider) -> bool:
        names = {normal(provider.name), normal(provider.distribution)}
        return not provider.ours and (self._all_disabled or not names.isdisjoint(self._disabled))

    @staticmethod
    def _clash(provider: Provider, rivals: Collection[Provider]) -> str:
        homes = sorted(f"{each.distribution} {each.version}" for each in rivals)
        remedy = f"remove one, or disable one by its distribution's name in {DISABLE_VARIABLE}"
        if provider.group != "aria.hooks":
            remedy += ', or name a class with use = "module:Class"'
        return f"the {WORDS[provider.group]} {provider.name!r} is offered by {' and '.join(homes)}: {remedy}"
