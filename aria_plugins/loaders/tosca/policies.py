"""Groups and policies. Those of ARIA's own profile name plugins and workflows, and limit nodes."""

from __future__ import annotations

from aria_core import ParameterSpec, PluginSpec, TemplateSpec, WorkflowSpec

from .assignments import Assignments
from .functions import Context, Names
from .interfaces import Interfaces
from .members import attributes_of, interfaces_of, properties_of
from .operations import function_name
from .problems import Problems
from .requirements import NodeTemplate
from .types import Type, Types
from .values import Mapping, Scalar, Value, field, items, place_of, text

PLUGIN, WORKFLOW, CONCURRENCY = "aria.Plugin", "aria.Workflow", "aria.Concurrency"


class Policies:
    """Reads groups and policies."""

    def __init__(self, types: Types, assignments: Assignments, interfaces: Interfaces, problems: Problems,
                 names: Names) -> None:
        self._types = types
        self._assignments = assignments
        self._interfaces = interfaces
        self._problems = problems
        self._names = names
        self._groups: dict[str, Type] = {}
        self._members: dict[str, object] = {}
        self._group_members: dict[str, list[str]] = {}

    def groups(self, entries: list[tuple[Scalar, Value]], nodes: dict[str, NodeTemplate]) -> None:
        """Check groups; their properties can be read by expressions."""
        for key, body in entries:
            type_ = self._type("group", key, body)
            if type_ is not None:
                self._groups[key.text] = type_
        self._members = {**nodes, **self._groups}
        for key, body in entries:
            self._group(key, body, nodes)

    def _group(self, key: Scalar, body: Value, nodes: dict[str, NodeTemplate]) -> None:
        what, type_ = f"group `{key.text}`", self._groups.get(key.text)
        for member in items(field(body, "members")):
            name = self._assignments.need_template(member, self._members,
                                                   f"{what} has the member",
                                                   "the nodes")
            if name is not None:
                self._group_members.setdefault(key.text, []).append(name)
            if name is not None and type_ is not None:
                self._check_fits(member, name, type_, "members", nodes)
        if type_ is not None:
            context = Context(self._names, type_)
            self._properties(key, body, type_, what)
            self._assignments.attributes(attributes_of(type_), field(body, "attributes"), context, what)
            self._interfaces.build(interfaces_of(type_), field(body, "interfaces"), context, what, {})

    def _type(self, kind: str, key: Scalar, body: Value) -> Type | None:
        value = field(body, "type")
        return None if value is None else self._types.need(
            kind, value, f"{kind} `{key.text}` has the type", may_be_unknown=True)

    def _properties(self, key: Scalar, body: Value, type_: Type, what: str) -> dict[str, ParameterSpec]:
        return self._assignments.properties(
            properties_of(type_), field(body, "properties"), Context(self._names, type_), what, place_of(key),
            free=WORKFLOW in type_.names or any(each.is_open for each in type_.lineage))

    def policies(self, entries: list[tuple[Scalar, Value]], nodes: dict[str, NodeTemplate],
                 template: TemplateSpec) -> None:
        """Check policies and put plugins, workflows and limits of nodes into `template`."""
        for key, body in entries:
            type_ = self._type("policy", key, body)
            if type_ is None or not isinstance(body, Mapping):
                continue
            properties = self._properties(key, body, type_, f"policy `{key.text}`")
            self._check_targets(key, body, type_, nodes)
            if PLUGIN in type_.names:
                template.plugins[key.text] = self._plugin(key, properties)
            elif WORKFLOW in type_.names:
                self._workflow(key, body, properties, template)
            elif CONCURRENCY in type_.names:
                self._limit(key, body, properties, nodes)
            else:
                self._problems.warn(place_of(key), f"policy `{key.text}` of type `{type_.name}` has no "
                                    "effect yet")

    def _check_targets(self, key: Scalar, body: Mapping, type_: Type, nodes: dict[str, NodeTemplate]) -> None:
        for value in items(field(body, "targets")):
            name = self._assignments.need_template(value, self._members,
                                                   f"policy `{key.text}` has the target", "the nodes")
            if name is not None:
                self._check_fits(value, name, type_, "targets", nodes)

    def _check_fits(self, value: Value, name: str, type_: Type, section: str,
                    nodes: dict[str, NodeTemplate]) -> None:
        """Whether a member or target has one of the types that the group's or policy's type allows."""
        allowed = next((own for each in type_.lineage if items(own := field(each.body, section))), None)
        fitting = [found for each in items(allowed) for kind in ("node", "group")
                   if (found := self._types.find(kind, each)) is not None]
        given = [each for each in (nodes[name].type if name in nodes else None, self._groups.get(name))
                 if each]
        if fitting and not any(each.is_a(other) for each in given for other in fitting):
            self._problems.add(place_of(value), f"`{name}` cannot be among the {section} of a {type_.kind} "
                               "of type "
                               f"`{type_.name}`, which are of type "
                               f"{', '.join(each.name for each in fitting)}")

    def _plugin(self, key: Scalar, properties: dict[str, ParameterSpec]) -> PluginSpec:
        version = _value(properties, "version")
        return PluginSpec(name=key.text, version=version if isinstance(version, str) else None,
                          enabled=_value(properties, "enabled") is not False, location=str(place_of(key)))

    def _workflow(self, key: Scalar, body: Mapping, properties: dict[str, ParameterSpec],
                  template: TemplateSpec) -> None:
        implementation = _value(properties, "implementation")
        inputs = {name: each for name, each in properties.items() if name != "implementation"}
        written = implementation if isinstance(implementation, str) else ""
        plugin, _, function = written.rpartition(">")
        found = function_name(function.strip())
        value = field(field(body, "properties"), "implementation")
        if found is None:
            if text(value) is not None and value is not None:
                self._problems.add(place_of(value), f"the workflow `{key.text}` is implemented by "
                                   f"`{written}`, which is no function; it takes module:function")
            return
        template.workflows[key.text] = WorkflowSpec(
            function=found, plugin=plugin.strip() or None, inputs=inputs, location=str(place_of(key)))

    def _limit(self, key: Scalar, body: Mapping, properties: dict[str, ParameterSpec],
               nodes: dict[str, NodeTemplate]) -> None:
        limit = _value(properties, "max_concurrency")
        if not isinstance(limit, int):
            if limit is not None:  # one that is missing has been told of
                self._problems.add(place_of(key), f"`max_concurrency` of policy `{key.text}` must be a "
                                   "number, not an expression")
            return
        targets = [text(each) or "" for each in items(field(body, "targets"))]
        for name in self._with_members(targets) & nodes.keys() if targets else nodes:
            spec = nodes[name].spec
            spec.max_concurrency = min(limit, spec.max_concurrency or limit)

    def is_group(self, name: str) -> bool:
        """Whether there is a group of this name."""
        return name in self._groups

    def members_of(self, name: str) -> list[str]:
        """The node templates that a name stands for: itself, or the members of that group."""
        return [each for each in self._members if each in self._with_members([name])
                and each not in self._groups]

    def _with_members(self, names: list[str]) -> set[str]:
        """These names, and those of the members of groups among them."""
        left, found = [*names], set[str]()
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left += self._group_members.get(name, ())
        return found


def _value(properties: dict[str, ParameterSpec], name: str) -> object:
    """The value of a property that an author's own type of this name may lack."""
    return properties[name].value if name in properties else None
