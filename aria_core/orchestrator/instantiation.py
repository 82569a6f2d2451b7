"""From a template specification and inputs to the unsaved rows of a service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.checks import host_of
from aria_core.modeling.expressions import (
    InputScope,
    bind_inputs,
    evaluate,
    has_secret,
    input_names,
    needs_service,
)
from aria_core.modeling.masking import SecretValues
from aria_core.modeling.models import Interface, Node, Operation, Relationship, Service
from aria_core.modeling.parameters import Attribute, Parameter
from aria_core.modeling.specification import (
    CapabilitySpec,
    InterfaceSpec,
    NodeSpec,
    OperationSpec,
    ParameterSpec,
    RelationshipSpec,
    TemplateSpec,
)
from aria_core.modeling.ssh_settings import SSH_FUNCTIONS, SSH_SCRIPT_FUNCTION, SSH_SECRETS
from aria_core.modeling.values import MASK, coerce

SCRIPT_FUNCTION = "aria_plugins.operations.script:run_script_locally"
"""What an operation with a script calls, with ``script_path`` and ``process`` as further arguments."""


class ServiceBuilder:
    """Makes the rows of one service. Expressions that need inputs alone are settled, others stay."""

    def __init__(self, template: TemplateSpec, inputs: Mapping[str, Any]) -> None:
        self._template = template
        self._inputs = inputs
        self._secret = {name for name, each in template.inputs.items() if is_secret(each)}
        self._problems = list(template.unsatisfied)

    def build(self, name: str, node_template_ids: Mapping[str, int]) -> Service:
        """The service, all of it, unsaved.

        Raises ``InvalidInputError`` with a sentence for every value that does not fit its declaration, and
        for every requirement that has no target.
        """
        template = self._template
        service = Service(name=name, description=template.description)
        service.input_parameters = _by_name(self._input(key, each) for key, each in template.inputs.items())
        nodes = {key: self._node(each) for key, each in template.nodes.items()}
        for key, node in nodes.items():
            node.node_template_id = node_template_ids[key]
            self._connect(node, template.nodes[key], nodes)
        service.nodes = nodes
        service.workflows = {
            key: Operation(name=key, function=each.function or None, plugin_name=each.plugin,
                           input_parameters=self._parameters(each.inputs, "input", f"workflow {key!r}"))
            for key, each in template.workflows.items()}
        service.output_parameters = self._parameters(template.outputs, "output", "the outputs")
        if self._problems:
            hidden = SecretValues(inputs for name, inputs in self._inputs.items() if name in self._secret)
            raise InvalidInputError(hidden.hide("\n".join(self._problems)))
        return service

    def _input(self, name: str, declared: ParameterSpec) -> Parameter:
        return Parameter(role="input", name=name, type_name=declared.type, description=declared.description,
                         required=declared.required, secret=is_secret(declared), value=self._inputs[name])

    def _node(self, spec: NodeSpec) -> Node:
        where = f"node {spec.name!r}"
        return Node(
            name=spec.name, type_name=spec.type, types=spec.types, max_concurrency=spec.max_concurrency,
            capabilities={key: self._capability(each, f"capability {key!r} of {where}")
                          for key, each in spec.capabilities.items()},
            artifacts={key: {"type": each.type, "file": each.file, "deploy_path": each.deploy_path}
                       for key, each in spec.artifacts.items()},
            property_parameters=self._parameters(spec.properties, "property", where),
            attribute_rows=self._attributes(spec.attributes, where),
            interfaces=self._interfaces(spec.interfaces, where))

    def _connect(self, node: Node, spec: NodeSpec, nodes: Mapping[str, Node]) -> None:
        host = host_of(spec)
        if host is not None:
            node.host = nodes[host]
        for position, each in enumerate(spec.relationships):
            where = f"requirement {each.name!r} of node {spec.name!r}"
            node.outbound_relationships.append(self._relationship(each, position, nodes[each.target], where))

    def _relationship(self, spec: RelationshipSpec, position: int, target: Node, where: str) -> Relationship:
        return Relationship(
            name=spec.name, position=position, type_name=spec.type, types=spec.types,
            capability=spec.capability, target_node=target,
            property_parameters=self._parameters(spec.properties, "property", where),
            attribute_rows=self._attributes(spec.attributes, where),
            interfaces=self._interfaces(spec.interfaces, where))

    def _interfaces(self, specs: Mapping[str, InterfaceSpec], where: str) -> dict[str, Interface]:
        return {name: Interface(name=name, type_name=spec.type, operations={
            key: self._operation(key, each, f"operation {name}.{key} of {where}")
            for key, each in spec.operations.items()}) for name, spec in specs.items()}

    def _operation(self, name: str, spec: OperationSpec, where: str) -> Operation:
        function = _function(spec)
        inputs = {**spec.inputs, **(_script_inputs(spec) if spec.script else {}),
                  **(_ssh_inputs(spec) if spec.ssh and function in SSH_FUNCTIONS else {})}
        plugin = self._template.plugins.get(spec.plugin or "")
        if plugin is not None and not plugin.enabled:  # it need not be installed: there is nothing to do
            function = None
        return Operation(
            name=name, function=function, plugin_name=spec.plugin,
            timeout=spec.timeout, heartbeat_timeout=spec.heartbeat_timeout, max_attempts=spec.max_attempts,
            retry_interval=spec.retry_interval, retry=spec.retry and spec.retry.to_json(),
            ignore_failure=spec.ignore_failure, priority=spec.priority, pool=spec.pool,
            input_parameters=self._parameters(inputs, "argument", where))

    def _parameters(self, specs: Mapping[str, ParameterSpec], role: str, where: str) -> dict[str, Parameter]:
        return _by_name(self._parameter(name, each, role, where) for name, each in specs.items())

    def _parameter(self, name: str, spec: ParameterSpec, role: str, where: str) -> Parameter:
        value, dynamic = self._settled(name, spec, where)
        if value is None and spec.required and role == "property":
            self._problems.append(f"{name!r} of {where} is required and has no value")
        return Parameter(role=role, name=name, type_name=spec.type, description=spec.description,
                         required=spec.required, dynamic=dynamic, secret=self._is_secret(spec), value=value)

    def _attributes(self, specs: Mapping[str, ParameterSpec], where: str) -> dict[str, Attribute]:
        return {name: Attribute(name=name, type_name=self._shown_type(specs[name]), value=value)
                for name, value in self._known(specs, where)}

    def _shown_type(self, spec: ParameterSpec) -> str:
        return "secret" if self._is_secret(spec) else spec.type

    def _capability(self, spec: CapabilitySpec, where: str) -> dict[str, Any]:
        return {"type": spec.type, "properties": dict(self._known(spec.properties, where)),
                "attributes": dict(self._known(spec.attributes, where))}

    def _known(self, specs: Mapping[str, ParameterSpec], where: str) -> Iterator[tuple[str, Any]]:
        """The values that need no live service; the scope finds the others in the node template."""
        for name, spec in specs.items():
            value, dynamic = self._settled(name, spec, where)
            if not dynamic:
                yield name, value

    def _settled(self, name: str, spec: ParameterSpec, where: str) -> tuple[Any, bool]:
        """The value as far as inputs tell it, and whether it is still an expression."""
        try:
            value = spec.value
            if spec.dynamic:
                value = bind_inputs(value, self._inputs)
                if needs_service(value):
                    return value, True
                value = evaluate(value, InputScope(self._inputs))
            return self._typed(value, spec, f"{name!r} of {where}"), False
        except InvalidInputError as error:
            told = str(error) if where in str(error) else f"{name!r} of {where}: {error}"
            self._problems.append(f"{spec.location}: {told}" if spec.location else told)
            return None, False

    def _typed(self, value: Any, spec: ParameterSpec, path: str) -> Any:
        try:
            return coerce(value, spec.type, path)
        except InvalidInputError:
            if not self._is_secret(spec):
                raise
        raise InvalidInputError(f"{path} is {MASK}, which does not fit its type {spec.type}")

    def _is_secret(self, spec: ParameterSpec) -> bool:
        if is_secret(spec) or not spec.dynamic:
            return is_secret(spec)
        return has_secret(spec.value) or bool(self._secret & input_names(spec.value))


def is_secret(spec: ParameterSpec) -> bool:
    """Whether its values are never shown."""
    return spec.secret or spec.type == "secret"


def _script_inputs(spec: OperationSpec) -> dict[str, ParameterSpec]:
    return {"script_path": ParameterSpec(type="string", value=spec.script),
            "process": ParameterSpec(type="map", value=spec.process, dynamic=True)}


def _function(spec: OperationSpec) -> str | None:
    if not spec.script:
        return spec.function
    return SSH_SCRIPT_FUNCTION if spec.ssh else SCRIPT_FUNCTION


def _ssh_inputs(spec: OperationSpec) -> dict[str, ParameterSpec]:
    """Secrets are an argument of their own: what is learned from it is hidden wherever it stands."""
    secret = {name: value for name, value in spec.ssh.items() if name in SSH_SECRETS}
    plain = {name: value for name, value in spec.ssh.items() if name not in SSH_SECRETS}
    found = {"ssh": ParameterSpec(type="map", value=plain, dynamic=True)}
    if secret:
        found["ssh_secrets"] = ParameterSpec(type="map", value=secret, dynamic=True, secret=True)
    return found


def _by_name(parameters: Iterable[Parameter]) -> dict[str, Parameter]:
    return {each.name: each for each in parameters}
