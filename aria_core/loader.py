"""What a loader promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeAlias

from aria_core.modeling.specification import LoadedTemplate

LOADER_API = 1

Read: TypeAlias = Callable[[Path], bytes]
"""Gives the bytes of a file; raises ``FileNotFoundError`` or ``LoadError``."""


class Loader(ABC):
    """Turns a source into a service template. Runs nothing that it finds there."""

    api: ClassVar[int] = LOADER_API

    @abstractmethod
    def recognises(self, source: Path) -> bool:
        """Whether this looks like something to load; reads a header at most, never raises."""

    @abstractmethod
    def load(self, source: Path, read: Read) -> LoadedTemplate:
        """The template in `source`, unsaved. Reads through `read` only.

        Raises ``LoadError`` with every located problem at once; ``aria_core.own_code_problems`` finds
        those between operations and the template's own functions and scripts.
        """
