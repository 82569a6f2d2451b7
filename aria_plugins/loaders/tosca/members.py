"""What a type offers: its properties, attributes, capabilities, requirements, interfaces and artifacts.

A definition in a derived type refines the one it inherits: what it does not say again stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, TypeVar

from .problems import Place
from .schemas import Schema, schema_of
from .types import Type, Types
from .values import Mapping, Scalar, Sequence, Value, boolean, field, fields, items, named, place_of, text

_NAMED_SECTIONS = ("properties", "attributes", "inputs", "operations")
_NOT_OPERATIONS = frozenset({
    "type", "inputs", "description", "operations", "notifications", "derived_from", "version", "metadata"})
_ARGUMENT_KEYS = frozenset({
    "type", "value", "default", "description", "required", "constraints", "entry_schema", "key_schema",
    "status", "metadata", "external-schema"})


class Member:
    """A named definition, with what it inherits."""

    def __init__(self, key: Scalar, body: Mapping, types: Types) -> None:
        self.name = key.text
        self.key = key
        self.body = body
        self.types = types

    @property
    def place(self) -> Place:
        """Where the youngest definition stands."""
        return place_of(self.key)

    @property
    def description(self) -> str:
        """Its description; empty if it has none."""
        return text(field(self.body, "description")) or ""

    @staticmethod
    def normal(value: Value) -> Mapping:
        """The long form of a definition."""
        return long_form(value, "file")

    @staticmethod
    def refine(older: Mapping, younger: Mapping) -> Mapping:
        """What a definition in a derived type makes of the one it inherits."""
        return overlay(older, younger)


class Parameter(Member):
    """The definition of a property, attribute or input."""

    @cached_property
    def schema(self) -> Schema:
        """What its value must be."""
        return schema_of(self.body, self.types)

    @property
    def required(self) -> bool:
        """Whether it must have a value."""
        return boolean(field(self.body, "required")) is not False

    @property
    def secret(self) -> bool:
        """Whether its metadata have a ``secret`` other than "false"; the type ``secret`` needs none."""
        given = field(field(self.body, "metadata"), "secret")
        return given is not None and (text(given) or "").lower() not in ("false", "no", "off")

    @property
    def default(self) -> Value | None:
        """Its value if nobody gives one."""
        own = field(self.body, "value")
        return field(self.body, "default") if own is None else own

    @staticmethod
    def normal(value: Value) -> Mapping:
        """The long form: anything but a definition is a value."""
        if isinstance(value, Mapping) and "type" in value.entries and value.entries.keys() <= _ARGUMENT_KEYS:
            return value
        if isinstance(value, Mapping) and value.entries and value.entries.keys() <= _ARGUMENT_KEYS:
            return value
        return wrapped(value, "value")


class Capability(Member):
    """What nodes of a type offer others."""

    @cached_property
    def type(self) -> Type | None:
        """The capability type."""
        value = field(self.body, "type")
        return None if value is None else self.types.find("capability", value)

    @cached_property
    def properties(self) -> dict[str, Parameter]:
        """Those of its type, as refined here."""
        return _refined(self.type, "properties", self.body, self.types)

    @cached_property
    def attributes(self) -> dict[str, Parameter]:
        """Those of its type, as refined here."""
        return _refined(self.type, "attributes", self.body, self.types)

    @cached_property
    def valid_sources(self) -> list[Type]:
        """Node types whose nodes may use it; empty: all."""
        value = field(self.body, "valid_source_types")
        if value is None and self.type is not None:
            value = next((own for each in self.type.lineage
                          if (own := field(each.body, "valid_source_types")) is not None), None)
        return [found for each in items(value) if (found := self.types.find("node", each)) is not None]

    @staticmethod
    def normal(value: Value) -> Mapping:
        """The long form."""
        return long_form(value, "type")


class Requirement(Member):
    """What nodes of a type need of others."""

    @property
    def least(self) -> int:
        """How many targets a node must have."""
        bounds = items(field(self.body, "occurrences"))
        low = bounds[0].value if bounds and isinstance(bounds[0], Scalar) else 1
        return low if isinstance(low, int) else 1

    @property
    def most(self) -> int | None:
        """How many targets a node may have; None: any number."""
        bounds = items(field(self.body, "occurrences"))
        high = bounds[1].value if len(bounds) > 1 and isinstance(bounds[1], Scalar) else 1
        return high if isinstance(high, int) else None

    @cached_property
    def capability(self) -> Type | None:
        """The type of capability it needs."""
        value = field(self.body, "capability")
        return None if value is None else self.types.find("capability", value)

    @cached_property
    def node(self) -> Type | None:
        """The type its targets must have; None: any."""
        value = field(self.body, "node")
        return None if value is None else self.types.find("node", value)

    @cached_property
    def relationship_body(self) -> Mapping | None:
        """The long form of its relationship."""
        value = field(self.body, "relationship")
        return None if value is None else long_form(value, "type")

    @cached_property
    def relationship(self) -> Type | None:
        """The type of the relationships that fulfil it."""
        value = field(self.relationship_body, "type")
        return None if value is None else self.types.find("relationship", value)

    @staticmethod
    def normal(value: Value) -> Mapping:
        """The long form."""
        return long_form(value, "capability")

    @staticmethod
    def refine(older: Mapping, younger: Mapping) -> Mapping:
        """One that names its capability stands for itself: the node of the older may not offer it."""
        return younger if "capability" in younger.entries else overlay(older, younger)


class Interface(Member):
    """A named set of operations, with those of its interface type."""

    @cached_property
    def type(self) -> Type | None:
        """The interface type."""
        value = field(self.body, "type")
        return None if value is None else self.types.find("interface", value)

    @cached_property
    def inputs(self) -> dict[str, Parameter]:
        """Inputs of all its operations."""
        return _refined(self.type, "inputs", self.body, self.types)

    @cached_property
    def operations(self) -> dict[str, Operation]:
        """Its operations."""
        own = Interface.normal(self.body)
        inherited_ones = operations_of(self.type) if self.type is not None else {}
        return _merged(inherited_ones, named(field(own, "operations")), Operation, self.types)

    @staticmethod
    def normal(value: Value) -> Mapping:
        """The form of TOSCA 1.3: operations under a key of their own."""
        body = long_form(value, "type")
        nested = field(body, "operations")
        operations = dict(fields(nested))
        keys = dict(nested.keys) if isinstance(nested, Mapping) else {}
        for name, each in body.entries.items():
            if name not in _NOT_OPERATIONS:
                operations[name], keys[name] = each, body.keys[name]
        entries = {name: each for name, each in body.entries.items() if name in _NOT_OPERATIONS}
        normal = Mapping(body.mark, entries,
                         {**body.keys, "operations": Scalar(body.mark, "operations", "operations")})
        normal.entries["operations"] = Mapping(body.mark, {
            name: Operation.normal(each) for name, each in operations.items()}, keys)
        return normal


class Operation(Member):
    """One operation of an interface."""

    @cached_property
    def inputs(self) -> dict[str, Parameter]:
        """The inputs it declares or gives values to."""
        return _merged({}, named(field(self.body, "inputs")), Parameter, self.types)

    @staticmethod
    def normal(value: Value) -> Mapping:
        """The long form; an empty list is an operation that does nothing."""
        nothing = isinstance(value, Sequence) and not value.items
        return Mapping(value.mark, {}, {}) if nothing else long_form(value, "implementation")


def wrapped(value: Value, key: str) -> Mapping:
    """A map with `value` alone, under `key`."""
    return Mapping(value.mark, {key: value}, {key: Scalar(value.mark, key, key)})


def long_form(value: Value, key: str) -> Mapping:
    """A map as it is; a short form as the map that means the same; null as the empty map."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Scalar) and value.value is None:
        return Mapping(value.mark, {}, {})
    return wrapped(value, key)


def overlay(parent: Mapping, child: Mapping) -> Mapping:
    """The definition `child` with what it leaves to `parent`."""
    merged = Mapping(child.mark, {**parent.entries, **child.entries}, {**parent.keys, **child.keys})
    for section in _NAMED_SECTIONS:
        older, younger = parent.entries.get(section), child.entries.get(section)
        if isinstance(older, Mapping) and isinstance(younger, Mapping):
            merged.entries[section] = _overlay_named(older, younger, section)
    return merged


def _overlay_named(parent: Mapping, child: Mapping, section: str) -> Mapping:
    normal = Operation.normal if section == "operations" else Parameter.normal
    entries = dict(parent.entries)
    for name, each in child.entries.items():
        older = parent.entries.get(name)
        entries[name] = each if older is None else overlay(normal(older), normal(each))
    return Mapping(child.mark, entries, {**parent.keys, **child.keys})


M = TypeVar("M", bound=Member)


def _merged(members: dict[str, M], own: Iterator[tuple[Scalar, Value]], make: type[M],
            types: Types) -> dict[str, M]:
    result = dict(members)
    for key, value in own:
        body = make.normal(value)
        older = result.get(key.text)
        result[key.text] = make(key, make.refine(older.body, body) if older is not None else body, types)
    return result


def _refined(type_: Type | None, section: str, body: Mapping, types: Types) -> dict[str, Parameter]:
    members = inherited(type_, section, Parameter) if type_ is not None else {}
    own = field(body, section)
    return members if own is None else _merged(members, named(own), Parameter, types)


def inherited(type_: Type, section: str, make: type[M]) -> dict[str, M]:
    """The members of a section of a type, with those of its ancestors."""
    known: dict[str, Any] | None = type_.memo.get(section)
    if known is None:
        older = inherited(type_.parent, section, make) if type_.parent is not None else {}
        known = _merged(older, named(field(type_.body, section)), make, type_.types)
        type_.memo[section] = known
    return known


def properties_of(type_: Type) -> dict[str, Parameter]:
    """The properties of a type, with those it inherits."""
    return inherited(type_, "properties", Parameter)


def attributes_of(type_: Type) -> dict[str, Parameter]:
    """The attributes of a type, with those it inherits."""
    return inherited(type_, "attributes", Parameter)


def capabilities_of(type_: Type) -> dict[str, Capability]:
    """The capabilities of a type, with those it inherits."""
    return inherited(type_, "capabilities", Capability)


def requirements_of(type_: Type) -> dict[str, Requirement]:
    """The requirements of a type, with those it inherits; the eldest ancestor's come first."""
    return inherited(type_, "requirements", Requirement)


def interfaces_of(type_: Type) -> dict[str, Interface]:
    """The interfaces of a type, with those it inherits."""
    return inherited(type_, "interfaces", Interface)


def artifacts_of(type_: Type) -> dict[str, Member]:
    """The artifacts of a type, with those it inherits."""
    return inherited(type_, "artifacts", Member)


def operations_of(type_: Type) -> dict[str, Operation]:
    """The operations of an interface type, with those it inherits."""
    known: dict[str, Operation] | None = type_.memo.get("operations")
    if known is None:
        older = operations_of(type_.parent) if type_.parent is not None else {}
        own = Interface.normal(type_.body)
        known = _merged(older, named(field(own, "operations")), Operation, type_.types)
        type_.memo["operations"] = known
    return known
