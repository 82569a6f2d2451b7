"""The topology template: from inputs, node templates and all the rest to a service template."""

from __future__ import annotations

import re

from aria_core import NodeSpec, ParameterSpec, TemplateSpec

from .assignments import Assignments
from .conversion import Converter
from .copies import with_copies
from .declarations import Declarations
from .documents import Document
from .expansion import SUBSTITUTE, Expansion
from .functions import ENTITIES, Context, Names
from .interfaces import Interfaces
from .members import Parameter, attributes_of, interfaces_of, properties_of, requirements_of
from .operations import Implementations
from .policies import Policies
from .problems import Place, Problems, listed, suggestion
from .requirements import NodeTemplate, Requirements
from .substitution import Substitution
from .types import Types
from .values import Mapping, Scalar, Value, field, fields, items, named, place_of, plain, text
from .workflows import Workflows

_NAME = re.compile(r"(?!\s)[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,255}(?<!\s)")
_SELECT = frozenset({"select", "selectable"})


class Topology:
    """Builds the service template of a document."""

    def __init__(self, types: Types, implementations: Implementations, problems: Problems,
                 outer: tuple[Document, ...]) -> None:
        self._types = types
        self._outer = outer
        self._problems = problems
        self._implementations = implementations
        self._converter = Converter(problems)
        self._declarations = Declarations(types, self._converter, problems)
        self._assignments = Assignments(types, self._converter, problems)
        self._interfaces = Interfaces(types, self._converter, implementations, problems)
        self._names = Names(types=types)
        self._policies = Policies(types, self._assignments, self._interfaces, problems, self._names)

    def build(self, root: Value | None, name: str) -> TemplateSpec:
        """The service template that a document describes; all that is wrong goes to the problems."""
        is_inner = len(self._outer) > 1
        if not is_inner:
            self._declarations.check()
        self._check_repositories(root)
        topology = field(root, "topology_template")
        self._check_names(root, topology)
        metadata = field(root, "metadata")
        template = TemplateSpec(name=name, description=_description(root, topology),
                                metadata=plain(metadata) if isinstance(metadata, Mapping) else {})
        templates = with_copies("node", field(topology, "node_templates"), self._problems)
        relationships = with_copies("relationship", field(topology, "relationship_templates"), self._problems)
        self._collect_names(topology, templates, relationships)
        template.inputs = self._inputs(topology)
        nodes = self._nodes(templates)
        template.nodes = {each.name: each.spec for each in nodes.values()}
        self._check_relationship_templates(relationships)
        requirements = Requirements(self._types, self._assignments, self._interfaces, self._declarations,
                                    problems=self._problems, names=self._names)
        substitution = Substitution(self._types, self._problems, field(topology, "substitution_mappings"))
        requirements.fulfil(nodes, relationships, substitution.left_open() | self._abstract(nodes))
        template.unsatisfied = requirements.unsatisfied
        substitution.check(nodes)
        self._check_hosts(nodes)
        self._policies.groups(list(named(field(topology, "groups"))), nodes)
        self._policies.policies(list(named(field(topology, "policies"))), nodes, template)
        template.outputs = self._outputs(topology)
        Expansion(self._types, self._problems, self._stand_in).expand(nodes, template)
        if not is_inner:
            self._check_plugins(template)
        workflows = Workflows(self._types, self._converter, self._policies, self._parameter,
                              problems=self._problems, names=self._names)
        workflows.read(list(named(field(topology, "workflows"))), nodes, template)
        return template

    def _stand_in(self, document: Document) -> TemplateSpec | None:
        """The template of another document, which stands for a node of this one."""
        if document in self._outer:
            loop = " -> ".join(each.name for each in (*self._outer, document))
            mapping = field(field(document.root, "topology_template"), "substitution_mappings")
            self._problems.add(place_of(mapping) if mapping else Place(document.name, 1, 1),
                               f"these templates stand for nodes of each other: {loop}")
            return None
        inner = Topology(self._types, self._implementations, self._problems, (*self._outer, document))
        return inner.build(document.root, document.name)

    def _check_repositories(self, root: Value | None) -> None:
        """A credential must be one; where repositories are is not looked at."""
        type_ = self._types.normative("data", "tosca.datatypes.Credential")
        for key, body in named(field(root, "repositories")):
            for name, each in fields(field(body, "credential")).items():
                definition = properties_of(type_).get(name) if type_ is not None else None
                what = f"`{name}` of the credential of repository `{key.text}`"
                if definition is None:
                    self._problems.add(place_of(each), f"{what} means nothing; a credential has "
                                       f"{listed(properties_of(type_) if type_ is not None else ())}")
                else:
                    self._converter.convert(each, definition.schema, what,
                                            Context(self._names, knows_self=False))

    def _check_names(self, root: Value | None, topology: Value | None) -> None:
        """Names that no storage and no terminal likes are refused where they stand."""
        keys = [key for section in ("inputs", "outputs", "node_templates", "policies")
                for key, _ in named(field(topology, section))]
        template_name = field(field(root, "metadata"), "template_name")
        for each in [*keys, template_name]:
            name = text(each)
            if name is not None and each is not None and not _NAME.fullmatch(name):
                self._problems.add(place_of(each), f"{name[:60]!r} is no name: a name has 1 to 255 "
                                   "characters, "
                                   "no control characters and no blanks at its ends")

    def _collect_names(self, topology: Value | None, templates: dict[str, Mapping],
                       relationships: dict[str, Mapping]) -> None:
        names = self._names
        names.inputs.update(fields(field(topology, "inputs")))
        names.templates.update(templates)
        for name, body in templates.items():
            value = field(body, "type")
            names.nodes[name] = None if value is None else self._types.find("node", value)
        for name, body in relationships.items():
            self._collect_other("relationship", name, body)
        for kind, section in (("group", "groups"), ("policy", "policies")):
            for key, entry in named(field(topology, section)):
                self._collect_other(kind, key.text, entry)

    def _collect_other(self, kind: str, name: str, body: Value) -> None:
        """What has no name in the service: what expressions read of it is known now.

        A policy goes by the name of its type, too.
        """
        value = field(body, "type")
        type_ = None if value is None else self._types.find(kind, value)
        for each in (name, type_.name if type_ is not None and kind == "policy" else name):
            if each not in self._names.nodes:
                self._names.others.setdefault(each, type_)
                self._names.other_values.setdefault(each, fields(field(body, "properties")))
                self._names.other_attributes.setdefault(each, fields(field(body, "attributes")))

    def _inputs(self, topology: Value | None) -> dict[str, ParameterSpec]:
        context = Context(self._names, knows_self=False)
        built = {}
        for key, value in named(field(topology, "inputs")):
            if isinstance(value, Mapping):
                built[key.text] = self._parameter(key, value, f"the input `{key.text}`", context)
        return built

    def _parameter(self, key: Scalar, body: Mapping, what: str, context: Context) -> ParameterSpec:
        member = Parameter(key, body, self._types)
        for constraint in items(field(body, "constraints")):
            self._declarations.check_constraint(constraint, what)
        spec = self._converter.parameter(None, member, what, context)
        spec.constraints = [plain(each) for each in member.schema.constraints]
        return spec

    def _outputs(self, topology: Value | None) -> dict[str, ParameterSpec]:
        context = Context(self._names, knows_self=False)
        built = {key.text: self._parameter(key, value, f"the output `{key.text}`", context)
                 for key, value in named(field(topology, "outputs")) if isinstance(value, Mapping)}
        for each in built.values():
            each.required = False  # nobody gives them a value
        return built

    def _nodes(self, templates: dict[str, Mapping]) -> dict[str, NodeTemplate]:
        built = {}
        for name, body in templates.items():
            node = self._node(Scalar(body.mark, name, name), body)
            if node is not None:
                built[name] = node
        return built

    def _node(self, key: Scalar, body: Mapping) -> NodeTemplate | None:
        name, what = key.text, f"node template `{key.text}`"
        self._check_node(key, body, what)
        value = field(body, "type")
        type_ = None if value is None else self._types.need("node", value, f"{what} has the type")
        if type_ is None:
            return None
        context = Context(self._names, type_, name)
        place = place_of(key)
        artifacts = self._assignments.artifact_bodies(type_, field(body, "artifacts"))
        files = {each: file for each,
                 artifact in artifacts.items() if (file := field(artifact, "file")) is not None}
        spec = NodeSpec(
            name=name, type=type_.name, types=type_.names, description=text(field(body, "description")) or "",
            properties=self._assignments.properties(properties_of(type_), field(body, "properties"), context,
                                                    what,
                                                    place),
            attributes=self._assignments.node_attributes(type_, name, field(body, "attributes"), context,
                                                         what),
            capabilities=self._assignments.capabilities(type_, field(body, "capabilities"), context, what,
                                                        place),
            interfaces=self._interfaces.build(interfaces_of(type_), field(body, "interfaces"), context, what,
                                              files),
            artifacts=self._assignments.artifacts(artifacts, what), location=str(place))
        return NodeTemplate(key, body, type_, spec)

    def _check_node(self, key: Scalar, body: Mapping, what: str) -> None:
        if key.text in ENTITIES:
            self._problems.add(place_of(key), f"no node template may be called {key.text}: functions use "
                               "this word")
        if field(body, "type") is None:
            self._problems.add(place_of(key), f"{what} lacks the keyname `type`")
        for directive in items(field(body, "directives")):
            later = " yet; nodes are always created" if text(directive) in _SELECT else ""
            if text(directive) not in SUBSTITUTE:
                self._problems.warn(place_of(directive),
                                    f"the directive `{text(directive)}` has no effect{later}")
        self._declarations.check_filter(field(body, "node_filter"), f"the node filter of {what}")

    def _abstract(self, nodes: dict[str, NodeTemplate]) -> set[tuple[str, str]]:
        """The (node, requirement) of nodes that other templates are to stand for."""
        substituted = self._types.substituted()
        abstract = [node for node in nodes.values() if node.type in substituted
                    or any(text(each) in SUBSTITUTE for each in items(field(node.body, "directives")))]
        return {(node.name, name) for node in abstract for name in requirements_of(node.type)}

    def _check_relationship_templates(self, templates: dict[str, Mapping]) -> None:
        for name, body in templates.items():
            what, value = f"relationship template `{name}`", field(body, "type")
            key = Scalar(body.mark, name, name)
            if value is None:
                self._problems.add(place_of(key), f"{what} lacks the keyname `type`")
                continue
            type_ = self._types.need("relationship", value, f"{what} has the type")
            if type_ is None:
                continue
            context = Context(self._names, type_, in_relationship=True)
            self._assignments.properties(properties_of(type_), field(body, "properties"), context, what,
                                         place_of(key))
            self._assignments.attributes(attributes_of(type_), field(body, "attributes"), context, what)
            self._interfaces.build(interfaces_of(type_), field(body, "interfaces"), context, what, {})

    def _check_hosts(self, nodes: dict[str, NodeTemplate]) -> None:
        hosts = {name: next((each.target for each in node.spec.relationships if each.hosted), None)
                 for name, node in nodes.items()}
        settled: set[str] = set()
        for start in hosts:
            trail: dict[str, None] = {}
            name: str | None = start
            while name is not None and name not in settled and name not in trail:
                trail[name] = None
                name = hosts.get(name)
            if name is not None and name in trail:
                order = list(trail)
                loop = " -> ".join([*order[order.index(name):], name])
                self._problems.add(place_of(nodes[name].key), "these node templates are hosted on each "
                                   f"other: {loop}")
            settled.update(trail)

    def _check_plugins(self, template: TemplateSpec) -> None:
        for name, place in self._implementations.plugins:
            if name not in template.plugins:
                self._problems.add(place, f"there is no plugin `{name}`; a policy of type aria.Plugin, "
                                   "of the import aria-1.0, declares it" + suggestion(name, template.plugins))


def _description(root: Value | None, topology: Value | None) -> str:
    return text(field(root, "description")) or text(field(topology, "description")) or ""
