"""What must hold of workflows that are written in steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aria_core.modeling.specification import ActivitySpec, StepSpec, TemplateSpec, WorkflowSpec
from aria_core.modeling.states import NodeState

_DELEGATED = ("install", "uninstall", "start", "stop")
_RESERVED = ("ctx", "graph")


def step_problems(template: TemplateSpec) -> Iterator[str]:
    """A sentence for everything in the template's workflows that cannot work."""
    for name, workflow in template.workflows.items():
        where = f"{_at(workflow.location)}workflow {name!r}"
        if workflow.function and (workflow.steps or workflow.preconditions):
            yield f"{where} has a function and steps; it takes one of them"
        if not workflow.function:
            yield from (f"{where} may not have an input called {each}" for each in _RESERVED
                        if each in workflow.inputs)
        for condition in workflow.preconditions:
            yield from (f"{_at(condition.location)}workflow {name!r}: {each}"
                        for each in _about_problems(template, condition.nodes, condition.requirement))
            yield from _clause_problems(f"{_at(condition.location)}workflow {name!r}", condition.conditions)
            if not condition.nodes and any("attribute" in each for each in clauses(condition.conditions)):
                yield (f"{_at(condition.location)}workflow {name!r}: a precondition about attributes says of "
                       "which nodes")
        for step_name, step in workflow.steps.items():
            yield from (f"{_at(step.location)}step {step_name!r} of workflow {name!r}: {each}"
                        for each in _step_problems(template, workflow, step))
            yield from _clause_problems(f"{_at(step.location)}step {step_name!r} of workflow {name!r}",
                                        step.conditions)
    yield from _loop_problems(template)


def _about_problems(template: TemplateSpec, nodes: list[str], requirement: str) -> Iterator[str]:
    for each in nodes:
        if each not in template.nodes:
            yield f"there is no node {each!r}; the nodes are: {', '.join(template.nodes) or 'none'}"
        elif requirement and all(one.name != requirement for one in template.nodes[each].relationships):
            known = ", ".join(one.name for one in template.nodes[each].relationships) or "none"
            yield f"node {each!r} has no requirement {requirement!r}; it has {known}"


def _step_problems(template: TemplateSpec, workflow: WorkflowSpec, step: StepSpec) -> Iterator[str]:
    yield from _about_problems(template, step.nodes, step.requirement)
    for later in step.then:
        if later not in workflow.steps:
            yield f"there is no step {later!r}; the steps are: {', '.join(workflow.steps)}"
    for activity in step.activities:
        yield from _activity_problems(template, step, activity)


def _activity_problems(template: TemplateSpec, step: StepSpec, activity: ActivitySpec) -> Iterator[str]:
    if sum(map(bool, (activity.operation, activity.state, activity.delegate, activity.workflow))) != 1:
        yield "an activity has one of an operation, a state, what is delegated, and a workflow"
    if activity.state and activity.state not in set(NodeState):
        yield f"{activity.state!r} is no state of nodes; they are: {', '.join(NodeState)}"
    if activity.delegate and activity.delegate not in _DELEGATED:
        yield f"{activity.delegate!r} cannot be delegated; these can: {', '.join(_DELEGATED)}"
    inner = template.workflows.get(activity.workflow)
    if activity.workflow and inner is None:
        yield (f"the template has no workflow {activity.workflow!r}; it has "
               f"{', '.join(template.workflows)}")
    if inner is not None and inner.function:
        yield f"the workflow {activity.workflow!r} has a function; only one written in steps can be done here"
    if inner is not None:
        yield from (f"the workflow {activity.workflow!r} has no input {each!r}; its inputs are: "
                    f"{', '.join(inner.inputs) or 'none'}" for each in activity.inputs
                    if each not in inner.inputs)
        yield from (f"the workflow {activity.workflow!r} needs a value for the input {name!r}"
                    for name, each in inner.inputs.items()
                    if each.required and each.value is None and name not in activity.inputs)
    if activity.operation and not step.requirement:
        for name in step.nodes:
            interfaces = template.nodes[name].interfaces if name in template.nodes else {}
            if name in template.nodes and activity.operation not in getattr(
                    interfaces.get(activity.interface), "operations", ()):
                yield f"node {name!r} has no operation {activity.interface}.{activity.operation}"


def _clause_problems(where: str, clauses: Any) -> Iterator[str]:
    for clause in clauses if isinstance(clauses, list) else [clauses]:
        joined = [name for name in ("and", "or", "not") if isinstance(clause, Mapping) and name in clause]
        if joined and len(clause) == 1:
            yield from _clause_problems(where, clause[joined[0]])
        elif not isinstance(clause, Mapping) or clause.keys() not in (
                {"attribute", "constraints"}, {"expression"}):
            yield (f"{where}: {clause!r} is no clause; it takes an attribute and constraints, an expression, "
                   "and, or, or not")


def clauses(conditions: Any) -> Iterator[Mapping[str, Any]]:
    """All clauses among `conditions` that join no others."""
    for clause in conditions if isinstance(conditions, list) else ():
        joined = [name for name in ("and", "or", "not") if isinstance(clause, Mapping) and name in clause]
        if joined:
            yield from clauses(clause[joined[0]])
        elif isinstance(clause, Mapping):
            yield clause


def _loop_problems(template: TemplateSpec) -> Iterator[str]:
    steps = {(name, key): [(name, later) for later in step.then]
             for name, workflow in template.workflows.items() for key, step in workflow.steps.items()}
    workflows = {name: [activity.workflow for step in workflow.steps.values() for activity in step.activities
                        if activity.workflow] for name, workflow in template.workflows.items()}
    for loop in _loops(steps):
        yield (f"the steps of workflow {loop[0][0]!r} wait for each other: "
               f"{' -> '.join(each for _, each in loop)}")
    for names in _loops(workflows):
        yield f"these workflows do each other: {' -> '.join(names)}"


def _loops(following: Mapping[Any, list[Any]]) -> Iterator[list[Any]]:
    """One path through each group that leads back to its beginning, which stands at both ends."""
    from networkx import DiGraph, find_cycle, strongly_connected_components

    graph = DiGraph([(one, other) for one, others in following.items() for other in others
                     if other in following])
    for component in strongly_connected_components(graph):
        part = graph.subgraph(component)
        if part.number_of_edges():
            edges = find_cycle(part)
            yield [edges[0][0], *(edge[1] for edge in edges)]


def _at(location: str) -> str:
    return f"{location}: " if location else ""
