"""Substitution mappings: what a template stands for, and what of it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as MappingType
from typing import Any

from .members import Capability, Requirement, capabilities_of, requirements_of
from .problems import Problems, suggestion
from .requirements import NodeTemplate
from .types import Type, Types
from .values import Mapping, Scalar, Value, described, field, items, named, place_of, text

Members = Callable[[Type], MappingType[str, Any]]


class Substitution:
    """Checks the substitution mappings of a topology."""

    def __init__(self, types: Types, problems: Problems, mapping: Value | None) -> None:
        self._types = types
        self._problems = problems
        self._mapping = mapping

    def left_open(self) -> set[tuple[str, str]]:
        """The (node, requirement) that another template is to fulfil."""
        pairs = [[text(each) or "" for each in items(entry)]
                 for _, entry in named(field(self._mapping, "requirements"))]
        return {(pair[0], pair[1]) for pair in pairs if len(pair) == 2}

    def check(self, nodes: dict[str, NodeTemplate]) -> None:
        """Add a problem for each mapping of something that does not exist."""
        value = field(self._mapping, "node_type")
        if value is None:
            return
        type_ = self._types.need("node", value, "the substitution mappings stand for the node type")
        for section, members in (("capabilities", capabilities_of), ("requirements", requirements_of)):
            for key, entry in named(field(self._mapping, section)):
                if type_ is not None and key.text not in members(type_):
                    self._problems.add(place_of(key), f"the node type `{type_.name}` has nothing called "
                                       f"`{key.text}` among its {section}"
                                       + suggestion(key.text, members(type_)))
                if not isinstance(entry, Mapping) or not entry.entries:
                    self._check_pair(key, entry, section, members, nodes)
                    self._check_types(type_, key, entry, members, nodes)

    def _check_types(self, type_: Type | None, key: Scalar, entry: Value, members: Members,
                     nodes: dict[str, NodeTemplate]) -> None:
        """What stands for a capability or requirement must have a capability type that goes with it."""
        node, name = [text(each) or "" for each in items(entry)][:2] if len(items(entry)) == 2 else ("", "")
        outer = members(type_).get(key.text) if type_ is not None else None
        inner = members(nodes[node].type).get(name) if node in nodes else None
        wanted, given = _capability_type(outer), _capability_type(inner)
        if wanted is not None and given is not None and not (given.is_a(wanted) or wanted.is_a(given)):
            self._problems.add(place_of(entry), f"the mapping `{key.text}` stands for the capability type "
                               f"`{wanted.name}`, but `{name}` of node template `{node}` has `{given.name}`")

    def _check_pair(self, key: Scalar, entry: Value, section: str, members: Members,
                    nodes: dict[str, NodeTemplate]) -> None:
        pair = [text(each) for each in items(entry)]
        if len(pair) != 2 or None in pair:
            self._problems.add(place_of(entry), f"the mapping `{key.text}` is {described(entry)}; it takes "
                               f"a list of a node template and one of its {section}")
            return
        node, name = pair[0] or "", pair[1] or ""
        if node not in nodes:
            self._problems.add(place_of(entry), f"the mapping `{key.text}` names the node template "
                               f"`{node}`, which does not exist" + suggestion(node, nodes))
        elif name not in members(nodes[node].type):
            self._problems.add(place_of(entry), f"node template `{node}` has nothing called `{name}` among "
                               f"its {section}"
                               + suggestion(name, members(nodes[node].type)))


def _capability_type(member: Capability | Requirement | None) -> Type | None:
    return member.capability if isinstance(member, Requirement) else member.type if member else None
