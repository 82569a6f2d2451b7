"""How many tasks of one execution may run at once, as its engine reads it when it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import select

from aria_core.modeling.limits import UNLIMITED
from aria_core.modeling.models import Execution, Node, Relationship
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import TaskRow


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one execution; without any, its tasks are sent as the executor has room."""

    total: int | None = None
    pools: Mapping[str, int] = field(default_factory=dict)
    nodes: Mapping[int, int] = field(default_factory=dict)
    """Node id -> how many operations of it."""
    requirers: Mapping[int, int] = field(default_factory=dict)
    """Relationship id -> the id of the node that requires, whose operations those of the tie are."""

    @property
    def hold(self) -> bool:
        """Whether there is any limit besides those of pools, which only tasks that name one have."""
        return self.total is not None or bool(self.nodes)

    def node_of(self, task: TaskRow) -> int:
        """The node whose limit a task counts for; 0: none that has a limit."""
        return task.node_id or self.requirers.get(task.relationship_id or 0, 0)


def read_limits(model: ModelStorage, execution: Execution) -> Limits:
    """The limits of an execution, with those of the nodes of its service."""
    nodes = _node_limits(model, execution)
    return Limits(execution.max_concurrency, dict(execution.pools or {}), nodes,
                  _requirers(model, nodes) if nodes else {})


def _node_limits(model: ModelStorage, execution: Execution) -> dict[int, int]:
    default = execution.max_per_node
    query = select(Node.id, Node.max_concurrency).where(Node.service_id == execution.service_id)
    if default is None:
        query = query.where(Node.max_concurrency.is_not(None))
    with model.read_session() as session:
        limits = {node: default if own is None else own for node, own in session.execute(query)}
    return {node: limit for node, limit in limits.items() if limit is not None and limit != UNLIMITED}


def _requirers(model: ModelStorage, nodes: Mapping[int, int]) -> dict[int, int]:
    service = select(Node.service_id).where(Node.id == next(iter(nodes))).scalar_subquery()
    query = select(Relationship.id, Node.id).join(Node, Relationship.source_id == Node.id).where(
        Node.service_id == service)
    with model.read_session() as session:
        return {tie: node for tie, node in session.execute(query) if node in nodes}
