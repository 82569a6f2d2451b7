"""TOSCA's functions: checked here, kept as expressions that are evaluated on the live service.

What they refer to is checked as far as it is known: inputs, node templates, and the names of
properties, attributes, capabilities and requirements of ``SELF`` and of named nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from types import MappingProxyType
from typing import Any

from aria_core import CALCULATIONS, Expression

from .calls import Call
from .members import (
    Interface,
    artifacts_of,
    attributes_of,
    capabilities_of,
    interfaces_of,
    properties_of,
    requirements_of,
)
from .problems import Kind, Problems, listed, suggestion
from .types import Type, Types
from .values import Mapping, Scalar, Sequence, Value, field, fields, items, named, place_of, text

Convert = Callable[[Value], Any]

ENTITIES = ("SELF", "SOURCE", "TARGET", "HOST")

_ARITY = MappingProxyType({
    "get_input": (1, None, "the name of an input"),
    "get_property": (2, None, "an entity and the name of a property"),
    "get_attribute": (2, None, "an entity and the name of an attribute"),
    "get_secret": (1, 1, "the name of a secret"),  # ours: TOSCA has no such function
    "get_operation_output": (4, 4, "an entity, an interface, an operation and the name of an output"),
    "get_nodes_of_type": (1, 1, "the name of a node type"),
    "get_artifact": (2, 4, "an entity and the name of an artifact"),
    "concat": (1, None, "at least one text"),
    "join": (1, 2, "a list and a delimiter"),
    "token": (3, 3, "a text, the characters it is cut at, and the number of a piece, counted from 0"),
})
"""Function -> fewest and most arguments, and what they are."""


@dataclass
class Names:
    """What expressions of one topology can name."""

    inputs: dict[str, Any] = dataclass_field(default_factory=dict)
    nodes: dict[str, Type | None] = dataclass_field(default_factory=dict)
    templates: dict[str, Mapping] = dataclass_field(default_factory=dict)
    """Node template -> its long form."""
    others: dict[str, Type | None] = dataclass_field(default_factory=dict)
    """Relationship templates, groups and policies."""
    other_values: dict[str, dict[str, Value]] = dataclass_field(default_factory=dict)
    """Name -> property -> value, of `others`: the core does not know them, so they are read now."""
    other_attributes: dict[str, dict[str, Value]] = dataclass_field(default_factory=dict)
    """The same with attributes."""
    types: Types | None = None


@dataclass(frozen=True)
class Context:
    """Where an expression stands: what SELF, SOURCE and TARGET mean there, if they mean anything."""

    names: Names
    self_type: Type | None = None
    self_name: str | None = None
    in_relationship: bool = False
    knows_self: bool = True
    """False where there is no SELF: in inputs and outputs."""


def called(value: Value, literal_keys: MappingType[str, Any] = MappingProxyType({})) -> tuple[str,
                                                                                              Value] | None:
    """The name and the arguments of the function that `value` calls; None if it is no call.

    `literal_keys` are fields that the value may have as it is, which no function hides.
    """
    if not isinstance(value, Mapping) or len(value.entries) != 1:
        return None
    name, arguments = next(iter(value.entries.items()))
    if isinstance(value, Call):
        return name, arguments
    return (name, arguments) if name in _ARITY and name not in literal_keys else None


class Functions:
    """Checks calls and turns them into expressions."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def call(self, value: Value, name: str, arguments: Value, context: Context, convert: Convert) -> Any:
        """The call that `value` is, as an expression; `convert` makes JSON of an argument."""
        given: list[Value] = arguments.items if isinstance(arguments, Sequence) else [arguments]
        if isinstance(value, Call):
            return self._calculation(value, name, given, convert)
        fewest, most, usage = _ARITY[name]
        if (isinstance(arguments, Mapping)
            and called(arguments) is None) or not fewest <= len(given) <= (most or len(given)):
            self._problems.add(place_of(value), f"`{name}` takes {usage}")
            return None
        check = getattr(self, f"_check_{name}", None)
        if check is not None:
            check(given, context)
        if name == "get_artifact":
            return self._artifact(given, context)
        if name == "get_nodes_of_type" and context.names.types is not None:
            return self._nodes_of_type(given[0], context.names.types)
        if name in ("get_property", "get_attribute") and text(given[0]) in context.names.other_values:
            return self._known(given, name, context, convert)
        return Expression({f"${name}": [convert(each) for each in given]})

    def _calculation(self, value: Call, name: str, given: list[Value], convert: Convert) -> Any:
        fewest, most, usage, _ = CALCULATIONS[name.removeprefix("$")]
        if not fewest <= len(given) <= (most or len(given)):
            self._problems.add(place_of(value), f"`{name}` takes {usage}")
            return None
        return Expression({name: [convert(each) for each in given]})

    def _check_get_input(self, given: list[Value], context: Context) -> None:
        name = given[0].text if isinstance(given[0], Scalar) else None
        if name is not None and name not in context.names.inputs:
            self._problems.add(place_of(given[0]), f"there is no input `{name}`"
                               + suggestion(name, context.names.inputs, "the inputs"))

    def _check_token(self, given: list[Value], context: Context) -> None:
        index = given[2]
        if isinstance(index, Scalar) and (not isinstance(index.value, int) or isinstance(index.value, bool)
                                          or index.value < 0):
            self._problems.add(place_of(index), "the third argument of `token` is the number of a piece, "
                               "counted from 0")

    def _check_get_property(self, given: list[Value], context: Context) -> None:
        self._check_reference(given, context, "property", [properties_of])

    def _check_get_attribute(self, given: list[Value], context: Context) -> None:
        self._check_reference(given, context, "attribute", [attributes_of, properties_of])

    def _check_get_artifact(self, given: list[Value], context: Context) -> None:
        self._entity(given[0], context)

    def _entity(self, value: Value, context: Context) -> Type | None:
        """The type of the entity that `value` names, if it is known now."""
        name = text(value)
        names = context.names
        if name == "SELF" and context.knows_self:
            return context.self_type
        if name in ("SOURCE", "TARGET", "HOST") and context.knows_self:
            if name != "HOST" and not context.in_relationship and context.self_type is not None:
                self._problems.add(place_of(value), f"`{name}` means something only in a relationship; "
                                   "here it takes SELF, HOST or the name of a node template")
            return None
        if name in names.nodes or name in names.others:
            return names.nodes.get(name or "") or names.others.get(name or "")
        if isinstance(value, Scalar):
            known = [*(ENTITIES if context.knows_self else ()), *names.nodes]
            self._problems.add(place_of(value), f"there is no node template `{value.text}`"
                               + suggestion(value.text, known, "the entities that can be named"))
        return None

    def _check_reference(self, given: list[Value], context: Context, what: str,
                         sources: list[Callable[[Type], dict[str, Any]]]) -> None:
        type_ = self._entity(given[0], context)
        first, second = text(given[1]), text(given[2]) if len(given) > 2 else None
        if type_ is None or first is None:
            return
        known = [name for source in sources for name in source(type_)]
        capability = capabilities_of(type_).get(first) if type_.kind == "node" else None
        if capability is not None and second is not None:
            owned = [*capability.properties, *(capability.attributes if what == "attribute" else ())]
            if second not in owned and first not in known:
                self._problems.add(place_of(given[2]), f"the capability `{first}` of type `{type_.name}` "
                                   "has no "
                                   f"{what} `{second}`" + suggestion(second, owned, f"its {what} names"))
        elif first not in known and not (type_.kind == "node" and first in requirements_of(type_)):
            self._problems.add(place_of(given[1]), f"the type `{type_.name}` has no {what} `{first}`"
                               + (suggestion(first, known) or (f"; it has {listed(known)}" if known else "")))

    def _check_get_operation_output(self, given: list[Value], context: Context) -> None:
        type_, name = self._entity(given[0], context), text(given[0]) or ""
        if name in context.names.others:
            self._problems.add(place_of(given[0]), f"`{name}` has no operations of its own; "
                               "`get_operation_output` takes SELF, SOURCE, TARGET, HOST or a node template")
        if type_ is None or type_.kind not in ("node", "relationship"):
            return
        node = context.self_name if name == "SELF" else name
        known = _operations(type_, field(context.names.templates.get(node or ""), "interfaces"))
        interface, operation = text(given[1]), text(given[2])
        if interface is not None and interface not in known:
            self._problems.add(place_of(given[1]), f"the type `{type_.name}` has no interface `{interface}`"
                               + suggestion(interface, known, "its interfaces"))
        elif interface is not None and operation is not None and operation not in known[interface]:
            self._problems.add(place_of(given[2]), f"the interface `{interface}` has no operation "
                               f"`{operation}`" + suggestion(operation, known[interface], "its operations"))

    def _nodes_of_type(self, value: Value, types: Types) -> Any:
        """The nodes are looked up by the full name of their type."""
        type_ = types.need("node", value, "`get_nodes_of_type` names the type")
        if text(value) is None:
            self._problems.add(place_of(value), "`get_nodes_of_type` takes the name of a node type")
        return None if type_ is None else Expression({"$get_nodes_of_type": [type_.name]})

    def _known(self, given: list[Value], name: str, context: Context, convert: Convert) -> Any:
        """A property or attribute of something that has no name of its own in the service.

        That of a relationship template is read of the relationship that is made of it, if there is one;
        anything else stays as it was written.
        """
        entity, member = text(given[0]) or "", text(given[1]) or ""
        attribute = name == "get_attribute" and self._is_attribute(entity, member, context.names)
        user = _user_of(entity, context.names) if attribute else None
        if user is not None:
            return Expression({"$get_attribute": [*user, *(convert(each) for each in given[1:])]})
        value = self._written(entity, member, context.names, attribute=attribute)
        for step in given[2:]:
            value = _step(value, step)
        if value is None and len(given) > 2:
            self._problems.add(place_of(given[2]), f"`{member}` of `{entity}` has nothing there")
        return None if value is None else convert(value)

    def _is_attribute(self, entity: str, member: str, names: Names) -> bool:
        type_ = names.others.get(entity)
        return member in names.other_attributes[entity] or (
            type_ is not None and member in attributes_of(type_))

    def _written(self, entity: str, member: str, names: Names, *, attribute: bool) -> Value | None:
        """What the template or the type says."""
        values = names.other_attributes if attribute else names.other_values
        type_ = names.others.get(entity)
        declared = (attributes_of if attribute else properties_of)(type_).get(member) if type_ else None
        return values[entity].get(member) or (declared.default if declared is not None else None)

    def _artifact(self, given: list[Value], context: Context) -> Any:
        """The file of an artifact, which is known now."""
        entity, name = text(given[0]), text(given[1]) or ""
        node = context.self_name if entity == "SELF" else entity
        if node not in context.names.nodes:
            if entity in ENTITIES:
                self._problems.add(place_of(given[0]), f"`get_artifact` of `{entity}` is not supported yet; "
                                   "name a "
                                   "node template", Kind.UNSUPPORTED)
            return None
        artifacts = self._artifacts(node or "", context)
        if name not in artifacts:
            self._problems.add(place_of(given[1]), f"the node template `{node}` has no artifact `{name}`"
                               + suggestion(name, artifacts, "its artifacts"))
        return artifacts.get(name)

    def _artifacts(self, node: str, context: Context) -> dict[str, str | None]:
        type_ = context.names.nodes.get(node)
        found = {name: text(field(each.body, "file")) for name,
                 each in artifacts_of(type_).items()} if type_ else {}
        for name, each in fields(field(context.names.templates.get(node), "artifacts")).items():
            found[name] = text(each) or text(field(each, "file")) or found.get(name)
        return found


def _operations(type_: Type, assigned: Value | None) -> dict[str, set[str]]:
    """Interface -> its operations: those of the type, and those that the template adds."""
    found = {name: set(each.operations) for name, each in interfaces_of(type_).items()}
    for key, value in named(assigned):
        found.setdefault(key.text, set()).update(
            name.text for name, _ in named(field(Interface.normal(value), "operations")))
    return found


def _user_of(template: str, names: Names) -> tuple[str, str] | None:
    """The node and its requirement whose relationship is made of a relationship template."""
    for node, body in names.templates.items():
        for key, value in named(field(body, "requirements")):
            relationship = field(value, "relationship")
            if template in (text(relationship), text(field(relationship, "type"))):
                return node, key.text
    return None


def _step(value: Value | None, step: Value) -> Value | None:
    """What a key or position leads to in a value as it was written."""
    if isinstance(value, Mapping) and isinstance(step, Scalar):
        return value.entries.get(step.text)
    found = items(value)
    index = step.value if isinstance(step, Scalar) else None
    return found[index] if isinstance(index, int) and 0 <= index < len(found) else None
