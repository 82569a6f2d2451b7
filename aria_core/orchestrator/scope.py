"""Where the expressions of a stored service find their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from sqlalchemy import select
from sqlalchemy.orm import object_session

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.expressions import (
    HOST,
    SELF,
    SOURCE,
    TARGET,
    ExpressionError,
    MissingValueError,
    evaluate,
    follow,
)
from aria_core.modeling.models import Execution, Node, Relationship, Service, Task
from aria_core.modeling.secret_store import FOLDER, PREFIX, read_secret
from aria_core.modeling.states import TaskState

MAX_HOPS = 50
"""How many values may need one another in a row."""

_KEPT = MappingProxyType({"state": "state", "tosca_id": "id"})
"""Attribute that every entity of TOSCA has -> where it is kept."""

Owner: TypeAlias = Node | Relationship
Kind: TypeAlias = Literal["property", "attribute"]
Found: TypeAlias = tuple[Any]
"""A value that exists (it may be None); nothing found is None."""


class ServiceScope:
    """A snapshot of a service as its expressions see it; SELF is `actor` (None: outputs have none).

    What was computed once is kept, so make one scope for each use. Values come from rows, and where a
    value is an expression without a row (attributes, capabilities) from the node template.
    """

    def __init__(self, service: Service, actor: Owner | None = None) -> None:
        self._service = service
        self._actor = actor
        self._trail: tuple[str, ...] = ()
        self._known: dict[str, Any] = {}
        self._inputs: dict[str, Any] | None = None

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs of the service."""
        if self._inputs is None:
            self._inputs = dict(self._service.inputs)
        return self._inputs

    def evaluate(self, value: Any) -> Any:
        """The value of an expression; raises as `aria_core.modeling.expressions.evaluate` does."""
        try:
            return evaluate(value, self)
        except RecursionError:
            raise ExpressionError("the expression is nested too deep to be evaluated") from None

    def get_property(self, path: Sequence[Any]) -> Any:
        """The property that `path` leads to; see `aria_core.modeling.expressions`."""
        return self._get(path, "property")

    def get_attribute(self, path: Sequence[Any]) -> Any:
        """The attribute that `path` leads to, or else the property; as above."""
        return self._get(path, "attribute")

    def get_secret(self, name: Any) -> str:
        """The secret of that name; see `aria_core.modeling.secret_store`."""
        try:
            found = read_secret(name)
        except InvalidInputError as error:
            raise ExpressionError(str(error)) from None
        if found is None:
            raise MissingValueError(f"there is no secret {name!r}; it is read from the file {name} in the "
                                    f"folder that {FOLDER} names, or from the variable {PREFIX}{name}")
        return found

    def get_operation_output(self, path: Sequence[Any]) -> Any:
        """What an operation gave when it last succeeded on the entity, or on the nearest host that has it.

        It stands under its name in the map that the function returned. A script returns nothing: what it
        gave is the attribute of that name.
        """
        entity, interface, operation, name = path
        owners = list(self._owners(entity))
        results = [(owner, found) for owner in owners
                   if (found := self._last_result(owner, interface, operation)) is not None]
        for owner, (result,) in results:
            if isinstance(result, Mapping) and name in result:
                return result[name]
            if name in owner.attribute_rows and owner.attribute_rows[name].value is not None:
                return owner.attribute_rows[name].value
        what = f"operation {interface}.{operation} of {_label(owners[0])}"
        raise MissingValueError(f"{what} gave nothing called {name!r}" if results
                                else f"{what} has not succeeded yet")

    def get_nodes_of_type(self, type_name: Any) -> list[str]:
        """The names of the service's nodes of that type or of one derived from it."""
        return [name for name, node in self._service.nodes.items()
                if type_name in (node.type_name, *node.types)]

    def _last_result(self, owner: Owner, interface: Any, operation: Any) -> Found | None:
        session = object_session(owner)
        if session is None:
            return None
        of_owner = Task.node_id == owner.id if isinstance(owner, Node) else Task.relationship_id == owner.id
        row = session.execute(
            select(Task.result).join(Task.execution)
            .where(of_owner, Task.interface_name == interface, Task.operation_name == operation,
                   Task.state == TaskState.SUCCESS, Execution.dry.is_(False))
            .order_by(Task.execution_id.desc(), Task.position.desc()).limit(1)).first()
        return None if row is None else (row[0],)

    def properties(self, owner: Owner) -> dict[str, Any]:
        """All properties of a node or relationship, evaluated."""
        return {name: self._parameter(owner, name) for name in owner.property_parameters}

    def attributes(self, owner: Owner) -> dict[str, Any]:
        """All attributes of a node or relationship; those that have no value yet are left out."""
        found: dict[str, Any] = {}
        for name in _declared(owner).get("attributes", {}):
            try:
                found[name] = self._value(owner, name, "attribute", ())
            except MissingValueError:
                continue
        return found | dict(owner.attributes)

    def capabilities(self, node: Node) -> dict[str, Any]:
        """The capabilities of a node with properties and attributes, evaluated."""
        declared = _declared(node).get("capabilities", {})
        return {name: {**entry, **{
            group: {**entry.get(group, {}), **{
                key: self._computed(node, f"{name}.{group}.{key}", each["value"])
                for key, each in declared.get(name, {}).get(group, {}).items() if each.get("dynamic")}}
            for group in ("properties", "attributes")}} for name, entry in node.capabilities.items()}

    def _get(self, path: Sequence[Any], kind: Kind) -> Any:
        entity, *rest = path
        owners = list(self._owners(entity))
        for owner in owners:
            for found, nested in self._candidates(owner, rest, kind):
                if found is not None:
                    return follow(found[0], nested, f"{kind} {rest[0]!r} of {_label(owner)}")
        names = ", ".join(sorted({name for owner in owners for name in _names(owner, kind)})) or "none"
        wanted = ".".join(map(str, rest))
        hosts = ", nor have its hosts" if len(owners) > 1 else ""
        raise MissingValueError(f"{_label(owners[0])} has no {kind} {wanted!r}{hosts}; there are: {names}")

    def _owners(self, entity: Any) -> Iterator[Owner]:
        if entity == HOST:
            yield from self._hosts()
        elif entity in (SELF, SOURCE, TARGET):
            yield self._near(entity)
        elif isinstance(entity, str) and entity in self._service.nodes:
            yield self._service.nodes[entity]
        else:
            raise MissingValueError(f"there is no node {entity!r}; the nodes are: "
                                    f"{', '.join(self._service.nodes) or 'none'}")

    def _near(self, entity: str) -> Owner:
        actor = self._actor
        if entity == SELF and actor is not None:
            return actor
        if isinstance(actor, Relationship):
            return actor.source_node if entity == SOURCE else actor.target_node
        what = "on a node; it takes SELF, HOST" if actor else "outside of nodes; it takes the name of a node"
        raise ExpressionError(f"{entity} means nothing {what}{' or the name of a node' if actor else ''}")

    def _hosts(self) -> Iterator[Node]:
        if not isinstance(self._actor, Node):
            raise ExpressionError("HOST means something on nodes only; it takes the name of a node")
        host = self._actor.host
        if host is None:
            raise MissingValueError(f"{_label(self._actor)} has no host")
        while host is not None:
            yield host
            host = host.host

    def _candidates(self, owner: Owner, rest: Sequence[Any], kind: Kind) -> Iterator[
            tuple[Found | None, Sequence[Any]]]:
        name = rest[0]
        if len(rest) > 1 and isinstance(owner, Node):
            for each in owner.outbound_relationships:
                if each.name == name:
                    capability = each.capability or each.name
                    yield self._of_capability(each.target_node, capability, rest[1], kind), rest[2:]
                    yield self._own(each.target_node, rest[1], kind), rest[2:]
                    yield self._own(each, rest[1], kind), rest[2:]
            yield self._of_capability(owner, name, rest[1], kind), rest[2:]
        yield self._own(owner, name, kind), rest[1:]

    def _own(self, owner: Owner, name: Any, kind: Kind) -> Found | None:
        if kind == "attribute":
            if name in owner.attribute_rows:
                return (owner.attribute_rows[name].value,)
            declared = _declared(owner).get("attributes", {}).get(name, {})
            if declared.get("dynamic"):
                return (self._computed(owner, f"{name}", declared["value"]),)
            if name in _KEPT and hasattr(owner, _KEPT[name]):
                return (str(getattr(owner, _KEPT[name])),)
        return (self._parameter(owner, name),) if name in owner.property_parameters else None

    def _value(self, owner: Owner, name: str, kind: Kind, nested: Sequence[Any]) -> Any:
        found = self._own(owner, name, kind)
        return None if found is None else follow(found[0], nested, name)

    def _parameter(self, owner: Owner, name: str) -> Any:
        row = owner.property_parameters[name]
        return self._computed(owner, name, row.value) if row.dynamic else row.value

    def _of_capability(self, node: Node, name: Any, key: Any, kind: Kind) -> Found | None:
        entry = node.capabilities.get(name)
        declared = _declared(node).get("capabilities", {}).get(name, {})
        for group in ("attributes", "properties") if kind == "attribute" else ("properties",):
            if entry is not None and key in entry.get(group, {}):
                return (entry[group][key],)
            if declared.get(group, {}).get(key, {}).get("dynamic"):
                return (self._computed(node, f"{name}.{group}.{key}", declared[group][key]["value"]),)
        return None

    def _computed(self, owner: Owner, name: str, expression: Any) -> Any:
        """The value of an expression that stands at `owner`; SELF is that owner there."""
        step = f"{_label(owner)}: {name}"
        if step in self._trail:
            loop = [*self._trail[self._trail.index(step):], step]
            raise ExpressionError(f"these values need each other: {' -> '.join(loop)}")
        if len(self._trail) >= MAX_HOPS:
            raise ExpressionError(f"more than {MAX_HOPS} values need one another in a row, up to {step}")
        if step not in self._known:
            self._known[step] = evaluate(expression, self._at(owner, step))
        return self._known[step]

    def _at(self, owner: Owner, step: str) -> ServiceScope:
        scope = ServiceScope(self._service, owner)
        scope._trail = (*self._trail, step)
        scope._known, scope._inputs = self._known, self._inputs
        return scope


def _label(owner: Owner) -> str:
    if isinstance(owner, Node):
        return f"node {owner.name!r}"
    return f"relationship {owner.name!r} of node {owner.source_node.name!r}"


def _declared(owner: Owner) -> Mapping[str, Any]:
    """The owner's part of the node template, as JSON."""
    node = owner if isinstance(owner, Node) else owner.source_node
    content: Mapping[str, Any] = node.node_template.content if node.node_template else {}
    if isinstance(owner, Node):
        return content
    described: list[Mapping[str, Any]] = content.get("relationships", [])
    return described[owner.position] if owner.position < len(described) else {}


def _names(owner: Owner, kind: Kind) -> set[str]:
    names = set(owner.property_parameters)
    return names | set(owner.attribute_rows) if kind == "attribute" else names
