"""The built-in workflows, and a node's life as they arrange it.

``install_node``, ``uninstall_node``, ``start_node`` and ``stop_node`` are sub-workflows for one node;
`arrange_nodes` puts one of them into a graph for any number of nodes, in dependency order. A workflow
of one's own builds on both::

    @workflow
    def reinstall(ctx, graph, name):
        node = ctx.service.nodes[name]
        graph.sequence(WorkflowTask(uninstall_node, node=node), WorkflowTask(install_node, node=node))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aria_core.exceptions import InvalidInputError
from aria_core.orchestrator.context.workflow import WorkflowContext
from aria_core.orchestrator.decorators import workflow
from aria_core.orchestrator.exceptions import OperationNotFoundError
from aria_core.orchestrator.task_graph import TaskGraph
from aria_core.orchestrator.tasks import (
    BaseTask,
    OperationTask,
    StubTask,
    WorkflowTask,
    create_relationship_tasks,
    create_task,
    has_operation,
)

if TYPE_CHECKING:
    from aria_core.modeling.models import Node, Relationship

NODE_INTERFACES = ("Standard", "tosca.interfaces.node.lifecycle.Standard")
RELATIONSHIP_INTERFACES = ("Configure", "tosca.interfaces.relationship.Configure")
"""The names under which an interface may be stored, the usual one first."""


@workflow
def install(ctx: WorkflowContext, graph: TaskGraph) -> None:
    """Create, configure and start every node; each after the nodes it depends on."""
    arrange_nodes(graph, ctx.nodes, install_node)


@workflow
def uninstall(ctx: WorkflowContext, graph: TaskGraph) -> None:
    """Stop and delete every node; each after the nodes that depend on it."""
    arrange_nodes(graph, ctx.nodes, uninstall_node, dependents_first=True)


@workflow
def start(ctx: WorkflowContext, graph: TaskGraph) -> None:
    """Start every node; each after the nodes it depends on."""
    arrange_nodes(graph, ctx.nodes, start_node)


@workflow
def stop(ctx: WorkflowContext, graph: TaskGraph) -> None:
    """Stop every node; each after the nodes that depend on it."""
    arrange_nodes(graph, ctx.nodes, stop_node, dependents_first=True)


@workflow
def execute_operation(ctx: WorkflowContext, graph: TaskGraph, interface_name: str, operation_name: str,
                      arguments: Mapping[str, Any] | None = None, *, run_by_dependency_order: bool = True,
                      type_names: Sequence[str] | str = (), node_template_ids: Sequence[int] | int = (),
                      node_ids: Sequence[int] | int = (), node_names: Sequence[str] | str = ()) -> None:
    """Run one operation on every node that has it, or on those of them that are chosen.

    A node is chosen if it is among `node_ids` or `node_names` (when there are any), comes from one of
    `node_template_ids` (when there are any), and is of one of `type_names` or of a type derived from it
    (when there are any); one value stands for a list of it. With `run_by_dependency_order` each waits
    for those it depends on, also across nodes that are not chosen.

    ``OperationNotFoundError`` if a node that was named lacks the operation, or all do;
    ``InvalidInputError`` if no node is chosen.
    """
    named = _named_nodes(ctx, _several(node_ids), _several(node_names))
    templates, types = _several(node_template_ids), _several(type_names)
    chosen = [node for node in named or ctx.nodes
              if (not templates or node.node_template_id in templates)
              and (not types or not types.isdisjoint([node.type_name, *(node.types or ())]))]
    if not chosen:
        raise InvalidInputError(f"no node of the service {ctx.service.name!r} is chosen by type_names, "
                                f"node_template_ids, node_ids and node_names; it has {_described(ctx.nodes)}")
    tasks: dict[Node, BaseTask] = dict(
        _operation_tasks(chosen, interface_name, operation_name, arguments, all_must=bool(named)))
    graph.add_tasks(tasks.values())
    if run_by_dependency_order:
        _bridge(graph, ctx.nodes, tasks)
        _add_dependencies(graph, tasks)


BUILTIN_WORKFLOWS: Mapping[str, Callable[..., TaskGraph]] = MappingProxyType({
    "install": install,
    "uninstall": uninstall,
    "start": start,
    "stop": stop,
    "execute_operation": execute_operation,
})
"""Name -> workflow function. Their inputs are their parameters besides ctx and graph."""


@workflow(suffix_template="{node.name}")
def install_node(ctx: WorkflowContext, graph: TaskGraph, node: Node) -> None:
    """One node from nothing to started."""
    graph.sequence(
        _step(node, "create"), *_ends(node, "pre_configure"),
        _step(node, "configure"), *_ends(node, "post_configure"),
        *_starting(node))


@workflow(suffix_template="{node.name}")
def uninstall_node(ctx: WorkflowContext, graph: TaskGraph, node: Node) -> None:
    """One node from started to deleted."""
    graph.sequence(*_stopping(node), _step(node, "delete"))


@workflow(suffix_template="{node.name}")
def start_node(ctx: WorkflowContext, graph: TaskGraph, node: Node) -> None:
    """Start one node and tell both ends of its relationships."""
    graph.sequence(*_starting(node))


@workflow(suffix_template="{node.name}")
def stop_node(ctx: WorkflowContext, graph: TaskGraph, node: Node) -> None:
    """Stop one node and tell both ends of its relationships."""
    graph.sequence(*_stopping(node))


def arrange_nodes(graph: TaskGraph, nodes: Iterable[Node], node_workflow: Callable[..., TaskGraph], *,
                  dependents_first: bool = False) -> dict[Node, WorkflowTask]:
    """Add ``node_workflow(node=…)`` for each of `nodes`, in dependency order, and return the tasks.

    Each waits for the targets of its relationships among `nodes`, or with `dependents_first` the other
    way round. A relationship of a node with itself is no reason to wait. Raises ``CyclicGraphError``
    before `node_workflow` is called, if they would wait for each other.
    """
    nodes = list(nodes)
    _refuse_cycle(graph.name, nodes, getattr(node_workflow, "__name__", "workflow"), dependents_first)
    tasks = {node: WorkflowTask(node_workflow, node=node) for node in nodes}
    graph.add_tasks(tasks.values())
    _add_dependencies(graph, tasks, dependents_first=dependents_first)
    return tasks


def _refuse_cycle(graph_name: str, nodes: Iterable[Node], step: str, dependents_first: bool) -> None:
    rehearsal = TaskGraph(graph_name)
    stubs: dict[Node, BaseTask] = {node: StubTask(f"{step}.{node.name}") for node in nodes}
    rehearsal.add_tasks(stubs.values())
    _add_dependencies(rehearsal, stubs, dependents_first=dependents_first)
    rehearsal.topological_order()


def _starting(node: Node) -> list[BaseTask | list[OperationTask]]:
    return [_step(node, "start"), *_ends(node, "add")]


def _stopping(node: Node) -> list[BaseTask | list[OperationTask]]:
    return [_step(node, "stop"), *_ends(node, "remove")]


def _step(node: Node, operation_name: str) -> BaseTask:
    interface_name = _stored_name(node, NODE_INTERFACES, operation_name)
    task = create_task(node, interface_name, operation_name)
    return task or StubTask(actor=node, interface_name=interface_name, operation_name=operation_name)


def _ends(node: Node, step: str) -> Iterator[list[OperationTask]]:
    source, target = f"{step}_source", f"{step}_target"
    for relationship in node.outbound_relationships:
        yield [task for name in (source, target) for task in create_relationship_tasks(
            relationship, _stored_name(relationship, RELATIONSHIP_INTERFACES, name), name)]


def _stored_name(actor: Node | Relationship, names: Sequence[str], operation_name: str) -> str:
    return next((name for name in names if has_operation(actor, name, operation_name)), names[0])


def _add_dependencies(graph: TaskGraph, tasks: Mapping[Node, BaseTask], *,
                      dependents_first: bool = False) -> None:
    for source, target in _ties(tasks):
        later, earlier = (target, source) if dependents_first else (source, target)
        graph.add_dependency(tasks[later], tasks[earlier])


def _ties(nodes: Iterable[Node]) -> Iterator[tuple[Node, Node]]:
    """Who requires whom, among `nodes`."""
    members = dict.fromkeys(nodes)
    for source in members:
        for relationship in source.outbound_relationships:
            target = relationship.target_node
            if target in members and target is not source:
                yield source, target


def _several(values: Any) -> frozenset[Any]:
    return frozenset((values,) if isinstance(values, (str, int)) else values or ())


def _named_nodes(ctx: WorkflowContext, ids: Set[int], names: Set[str]) -> list[Node]:
    named = [node for node in ctx.nodes if node.id in ids or node.name in names]
    unknown = [*(ids - {node.id for node in named}), *(names - {node.name for node in named})]
    if unknown:
        raise InvalidInputError(f"the service {ctx.service.name!r} has no node {_listed(unknown)}; "
                                f"it has {_described(ctx.nodes)}")
    return named


def _operation_tasks(nodes: Sequence[Node], interface_name: str, operation_name: str,
                     arguments: Mapping[str, Any] | None, *, all_must: bool
                     ) -> Iterator[tuple[Node, OperationTask]]:
    names = NODE_INTERFACES if interface_name in NODE_INTERFACES else (interface_name,)
    without = []
    for node in nodes:
        task = create_task(node, _stored_name(node, names, operation_name), operation_name,
                           arguments=arguments)
        if task is None:
            without.append(node)
        else:
            yield node, task
    if without and (all_must or len(without) == len(nodes)):
        raise OperationNotFoundError(f"nothing implements {interface_name}.{operation_name} on "
                                     f"{_described(without)}")


def _bridge(graph: TaskGraph, nodes: Iterable[Node], tasks: dict[Node, BaseTask]) -> None:
    """Add stubs for nodes that lie between two that have tasks, so that order carries across them."""
    ties = list(_ties(nodes))
    between = _reached(tasks, ties) & _reached(tasks, [(target, source) for source, target in ties])
    for node in nodes:
        if node in between and node not in tasks:
            tasks[node] = StubTask(f"between:{node.name}")
            graph.add_tasks(tasks[node])


def _reached(begin: Iterable[Node], ties: Iterable[tuple[Node, Node]]) -> set[Node]:
    following: dict[Node, list[Node]] = {}
    for here, there in ties:
        following.setdefault(here, []).append(there)
    reached: set[Node] = set()
    waiting = list(begin)
    while waiting:
        for node in following.get(waiting.pop(), ()):
            if node not in reached:
                reached.add(node)
                waiting.append(node)
    return reached


def _described(nodes: Iterable[Node]) -> str:
    return ", ".join(f"{node.name!r} ({node.id})" for node in nodes) or "no node"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(sorted(map(repr, values)))
