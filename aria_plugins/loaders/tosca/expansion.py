"""Substitution: a node template that another template of the same set stands for.

The node stays, and with it everything that refers to it. The nodes of the other template come beside it,
under names that begin with its name and a point; the node requires them, so that they are there before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from msgspec.structs import replace

from aria_core import CapabilitySpec, NodeSpec, OperationSpec, ParameterSpec, RelationshipSpec, TemplateSpec

from .documents import Document
from .members import attributes_of, capabilities_of
from .problems import Place, Problems, listed
from .requirements import NodeTemplate, passes
from .types import Types
from .values import Value, field, items, named, place_of, text

SUBSTITUTE = frozenset({"substitute", "substitutable"})
REQUIREMENT = "substitution"
"""The requirement of a node that is stood for: what it needs of the template that stands for it."""
_ENTITIES = ("$get_property", "$get_attribute", "$get_operation_output")
_ROOT = "tosca.relationships.Root"
_DEPENDS_ON = "tosca.relationships.DependsOn"


class Expansion:
    """Puts other templates in the place of nodes."""

    def __init__(self, types: Types, problems: Problems,
                 build: Callable[[Document], TemplateSpec | None]) -> None:
        self._types = types
        self._problems = problems
        self._build = build
        self._built: dict[str, TemplateSpec | None] = {}

    def expand(self, nodes: dict[str, NodeTemplate], template: TemplateSpec) -> None:
        """Add to `template` what stands for its nodes."""
        for node in nodes.values():
            document = self._document(node, template)
            if document is None:
                continue
            if document.name not in self._built:
                self._built[document.name] = self._build(document)
            inner = self._built[document.name]
            if inner is not None:
                for name, workflow in inner.workflows.items():
                    self._problems.warn(Place.of(workflow.location), f"the workflow `{name}` has no effect: "
                                        f"its template stands for node template `{node.name}`")
                _Part(node, deepcopy(inner), _mapping(document), self._problems).put_into(template)

    def _document(self, node: NodeTemplate, template: TemplateSpec) -> Document | None:
        """The template that stands for a node, if there is exactly one."""
        wanted = any(text(each) in SUBSTITUTE for each in items(field(node.body, "directives")))
        fitting = [each for each in self._types.documents if self._fits(node, each, wanted)]
        if len(fitting) == 1:
            return fitting[0]
        if wanted:
            found = f"several do: {listed(each.name for each in fitting)}" if fitting else (
                "none of the imported templates does")
            sentence = f"another template is to stand for node template `{node.name}`, and {found}"
            self._problems.warn(place_of(node.key), f"{sentence}; until then no service can be made of the "
                                "template")
            template.unsatisfied.append(f"{place_of(node.key)}: {sentence}")
        return None

    def _fits(self, node: NodeTemplate, document: Document, wanted: bool) -> bool:
        mapping = _mapping(document)
        value = field(mapping, "node_type")
        if value is None or document.name == node.key.mark.name:
            return False
        type_ = self._types.find("node", value)
        if type_ is None or not (type_.is_a(node.type) if wanted else type_ is node.type):
            return False
        return passes(field(mapping, "substitution_filter"), node)


def _mapping(document: Document) -> Value | None:
    return field(field(document.root, "topology_template"), "substitution_mappings")


class _Part:
    """The template that stands for one node: its nodes get other names, its inputs the node's properties."""

    def __init__(self, node: NodeTemplate, inner: TemplateSpec, mapping: Value | None,
                 problems: Problems) -> None:
        self._node = node
        self._inner = inner
        self._mapping = mapping
        self._problems = problems
        self._inputs = self._values_of_inputs()

    def put_into(self, template: TemplateSpec) -> None:
        """Add the nodes, and join them with those that are there."""
        outer = self._node.spec
        for spec in self._inner.nodes.values():
            self._rename(spec)
            if spec.name in template.nodes:
                self._problems.add(place_of(self._node.key), "a node of the template that stands for "
                                   f"`{outer.name}` would be called `{spec.name}`, like another node")
            template.nodes[spec.name] = spec
        self._map_properties()
        self._map_attributes()
        self._map_capabilities()
        self._map_requirements()
        outer.relationships += [RelationshipSpec(
            name=REQUIREMENT, target=each.name, type=_DEPENDS_ON, types=[_DEPENDS_ON, _ROOT],
            location=outer.location) for each in self._inner.nodes.values()]
        for name, plugin in self._inner.plugins.items():
            template.plugins.setdefault(name, plugin)
        template.unsatisfied += [each for each in self._inner.unsatisfied if each not in template.unsatisfied]

    # --- what goes in and out

    def _values_of_inputs(self) -> dict[str, ParameterSpec]:
        """Each input of the inner template: a property of the node, or else its default."""
        given = {}
        for key, value in named(field(self._mapping, "properties")):
            pair = [text(each) for each in items(value) or [value]]
            if len(pair) == 1 and pair[0] in self._inner.inputs:
                given[pair[0]] = key.text
        values = {}
        for name, declared in self._inner.inputs.items():
            source = given.get(name, name)
            if source in self._node.spec.properties:
                values[name] = _read("$get_property", self._node.name, source)
            elif declared.required and declared.value is None:
                self._problems.add(place_of(self._node.key), f"the template that stands for node template "
                                   f"`{self._node.name}` needs a value for its input `{name}`, and no "
                                   "property of the node is mapped to it")
            else:
                values[name] = declared
        return values

    def _map_properties(self) -> None:
        for key, value in named(field(self._mapping, "properties")):
            node, name = self._pair(value)
            if node is not None and name in node.properties and key.text in self._node.spec.properties:
                read = _read("$get_property", self._node.name, key.text)
                node.properties[name].value, node.properties[name].dynamic = read.value, True

    def _map_attributes(self) -> None:
        outer, declared = self._node.spec, attributes_of(self._node.type)
        sources: dict[str, ParameterSpec] = {
            name: each for name, each in self._inner.outputs.items() if name in declared}
        for key, value in named(field(self._mapping, "attributes")):
            node, name = self._pair(value)
            words = [text(each) for each in items(value) or [value]]
            if node is not None:
                sources[key.text] = _read("$get_attribute", node.name, name)
            elif len(words) == 1 and words[0] in self._inner.outputs:
                sources[key.text] = self._inner.outputs[words[0]]
        for name, source in sources.items():
            if name in outer.attributes:
                value = self._tree(source.value) if source.dynamic else source.value
                outer.attributes[name].value, outer.attributes[name].dynamic = value, source.dynamic

    def _map_capabilities(self) -> None:
        assigned = field(self._node.body, "capabilities")
        for key, value in named(field(self._mapping, "capabilities")):
            node, name = self._pair(value)
            capability = self._node.spec.capabilities.get(key.text)
            if node is None or capability is None or name not in node.capabilities:
                continue
            declared = capabilities_of(self._node.type)[key.text]
            for section, function in (("properties", "$get_property"), ("attributes", "$get_attribute")):
                theirs = getattr(node.capabilities[name], section)
                written = field(field(assigned, key.text), section)
                for each in getattr(declared, section).keys() & theirs.keys():
                    if field(written, each) is None:
                        getattr(capability, section)[each] = replace(
                            theirs[each], value={function: [node.name, name, each]}, dynamic=True)

    def _map_requirements(self) -> None:
        """What stands for the node requires what the node requires; the node keeps its order alone."""
        for key, value in named(field(self._mapping, "requirements")):
            node, name = self._pair(value)
            for each in self._node.spec.relationships:
                if node is not None and each.name == key.text:
                    node.relationships.append(deepcopy(each))
                    node.relationships[-1].name = name
                    each.interfaces = {}

    def _pair(self, value: Value) -> tuple[NodeSpec | None, str]:
        words = [text(each) for each in items(value)]
        return (self._inner.nodes.get(words[0] or ""), words[1] or "") if len(words) == 2 else (None, "")

    # --- names

    def _rename(self, spec: NodeSpec) -> None:
        spec.name = self._name(spec.name)
        for relationship in spec.relationships:
            relationship.target = self._name(relationship.target)
        for parameter in _parameters(spec):
            if parameter.dynamic:
                parameter.value = self._tree(parameter.value)
        for operation in _operations(spec):
            operation.process = self._tree(operation.process)
            operation.ssh = self._tree(operation.ssh)

    def _name(self, inner: str) -> str:
        return f"{self._node.name}.{inner}" if inner in self._inner.nodes else inner

    def _tree(self, tree: Any) -> Any:
        """An expression of the inner template as one of the outer."""
        if isinstance(tree, list):
            return [self._tree(each) for each in tree]
        if not isinstance(tree, dict):
            return tree
        if len(tree) == 1:
            function, arguments = next(iter(tree.items()))
            if function == "$get_input" and arguments and arguments[0] in self._inputs:
                return self._input(arguments)
            if function in _ENTITIES and isinstance(arguments[0], str):
                return {function: [self._name(arguments[0]), *map(self._tree, arguments[1:])]}
        return {key: self._tree(each) for key, each in tree.items()}

    def _input(self, arguments: list[Any]) -> Any:
        parameter, path = self._inputs[arguments[0]], list(map(self._tree, arguments[1:]))
        if parameter.dynamic and len(parameter.value) == 1 and "$get_property" in parameter.value:
            return {"$get_property": [*parameter.value["$get_property"], *path]}
        found = parameter.value
        for step in path:
            known = (isinstance(found, dict) and step in found) or (
                isinstance(found, list) and isinstance(step, int) and 0 <= step < len(found))
            found = found[step] if known else None
        return found


def _read(function: str, *path: str) -> ParameterSpec:
    return ParameterSpec(value={function: list(path)}, dynamic=True)


def _parameters(spec: NodeSpec) -> Iterator[ParameterSpec]:
    owners: list[NodeSpec | CapabilitySpec | RelationshipSpec] = [
        spec, *spec.capabilities.values(), *spec.relationships]
    for owner in owners:
        yield from owner.properties.values()
        yield from owner.attributes.values()
    for operation in _operations(spec):
        yield from operation.inputs.values()


def _operations(spec: NodeSpec) -> Iterator[OperationSpec]:
    owners: list[NodeSpec | RelationshipSpec] = [spec, *spec.relationships]
    for owner in owners:
        for interface in owner.interfaces.values():
            yield from interface.operations.values()
