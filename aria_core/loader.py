"""What a loader promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeAlias

from aria_core.modeling.specification import LoadedTemplate

LOADER_API = 1

Read: TypeAlias = Callable[[Path], bytes]
"""Gives the bytes of a file; raises ``FileNotFoundError`` or ``LoadError``."""


class ImportedFile(NamedTuple):
    """A file, or part of a loader, that a source takes in."""

    name: str
    """Its path, or the name of the part in angle brackets."""
    depth: int
    """How many imports lead to it; 0: the source itself."""
    version: str = ""
    """Of the language it is written in."""
    prefix: str = ""
    """What its names begin with where it is imported."""
    place: str = ""
    """Where the import stands: ``file:line:column``."""


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

    def imported(self, source: Path, read: Read) -> tuple[list[ImportedFile], list[str]]:
        """`source` and what it imports, directly or not, in order; and what is wrong with these files.

        The sentences are like those of ``LoadError``. Reads through `read` only. Unless this is overridden,
        sources import nothing.
        """
        return [ImportedFile(str(source), 0)], []
