"""Checks the types that a template declares: what they refer to exists, and what they refine fits."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as MappingType
from types import MappingProxyType

from .conversion import Converter
from .functions import Context, Names
from .members import (
    Capability,
    Interface,
    Parameter,
    Requirement,
    artifacts_of,
    attributes_of,
    capabilities_of,
    inherited,
    interfaces_of,
    operations_of,
    properties_of,
    requirements_of,
)
from .problems import Problems, listed
from .scalars import SCALAR, check_scalar
from .schemas import Schema
from .types import Type, Types
from .values import Mapping, Sequence, Value, described, field, fields, items, key_of, named, place_of, plain

OPERATORS = ("equal", "greater_than", "greater_or_equal", "less_than", "less_or_equal", "in_range",
             "valid_values",
             "length", "min_length", "max_length", "pattern")
"""The constraints there are."""


class Declarations:
    """Checks declared types."""

    def __init__(self, types: Types, converter: Converter, problems: Problems) -> None:
        self._types = types
        self._converter = converter
        self._problems = problems
        self._checks: MappingType[str, Callable[[Type], None]] = MappingProxyType({
            "data": self._check_data, "capability": self._check_capability_type,
            "node": self._check_node_type,
            "relationship": self._check_relationship_type, "group": self._check_group_type,
            "policy": self._check_policy_type, "interface": self._check_interface_type,
        })

    def check(self) -> None:
        """Add a problem for everything wrong in the declared types."""
        for each in self._types.declared():
            self._check_parameters(each, properties_of(each), "property")
            self._check_parameters(each, attributes_of(each), "attribute")
            if each.kind in self._checks:
                self._checks[each.kind](each)

    def _check_parameters(self, type_: Type, members: dict[str, Parameter], what: str) -> None:
        section = {"property": "properties", "attribute": "attributes"}[what]
        own = fields(field(type_.body, section))
        older = inherited(type_.parent, section, Parameter) if type_.parent is not None else {}
        for name in own:
            shown = f"the {what} `{name}` of {type_.kind} type `{type_.name}`"
            self._check_typed(members[name], shown)
            self.check_parameter(members[name], shown, Context(Names(), None))
            if name in older:
                self._check_refinement(older[name].schema, members[name], shown)

    def _check_typed(self, member: Parameter, what: str) -> None:
        if field(member.body, "type") is None:
            self._problems.add(member.place, f"{what} lacks the keyname `type`")

    def check_parameter(self, member: Parameter, what: str, context: Context) -> None:
        """Add a problem for an unknown type, a broken constraint or a default that does not fit."""
        for constraint in items(field(member.body, "constraints")):
            self.check_constraint(constraint, what)
        schema = member.schema
        for each in (schema, schema.entry, schema.key):
            if each is not None and each.name == SCALAR:
                self._problems.add(member.place, f"{what} has the type scalar, which has no units; it takes "
                                   "a data type that is derived from it and has some")
        if member.default is not None and not self._is_dynamic(member.default):
            self._converter.convert(member.default, schema, f"the default of {what}", context)

    def _is_dynamic(self, value: Value) -> bool:
        """Whether there may be a call inside, which only a node can check."""
        if isinstance(value, Mapping):
            return any(name.startswith(("get_", "concat", "join", "token")) or self._is_dynamic(each)
                       for name, each in value.entries.items())
        return any(self._is_dynamic(each) for each in items(value))

    def check_constraint(self, value: Value, what: str) -> None:
        """Add a problem for a constraint that is none."""
        if not isinstance(value, Mapping) or len(value.entries) != 1:
            self._problems.add(place_of(value), f"a constraint of {what} is {described(value)}; it takes a "
                               "map with "
                               f"one of {listed(OPERATORS)}")
            return
        name, bound = next(iter(value.entries.items()))
        if name not in OPERATORS and name != "schema":
            self._problems.add(place_of(key_of(value, name)), f"unknown constraint `{name}` of {what}; "
                               "known are "
                               f"{', '.join(OPERATORS)}")
            return
        self._check_bound(name, bound, what)

    def _check_bound(self, name: str, bound: Value, what: str) -> None:
        accepts, takes = _BOUNDS.get(name, (None, ""))
        if accepts is not None and not accepts(plain(bound)):
            self._problems.add(place_of(bound), f"the constraint `{name}` of {what} is {described(bound)}; "
                               f"it takes {takes}")

    def _check_refinement(self, older: Schema, member: Parameter, what: str) -> None:
        younger = member.schema
        names = younger.data.names if younger.data is not None else []
        fits = younger.name == older.name or older.name in (*names, "any") or older.name == younger.native
        value = field(member.body, "type")
        if not fits and value is not None and younger.name != "any":
            self._problems.add(place_of(value), f"{what} has the type `{younger.name}`, but it refines one "
                               "of type "
                               f"`{older.name}`, whose type or a type derived from it is needed")

    def _check_data(self, type_: Type) -> None:
        check_scalar(type_, self._problems)
        for constraint in items(field(type_.body, "constraints")):
            self.check_constraint(constraint, f"data type `{type_.name}`")
        if not type_.native and field(type_.body, "constraints") is not None:
            self._problems.add(place_of(key_of(type_.body, "constraints")), f"data type `{type_.name}` has "
                               "constraints, "
                               "which take a data type that is derived from a native one")
        if type_.native and field(type_.body, "properties") is not None:
            parent = field(type_.body, "derived_from") or key_of(type_.body, "properties")
            self._problems.add(place_of(parent), f"data type `{type_.name}` is "
                               "derived from "
                               f"`{type_.native}`, so it cannot have properties")

    def _need_each(self, type_: Type, section: str, kinds: tuple[str, ...]) -> None:
        for value in items(field(type_.body, section)):
            if not any(self._types.find(kind, value) for kind in kinds):
                self._types.need(kinds[0], value, f"`{section}` of {type_.kind} type `{type_.name}` names")

    def _check_capability_type(self, type_: Type) -> None:
        self._need_each(type_, "valid_source_types", ("node",))

    def _check_relationship_type(self, type_: Type) -> None:
        self._need_each(type_, "valid_target_types", ("capability", "node"))
        self._check_interfaces(type_)

    def _check_group_type(self, type_: Type) -> None:
        self._need_each(type_, "members", ("node", "group"))
        self._check_interfaces(type_)

    def _check_policy_type(self, type_: Type) -> None:
        self._need_each(type_, "targets", ("node", "group"))

    def _check_interface_type(self, type_: Type) -> None:
        for name, member in inherited(type_, "inputs", Parameter).items():
            self.check_parameter(member, f"the input `{name}` of interface type `{type_.name}`",
                                 Context(Names()))
        older = operations_of(type_.parent) if type_.parent is not None else {}
        for name, operation in operations_of(type_).items():
            what = f"operation `{name}` of interface type `{type_.name}`"
            self._check_arguments(operation.inputs, what)
            if name in older:
                self._check_refined(older[name].inputs, operation.inputs, what)

    def _check_node_type(self, type_: Type) -> None:
        older = capabilities_of(type_.parent) if type_.parent is not None else {}
        for name, capability in capabilities_of(type_).items():
            if name in older:
                self._check_derived(capability.body, capability.type, older[name].type, "the capability "
                                    f"`{name}` of node type `{type_.name}`")
            self._check_capability(capability, f"the capability `{name}` of node type `{type_.name}`")
        for name, requirement in requirements_of(type_).items():
            self._check_requirement(requirement, f"the requirement `{name}` of node type `{type_.name}`")
        for name, artifact in artifacts_of(type_).items():
            what = f"the artifact `{name}` of node type `{type_.name}`"
            self._need(artifact.body, "type", "artifact", f"{what} has the type", may_be_unknown=True)
            self._types.need_repository(field(artifact.body, "repository"), f"{what} is in")
            if field(artifact.body, "file") is None:
                self._problems.add(artifact.place, f"{what} lacks the keyname `file`")
        self._check_interfaces(type_)

    def _check_derived(self, body: Mapping, younger: Type | None, older: Type | None, what: str) -> None:
        value = field(body, "type")
        if younger is not None and older is not None and not younger.is_a(older) and value is not None:
            self._problems.add(place_of(value), f"{what} has the type `{younger.name}`, but it refines one "
                               "of type "
                               f"`{older.name}`, whose type or a type derived from it is needed")

    def _need(self, body: Value | None, key: str, kind: str, what: str, *,
              may_be_unknown: bool = False) -> None:
        value = field(body, key)
        if value is not None:
            self._types.need(kind, value, what, may_be_unknown=may_be_unknown)

    def _check_capability(self, capability: Capability, what: str) -> None:
        self._need(capability.body, "type", "capability", f"{what} has the type", may_be_unknown=True)
        for value in items(field(capability.body, "valid_source_types")):
            self._types.need("node", value, f"`valid_source_types` of {what} names")
        for section, members in (("properties", capability.properties),
                                 ("attributes", capability.attributes)):
            for name in fields(field(capability.body, section)):
                self._check_typed(members[name], f"`{name}` of {what}")
                self.check_parameter(members[name], f"`{name}` of {what}", Context(Names()))

    def _check_requirement(self, requirement: Requirement, what: str) -> None:
        if field(requirement.body, "capability") is None:
            self._problems.add(requirement.place, f"{what} lacks the keyname `capability`")
        self._need(requirement.body, "capability", "capability", f"{what} needs a capability of type",
                   may_be_unknown=True)
        self._need(requirement.body, "node", "node", f"{what} needs a node of type", may_be_unknown=True)
        self._need(requirement.relationship_body, "type", "relationship", f"{what} makes a relationship of "
                   "type")
        self.check_filter(field(requirement.body, "node_filter"), f"the node filter of {what}")
        for key, value in named(field(requirement.relationship_body, "interfaces")):
            interface = Interface(key, Interface.normal(value), self._types)
            if interface.type is not None:
                self._check_interface(interface, f"the interface `{key.text}` of {what}")

    def check_filter(self, node_filter: Value | None, what: str) -> None:
        """Add a problem for everything in a node filter that is no constraint."""
        capabilities = [each for _, each in named(field(node_filter, "capabilities"))]
        for source in (node_filter, *capabilities):
            for key, value in named(field(source, "properties")):
                for constraint in items(value) if isinstance(value, Sequence) else [value]:
                    self.check_constraint(constraint, f"`{key.text}` in {what}")

    def _check_interfaces(self, type_: Type) -> None:
        older = interfaces_of(type_.parent) if type_.parent is not None else {}
        for name, interface in interfaces_of(type_).items():
            if name in older:
                self._check_derived(interface.body, interface.type, older[name].type, "the interface "
                                    f"`{name}` of {type_.kind} type `{type_.name}`")
                self._check_refined_interface(older[name], interface, f"of {type_.kind} type `{type_.name}`")
            self._check_interface(interface, f"the interface `{name}` of {type_.kind} type `{type_.name}`")

    def _check_refined_interface(self, older: Interface, younger: Interface, where: str) -> None:
        self._check_refined(older.inputs, younger.inputs, f"the interface `{younger.name}` {where}")
        for name, operation in younger.operations.items():
            if name in older.operations:
                self._check_refined(older.operations[name].inputs, operation.inputs,
                                    f"operation `{name}` of the interface `{younger.name}` {where}")

    def _check_refined(self, older: dict[str, Parameter], younger: dict[str, Parameter], what: str) -> None:
        for name, member in younger.items():
            if name in older and member is not older[name]:
                self._check_refinement(older[name].schema, member, f"the input `{name}` of {what}")

    def _check_interface(self, interface: Interface, what: str) -> None:
        if field(interface.body, "type") is None and not interface.operations:
            self._problems.add(interface.place, f"{what} lacks the keyname `type`")
        self._need(interface.body, "type", "interface", f"{what} has the type")
        self._check_arguments(interface.inputs, what)
        for name, operation in interface.operations.items():
            self._check_arguments(operation.inputs, f"operation `{name}` of {what}")

    def _check_arguments(self, inputs: dict[str, Parameter], what: str) -> None:
        for name, member in inputs.items():
            self.check_parameter(member, f"the input `{name}` of {what}", Context(Names()))


def _is_range(found: object) -> bool:
    if not isinstance(found, list) or len(found) != 2:
        return False
    if any(isinstance(each, (dict, list)) for each in found):
        return False  # nothing is between two maps
    numbers = [each for each in found if isinstance(each, (int, float))]
    return len(numbers) < 2 or numbers[0] <= numbers[1]


def _is_length(found: object) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and found >= 0


def _is_pattern(found: object) -> bool:
    if not isinstance(found, str):
        return False
    try:
        re.compile(found)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


_BOUNDS: MappingType[str, tuple[Callable[[object], bool], str]] = MappingProxyType({
    "in_range": (_is_range, "a list of a lower and an upper bound"),
    "valid_values": (lambda found: isinstance(found, list), "a list"),
    "length": (_is_length, "a whole number from 0"),
    "min_length": (_is_length, "a whole number from 0"),
    "max_length": (_is_length, "a whole number from 0"),
    "pattern": (_is_pattern, "a regular expression"),
})
"""Constraint -> what its bound must be, and how that is told."""
