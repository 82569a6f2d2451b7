"""Reads all that a workflow over many nodes looks at with a few statements, not with a few for each node."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import object_session, selectinload

from aria_core.modeling.models import Interface, Node, Operation, Relationship, Service


def read_operations(service: Service) -> None:
    """Fill in the relationships of all nodes of `service`, and the operations of both with their inputs.

    What was read before, or changed since, stays as it is. The service's nodes must be read already: it
    holds them, while a session by itself holds nothing.
    """
    session = object_session(service)
    if session is None or service.id is None:
        return
    operations = selectinload(Interface.operations).selectinload(Operation.input_parameters)
    session.scalars(select(Node).where(Node.service_id == service.id).options(
        selectinload(Node.interfaces).options(operations),
        selectinload(Node.outbound_relationships).selectinload(Relationship.interfaces).options(operations),
    )).all()
