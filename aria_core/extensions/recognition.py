"""Drivers that are not named but asked whether a file is theirs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from aria_core.distribution import explain
from aria_core.exceptions import AriaError, InvalidInputError
from aria_core.extensions.kinds import DriverKind
from aria_core.extensions.scan import Catalogue, Provider
from aria_core.settings import Setting

_log = logging.getLogger("aria.extensions")


class Recogniser(Protocol):
    """What loaders and installers have in common."""

    def recognises(self, path: Path, /) -> bool:
        """Whether `path` is for this driver."""


R = TypeVar("R", bound=Recogniser)


class Recognisers(Generic[R]):
    """All drivers of a kind, ours first, then the others by name; each imported when it is its turn.

    A driver that cannot be used is passed over with one warning, and told again if no other fits.
    """

    def __init__(self, catalogue: Catalogue, kind: DriverKind[R],
                 make: Callable[[DriverKind[R], str, Mapping[str, Setting]], R]) -> None:
        self._catalogue = catalogue
        self._kind = kind
        self._make = make
        self._made: dict[str, R] = {}
        self._problems: dict[str, str] = {}

    def __iter__(self) -> Iterator[R]:
        for _, driver in self._usable():
            yield driver

    def named(self, name: str) -> R:
        """The driver of this name (or ``module:Class``); raises what is wrong with it."""
        if name not in self._made:
            self._made[name] = self._make(self._kind, name, {})
        return self._made[name]

    def recognise(self, path: Path) -> R:
        """The first driver that recognises `path`; ``InvalidInputError`` tells which were asked."""
        for provider, driver in self._usable():
            try:
                if driver.recognises(path):
                    return driver
            except Exception as error:  # noqa: BLE001 - the others are asked all the same
                self._pass_over(provider, f"{provider} fails to look at {path}: {explain(error)}")
        asked = ", ".join(each.name for each in self._catalogue.usable(self._kind.group)) or "none"
        reasons = "".join(f"; {each}" for each in self._problems.values())
        raise InvalidInputError(
            f"{path} is recognised by no {self._kind.word}; installed are {asked}{reasons}")

    def _usable(self) -> Iterator[tuple[Provider, R]]:
        for provider in self._catalogue.usable(self._kind.group):
            try:
                driver = self.named(provider.name)
            except AriaError as error:
                self._pass_over(provider, str(error))
            else:
                yield provider, driver

    def _pass_over(self, provider: Provider, sentence: str) -> None:
        if provider.name not in self._problems:
            self._problems[provider.name] = sentence
            _log.warning("%s", sentence)
