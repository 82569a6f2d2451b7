"""What is stored, as typed SQLAlchemy models.

One direction of ownership: a service template owns its node templates, a service owns its nodes and
executions, an execution owns its tasks and logs. Deleting an owner deletes what it owns; deleting a
service keeps its template.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, and_, false
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.orm import relationship as related
from sqlalchemy.orm.collections import attribute_keyed_dict

from aria_core.modeling.base import Model, owner, utc_now
from aria_core.modeling.claimed_calls import ClaimedCall
from aria_core.modeling.parameters import Attribute, Parameter
from aria_core.modeling.plugins import Plugin
from aria_core.modeling.states import ACTIVE_EXECUTION_STATES, ExecutionState, NodeState, TaskState
from aria_core.modeling.types import JsonText, UtcDateTime

SCHEMA_VERSION = 4

_OWNED = "all, delete-orphan"


class Schema(Model):
    """One row: which version of the tables this database has."""

    __tablename__ = "schema"
    version: Mapped[int]


class ServiceTemplate(Model):
    """A description of nodes, relationships and operations."""

    __tablename__ = "service_template"

    name: Mapped[str] = mapped_column(String(255), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    main_file: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    content: Mapped[Any] = mapped_column(JsonText, default=dict)
    """A `TemplateSpec` as JSON, without its nodes."""

    node_templates: Mapped[dict[str, NodeTemplate]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, back_populates="service_template",
        passive_deletes=True)
    services: Mapped[list[Service]] = related(
        back_populates="service_template", order_by="Service.id", passive_deletes="all")


class NodeTemplate(Model):
    """A node as the template describes it."""

    __tablename__ = "node_template"
    __table_args__ = (UniqueConstraint("service_template_id", "name"),)

    service_template_id: Mapped[int | None] = owner("service_template")
    name: Mapped[str] = mapped_column(String(255))
    type_name: Mapped[str] = mapped_column(String(255), default="")
    content: Mapped[Any] = mapped_column(JsonText, default=dict)
    """A `NodeSpec` as JSON."""

    service_template: Mapped[ServiceTemplate] = related(back_populates="node_templates")


class Service(Model):
    """One instance of a template, with its state."""

    __tablename__ = "service"

    service_template_id: Mapped[int | None] = mapped_column(ForeignKey("service_template.id"), index=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    service_template: Mapped[ServiceTemplate | None] = related(back_populates="services")
    nodes: Mapped[dict[str, Node]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, back_populates="service",
        passive_deletes=True)
    workflows: Mapped[dict[str, Operation]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, passive_deletes=True)
    input_parameters: Mapped[dict[str, Parameter]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, passive_deletes=True,
        primaryjoin="and_(Service.id == Parameter.service_id, Parameter.role == 'input')",
        overlaps="output_parameters")
    output_parameters: Mapped[dict[str, Parameter]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, passive_deletes=True,
        primaryjoin="and_(Service.id == Parameter.service_id, Parameter.role == 'output')",
        overlaps="input_parameters")
    executions: Mapped[list[Execution]] = related(
        cascade=_OWNED, back_populates="service", passive_deletes=True, order_by="Execution.id")

    inputs: AssociationProxy[dict[str, Any]] = association_proxy("input_parameters", "value")


class Node(Model):
    """A part of a service."""

    __tablename__ = "node"
    __table_args__ = (UniqueConstraint("service_id", "name"),)

    service_id: Mapped[int | None] = owner("service")
    node_template_id: Mapped[int | None] = mapped_column(ForeignKey("node_template.id", ondelete="SET NULL"))
    host_id: Mapped[int | None] = mapped_column(ForeignKey("node.id", ondelete="SET NULL"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    type_name: Mapped[str] = mapped_column(String(255), default="")
    types: Mapped[Any] = mapped_column(JsonText, default=list)
    """The type and its ancestors, nearest first."""
    state: Mapped[str] = mapped_column(String(16), default=NodeState.INITIAL)
    capabilities: Mapped[Any] = mapped_column(JsonText, default=dict)
    """Capability name -> ``{"type": …, "properties": {…}, "attributes": {…}}``."""
    artifacts: Mapped[Any] = mapped_column(JsonText, default=dict)
    max_concurrency: Mapped[int | None]
    """How many of its operations may run at once; -1: any number, None: what the execution says."""

    service: Mapped[Service] = related(back_populates="nodes")
    node_template: Mapped[NodeTemplate | None] = related()
    host: Mapped[Node | None] = related(remote_side="Node.id")
    property_parameters: Mapped[dict[str, Parameter]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, passive_deletes=True)
    attribute_rows: Mapped[dict[str, Attribute]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, passive_deletes=True)
    interfaces: Mapped[dict[str, Interface]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, passive_deletes=True)
    outbound_relationships: Mapped[list[Relationship]] = related(
        cascade=_OWNED, passive_deletes=True, foreign_keys="Relationship.source_id",
        back_populates="source_node", order_by="Relationship.position")
    inbound_relationships: Mapped[list[Relationship]] = related(
        cascade=_OWNED, passive_deletes=True, foreign_keys="Relationship.target_id",
        back_populates="target_node", order_by="Relationship.id")

    properties: AssociationProxy[dict[str, Any]] = association_proxy("property_parameters", "value")
    attributes: AssociationProxy[dict[str, Any]] = association_proxy(
        "attribute_rows", "value", creator=lambda name, value: Attribute(name=name, value=value))

    @property
    def host_address(self) -> Any:
        """The ``ip`` attribute of the nearest host that has one, or else its own; None without."""
        host, seen = self.host, {self}
        while host is not None and host not in seen:
            if "ip" in host.attributes:
                return host.attributes["ip"]
            seen.add(host)
            host = host.host
        return self.attributes.get("ip")


class Relationship(Model):
    """A directed tie between two nodes: the source requires the target."""

    __tablename__ = "relationship"

    source_id: Mapped[int | None] = owner("node")
    target_id: Mapped[int | None] = owner("node")
    name: Mapped[str] = mapped_column(String(255))
    """The name of the source's requirement."""
    position: Mapped[int] = mapped_column(default=0)
    type_name: Mapped[str] = mapped_column(String(255), default="")
    types: Mapped[Any] = mapped_column(JsonText, default=list)
    capability: Mapped[str] = mapped_column(String(255), default="")

    source_node: Mapped[Node] = related(
        back_populates="outbound_relationships", foreign_keys=[source_id])
    target_node: Mapped[Node] = related(
        back_populates="inbound_relationships", foreign_keys=[target_id])
    property_parameters: Mapped[dict[str, Parameter]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, passive_deletes=True)
    attribute_rows: Mapped[dict[str, Attribute]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, passive_deletes=True)
    interfaces: Mapped[dict[str, Interface]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, passive_deletes=True)

    properties: AssociationProxy[dict[str, Any]] = association_proxy("property_parameters", "value")
    attributes: AssociationProxy[dict[str, Any]] = association_proxy(
        "attribute_rows", "value", creator=lambda name, value: Attribute(name=name, value=value))


class Interface(Model):
    """A named set of operations of a node or relationship."""

    __tablename__ = "interface"
    __table_args__ = (
        UniqueConstraint("node_id", "name"), UniqueConstraint("relationship_id", "name"),
        CheckConstraint("(node_id IS NULL) <> (relationship_id IS NULL)", name="one_owner"))

    node_id: Mapped[int | None] = owner("node")
    relationship_id: Mapped[int | None] = owner("relationship")
    name: Mapped[str] = mapped_column(String(255))
    type_name: Mapped[str] = mapped_column(String(255), default="")

    operations: Mapped[dict[str, Operation]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, passive_deletes=True)


class Operation(Model):
    """A function or script that an interface offers, or a workflow that a service offers."""

    __tablename__ = "operation"
    __table_args__ = (
        UniqueConstraint("interface_id", "name"), UniqueConstraint("service_id", "name"),
        CheckConstraint("(interface_id IS NULL) <> (service_id IS NULL)", name="one_owner"))

    interface_id: Mapped[int | None] = owner("interface")
    service_id: Mapped[int | None] = owner("service")
    name: Mapped[str] = mapped_column(String(255))
    function: Mapped[str | None] = mapped_column(Text)
    """``package.module:name``; None: nothing to do."""
    plugin_name: Mapped[str | None] = mapped_column(String(255))
    timeout: Mapped[float | None]
    heartbeat_timeout: Mapped[float | None]
    max_attempts: Mapped[int | None]
    retry_interval: Mapped[float | None]
    retry: Mapped[Any] = mapped_column(JsonText, nullable=True)
    ignore_failure: Mapped[bool | None]
    priority: Mapped[int | None]
    pool: Mapped[str | None] = mapped_column(String(255))

    input_parameters: Mapped[dict[str, Parameter]] = related(
        collection_class=attribute_keyed_dict("name"), cascade=_OWNED, passive_deletes=True)

    inputs: AssociationProxy[dict[str, Any]] = association_proxy("input_parameters", "value")


class Execution(Model):
    """One run of one workflow on one service."""

    __tablename__ = "execution"

    service_id: Mapped[int | None] = owner("service")
    workflow_name: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16), default=ExecutionState.PENDING)
    inputs: Mapped[Any] = mapped_column(JsonText, default=dict)
    executor: Mapped[str] = mapped_column(String(255), default="")
    """The executor's name, for people; any executor resumes what another began."""
    dry: Mapped[bool] = mapped_column(default=False)
    task_max_attempts: Mapped[int] = mapped_column(default=30)
    task_retry_interval: Mapped[float] = mapped_column(default=30.0)
    task_retry: Mapped[Any] = mapped_column(JsonText, nullable=True)
    retry_budget: Mapped[int | None]
    """How many attempts may fail in all; None: without end."""
    failed_attempts: Mapped[int | None]
    max_concurrency: Mapped[int | None]
    """How many of its tasks may run at once; None: any number."""
    max_per_node: Mapped[int | None]
    """How many operations of a node that says nothing itself may run at once; None: any number."""
    pools: Mapped[Any] = mapped_column(JsonText, nullable=True)
    """Name -> how many tasks that name this pool may run at once (-1: any number); None: there are none."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(Text)
    epoch: Mapped[int] = mapped_column(default=1)
    """Which runner: grows when one takes over."""
    batch: Mapped[int] = mapped_column(default=0)
    """How many engine transactions were committed: the fence."""
    beat: Mapped[int] = mapped_column(default=0)
    """Grows while the owner lives."""
    owner: Mapped[Any] = mapped_column(JsonText, nullable=True)
    """Boot id, pid namespace, pid, start time and host of the runner; None: nobody's."""
    queued: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether any runner that has room may run it."""

    service: Mapped[Service] = related(back_populates="executions")
    tasks: Mapped[list[Task]] = related(
        cascade=_OWNED, back_populates="execution", passive_deletes=True, order_by="Task.position")
    logs: Mapped[list[Log]] = related(
        cascade=_OWNED, passive_deletes=True, order_by="Log.id", back_populates="execution")
    claimed_calls: Mapped[list[ClaimedCall]] = related(
        cascade=_OWNED, passive_deletes=True, order_by=ClaimedCall.task_id)


_ACTIVE = Execution.state.in_([str(state) for state in ACTIVE_EXECUTION_STATES])

Index("uq_execution_one_active_per_service", Execution.service_id, unique=True,
      sqlite_where=_ACTIVE, postgresql_where=_ACTIVE)
_WAITING = and_(Execution.queued, Execution.state == str(ExecutionState.PENDING))
Index("ix_execution_queued", Execution.id, sqlite_where=_WAITING, postgresql_where=_WAITING)


class Task(Model):
    """One operation to be run in one execution."""

    __tablename__ = "task"
    __table_args__ = (UniqueConstraint("execution_id", "position"),)

    execution_id: Mapped[int] = mapped_column(ForeignKey("execution.id", ondelete="CASCADE"))
    position: Mapped[int]
    """Its place in a topological order of the graph."""
    name: Mapped[str] = mapped_column(Text)
    stub: Mapped[str | None] = mapped_column(String(24))
    """``start_workflow``, ``end_workflow``, ``start_subworkflow``, ``end_subworkflow``, ``stub``, or None."""
    state: Mapped[str] = mapped_column(String(16), default=TaskState.PENDING)
    reason: Mapped[str | None] = mapped_column(Text)
    waits_for: Mapped[Any] = mapped_column(JsonText, default=list)
    """Positions of the tasks it waits for."""
    function: Mapped[str | None] = mapped_column(Text)
    arguments: Mapped[Any] = mapped_column(JsonText, default=dict)
    dynamic: Mapped[Any] = mapped_column(JsonText, nullable=True)
    """Names of the arguments that are expressions; None: none."""
    secret: Mapped[Any] = mapped_column(JsonText, nullable=True)
    """Names of the arguments that are never shown; None: none."""
    node_id: Mapped[int | None] = mapped_column(ForeignKey("node.id", ondelete="CASCADE"))
    relationship_id: Mapped[int | None] = mapped_column(ForeignKey("relationship.id", ondelete="CASCADE"))
    plugin_id: Mapped[int | None] = mapped_column(ForeignKey("plugin.id"))
    interface_name: Mapped[str] = mapped_column(String(255), default="")
    operation_name: Mapped[str] = mapped_column(String(255), default="")
    max_attempts: Mapped[int] = mapped_column(default=1)
    """-1: without end."""
    retry_interval: Mapped[float] = mapped_column(default=0.0)
    retry: Mapped[Any] = mapped_column(JsonText, nullable=True)
    """The rest of its `RetryPolicy`; None: nothing more."""
    ignore_failure: Mapped[bool] = mapped_column(default=False)
    timeout: Mapped[float | None]
    heartbeat_timeout: Mapped[float | None]
    priority: Mapped[int | None]
    """The higher, the sooner it is sent; None: 0."""
    pool: Mapped[str | None] = mapped_column(String(255))
    attempts: Mapped[int] = mapped_column(default=0)
    """How often it was sent: fences reports, never shrinks."""
    failures: Mapped[int] = mapped_column(default=0)
    lost: Mapped[int] = mapped_column(default=0)
    interruptions: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    result: Mapped[Any] = mapped_column(JsonText, nullable=True)
    progress: Mapped[float | None]
    progress_message: Mapped[str | None] = mapped_column(Text)

    execution: Mapped[Execution] = related(back_populates="tasks")
    node: Mapped[Node | None] = related()
    relationship: Mapped[Relationship | None] = related()
    plugin: Mapped[Plugin | None] = related()
    attempt_rows: Mapped[list[Attempt]] = related(
        cascade=_OWNED, passive_deletes=True, order_by="Attempt.number")
    logs: Mapped[list[Log]] = related(passive_deletes=True, order_by="Log.id", back_populates="task")

    @property
    def dependencies(self) -> list[Task]:
        """The tasks it waits for."""
        tasks = self.execution.tasks
        return [tasks[position] for position in self.waits_for]

    @property
    def actor(self) -> Node | Relationship | None:
        """The node or relationship the operation belongs to."""
        return self.node or self.relationship


class Attempt(Model):
    """One try of a task that failed or was lost."""

    __tablename__ = "attempt"
    __table_args__ = (UniqueConstraint("task_id", "number"),)

    task_id: Mapped[int] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    number: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(16))
    """``failed`` or ``lost``."""
    error: Mapped[str] = mapped_column(Text, default="")
    traceback: Mapped[str] = mapped_column(Text, default="")
    location: Mapped[str] = mapped_column(String(255), default="")
    """``host:pid`` where it ran."""
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Log(Model):
    """One line written by an operation, a workflow function or the engine."""

    __tablename__ = "log"

    execution_id: Mapped[int | None] = owner("execution")
    task_id: Mapped[int | None] = owner("task")
    attempt: Mapped[int | None]
    level: Mapped[str] = mapped_column(String(16))
    message: Mapped[str] = mapped_column(Text)
    traceback: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    execution: Mapped[Execution] = related(back_populates="logs")
    task: Mapped[Task | None] = related(back_populates="logs")


MODELS: dict[str, type[Model]] = {
    model.__tablename__: model
    for model in sorted((each.class_ for each in Model.registry.mappers), key=lambda model: model.__name__)
    if model is not Schema
}
"""Table name -> model: the tables of the friendly storage API."""
