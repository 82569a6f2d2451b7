"""Checks that a document has the shape its version's table of keynames asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import TypeAlias

from .keynames import Entity, Table
from .problems import Problems, hint
from .values import Mapping, Scalar, Sequence, Value, boolean, described, is_null, place_of, text

_VERSION = re.compile(r"\d+\.\d+(\.\d+(\.\w+(-\d+)?)?)?")
_UNBOUNDED = "UNBOUNDED"
_STATUSES = ("supported", "unsupported", "experimental", "deprecated")


def _is_text(value: Value) -> bool:
    return text(value) is not None


def _is_name(value: Value) -> bool:
    return bool(text(value))


def _is_bool(value: Value) -> bool:
    return boolean(value) is not None


def _is_word(value: Value) -> bool:
    """Text, or a number that its author took for text."""
    return _is_text(value) or _is_number(value)


def _is_number(value: Value) -> bool:
    return isinstance(value, Scalar) and isinstance(value.value, (int, float)) and not isinstance(
        value.value, bool)


def _is_version(value: Value) -> bool:
    return isinstance(value, Scalar) and _VERSION.fullmatch(value.text) is not None


def _is_range(value: Value) -> bool:
    if not isinstance(value, Sequence) or len(value.items) != 2:
        return False
    low, high = (each.value if isinstance(each, Scalar) else None for each in value.items)
    if not _is_whole(low):
        return False
    return high == _UNBOUNDED or (_is_whole(high) and int(high or 0) >= int(low or 0))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_Atom: TypeAlias = tuple[Callable[[Value], bool], str]

_ATOMS: dict[str, _Atom] = {
    "any": (lambda value: True, "anything"),
    "filter": (lambda value: True, "anything"),
    "filled": (lambda value: not is_null(value), "anything but null"),
    "text": (_is_text, "text"),
    "word": (_is_word, "text"),
    "status": (lambda value: (text(value) or "").lower() in _STATUSES, f"one of {', '.join(_STATUSES)}"),
    "name": (_is_name, "a name"),
    "bool": (_is_bool, "true or false"),
    "number": (_is_number, "a number"),
    "version": (_is_version, "a version such as 1.0"),
    "range": (_is_range, "a list of a lower and an upper bound such as [0, UNBOUNDED]"),
}


def _is_nothing(value: Value, name: str) -> bool:
    """Null; of operations, the empty list too, as descriptors of network functions have it."""
    empty_list = isinstance(value, Sequence) and not value.items
    return is_null(value) or (empty_list and name in _OPERATIONS)


_OPERATIONS = frozenset({"operation declaration", "operation definition", "operation assignment"})
_NAMED_IN_MAPS = frozenset({"policy", "trigger", "filter"})
_SHOWN = MappingProxyType({"refined property": "property"})


class Grammar:
    """Checks values against the shapes of one table; with `nulls`, null may stand for an empty map."""

    def __init__(self, table: Table, problems: Problems, *, nulls: bool = True) -> None:
        self._table = table
        self._nulls = nulls
        self._problems = problems

    def check(self, value: Value, shape: str, what: str, key: Scalar | None = None) -> None:
        """Add a problem for everything in `value` that does not have `shape`.

        `what` names the value; `key` is the key it stands under, where something missing is reported.
        """
        atom = _ATOMS.get(shape)
        if atom is not None:
            if not atom[0](value):
                self._refuse(value, what, atom[1])
        elif shape.startswith("[{"):
            self._check_named(value, shape[2:-2], what)
        elif shape.startswith("["):
            self._check_list(value, shape[1:-1], what)
        elif shape.startswith("{"):
            self._check_map(value, shape[1:-1], what)
        else:
            self._check_entity(value, shape, what, key)

    def _refuse(self, value: Value, what: str, accepted: str) -> None:
        self._problems.add(place_of(value), f"{what} is {described(value)}; it takes {accepted}")

    def _check_list(self, value: Value, shape: str, what: str) -> None:
        if is_null(value) and shape == "import" and self._nulls:
            return
        if not isinstance(value, Sequence):
            self._refuse(value, what, "a list")
            return
        for each in value.items:
            if shape == "import":
                self._check_import(each)
            else:
                self.check(each, shape, f"an entry of {what}")

    def _check_map(self, value: Value, shape: str, what: str) -> None:
        if is_null(value) and self._nulls:
            return
        if not isinstance(value, Mapping):
            self._refuse(value, what, "a map")
            return
        for name, each in value.entries.items():
            if not name and not self._nulls:
                self._refuse(value.keys[name], f"a name in {what}", "one that is not empty")
            shown = _SHOWN.get(shape, shape)
            what_each = f"`{name}` of {what}" if shape in _ATOMS else f"the {shown} `{name}`"
            self.check(each, shape, what_each, value.keys[name])

    def _check_named(self, value: Value, shape: str, what: str) -> None:
        if isinstance(value, Mapping) and shape in _NAMED_IN_MAPS:
            self._check_map(value, shape, what)
            return
        if is_null(value) and self._nulls:
            return
        if not isinstance(value, Sequence):
            self._refuse(value, what, "a list of maps with one entry each")
            return
        for each in value.items:
            if isinstance(each, Mapping) and len(each.entries) == 1:
                self._check_map(each, shape, what)
            else:
                self._refuse(each, f"an entry of {what}", "a map with one entry, the name")

    def _check_import(self, value: Value) -> None:
        """An import may stand under a name of its own: ``- my-types: types.yaml``."""
        entity, key = self._table["import"], None
        if isinstance(value,
                      Mapping) and len(value.entries) == 1 and not entity.keys.keys() & value.entries.keys():
            key, value = next(iter(value.keys.values())), next(iter(value.entries.values()))
        self._check_entity(value, "import", "an import", key)

    def _check_entity(self, value: Value, name: str, what: str, key: Scalar | None) -> None:
        entity = self._table[name]
        if isinstance(value, Mapping) and (entity.keys or entity.rest):
            if name == "argument" and "type" not in value.entries:
                return
            self._check_keys(value, entity, what)
            self._check_required(value, entity.required, what, key)
        elif entity.empty and _is_nothing(value, name):
            return
        elif name == "metadata" and _is_text(value):
            self._problems.warn(place_of(value), f"{what} is {described(value)}, which is passed over; it "
                                "takes a map")
        elif entity.short is not None and not is_null(value):
            accepted = "a map, or in short " if entity.keys else ""
            if not _ATOMS[entity.short][0](value):
                self._refuse(value, what, accepted + _ATOMS[entity.short][1])
        elif name != "argument":
            self._refuse(value, what, "a map" if entity.keys else "text")

    def _check_keys(self, value: Mapping, entity: Entity, what: str) -> None:
        for key, each in value.entries.items():
            shape = entity.keys.get(key) or entity.rest
            if shape is None:
                self._problems.add(place_of(value.keys[key]), f"unknown keyname `{key}` in {what}"
                                   + hint(key, sorted(entity.keys)))
            elif key in entity.keys:
                self.check(each, shape, f"`{key}` of {what}", value.keys[key])
            else:
                self.check(each, shape, f"the {shape} `{key}`", value.keys[key])

    def _check_required(self, value: Mapping, required: Iterable[str], what: str, key: Scalar | None) -> None:
        for each in required:
            if each not in value.entries:
                self._problems.add(place_of(key or value), f"{what} lacks the keyname `{each}`")
