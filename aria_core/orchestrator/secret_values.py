"""What must not be shown of one service."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, Text, and_, or_, select, type_coerce
from sqlalchemy.orm import Session

from aria_core.exceptions import AriaError
from aria_core.modeling.masking import SecretValues
from aria_core.modeling.models import (
    Interface,
    Node,
    Operation,
    Relationship,
    Service,
    ServiceTemplate,
)
from aria_core.modeling.parameters import Attribute, Parameter
from aria_core.modeling.secret_store import read_secret
from aria_core.orchestrator.scope import ServiceScope
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import TaskRow
from aria_core.worker.calls import Edit, Failed, FinalReport, Lost, Succeeded

_SETTINGS = frozenset({"process", "ssh"})
"""Arguments with the settings of scripts. They may be made of secrets, but are far more than these."""
_MAY_DECLARE = re.compile(r'"secret"\s*:\s*true|"type"\s*:\s*"secret"|"\$get_secret"')


class ServiceSecrets(SecretValues):
    """The secret values of a service; learns those that operations make.

    `attributes` are the declared secret ones: kind and id of their owner, name.
    """

    def __init__(self, values: Iterable[Any] = (),
                 attributes: Iterable[tuple[Literal["node", "relationship"], int, str]] = ()) -> None:
        super().__init__(values)
        self._attributes = frozenset(attributes)

    def learn(self, edits: Iterable[Edit]) -> None:
        """New values of secret attributes are hidden from now on."""
        self.add(*(each.value for each in edits if (each.kind, each.owner, each.name) in self._attributes))

    def learn_arguments(self, task: TaskRow, evaluated: Mapping[str, Any] | None = None) -> None:
        """What an operation is given as secret arguments is hidden from now on.

        Without `evaluated` those that are expressions are passed over.
        """
        if not task.secret:  # as nearly all, of which there may be a million
            return
        arguments = task.arguments if evaluated is None else evaluated
        known = (name for name in task.secret
                 if name not in _SETTINGS and (evaluated is not None or name not in task.dynamic))
        self.add(*(arguments.get(name) for name in known))

    def learn_attributes(self, model: ModelStorage, service: int) -> None:
        """The secret attributes as they are now are hidden: operations on other hosts may change them."""
        if self._attributes:
            with model.read_session() as session:
                self.add(*(each.value for each in session.scalars(_attributes(service))))

    def hide_in_report(self, report: FinalReport) -> FinalReport:
        """A report without secret values in its error, traceback and result; edits stay as they are."""
        if not isinstance(report, Lost) and report.edits:
            self.learn(report.edits)
        if not self.has_values:
            return report
        match report:
            case Failed():
                return replace(report, error=self.hide(report.error), traceback=self.hide(report.traceback))
            case Succeeded():
                return replace(report, result=self.hide_in(report.result))
            case Lost():
                return replace(report, detail=self.hide(report.detail))


def secret_values(model: ModelStorage, service: int, workflow: str = "",
                  inputs: Mapping[str, Any] | None = None) -> ServiceSecrets:
    """What is secret now in the service with this id, and in `inputs` of its workflow `workflow`.

    Those are values of inputs, properties, attributes, arguments and outputs that are declared secret or
    made of secret inputs. Knows nothing of a service that does not exist.
    """
    with model.read_session() as session:
        attributes = session.scalars(_attributes(service)).all()
        found = [*_values_of_parameters(session, service), *(each.value for each in attributes),
                 *_values_of_template(session, service), *_given(session, service, workflow, inputs or {})]
        return ServiceSecrets(found, (_key(each) for each in attributes))


def _key(row: Attribute) -> tuple[Literal["node", "relationship"], int, str]:
    if row.node_id is not None:
        return "node", row.node_id, row.name
    return "relationship", row.relationship_id or 0, row.name


def _owned_by(model: type[Parameter | Attribute | Interface], service: int) -> ColumnElement[bool]:
    nodes = select(Node.id).where(Node.service_id == service)
    ties = select(Relationship.id).where(Relationship.source_id.in_(nodes))
    return or_(model.node_id.in_(nodes), model.relationship_id.in_(ties))


def _attributes(service: int) -> Select[Attribute]:
    return select(Attribute).where(Attribute.type_name == "secret", _owned_by(Attribute, service))


def _parameters(service: int) -> Select[Parameter]:
    interfaces = select(Interface.id).where(_owned_by(Interface, service))
    operations = select(Operation.id).where(
        or_(Operation.service_id == service, Operation.interface_id.in_(interfaces)))
    return select(Parameter).where(
        Parameter.secret, ~and_(Parameter.role == "argument", Parameter.name.in_(_SETTINGS)),
        or_(Parameter.service_id == service, Parameter.operation_id.in_(operations),
                              _owned_by(Parameter, service)))


def _values_of_parameters(session: Session, service: int) -> Iterator[Any]:
    for row in session.scalars(_parameters(service)):
        if not row.dynamic:
            yield row.value
            continue
        try:
            yield ServiceScope(session.get_one(Service, service), _owner(session, row)).evaluate(row.value)
        except AriaError:
            continue  # it has no value yet; who evaluates it later tells us then


def _owner(session: Session, row: Parameter) -> Node | Relationship | None:
    operation = session.get(Operation, row.operation_id) if row.operation_id is not None else None
    holder: Parameter | Interface = row
    if operation is not None and operation.interface_id is not None:
        holder = session.get_one(Interface, operation.interface_id)
    if holder.node_id is not None:
        return session.get(Node, holder.node_id)
    return session.get(Relationship, holder.relationship_id) if holder.relationship_id is not None else None


def _values_of_template(session: Session, service: int) -> Iterator[Any]:
    """What the template itself holds: capabilities, for example, have no parameters of their own."""
    text = session.scalar(select(type_coerce(ServiceTemplate.content, Text)).join(
        Service, Service.service_template_id == ServiceTemplate.id).where(Service.id == service))
    if text and _MAY_DECLARE.search(text):
        yield from _declared(json.loads(text))


def _declared(content: Any) -> Iterator[Any]:
    waiting = [content]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            waiting += each.values()
            if (each.get("secret") is True or each.get("type") == "secret") and not each.get("dynamic"):
                yield each.get("value")
            if "$get_secret" in each:
                yield _kept_elsewhere(each["$get_secret"])


def _kept_elsewhere(arguments: Any) -> str | None:
    name = arguments[0] if isinstance(arguments, list) and len(arguments) == 1 else arguments
    try:
        return read_secret(name)
    except AriaError:
        return None  # it is computed, or cannot be read: who needs it is told


def _given(session: Session, service: int, workflow: str, inputs: Mapping[str, Any]) -> Iterator[Any]:
    if not inputs:
        return
    declared = select(Parameter.name).join(Operation, Parameter.operation_id == Operation.id).where(
        Operation.service_id == service, Operation.name == workflow, Parameter.secret)
    yield from (inputs.get(name) for name in session.scalars(declared))
