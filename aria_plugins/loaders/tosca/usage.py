"""What a template uses of the types that its imports bring.

What is wrong with a type of another file that the template has nothing to do with is only a warning: who
imports a collection of types cannot do anything about the rest of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from .documents import Document
from .keynames import TYPE_SECTIONS
from .problems import Place, Problems
from .types import Type, Types
from .values import Mapping, Scalar, Value, field, place_of


def forgive_unused(types: Types, main: Document, problems: Problems) -> None:
    """Make warnings of the problems inside types that `main` imports and does not use."""
    if any(each.place.file != main.name for each in problems):
        used = _used(types, main)
        files = {each.name: _Definitions(each, types) for each in types.documents
                 if each is not main and not each.is_profile}
        problems.forgive(lambda place: place.file in files and files[place.file].forgives(place, used),
                         "nothing here uses this type")


def _used(types: Types, main: Document) -> set[Type]:
    """The types that `main` names, those which they name, and so on."""
    used: set[Type] = set()
    waiting = [] if main.root is None else [main.root]
    while waiting:
        for scalar in _scalars(waiting.pop()):
            for kind in TYPE_SECTIONS.values():
                found = types.find(kind, scalar)
                if found is not None and found not in used:
                    used.add(found)
                    waiting.append(found.body)
    return used


def _scalars(root: Value) -> Iterator[Scalar]:
    waiting, seen = [root], set[int]()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Scalar):
            yield value
        elif id(value) not in seen:  # aliases share values
            seen.add(id(value))
            waiting += value.entries.values() if isinstance(value, Mapping) else value.items


class _Definitions:
    """Which lines of a document define which type."""

    def __init__(self, document: Document, types: Types) -> None:
        starts: dict[int, Type | None] = {}
        if isinstance(document.root, Mapping):
            for key in document.root.keys.values():
                starts[place_of(key).line] = None
            for section in TYPE_SECTIONS:
                for name, key in _keys(field(document.root, section)):
                    line = place_of(key).line
                    starts[line] = None if line in starts else types.defined(document, section, name)
        self._lines = sorted(starts)
        self._types = [starts[line] for line in self._lines]

    def forgives(self, place: Place, used: set[Type]) -> bool:
        """Whether what is wrong at `place` concerns a type that is not `used`."""
        index = bisect_right(self._lines, place.line) - 1
        type_ = self._types[index] if index >= 0 else None
        return type_ is not None and type_ not in used


def _keys(section: Value | None) -> Iterator[tuple[str, Scalar]]:
    yield from section.keys.items() if isinstance(section, Mapping) else ()
