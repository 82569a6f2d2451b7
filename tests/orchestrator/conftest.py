"""Services to build workflows on: real rows in an in-memory database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from aria_core.modeling.base import Model
from aria_core.modeling.models import (
    Interface,
    Node,
    NodeTemplate,
    Operation,
    Relationship,
    Service,
    ServiceTemplate,
)
from aria_core.modeling.parameters import Parameter
from aria_core.orchestrator.context.workflow import WorkflowContext

NODE_OPERATIONS = ("create", "configure", "start", "stop", "delete")
RELATIONSHIP_OPERATIONS = tuple(
    f"{step}_{end}" for step in ("pre_configure", "post_configure", "add", "remove")
    for end in ("source", "target"))

MakeService = Callable[..., Service]


def interface(name: str, operations: Iterable[str | Operation]) -> Interface:
    """An interface; operations given by name run ``package.module:<name>``."""
    made = [each if isinstance(each, Operation) else Operation(name=each, function=f"package.module:{each}")
            for each in operations]
    return Interface(name=name, operations={each.name: each for each in made})


def input_parameters(**values: Any) -> dict[str, Parameter]:
    """Inputs of an operation; a `Parameter` as value is taken as it is, but for its name."""
    made = {}
    for name, value in values.items():
        made[name] = value if isinstance(value, Parameter) else Parameter(value=value, type_name="any")
        made[name].name, made[name].role = name, "argument"
    return made


@pytest.fixture
def session() -> Iterator[Session]:
    engine = create_engine("sqlite://")
    Model.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def make_service(session: Session) -> MakeService:
    """Call with node name -> names of the nodes it requires; every standard operation is implemented."""
    def make(requires: Mapping[str, Iterable[str]], *, name: str = "shop",
             standard: str = "Standard", configure: str = "Configure") -> Service:
        template = ServiceTemplate(name=f"{name} template")
        service = Service(name=name, service_template=template)
        for each in requires:
            node_template = NodeTemplate(name=each, service_template=template)
            service.nodes[each] = Node(
                name=each, type_name=f"types.{each}", types=[f"types.{each}", "types.Root"],
                node_template=node_template, interfaces={standard: interface(standard, NODE_OPERATIONS)})
        session.add(service)
        for source, targets in requires.items():
            for position, target in enumerate(targets):
                service.nodes[source].outbound_relationships.append(Relationship(
                    name=f"{source}_{target}", position=position, target_node=service.nodes[target],
                    interfaces={configure: interface(configure, RELATIONSHIP_OPERATIONS)}))
        session.flush()
        return service
    return make


@pytest.fixture
def ctx(make_service: MakeService) -> WorkflowContext:
    """A workflow on a service of two nodes: app requires db."""
    return WorkflowContext("test", make_service({"db": [], "app": ["db"]}), task_max_attempts=7,
                           task_retry_interval=11.0)


@pytest.fixture
def new_interface() -> Callable[..., Interface]:
    return interface


@pytest.fixture
def inputs() -> Callable[..., dict[str, Parameter]]:
    return input_parameters
