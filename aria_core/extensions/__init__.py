"""What is installed beside the core, and how configuration chooses from it.

Nothing here imports an extension, pluggy or stevedore before one is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from aria_core.extensions.kinds import DriverKind
from aria_core.extensions.scan import Catalogue, ExtensionRow, Provider, disabled_names, scan

if TYPE_CHECKING:
    from aria_core.extensions.hooks import HookExtensions
    from aria_core.extensions.recognition import R, Recognisers
    from aria_core.settings import Setting

COMMANDS = "aria.commands"

T = TypeVar("T")


class Extensions:
    """The extensions of this interpreter. Made once and handed around; the scan is made at first use.

    `environ` may name extensions to leave alone in ``ARIA_DISABLE_EXTENSIONS``.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._disabled = disabled_names(environ)

    @cached_property
    def catalogue(self) -> Catalogue:
        """What is installed; nothing of it is imported."""
        return Catalogue(scan(), self._disabled)

    def driver(self, kind: DriverKind[T], use: str) -> type[T]:
        """The class that `use` names: an extension, or ``module:Class``.

        Raises ``ExtensionNotFoundError``, ``ExtensionBrokenError``, ``ExtensionIncompatibleError`` or
        ``ExtensionConflictError``.
        """
        from aria_core.extensions.drivers import driver_class

        return driver_class(self.catalogue, kind, use)

    def make(self, kind: DriverKind[T], use: str, keywords: Mapping[str, Setting] | None = None,
             section: str | None = None) -> T:
        """An instance of that class, made with `keywords`.

        Also raises ``ExtensionSettingsError``; `section` is the part of the configuration to name.
        """
        from aria_core.settings import make

        name = section or kind.word.replace(" ", "_")
        return make(self.driver(kind, use), keywords or {}, name)

    def recognisers(self, kind: DriverKind[R]) -> Recognisers[R]:
        """All loaders, or all installers, to be asked one after the other."""
        from aria_core.extensions.recognition import Recognisers

        return Recognisers(self.catalogue, kind, self.make)

    def hooks(self, disabled: Collection[str] = (),
              keywords: Mapping[str, Mapping[str, Setting]] | None = None) -> HookExtensions:
        """Import and make the hook extensions; see there. The caller closes them."""
        from aria_core.extensions.hooks import HookExtensions

        return HookExtensions(self.catalogue, disabled, keywords)

    @property
    def commands(self) -> dict[str, Provider]:
        """The commands that distributions add to ``aria``, by word."""
        return {each.name: each for each in self.catalogue.usable(COMMANDS)}

    def command(self, name: str) -> Any:
        """The click command behind a word, imported now; raises what is wrong with it."""
        from aria_core.extensions.drivers import load_provider

        return load_provider(self.catalogue.choose(COMMANDS, name))

    def rows(self) -> list[ExtensionRow]:
        """Every extension that is installed and whether it may be used; imports none."""
        return self.catalogue.rows()

    def examine(self) -> list[ExtensionRow]:
        """The same, after importing every one of them: what ``aria extensions doctor`` shows."""
        from aria_core.extensions.examination import examine

        return [examine(self.catalogue, each) for each in self.catalogue.providers]
