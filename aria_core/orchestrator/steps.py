"""Workflows that a template writes in steps: from the steps to a task graph.

A step waits for all steps that lead to it. Preconditions, and the conditions of steps, are judged once, when
the graph is made: it is stored then, and does not change. A step whose conditions hold of none of its nodes
does nothing, and what comes after it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.constraints import broken_constraints
from aria_core.modeling.expressions import SELF, MissingValueError, calls, escape, follow, show
from aria_core.modeling.models import Node, Relationship
from aria_core.modeling.specification import (
    ActivitySpec,
    ConditionSpec,
    ParameterSpec,
    StepSpec,
    WorkflowSpec,
)
from aria_core.modeling.states import NODE_TRANSITIONS
from aria_core.modeling.values import MASK
from aria_core.orchestrator.builtin import (
    NODE_INTERFACES,
    arrange_nodes,
    install_node,
    start_node,
    stop_node,
    uninstall_node,
)
from aria_core.orchestrator.context.workflow import WorkflowContext, current
from aria_core.orchestrator.instantiation import is_secret
from aria_core.orchestrator.scope import ServiceScope
from aria_core.orchestrator.task_graph import TaskGraph
from aria_core.orchestrator.tasks import BaseTask, OperationTask, StubTask, WorkflowTask, has_operation

Actor = Node | Relationship

_OF_NODES: Mapping[str, tuple[Callable[..., TaskGraph], bool]] = MappingProxyType({
    "install": (install_node, False), "uninstall": (uninstall_node, True),
    "start": (start_node, False), "stop": (stop_node, True)})
"""Workflow -> what it does with one node, and whether dependents go first."""

_SETS: Mapping[str, str] = MappingProxyType({
    str(after): operation for operation, (_, after) in NODE_TRANSITIONS.items() if operation != "stop"})
"""State -> the lifecycle operation that ends in it; the others are passed through on the way."""


def steps_workflow(name: str, workflows: Mapping[str, WorkflowSpec]) -> Callable[..., TaskGraph]:
    """The workflow function for the steps of ``workflows[name]``; `workflows` are those of its template.

    It raises ``InvalidInputError`` if a precondition does not hold or cannot be judged, and
    ``OperationNotFoundError`` for an operation that is not there.
    """
    def build(ctx: WorkflowContext, **inputs: Any) -> TaskGraph:
        return _graph(name, _Plan(name, workflows, ctx, inputs).fill)(ctx)

    return build


def _graph(name: str, fill: Callable[[TaskGraph], object]) -> Callable[[WorkflowContext], TaskGraph]:
    def build(ctx: WorkflowContext) -> TaskGraph:
        graph = TaskGraph(name)
        with current.push(ctx):
            fill(graph)
        return graph

    return build


class _Plan:
    """One workflow of steps that is being made."""

    def __init__(self, name: str, workflows: Mapping[str, WorkflowSpec], ctx: WorkflowContext,
                 inputs: Mapping[str, Any]) -> None:
        self._name = name
        self._workflows = workflows
        self._spec = workflows[name]
        self._ctx = ctx
        self._nodes = {each.name: each for each in ctx.nodes}
        self._inputs = inputs
        self._scope = ServiceScope(ctx.service)

    def fill(self, graph: TaskGraph) -> None:
        """Put the steps into `graph`; ``InvalidInputError`` if a precondition does not hold."""
        for condition in self._spec.preconditions:
            for actor in self._actors(condition) if condition.nodes else (None,):
                self._check(condition, actor)
        tasks = {name: self._step(name, step) for name, step in self._spec.steps.items()}
        graph.add_tasks(tasks.values())
        for name, step in self._spec.steps.items():
            for later in step.then:
                graph.add_dependency(tasks[later], tasks[name])

    def _step(self, name: str, step: StepSpec) -> BaseTask:
        activities = list(self._activities(step))
        return WorkflowTask(_graph(f"{self._name}.{name}", lambda graph: graph.sequence(*activities)))

    def _actors(self, about: StepSpec | ConditionSpec) -> Iterator[Actor]:
        for name in about.nodes:
            node = self._nodes[name]
            if about.requirement:
                yield from (each for each in node.outbound_relationships if each.name == about.requirement)
            else:
                yield node

    def _check(self, condition: ConditionSpec, actor: Actor | None) -> None:
        broken = self._unmet({"and": condition.conditions}, actor)
        if broken:
            raise InvalidInputError(f"the workflow {self._name!r} cannot begin: {broken}")

    def _unmet(self, clause: Mapping[str, Any], actor: Actor | None) -> str | None:
        """Why a clause does not hold of `actor` (None: of the service), as a sentence; None: it does."""
        if "and" in clause:
            return next((each for each in self._all_unmet(clause["and"], actor) if each), None)
        if "or" in clause:
            sentences = list(self._all_unmet(clause["or"], actor))
            return None if None in sentences or not sentences else ", and ".join(map(str, sentences))
        if "not" in clause:  # the clauses below are joined by `and`
            met = not any(self._all_unmet(clause["not"], actor))
            return f"{_label(actor)} has what must not be: {clause['not']}" if met else None
        if "expression" in clause:
            return self._unmet_expression(clause["expression"], actor)
        return None if actor is None else _unmet_attribute(clause["attribute"], clause["constraints"], actor)

    def _all_unmet(self, clauses: Iterable[Mapping[str, Any]], actor: Actor | None) -> Iterator[str | None]:
        return (self._unmet(each, actor) for each in clauses)

    def _unmet_expression(self, tree: Any, actor: Actor | None) -> str | None:
        try:
            value = ServiceScope(self._ctx.service, actor).evaluate(self._filled(tree))
        except MissingValueError as error:
            return str(error)
        if value is True:
            return None
        told = "false" if value is False else "neither true nor false"
        return f"{show(tree)} is {told}{f' for {_label(actor)}' if actor is not None else ''}"

    def _activities(self, step: StepSpec) -> Iterator[list[BaseTask]]:
        actors = [each for each in self._actors(step)
                  if self._unmet({"and": step.conditions}, each) is None]
        if actors or not step.nodes:
            for activity in step.activities:
                yield list(self._tasks(activity, actors))

    def _tasks(self, activity: ActivitySpec, actors: Sequence[Actor]) -> Iterator[BaseTask]:
        nodes = [each for each in actors if isinstance(each, Node)]
        if activity.operation:
            yield from (self._call(activity, each) for each in actors)
        elif activity.state in _SETS:
            for node in nodes:
                yield StubTask(actor=node, interface_name=NODE_INTERFACES[0],
                               operation_name=_SETS[activity.state])
        elif activity.delegate:
            node_workflow, dependents_first = _OF_NODES[activity.delegate]
            yield WorkflowTask(_graph(activity.delegate, lambda graph: arrange_nodes(
                graph, nodes, node_workflow, dependents_first=dependents_first)))
        elif activity.workflow:
            yield self._inline(activity)

    def _inline(self, activity: ActivitySpec) -> WorkflowTask:
        declared = self._workflows[activity.workflow].inputs
        values = {name: each.value if not each.dynamic else self._scope.evaluate(
            self._filled(each.value) if name in activity.inputs else each.value)
            for name, each in (declared | activity.inputs).items()}
        return WorkflowTask(_graph(
            activity.workflow, _Plan(activity.workflow, self._workflows, self._ctx, values).fill))

    def _call(self, activity: ActivitySpec, actor: Actor) -> BaseTask:
        if isinstance(actor, Relationship) and not has_operation(actor, activity.interface,
                                                                 activity.operation):
            return StubTask(actor=actor, interface_name=activity.interface,
                            operation_name=activity.operation)
        fixed = {name: each.value for name, each in activity.inputs.items() if not each.dynamic}
        task = OperationTask(actor, activity.interface, activity.operation, arguments=fixed)
        for name, each in activity.inputs.items():
            if each.dynamic:  # evaluated when the operation is sent, as those it declares itself
                task.arguments[name] = self._filled(each.value)
                task.dynamic = tuple(dict.fromkeys((*task.dynamic, name)))
            if self._is_secret(each):
                task.secret = tuple(dict.fromkeys((*task.secret, name)))
        return task

    def _filled(self, tree: Any) -> Any:
        """An expression with the inputs of this workflow in their places."""
        if isinstance(tree, Mapping):
            arguments = tree.get("$get_input") if len(tree) == 1 else None
            if arguments and arguments[0] in self._inputs:
                path = [self._scope.evaluate(self._filled(each)) for each in arguments[1:]]
                return escape(follow(self._inputs[arguments[0]], path, f"input {arguments[0]!r}"))
            return {key: self._filled(each) for key, each in tree.items()}
        return [self._filled(each) for each in tree] if isinstance(tree, list) else tree

    def _is_secret(self, parameter: ParameterSpec) -> bool:
        secret = {name for name, each in self._spec.inputs.items() if is_secret(each)}
        return is_secret(parameter) or (parameter.dynamic and any(
            name == "get_input" and arguments[0] in secret for name, arguments in calls(parameter.value)))


def _unmet_attribute(name: str, constraints: Iterable[Any], actor: Actor) -> str | None:
    type_name, shown = "any", MASK
    service = actor.service if isinstance(actor, Node) else actor.source_node.service
    try:
        value = ServiceScope(service, actor).get_attribute([SELF, name])
    except MissingValueError:
        return f"{_label(actor)} has no attribute {name!r} yet"
    if name in actor.attribute_rows:
        type_name = actor.attribute_rows[name].type_name
    if type_name != "secret" and not _is_secret_property(name, actor):
        shown = repr(value)
    broken = broken_constraints(value, constraints, type_name)
    return f"{name!r} of {_label(actor)} is {shown}; it {broken[0]}" if broken else None


def _is_secret_property(name: str, actor: Actor) -> bool:
    return name in actor.property_parameters and actor.property_parameters[name].secret


def _label(actor: Actor | None) -> str:
    return "the service" if actor is None else f"{type(actor).__name__.lower()} {actor.name!r}"
