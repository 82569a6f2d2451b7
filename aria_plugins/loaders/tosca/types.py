"""The type hierarchy: every type of every document, found by name from where the name is written."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cached_property
from types import MappingProxyType
from typing import Any

from .documents import Document, Library
from .keynames import TYPE_SECTIONS
from .problems import Place, Problems, suggestion
from .profiles import IMPLICIT
from .values import Mapping, Scalar, Value, field, fields, place_of, text

_SHORTHAND = MappingProxyType({
    "artifact": ("tosca.artifacts.",),
    "data": ("tosca.datatypes.", "tosca.datatypes.network."),
    "capability": ("tosca.capabilities.", "tosca.capabilities.network."),
    "interface": ("tosca.interfaces.node.lifecycle.", "tosca.interfaces.relationship.", "tosca.interfaces."),
    "relationship": ("tosca.relationships.", "tosca.relationships.network."),
    "node": ("tosca.nodes.", "tosca.nodes.network."),
    "group": ("tosca.groups.",),
    "policy": ("tosca.policies.",),
})
"""Kind of type -> what may be left out at the beginning of a normative type's name."""

NATIVE_DATA = (
    "string", "integer", "float", "boolean", "timestamp", "null", "version", "range", "list", "map",
    "scalar",
    "scalar-unit.size", "scalar-unit.time", "scalar-unit.frequency", "scalar-unit.bitrate", "any", "secret")
"""The data types that YAML and TOSCA themselves have, and ours for text that is never shown."""


class Type:
    """One type: its own definition and its ancestors."""

    def __init__(self, kind: str, name: str, key: Scalar, body: Value, types: Types) -> None:
        self.kind = kind
        self.name = name
        self.key = key
        self.body = body if isinstance(body, Mapping) else Mapping(key.mark, {}, {})
        self.types = types
        self.parent: Type | None = None
        self.is_open = False
        """Whether it is derived from a type that is not known here."""
        self.memo: dict[str, Any] = {}
        """What `members` has worked out about it."""

    @property
    def place(self) -> Place:
        """Where the type is defined."""
        return place_of(self.key)

    @cached_property
    def lineage(self) -> tuple[Type, ...]:
        """The type and its ancestors, nearest first."""
        return (self, *self.parent.lineage) if self.parent else (self,)

    @cached_property
    def names(self) -> list[str]:
        """The names of the type and its ancestors, nearest first."""
        return [each.name for each in self.lineage]

    def is_a(self, other: Type) -> bool:
        """Whether it is `other` or derived from it."""
        return other in self.lineage

    @cached_property
    def native(self) -> str | None:
        """The native data type that a data type comes from; None for all others."""
        parent = text(field(self.lineage[-1].body, "derived_from"))
        native = (parent or "").removeprefix("tosca:")
        return native if native in NATIVE_DATA else None


MAX_ANCESTORS = 100

SIMPLE = "tosca-simple-1.3"
BASE = "tosca-simple-1.0"
"""The profile that has the type of relationships of which nothing more is known, whatever can be named."""
_RESERVED = "tosca."
"""What the names of types of TOSCA and of its profiles begin with."""
_WITHOUT_EFFECT = ("policy", "group")
_TYPING_ERROR = 0.8

Names = dict[str, dict[str, Type]]
"""Kind -> name -> type."""


class Types:
    """All types of one load."""

    def __init__(self, library: Library, main: Document, problems: Problems) -> None:
        self.problems = problems
        self._main = main.name
        self._own: dict[str, Names] = {}
        self._visible: dict[str, Names] = {}
        library.profile(BASE)
        self._profiles = [library.profile(name) for name in implicit_profiles(library, main)]
        self._implicit = frozenset(each.name for each in self._profiles)
        self.documents = list(library.documents.values())
        for document in self.documents:
            self._own[document.name] = self._define(document)
        for document in self.documents:
            self._names(document)
        self._link()

    def _define(self, document: Document) -> Names:
        names: Names = {kind: {} for kind in TYPE_SECTIONS.values()}
        for section, kind in TYPE_SECTIONS.items():
            value = field(document.root, section)
            if isinstance(value, Mapping):
                names[kind] = {name: Type(kind, name, value.keys[name], body, self)
                               for name, body in value.entries.items()}
        return names

    def _names(self, document: Document) -> Names:
        """What can be named in `document` besides the profiles that need no import."""
        if document.name in self._visible:
            return self._visible[document.name]
        names: Names = {kind: dict(own) for kind, own in self._own[document.name].items()}
        self._visible[document.name] = names
        for prefix, imported, place in document.imports:
            if imported not in self._profiles:
                self._add(names, prefix, self._names(imported), place)
        return names

    def _add(self, names: Names, prefix: str, imported: Names, place: Place) -> None:
        for kind, types in imported.items():
            for name, each in types.items():
                full = f"{prefix}:{name}" if prefix else name
                other = names[kind].setdefault(full, each)
                if other is not each:
                    self.problems.add(place, f"this import brings a second {kind} type `{full}` (from "
                                      f"{each.place}); the first is at {other.place}")

    def _link(self) -> None:
        for each in self._all():
            value = field(each.body, "derived_from")
            name = text(value)
            if value is not None and name and not (each.kind == "data" and is_native(name)):
                each.parent = self.need(each.kind, value, f"{each.kind} type `{each.name}` is derived from",
                                        may_be_unknown=each.kind in _WITHOUT_EFFECT)
                each.is_open = each.parent is None
        for each in self._all():
            self._cut_loop(each)

    def _cut_loop(self, start: Type) -> None:
        trail = [start]
        while trail[-1].parent is not None and trail[-1].parent not in trail and len(trail) <= MAX_ANCESTORS:
            trail.append(trail[-1].parent)
        if len(trail) > MAX_ANCESTORS:
            self.problems.add(start.place, f"{start.kind} type `{start.name}` has more than {MAX_ANCESTORS} "
                              "ancestors, which is the limit")
            start.parent = None
        elif trail[-1].parent is start:
            loop = " -> ".join(each.name for each in [*trail, start])
            self.problems.add(start.place, f"these {start.kind} types are derived from each other in a "
                              f"loop: {loop}")
            start.parent = None

    def _all(self) -> Iterator[Type]:
        for names in self._own.values():
            for types in names.values():
                yield from types.values()

    def declared(self) -> Iterator[Type]:
        """The types of the author's own documents."""
        for document in self.documents:
            if not document.is_profile:
                for types in self._own[document.name].values():
                    yield from types.values()

    def find(self, kind: str, value: Value) -> Type | None:
        """The type whose name `value` is, seen from the document in which it stands.

        An author's own types that this document does not import may come from the template that does.
        """
        name = text(value)
        if not name:
            return None
        if value.mark.name in self._implicit:
            return self.normative(kind, name)
        own = self._visible.get(value.mark.name, {}).get(kind, {}).get(name) or self.normative(kind, name)
        return own if own or name.startswith(_RESERVED) else self._visible[self._main][kind].get(name)

    def need_repository(self, value: Value | None, what: str) -> None:
        """That no document has a repository of this name is a problem; `what` begins its sentence."""
        known = [name for each in self.documents for name in fields(field(each.root, "repositories"))]
        name = text(value)
        if value is not None and name is not None and name not in known:
            self.problems.add(place_of(value), f"{what} `{name}`, but there is no repository of this name"
                              + suggestion(name, known, "the repositories"))

    def defined(self, document: Document, section: str, name: str) -> Type | None:
        """The type that a section of a document defines under this name."""
        return self._own[document.name][TYPE_SECTIONS[section]].get(name)

    def substituted(self) -> set[Type]:
        """The node types that imported templates stand for by their substitution mappings."""
        mappings = [field(field(each.root, "topology_template"), "substitution_mappings")
                    for each in self.documents if each.name != self._main]
        values = [value for each in mappings if (value := field(each, "node_type")) is not None]
        return {found for value in values if (found := self.find("node", value)) is not None}

    def normative(self, kind: str, name: str) -> Type | None:
        """The normative type of this name: full, shorthand or with the prefix ``tosca:``."""
        bare = name.removeprefix("tosca:")
        for full in (name, *(f"{prefix}{bare}" for prefix in _SHORTHAND[kind])):
            for profile in self._profiles:
                found = self._own[profile.name][kind].get(full)
                if found is not None:
                    return found
        return None

    @property
    def plain_relationship(self) -> Type:
        """The type of relationships of which nothing more is known."""
        return self._own[f"<profile {BASE}>"]["relationship"]["tosca.relationships.Root"]

    def need(self, kind: str, value: Value, what: str, *, may_be_unknown: bool = False) -> Type | None:
        """Like `find`, but that there is no such type is a problem; `what` begins its sentence.

        With `may_be_unknown` it is a warning if the name is one in TOSCA's own namespace, and not misspelt:
        it may be of a profile that is not known here.
        """
        found = self.find(kind, value)
        name = text(value)
        if found is None and name:
            known = self._known(kind, value)
            if may_be_unknown and name.startswith(_RESERVED) and not _is_typing_error(name, known):
                self.problems.warn(place_of(value), f"{what} `{name}`, which none of the profiles known here "
                                   "has; what it means is passed over")
            else:
                self.problems.add(place_of(value), f"{what} `{name}`, but there is no such {kind} type"
                                  + suggestion(name, known))
        return found

    def _known(self, kind: str, value: Value) -> list[str]:
        known = list(self._visible.get(value.mark.name, {}).get(kind, {}))
        for profile in self._profiles:
            normative = list(self._own[profile.name][kind])
            known += normative + [each.rpartition(".")[2] for each in normative]
        return known + list(NATIVE_DATA if kind == "data" else ())


def implicit_profiles(library: Library, main: Document) -> tuple[str, ...]:
    """The profiles whose types have short names: those of the version, in 2.0 those that were imported."""
    simple = {imported.name for each in library.documents.values() for _, imported, _ in each.imports
              if imported.name == f"<profile {SIMPLE}>"}
    return IMPLICIT[main.version] or ((SIMPLE, BASE) if simple else ())


def _is_typing_error(name: str, known: list[str]) -> bool:
    """Whether the name is nearly that of a known type, apart from what both begin with."""
    start, _, last = name.lower().rpartition(".")
    others = {each.rpartition(".")[2] for each in map(str.lower, known) if each.rpartition(".")[0] == start}
    return any(SequenceMatcher(None, last, each).ratio() >= _TYPING_ERROR for each in others)


def is_native(name: str) -> bool:
    """Whether this names a data type that TOSCA itself has."""
    return name.removeprefix("tosca:") in NATIVE_DATA
