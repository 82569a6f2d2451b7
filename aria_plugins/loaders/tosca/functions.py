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

from aria_core import Expression

from .members import artifacts_of, attributes_of, capabilities_of, properties_of, requirements_of
from .problems import Kind, Problems, listed, suggestion
from .types import Type
from .values import Mapping, Scalar, Sequence, Value, field, fields, place_of, text

Convert = Callable[[Value], Any]

ENTITIES = ("SELF", "SOURCE", "TARGET", "HOST")

_ARITY = MappingProxyType({
    "get_input": (1, None, "the name of an input"),
    "get_property": (2, None, "an entity and the name of a property"),
    "get_attribute": (2, None, "an entity and the name of an attribute"),
    "get_secret": (1, 1, "the name of a secret"),  # ours: TOSCA has no such function
    "get_operation_output": (4, 4, "an entity, an interface, an operation and the name of its output"),
    "get_nodes_of_type": (1, 1, "the name of a node type"),
    "get_artifact": (2, 4, "an entity and the name of an artifact"),
    "concat": (1, None, "at least one text"),
    "join": (1, 2, "a list and a delimiter"),
    "token": (3, 3, "a text, the characters it is cut at, and the number of a piece, counted from 0"),
})
"""Function -> fewest and most arguments, and what they are."""

_NOT_YET = frozenset({"get_operation_output", "get_nodes_of_type"})


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
    return (name, arguments) if name in _ARITY and name not in literal_keys else None


class Functions:
    """Checks calls and turns them into expressions."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def call(self, value: Value, name: str, arguments: Value, context: Context, convert: Convert) -> Any:
        """The call that `value` is, as an expression; `convert` makes JSON of an argument."""
        given: list[Value] = arguments.items if isinstance(arguments, Sequence) else [arguments]
        fewest, most, usage = _ARITY[name]
        if (isinstance(arguments, Mapping)
            and called(arguments) is None) or not fewest <= len(given) <= (most or len(given)):
            self._problems.add(place_of(value), f"`{name}` takes {usage}")
            return None
        if name in _NOT_YET:
            self._problems.add(place_of(value), f"the function `{name}` is not supported yet",
                               Kind.UNSUPPORTED)
            return None
        check = getattr(self, f"_check_{name}", None)
        if check is not None:
            check(given, context)
        if name == "get_artifact":
            return self._artifact(given, context)
        if name in ("get_property", "get_attribute") and text(given[0]) in context.names.other_values:
            return self._known(given, name, context, convert)
        return Expression({f"${name}": [convert(each) for each in given]})

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

    def _known(self, given: list[Value], name: str, context: Context, convert: Convert) -> Any:
        """A property of something that does not live on in the service."""
        values = context.names.other_values[text(given[0]) or ""]
        value = values.get(text(given[1]) or "")
        if name == "get_attribute" or len(given) > 2:
            self._problems.add(place_of(given[0]), f"`{name}` reads only properties of `{text(given[0])}`: "
                               "attributes "
                               "of relationship templates, groups and policies are not supported yet",
                               Kind.UNSUPPORTED)
        return None if value is None else convert(value)

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
