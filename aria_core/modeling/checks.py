"""What must hold of a template before anything is stored, wherever it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.expressions import ENTITY_KEYWORDS, SELF, calls
from aria_core.modeling.limits import limit_refusal, pool_refusal, priority_refusal
from aria_core.modeling.scripts import script_problems
from aria_core.modeling.specification import (
    InterfaceSpec,
    NodeSpec,
    OperationSpec,
    ParameterSpec,
    RelationshipSpec,
    TemplateSpec,
)
from aria_core.modeling.ssh_settings import SSH_FUNCTIONS
from aria_core.modeling.step_checks import clauses, step_problems

MAX_NAME = 255

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_OF_SCRIPTS = frozenset({"script_path", "process"})
_OF_SSH = frozenset({"ssh", "ssh_secrets", "fabric_env", "use_sudo", "hide_output"})

Named = tuple[str, ParameterSpec]


def check_name(name: object, what: str) -> str:
    """`name` if it can name a `what`: 1 to 255 characters, no control characters, no blank ends.

    Raises ``InvalidInputError``.
    """
    if not isinstance(name, str):
        raise InvalidInputError(f"the name of a {what} is text, not {type(name).__name__}")
    if not name or len(name) > MAX_NAME:
        raise InvalidInputError(f"the name of a {what} has 1 to {MAX_NAME} characters, not {len(name)}")
    if _CONTROL.search(name) or name != name.strip():
        raise InvalidInputError(f"{name!r} cannot name a {what}: a name has no control characters and "
                                "no blanks at its ends")
    return name


def check_template(template: TemplateSpec) -> None:
    """Raise ``InvalidInputError`` with a sentence for everything in `template` that cannot work.

    Names, targets of requirements, loops of hosts, operations with both a function and a script,
    expressions with unknown functions, inputs or nodes.
    """
    problems = list(_problems(template))
    if problems:
        raise InvalidInputError("\n".join(problems))


def _problems(template: TemplateSpec) -> Iterator[str]:
    yield from _name_problems(template)
    for node in template.nodes.values():
        for requirement in node.relationships:
            if requirement.target not in template.nodes:
                yield (f"{_at(requirement.location)}requirement {requirement.name!r} of node {node.name!r} "
                       f"points at {requirement.target!r}; the nodes are: {', '.join(template.nodes)}")
    yield from host_loops(template.nodes)
    yield from _limit_problems(template)
    yield from _operation_problems(template)
    yield from step_problems(template)
    for where, parameter in parameters(template):
        if parameter.dynamic:
            yield from _expression_problems(template, where, parameter)
    yield from _activity_problems(template)


def _name_problems(template: TemplateSpec) -> Iterator[str]:
    named = {"service template": [template.name], "node": template.nodes, "input": template.inputs,
             "output": template.outputs, "workflow": template.workflows, "plugin": template.plugins}
    for what, names in named.items():
        for name in names:
            try:
                check_name(name, what)
            except InvalidInputError as error:
                yield str(error)
    for key, node in template.nodes.items():
        if key != node.name:
            yield f"the node under {key!r} calls itself {node.name!r}; both must be the same"
        if key in ENTITY_KEYWORDS:
            yield f"{_at(node.location)}no node may be called {key}: expressions use this word"


def host_loops(nodes: Mapping[str, NodeSpec]) -> Iterator[str]:
    """One sentence for each loop of nodes that live on each other."""
    settled: set[str] = set()
    for start in nodes:
        trail: list[str] = []
        name: str | None = start
        while name is not None and name not in settled and name not in trail:
            trail.append(name)
            name = host_of(nodes[name]) if name in nodes else None
        if name in trail:
            yield f"these nodes are hosted on each other: {' -> '.join([*trail[trail.index(name):], name])}"
        settled.update(trail)


def host_of(node: NodeSpec) -> str | None:
    """The name of the node that `node` lives on: the target of its first hosted relationship."""
    return next((each.target for each in node.relationships if each.hosted), None)


def operations(template: TemplateSpec) -> Iterator[tuple[str, OperationSpec]]:
    """Every operation of nodes and relationships, with where it stands."""
    return ((where, operation) for where, _, _, operation in owned_operations(template))


def owned_operations(template: TemplateSpec) -> Iterator[tuple[str, str, str, OperationSpec]]:
    """The same, with the names of its interface and its own: (where, interface, name, operation)."""
    for owner, interfaces in _interfaces(template):
        for interface_name, interface in interfaces.items():
            for name, operation in interface.operations.items():
                yield f"operation {interface_name}.{name} of {owner}", interface_name, name, operation


def _interfaces(template: TemplateSpec) -> Iterator[tuple[str, Mapping[str, InterfaceSpec]]]:
    for node in template.nodes.values():
        yield f"node {node.name!r}", node.interfaces
        for requirement in node.relationships:
            yield _requirement(node, requirement), requirement.interfaces


def _requirement(node: NodeSpec, requirement: RelationshipSpec) -> str:
    return f"requirement {requirement.name!r} of node {node.name!r}"


def _limit_problems(template: TemplateSpec) -> Iterator[str]:
    for node in template.nodes.values():
        limit = node.max_concurrency
        if limit is not None and (accepted := limit_refusal(limit)):
            yield f"{_at(node.location)}max_concurrency of node {node.name!r} is {limit!r}; it is {accepted}"
    for where, operation in operations(template):
        start, priority, pool = _at(operation.location), operation.priority, operation.pool
        if priority is not None and (accepted := priority_refusal(priority)):
            yield f"{start}the priority of {where} is {priority!r}; it is {accepted}"
        if pool is not None and (accepted := pool_refusal(pool)):
            yield f"{start}the pool of {where} is {pool!r}; it is {accepted}"


def _operation_problems(template: TemplateSpec) -> Iterator[str]:
    for where, operation in operations(template):
        if operation.function and operation.script:
            yield f"{_at(operation.location)}{where} has both a function and a script; it takes one of them"
        if operation.ssh and operation.function and operation.function not in SSH_FUNCTIONS:
            yield (f"{_at(operation.location)}{where} has settings of SSH and calls {operation.function}; "
                   "only scripts and run_commands_with_ssh take them")
        for name in sorted(_taken(operation) & operation.inputs.keys()):
            yield f"{_at(operation.location)}{where} runs a script, so no input of it may be called {name}"
        for location, sentence in script_problems(operation) if operation.script else ():
            yield f"{_at(location)}{where}: {sentence}"


def _taken(operation: OperationSpec) -> frozenset[str]:
    """The arguments that a script's operation has of its own."""
    if not operation.script:
        return frozenset()
    return _OF_SCRIPTS | _OF_SSH if operation.ssh else _OF_SCRIPTS


def parameters(template: TemplateSpec) -> Iterator[Named]:
    """Every parameter of the template, with where it stands."""
    for what, group in (("input", template.inputs), ("output", template.outputs)):
        yield from ((f"{what} {name!r}", each) for name, each in group.items())
    for node in template.nodes.values():
        yield from _node_parameters(node)
    for where, operation in operations(template):
        yield from ((f"input {name!r} of {where}", each) for name, each in operation.inputs.items())
        for what, settings in (("process", operation.process), ("SSH settings", operation.ssh)):
            if settings:
                yield f"the {what} of {where}", ParameterSpec(
                    value=settings, dynamic=True, location=operation.location)
    for workflow_name, workflow in template.workflows.items():
        for name, each in workflow.inputs.items():
            yield f"input {name!r} of workflow {workflow_name!r}", each


def _node_parameters(node: NodeSpec) -> Iterator[Named]:
    owners: list[tuple[str, Mapping[str, ParameterSpec], Mapping[str, ParameterSpec]]] = [
        (f"node {node.name!r}", node.properties, node.attributes)]
    owners += [(f"capability {name!r} of node {node.name!r}", each.properties, each.attributes)
               for name, each in node.capabilities.items()]
    owners += [(_requirement(node, each), each.properties, each.attributes) for each in node.relationships]
    for where, properties, attributes in owners:
        yield from ((f"property {name!r} of {where}", each) for name, each in properties.items())
        yield from ((f"attribute {name!r} of {where}", each) for name, each in attributes.items())


def _activity_problems(template: TemplateSpec) -> Iterator[str]:
    """What is wrong with the expressions of workflows in steps, which may read inputs of their workflow."""
    for name, workflow in template.workflows.items():
        known = {**template.inputs, **workflow.inputs}
        judged = [(f"precondition of workflow {name!r}", each.conditions, each.location)
                  for each in workflow.preconditions]
        judged += [(f"step {key!r} of workflow {name!r}", each.conditions, each.location)
                   for key, each in workflow.steps.items()]
        for where, conditions, location in judged:
            for clause in clauses(conditions):
                if "expression" in clause:
                    spec = ParameterSpec(value=clause["expression"], location=location)
                    yield from _expression_problems(template, where, spec, known)
        for key, step in workflow.steps.items():
            for activity in step.activities:
                for argument, each in activity.inputs.items():
                    if each.dynamic:
                        where = f"input {argument!r} in step {key!r} of workflow {name!r}"
                        yield from _expression_problems(template, where, each, known)


def _expression_problems(template: TemplateSpec, where: str, parameter: ParameterSpec,
                         known: Mapping[str, ParameterSpec] | None = None) -> Iterator[str]:
    inputs = template.inputs if known is None else known
    start = f"{_at(parameter.location)}{where}: "
    try:
        found = list(calls(parameter.value))
    except InvalidInputError as error:
        yield start + str(error)
        return
    for name, arguments in found:
        first = arguments[0]
        if name == "get_input" and isinstance(first, str) and first not in inputs:
            accepted = ", ".join(inputs) or "none"
            yield f"{start}there is no input {first!r}; the inputs are: {accepted}"
        elif name in ("get_property", "get_attribute", "get_operation_output"):
            yield from (start + each for each in _entity_problems(template, where, first))


def _entity_problems(template: TemplateSpec, where: str, entity: object) -> Iterator[str]:
    if not isinstance(entity, str):
        return
    if where.startswith("output ") and entity in ENTITY_KEYWORDS:
        yield f"{entity} means nothing here; name a node: {', '.join(template.nodes) or '(there is none)'}"
    elif entity not in template.nodes and entity not in ENTITY_KEYWORDS:
        yield f"there is no node {entity!r}; it takes {SELF} or one of: {', '.join(template.nodes)}"


def _at(location: str) -> str:
    return f"{location}: " if location else ""
