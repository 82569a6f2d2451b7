"""Templates and services as stored things: put in, instantiated, looked at, removed."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy.orm import object_session

from aria_core.exceptions import (
    InvalidInputError,
    MissingInputsError,
    NotFoundError,
    UndeclaredInputsError,
    WrongTypeInputsError,
)
from aria_core.modeling.checks import check_name, check_template
from aria_core.modeling.constraints import broken_constraints
from aria_core.modeling.expressions import InputScope, MissingValueError, evaluate
from aria_core.modeling.models import NodeTemplate, Operation, Service, ServiceTemplate
from aria_core.modeling.parameters import Parameter
from aria_core.modeling.specification import (
    LoadedTemplate,
    NodeSpec,
    ParameterSpec,
    TemplateSpec,
    WorkflowSpec,
)
from aria_core.modeling.states import NodeState
from aria_core.modeling.values import MASK, coerce
from aria_core.orchestrator.exceptions import ActiveExecutionsError
from aria_core.orchestrator.instantiation import ServiceBuilder, is_secret
from aria_core.orchestrator.scope import ServiceScope
from aria_core.storage.model import ModelStorage
from aria_core.storage.resource import ResourceStorage

_AT_REST = (NodeState.INITIAL, NodeState.DELETED)


def store_template(model: ModelStorage, resources: ResourceStorage,
                   loaded: LoadedTemplate) -> ServiceTemplate:
    """Store a template with its nodes and files: all of it or nothing.

    Raises ``AlreadyExistsError`` if its name is taken, ``InvalidInputError`` with everything in it that
    cannot work, and what the storages raise.
    """
    check_template(loaded.template)
    row = model.service_template.put(_template_row(loaded))
    if loaded.directory is None:
        return row
    try:
        # Ids may come again after a crash that left files behind.
        resources.service_template.delete(row.id)
        resources.service_template.upload(row.id, loaded.directory)
    except BaseException:
        _withdraw_template(model, resources, row)
        raise
    return row


def _withdraw_template(model: ModelStorage, resources: ResourceStorage, row: ServiceTemplate) -> None:
    try:
        resources.service_template.delete(row.id)
    finally:
        model.service_template.delete(row)


def _template_row(loaded: LoadedTemplate) -> ServiceTemplate:
    content = msgspec.to_builtins(loaded.template)
    nodes = content.pop("nodes", {})
    row = ServiceTemplate(name=loaded.template.name, description=loaded.template.description,
                          main_file=loaded.main_file, content=content)
    row.node_templates = {
        name: NodeTemplate(name=name, type_name=spec.type, content=nodes[name])
        for name, spec in loaded.template.nodes.items()}
    return row


def template_spec(model: ModelStorage, template: ServiceTemplate) -> tuple[TemplateSpec, dict[str, int]]:
    """The specification of a stored template, and the ids of its node templates by name."""
    rows = model.node_template.list(filters={"service_template_id": template.id}, sort={"id": "asc"}).items
    spec = msgspec.convert(template.content, TemplateSpec)
    spec.nodes = {each.name: msgspec.convert(each.content, NodeSpec) for each in rows}
    return spec, {each.name: each.id for each in rows}


def create_service(model: ModelStorage, template: ServiceTemplate, name: str,
                   inputs: Mapping[str, Any] | None = None) -> Service:
    """Make a service of a stored template, in one transaction.

    Raises what `check_inputs` raises, ``AlreadyExistsError`` if the name is taken, and
    ``InvalidInputError`` for values that do not fit once the inputs are known.
    """
    check_name(name, "service")
    spec, ids = template_spec(model, template)
    given = check_inputs(spec.inputs, inputs or {}, f"service template {spec.name!r}")
    with _without_collector():
        service = ServiceBuilder(spec, given).build(name, ids)
        service.service_template_id = template.id
        return model.service.put(service)


@contextmanager
def _without_collector() -> Iterator[None]:
    # A thousand nodes are 11,000 rows that all refer to each other and all stay: looking for garbage
    # among them again and again takes 40 % of the time (2.4 s instead of 1.5 s).
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def delete_service(model: ModelStorage, resources: ResourceStorage, service: Service, *,
                   force: bool = False) -> None:
    """Remove a service, its executions and its files; its template stays.

    Raises ``ActiveExecutionsError`` while an execution is active, and ``InvalidInputError`` while
    nodes are neither initial nor deleted, unless `force` says to forget what they stand for.
    """
    with model.ledger.removing_service(service.id):
        _refuse_if_used(model, service, force)
        # Whoever deletes after a crash in here finishes it; files without a row would stay for ever, and
        # for the next service with this id.
        resources.service.delete(service.id)
    session = object_session(service)
    if session is not None:
        session.expunge(service)


def _refuse_if_used(model: ModelStorage, service: Service, force: bool) -> None:
    active = model.ledger.active(service.id)
    if active is not None:
        raise ActiveExecutionsError(f"service {service.name!r} has the active execution {active.execution} "
                                    f"({active.state}); cancel it before deleting the service")
    alive = [] if force else _alive(model, service)
    if alive:
        raise InvalidInputError(f"service {service.name!r} still has {', '.join(alive)}; run its uninstall "
                                "workflow before deleting it, or force the deletion")


def _alive(model: ModelStorage, service: Service) -> list[str]:
    nodes = model.node.list(filters={"service_id": service.id}, sort={"name": "asc"}).items
    return [f"node {each.name!r} ({each.state})" for each in nodes if each.state not in _AT_REST]


def delete_template(model: ModelStorage, resources: ResourceStorage, template: ServiceTemplate) -> None:
    """Remove a template and its files; ``InvalidInputError`` while services of it exist."""
    services = model.service.list(filters={"service_template_id": template.id}, sort={"name": "asc"}).items
    if services:
        names = ", ".join(each.name for each in services)
        raise InvalidInputError(f"service template {template.name!r} has the services {names}; delete them "
                                "first")
    # The row first: the database refuses if a service came in between, which still needs the files.
    template_id = template.id
    model.service_template.delete(template)
    resources.service_template.delete(template_id)


def outputs(model: ModelStorage, service: Service) -> dict[str, Any]:
    """The outputs of a service as they are now; None where a value does not exist yet.

    Secret ones (`Service.output_parameters` tells which) are in clear. Raises ``InvalidInputError``
    for an expression that cannot be evaluated.
    """
    service = model.service.get(service.id)
    scope = ServiceScope(service)
    return {name: _output(scope, row) for name, row in service.output_parameters.items()}


def _output(scope: ServiceScope, row: Parameter) -> Any:
    try:
        return scope.evaluate(row.value) if row.dynamic else row.value
    except MissingValueError:
        return None


def workflow_inputs(model: ModelStorage, service: Service, workflow: Operation) -> dict[str, ParameterSpec]:
    """What a workflow of the template's own declares, for `check_inputs`.

    Raises ``NotFoundError`` if the template has no such workflow (any more).
    """
    workflows = own_workflows(model, service)
    if workflow.name not in workflows:
        raise NotFoundError(f"the template of service {service.name!r} has no workflow {workflow.name!r}")
    rows = workflow.input_parameters
    return {name: msgspec.structs.replace(each, value=rows[name].value, dynamic=rows[name].dynamic)
            for name, each in workflows[workflow.name].inputs.items()}


def own_workflows(model: ModelStorage, service: Service) -> dict[str, WorkflowSpec]:
    """The workflows of a service's template, by name; ``NotFoundError`` without a template."""
    if service.service_template_id is None:
        raise NotFoundError(f"service {service.name!r} has no template")
    content = model.service_template.get(service.service_template_id).content
    return msgspec.convert(content, TemplateSpec).workflows


def check_inputs(declared: Mapping[str, ParameterSpec], given: Mapping[str, Any],
                 owner: str = "it") -> dict[str, Any]:
    """A value for every declared input: the given one or the default, as its type and constraints want.

    `owner` is who declares them, for messages. Raises ``UndeclaredInputsError``, ``MissingInputsError``
    or ``WrongTypeInputsError`` naming all offenders, ``InvalidInputError`` for broken constraints.
    """
    undeclared = [name for name in given if name not in declared]
    if undeclared:
        raise UndeclaredInputsError(f"{owner} has no input {_listed(undeclared)}; "
                                    f"its inputs are: {', '.join(declared) or 'none'}")
    values = _with_defaults(declared, given)
    missing = [name for name, each in declared.items() if each.required and values[name] is None]
    if missing:
        raise MissingInputsError(f"{owner} needs a value for the input {_listed(missing)}")
    values = _coerced(declared, values)
    broken = [sentence for name, each in declared.items() for sentence in _broken(name, each, values[name])]
    if broken:
        raise InvalidInputError("\n".join(broken))
    return values


def _listed(names: list[str]) -> str:
    return " nor ".join(map(repr, names)) if len(names) == 2 else ", ".join(map(repr, names))


def _with_defaults(declared: Mapping[str, ParameterSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, each in declared.items():
        if name in given:
            values[name] = given[name]
        else:
            # A default may be an expression over the inputs before it.
            values[name] = evaluate(each.value, InputScope(values)) if each.dynamic else each.value
    return values


def _coerced(declared: Mapping[str, ParameterSpec], values: Mapping[str, Any]) -> dict[str, Any]:
    coerced: dict[str, Any] = {}
    problems: list[str] = []
    for name, each in declared.items():
        try:
            coerced[name] = _as_declared(values[name], each, f"input {name!r}")
        except InvalidInputError as error:
            hidden = f"input {name!r} is {MASK}, which does not fit its type {each.type}"
            problems.append(hidden if is_secret(each) else str(error))
    if problems:
        raise WrongTypeInputsError("\n".join(problems))
    return coerced


def _as_declared(value: Any, declared: ParameterSpec, path: str) -> Any:
    secret = is_secret(declared)
    value = coerce(value, declared.type, path, secret=secret)
    if declared.entry and isinstance(value, list):
        return [coerce(each, declared.entry, f"{path}[{index}]", secret=secret)
                for index, each in enumerate(value)]
    if declared.entry and isinstance(value, dict):
        return {key: coerce(each, declared.entry, f"{path}.{key}", secret=secret)
                for key, each in value.items()}
    return value


def _broken(name: str, declared: ParameterSpec, value: Any) -> list[str]:
    if value is None:
        return []
    shown = MASK if is_secret(declared) else repr(value)
    return [f"input {name!r} is {shown}; it {broken}"
            for broken in broken_constraints(value, declared.constraints, declared.type)]
