"""Requirements: which node fulfils which requirement of which other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aria_core import InvalidInputError, NodeSpec, ParameterSpec, RelationshipSpec, broken_constraints

from .assignments import Assignments
from .declarations import Declarations
from .functions import Context, Names
from .interfaces import Interfaces
from .members import (
    Capability,
    Interface,
    Requirement,
    attributes_of,
    capabilities_of,
    interfaces_of,
    long_form,
    overlay,
    properties_of,
    requirements_of,
)
from .problems import Place, Problems, listed, suggestion
from .types import Type, Types
from .values import Mapping, Scalar, Value, field, items, named, place_of, plain, text

HOSTED_ON = "tosca.relationships.HostedOn"


@dataclass
class NodeTemplate:
    """A node template: what the author wrote, its type, and what comes of it."""

    key: Scalar
    body: Mapping
    type: Type
    spec: NodeSpec

    @property
    def name(self) -> str:
        """Its name."""
        return self.key.text


@dataclass(frozen=True)
class Wish:
    """What one requirement asks for; `place` is where problems with it are reported."""

    source: NodeTemplate
    requirement: Requirement
    body: Mapping
    place: Place
    assigned: bool

    @property
    def what(self) -> str:
        """The requirement, for sentences."""
        return f"the requirement `{self.requirement.name}` of node template `{self.source.name}`"


class Requirements:
    """Finds targets and builds relationships."""

    def __init__(self, types: Types, assignments: Assignments, interfaces: Interfaces,
                 declarations: Declarations, *, problems: Problems, names: Names) -> None:
        self._types = types
        self._declarations = declarations
        self._assignments = assignments
        self._interfaces = interfaces
        self._problems = problems
        self._names = names
        self._nodes: dict[str, NodeTemplate] = {}
        self._by_type: dict[Type, list[NodeTemplate]] = {}
        self._relationship_templates: dict[str, Mapping] = {}
        self._left_open: set[tuple[str, str]] = set()
        self.unsatisfied: list[str] = []
        """What has no target although the template may be right: no service can be made of it so."""

    def fulfil(self, nodes: dict[str, NodeTemplate], relationship_templates: dict[str, Mapping],
               left_open: set[tuple[str, str]]) -> None:
        """Give every node its relationships.

        `left_open` are (node, requirement) that another template is to fulfil.
        """
        self._nodes, self._relationship_templates, self._left_open = nodes, relationship_templates, left_open
        for node in nodes.values():
            self._by_type.setdefault(node.type, []).append(node)
        for node in nodes.values():
            node.spec.relationships = [made for wish in self._wishes(node)
                                       if (made := self._fulfil(wish)) is not None]

    def _wishes(self, node: NodeTemplate) -> Iterator[Wish]:
        declared = requirements_of(node.type)
        count = dict.fromkeys(declared, 0)
        for key, value in named(field(node.body, "requirements")):
            requirement = declared.get(key.text) or self._numbered(key, declared)
            if requirement is None:
                self._problems.add(place_of(key), f"node template `{node.name}` has no requirement "
                                   f"`{key.text}`"
                                   + suggestion(key.text, declared, "its requirements"))
                continue
            count[requirement.name] += 1
            if requirement.most is not None and count[requirement.name] == requirement.most + 1:
                self._report_too_many(key, node, requirement)
            yield Wish(node, requirement, long_form(value, "node"), place_of(value), True)
        for name, requirement in declared.items():
            if not count[name] and requirement.least and (node.name, name) not in self._left_open:
                yield Wish(node, requirement, Mapping(node.key.mark, {}, {}), place_of(node.key), False)

    def _numbered(self, key: Scalar, declared: dict[str, Requirement]) -> Requirement | None:
        """The requirement that may have several targets and of which `key` is one: ``storage2``."""
        requirement = declared.get(key.text.rstrip("0123456789").rstrip("_-"))
        if requirement is None or requirement.most == 1:
            return None
        self._problems.warn(place_of(key), f"`{key.text}` is taken for one more `{requirement.name}`, since "
                            "there is no requirement of this name")
        return requirement

    def _report_too_many(self, key: Scalar, node: NodeTemplate, requirement: Requirement) -> None:
        sentence = (f"the requirement `{requirement.name}` of node template `{node.name}` takes at most "
                    f"{requirement.most} target{'s' if requirement.most != 1 else ''}")
        if field(requirement.body, "occurrences") is None:
            self._problems.warn(place_of(key), f"{sentence}, unless its definition says `occurrences`")
        else:
            self._problems.add(place_of(key), sentence)

    def _fulfil(self, wish: Wish) -> RelationshipSpec | None:
        self._declarations.check_filter(field(wish.body, "node_filter"), f"the node filter of {wish.what}")
        found = self._target(wish)
        relationship = self._relationship_body(wish)
        type_ = self._relationship_type(wish, relationship)
        if type_ is None:
            return None
        return self._build(wish, relationship, type_, *(found or (None, "")))

    def _target(self, wish: Wish) -> tuple[NodeTemplate, str] | None:
        value = field(wish.body, "node")
        name = text(value)
        if value is not None and name in self._nodes:
            return self._named_target(wish, self._nodes[name])
        type_ = wish.requirement.node
        if value is not None:
            type_ = self._types.find("node", value)
            if type_ is not None and not self._is_allowed(wish, type_, value):
                return None
            if type_ is None:
                self._problems.add(place_of(value), f"{wish.what} names `{name}`, but there is neither a "
                                   "node template nor a node type of this name"
                                   + suggestion(name or "", self._nodes))
                return None
        if not self._names_capability(wish, type_):
            return None
        return self._only_candidate(wish, type_)

    def _is_allowed(self, wish: Wish, type_: Type, value: Value) -> bool:
        """Whether nodes of `type_`, which the template names, can be what the definition wants."""
        needed = wish.requirement.node
        if needed is None or type_.is_a(needed) or needed.is_a(type_):
            return True
        self._problems.add(place_of(value), f"{wish.what} needs a node of type `{needed.name}`, from which "
                           f"`{type_.name}` is not derived")
        return False

    def _names_capability(self, wish: Wish, type_: Type | None) -> bool:
        """Whether the capability that the template names is there, or is a type of capabilities."""
        value = field(wish.body, "capability")
        types = [type_] if type_ is not None else [*self._by_type]
        if value is None or self._types.find("capability", value) is not None or any(
                text(value) in capabilities_of(each) for each in types):
            return True
        self._problems.add(place_of(value), f"{wish.what} needs the capability `{text(value)}`, but there is "
                           "neither a capability nor a capability type of this name")
        return False

    def _named_target(self, wish: Wish, target: NodeTemplate) -> tuple[NodeTemplate, str] | None:
        needed = wish.requirement.node
        place = place_of(wish.body.entries["node"])
        if needed is not None and not target.type.is_a(needed):
            self._problems.add(place, f"{wish.what} needs a node of type `{needed.name}`, but "
                               f"`{target.name}` has the type `{target.type.name}`")
            return None
        capability = self._capability(wish, target.type, any_source=True)
        if capability is None:
            self._problems.add(place, f"{wish.what} needs {self._wanted(wish)}, but node template "
                               f"`{target.name}` of type `{target.type.name}` has none")
            return None
        return target, capability

    def _wanted(self, wish: Wish) -> str:
        given = text(field(wish.body, "capability"))
        if given:
            return f"the capability `{given}`"
        return f"a capability of type `{text(field(wish.requirement.body, 'capability'))}`"

    def _capability(self, wish: Wish, target: Type, any_source: bool) -> str | None:
        """The capability of `target` that can fulfil the wish."""
        offered = capabilities_of(target)
        value = field(wish.body, "capability")
        name = text(value)
        if name in offered:
            return name
        wanted = self._types.find("capability", value) if value is not None else wish.requirement.capability
        if wanted is None:
            return None if value is not None else self._by_its_name(wish, offered)
        fitting = [each for each in offered.values() if each.type is not None and each.type.is_a(wanted)]
        welcome = [each.name for each in fitting if not each.valid_sources
                   or any(wish.source.type.is_a(source) for source in each.valid_sources)]
        if not welcome and any_source:
            welcome = [each.name for each in fitting]
        return welcome[0] if welcome else None

    def _by_its_name(self, wish: Wish, offered: dict[str, Capability]) -> str | None:
        """Of a requirement whose type of capability is not known here: the capability called like it."""
        return wish.requirement.name if wish.requirement.name in offered else None

    def _only_candidate(self, wish: Wish, type_: Type | None) -> tuple[NodeTemplate, str] | None:
        found = []
        for candidate_type, nodes in self._by_type.items():
            if type_ is not None and not candidate_type.is_a(type_):
                continue
            capability = self._capability(wish, candidate_type, any_source=False)
            if capability is not None:
                found += [(node, capability) for node in nodes
                          if node is not wish.source and self._passes(wish, node)]
        if len(found) == 1:
            return found[0]
        if (wish.source.name, wish.requirement.name) not in self._left_open:
            self._report_no_target(wish, type_, [node.name for node, _ in found])
        return None

    def _report_no_target(self, wish: Wish, type_: Type | None, fitting: list[str]) -> None:
        of_type = f" of type `{type_.name}`" if type_ is not None else ""
        what = f"{wish.what} needs a node{of_type} with {self._wanted(wish)}"
        if fitting:
            self._leave_unsatisfied(
                wish, f"{what}, and several have it: {listed(fitting)}; name one of them")
        elif wish.assigned:
            self._leave_unsatisfied(wish, f"{what}, and no node template has it")
        else:
            self._problems.add(wish.place, f"{what}, and no node template has it")

    def _leave_unsatisfied(self, wish: Wish, sentence: str) -> None:
        self._problems.warn(wish.place, f"{sentence}; until then no service can be made of the template")
        self.unsatisfied.append(f"{wish.place}: {sentence}")

    def _passes(self, wish: Wish, node: NodeTemplate) -> bool:
        """Whether a node passes the requirement's node filter, as far as its values are known now."""
        for source in (wish.body, wish.requirement.body):
            if not passes(field(source, "node_filter"), node):
                return False
        return True

    def _relationship_body(self, wish: Wish) -> Mapping:
        """What the author says about the relationship: a template's body, an inline one, or nothing."""
        value = field(wish.body, "relationship")
        if value is None:
            return Mapping(wish.body.mark, {}, {})
        template = self._relationship_templates.get(text(value) or "")
        if template is not None:
            return template
        body = long_form(value, "type")
        inner = field(body, "type")
        named_template = self._relationship_templates.get(text(inner) or "")
        type_value = field(named_template, "type")
        if inner is None or type_value is None or self._types.find("relationship", inner) is not None:
            return body
        own = Mapping(body.mark, {**body.entries, "type": type_value}, body.keys)
        return own if named_template is None else overlay(named_template, own)

    def _relationship_type(self, wish: Wish, body: Mapping) -> Type | None:
        value = field(body, "type")
        if value is not None:
            found = self._types.need("relationship", value, f"{wish.what} makes a relationship of type")
            needed = wish.requirement.relationship
            if found is not None and needed is not None and not found.is_a(needed):
                self._problems.add(place_of(value), f"{wish.what} makes relationships of type "
                                   f"`{needed.name}`, from which `{found.name}` is not derived")
            return found
        return wish.requirement.relationship or self._types.plain_relationship

    def _build(self, wish: Wish, body: Mapping, type_: Type, target: NodeTemplate | None,
               capability: str) -> RelationshipSpec | None:
        context = Context(self._names, type_, in_relationship=True)
        what = f"the relationship of {wish.what}"
        properties = self._assignments.properties(properties_of(type_), field(body, "properties"), context,
                                                  what,
                                                  wish.place)
        attributes = self._assignments.attributes(attributes_of(type_), field(body, "attributes"), context,
                                                  what)
        interfaces = self._interfaces.build(self._declared_interfaces(wish, type_), field(body, "interfaces"),
                                            context,
                                            what, {}, implemented_only=True)
        if target is None:
            return None
        return RelationshipSpec(
            name=wish.requirement.name, target=target.name, type=type_.name, types=type_.names,
            capability=capability,
            hosted=HOSTED_ON in type_.names, properties=properties,
            attributes={name: each for name, each in attributes.items() if name != "tosca_name"},
            interfaces=interfaces, location=str(wish.place))

    def _declared_interfaces(self, wish: Wish, type_: Type) -> dict[str, Interface]:
        """Those of the relationship type, refined by the definition of the requirement."""
        declared = interfaces_of(type_)
        own = field(wish.requirement.relationship_body, "interfaces")
        return declared if own is None else self._interfaces.merge(declared, own, wish.what)


def passes(node_filter: Value | None, node: NodeTemplate) -> bool:
    """Whether a node passes a filter of properties and capabilities, as far as its values are known now."""
    if not _pass(field(node_filter, "properties"), node.spec.properties):
        return False
    for key, value in named(field(node_filter, "capabilities")):
        capability = node.spec.capabilities.get(key.text)
        if capability is not None and not _pass(field(value, "properties"), capability.properties):
            return False
    return True


def _pass(filters: Value | None, properties: dict[str, ParameterSpec]) -> bool:
    for key, value in named(filters):
        parameter = properties.get(key.text)
        known = getattr(parameter, "value", None)
        if known is None or getattr(parameter, "dynamic", False):
            continue
        constraints = [plain(each) for each in (items(value) or [value])]
        try:
            if broken_constraints(known, constraints, getattr(parameter, "type", "any")):
                return False
        except InvalidInputError:
            return False
    return True
