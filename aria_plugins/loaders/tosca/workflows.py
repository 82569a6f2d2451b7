"""Workflows that a template writes in steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

from aria_core import (
    ActivitySpec,
    ConditionSpec,
    NodeSpec,
    ParameterSpec,
    RelationshipSpec,
    StepSpec,
    TemplateSpec,
    WorkflowSpec,
)

from .conditions import Conditions
from .conversion import Converter, undeclared
from .functions import Context, Names
from .loops import loop_from
from .members import interfaces_of
from .operations import function_name
from .policies import Policies
from .problems import Place, Problems, listed, suggestion
from .requirements import NodeTemplate
from .schemas import ANY
from .types import Types
from .values import Mapping, Scalar, Value, described, field, items, key_of, named, place_of, text

_DELEGATED = MappingProxyType({
    "deploy": "install", "install": "install", "undeploy": "uninstall", "uninstall": "uninstall",
    "start": "start", "stop": "stop"})
"""What a step may delegate -> the built-in workflow that does it with nodes."""
_SET = ("created", "configured", "started", "deleted")
_PASSED = ("initial", "creating", "configuring", "starting", "stopping", "deleting", "error")
"""States that nodes have because of their operations, so that there is nothing to set."""
_ACTIVITIES = ("call_operation", "delegate", "inline", "set_state")
_RESERVED = ("ctx", "graph")

ReadParameter: TypeAlias = Callable[[Scalar, Mapping, str, Context], ParameterSpec]


@dataclass(frozen=True)
class _About:
    """What a step or a precondition is about; `what` names the step or workflow in sentences."""

    what: str
    names: Names
    nodes: list[NodeTemplate]
    requirement: str

    @property
    def context(self) -> Context:
        """Where its expressions stand: at its node, if it has one alone."""
        if len(self.nodes) == 1 and not self.requirement:
            return Context(self.names, self.nodes[0].type, self.nodes[0].name)
        return Context(self.names, in_relationship=bool(self.requirement))

    @property
    def relationships(self) -> list[RelationshipSpec]:
        """The relationships it is about."""
        return [each for node in self.nodes for each in node.spec.relationships
                if each.name == self.requirement]


class Workflows:
    """Reads the workflows of a topology whose nodes and policies are read."""

    def __init__(self, types: Types, converter: Converter, policies: Policies, read_parameter: ReadParameter,
                 *, problems: Problems, names: Names) -> None:
        self._types = types
        self._converter = converter
        self._policies = policies
        self._read_parameter = read_parameter
        self._problems = problems
        self._names = names
        self._conditions = Conditions(converter, problems)
        self._nodes: dict[str, NodeTemplate] = {}
        self._own: dict[str, Scalar] = {}

    def read(self, entries: list[tuple[Scalar, Value]], nodes: dict[str, NodeTemplate],
             template: TemplateSpec) -> None:
        """Put the workflows into `template`; all that is wrong with them goes to the problems."""
        self._nodes, self._own = nodes, {key.text: key for key, _ in entries}
        for key, body in entries:
            if key.text in template.workflows:
                self._problems.add(place_of(key), "there is a policy of type aria.Workflow called "
                                   f"`{key.text}`, too; give one of them another name")
            template.workflows[key.text] = self._workflow(key, body)
        inlined = {name: [each.workflow for step in template.workflows[name].steps.values()
                          for each in step.activities if each.workflow in self._own] for name in self._own}
        self._refuse_loops(inlined, self._own, "these workflows do each other")
        for name in self._own:
            for step_name, step in template.workflows[name].steps.items():
                for each in step.activities:
                    self._check_inline(each, template, f"step `{step_name}`")

    def _refuse_loops(self, following: dict[str, list[str]], keys: dict[str, Scalar], what: str) -> None:
        settled: set[str] = set()
        for name in following:
            loop = loop_from(name, following, settled)
            if loop:
                self._problems.add(place_of(keys[loop[0]]), f"{what}: {' -> '.join([*loop, loop[0]])}")

    def _workflow(self, key: Scalar, body: Value) -> WorkflowSpec:
        what = f"workflow `{key.text}`"
        spec = WorkflowSpec(location=str(place_of(key)))
        for name, value in named(field(body, "inputs")):
            if name.text in _RESERVED:
                self._problems.add(place_of(name), f"{what} may not have an input called `{name.text}`: "
                                   "workflow functions have an argument of this name")
            if isinstance(value, Mapping):
                spec.inputs[name.text] = self._read_parameter(
                    name, value, f"the input `{name.text}` of {what}", Context(self._names, knows_self=False))
        if field(body, "outputs") is not None and isinstance(body, Mapping):
            self._problems.warn(place_of(key_of(body, "outputs")), f"the outputs of {what} have no effect "
                                "yet")
        implementation = field(body, "implementation")
        if implementation is not None:
            self._read_function(implementation, spec, what)
            return spec
        names = replace(self._names, inputs={**self._names.inputs, **spec.inputs})
        spec.steps = self._steps(list(named(field(body, "steps"))), names, what)
        spec.preconditions = [self._precondition(each, names, what)
                              for each in items(field(body, "preconditions"))]
        return spec

    def _read_function(self, value: Value, spec: WorkflowSpec, what: str) -> None:
        primary = field(value, "primary") or value
        written = text(primary) or ""
        plugin, _, name = written.rpartition(">")
        function = function_name(name.strip())
        if function is None:
            self._problems.add(place_of(primary), f"{what} is implemented by {described(primary)}, which is "
                               "no function; it takes module:function, or steps")
        else:
            spec.function, spec.plugin = function, plugin.strip() or None

    def _precondition(self, value: Value, names: Names, what: str) -> ConditionSpec:
        about = self._about(value, names, f"the precondition of {what}", what)
        conditions = self._conditions.read(field(value, "condition"), about.what, about.context)
        if field(value, "target") is None and not all("expression" in each for each in conditions):
            self._problems.add(place_of(value), f"the precondition of {what} lacks the keyname `target`: its "
                               "condition is about attributes")
        return ConditionSpec(nodes=[each.name for each in about.nodes], requirement=about.requirement,
                             conditions=conditions, location=str(place_of(value)))

    # --- steps

    def _steps(self, entries: list[tuple[Scalar, Value]], names: Names, what: str) -> dict[str, StepSpec]:
        keys = {key.text: key for key, _ in entries}
        then = {key.text: list(self._following(body, "on_success", keys)) for key, body in entries}
        failing = {each for _, body in entries for each in self._following(body, "on_failure", keys)}
        self._refuse_loops(then, keys, f"the steps of {what} wait for each other")
        steps = {key.text: self._step(key, body, names, then[key.text]) for key, body in entries}
        return self._without(steps, failing, keys)

    def _without(self, steps: dict[str, StepSpec], failing: set[str],
                 keys: dict[str, Scalar]) -> dict[str, StepSpec]:
        """The steps that are not done only after a failure."""
        later = {each for step in steps.values() for each in step.then}
        waiting = [name for name in steps if name not in later and name not in failing]
        done = set[str]()
        while waiting:
            name = waiting.pop()
            if name not in done:
                done.add(name)
                waiting += steps[name].then
        for name in failing:
            self._problems.warn(place_of(keys[name]), f"the step `{name}` of `on_failure` has no effect yet: "
                                "a step that fails for good fails its workflow")
        left = failing & (steps.keys() - done)
        return {name: each for name, each in steps.items() if name in done or not left}

    def _following(self, body: Value, section: str, keys: dict[str, Scalar]) -> Iterator[str]:
        value = field(body, section)
        for each in items(value) or ([value] if isinstance(value, Scalar) else []):
            name = text(each) or ""
            if name in keys:
                yield name
            else:
                self._problems.add(place_of(each), f"`{section}` names the step `{name}`, which does not "
                                   "exist" + suggestion(name, keys, "the steps"))

    def _step(self, key: Scalar, body: Value, names: Names, then: list[str]) -> StepSpec:
        about = self._about(body, names, f"step `{key.text}`", f"step `{key.text}`")
        activities = [made for each in items(field(body, "activities"))
                      if (made := self._activity(each, about)) is not None]
        conditions = self._conditions.read(field(body, "filter"), f"the filter of {about.what}",
                                            about.context)
        return StepSpec(nodes=[each.name for each in about.nodes], requirement=about.requirement,
                        conditions=conditions, activities=activities, then=then, location=str(place_of(key)))

    def _about(self, value: Value, names: Names, where: str, what: str) -> _About:
        target, requirement = field(value, "target"), field(value, "target_relationship")
        name = text(target) or ""
        nodes = [self._nodes[each] for each in self._policies.members_of(name) if each in self._nodes]
        if target is not None and not nodes and name not in self._names.nodes and (
                not self._policies.is_group(name)):
            self._problems.add(place_of(target), f"{where} has the target `{name}`, which is neither a node "
                               "template nor a group" + suggestion(name, self._nodes, "the node templates"))
        about = _About(what, names, nodes, text(requirement) or "")
        if requirement is not None and nodes and not about.relationships:
            known = dict.fromkeys(each.name for node in nodes for each in node.spec.relationships)
            self._problems.add(place_of(requirement), f"{where} is about the requirement "
                               f"`{about.requirement}`, which `{name}` does not have"
                               + suggestion(about.requirement, known, "its requirements"))
        return about

    # --- activities

    def _activity(self, value: Value, about: _About) -> ActivitySpec | None:
        entries = list(named(value))
        if len(entries) != 1 or entries[0][0].text not in _ACTIVITIES:
            known = suggestion(entries[0][0].text, _ACTIVITIES) if len(entries) == 1 else ""
            self._problems.add(place_of(value), f"an activity of {about.what} is {described(value)}; it "
                               f"takes a map with one of {listed(_ACTIVITIES)}{known}")
            return None
        key, body = entries[0]
        made = ActivitySpec(location=str(place_of(body)))
        {"call_operation": self._read_call, "delegate": self._read_delegate,
         "inline": self._read_inline, "set_state": self._read_state}[key.text](body, about, made)
        return made if made.operation or made.state or made.delegate or made.workflow else None

    def _read_state(self, value: Value, about: _About, made: ActivitySpec) -> None:
        state = text(value) or ""
        if state in (*_SET, *_PASSED):
            made.state = state
        else:
            self._problems.warn(place_of(value), f"{about.what} sets the state {described(value)}, which has "
                                f"no effect: nodes have the states {listed((*_SET, *_PASSED))}")

    def _read_call(self, value: Value, about: _About, made: ActivitySpec) -> None:
        given = field(value, "operation") or value
        interface, _, operation = (text(given) or "").rpartition(".")
        if not interface or not operation:
            self._problems.add(place_of(given), f"{about.what} calls {described(given)}; it takes the names "
                               "of an interface and of its operation with a point between them")
            return
        owners = about.relationships if about.requirement else [each.spec for each in about.nodes]
        for owner in owners:
            declared = self._declared(owner, about)
            found = self._interface(interface, declared)
            known = sorted({*declared.get(found or "", ())})
            if found is None:
                self._problems.add(place_of(given), f"{about.what} calls `{text(given)}`, but `{owner.name}` "
                                   f"has no interface `{interface}`"
                                   + suggestion(interface, declared, "its interfaces"))
            elif operation not in known:
                self._problems.add(place_of(given), f"{about.what} calls `{text(given)}`, but the interface "
                                   f"`{found}` of `{owner.name}` has no operation `{operation}`"
                                   + suggestion(operation, known, "its operations"))
            else:
                made.interface, made.operation = found, operation
        made.inputs = self._arguments(field(value, "inputs"), about)

    def _declared(self, owner: NodeSpec | RelationshipSpec, about: _About) -> dict[str, set[str]]:
        """Interface -> operations: the type of a relationship has more than those that are implemented."""
        found = {name: set(each.operations) for name, each in owner.interfaces.items()}
        type_ = None
        if isinstance(owner, RelationshipSpec):
            type_ = self._types.find("relationship", Scalar(about.nodes[0].body.mark, owner.type, owner.type))
        for name, each in interfaces_of(type_).items() if type_ is not None else ():
            found.setdefault(name, set()).update(each.operations)
        return found

    def _interface(self, written: str, declared: Iterable[str]) -> str | None:
        """The name under which an interface is declared that is called by its name or its type's."""
        if written in declared:
            return written
        return next((each for each in declared if written.rpartition(".")[2] == each), None)

    def _read_delegate(self, value: Value, about: _About, made: ActivitySpec) -> None:
        given = field(value, "workflow") or value
        name = text(given) or ""
        if name in self._own and name not in _DELEGATED:
            self._read_inline(value, about, made)
        elif name in _DELEGATED:
            made.delegate = _DELEGATED[name]
        else:
            self._problems.add(place_of(given), f"{about.what} delegates to {described(given)}; it takes one "
                               f"of {listed(_DELEGATED)}" + suggestion(name, [*_DELEGATED, *self._own]))

    def _read_inline(self, value: Value, about: _About, made: ActivitySpec) -> None:
        given = field(value, "workflow") or value
        name = text(given) or ""
        if name in self._own:
            made.workflow = name
            made.inputs = self._arguments(field(value, "inputs"), about)
        else:
            self._problems.add(place_of(given), f"{about.what} does the workflow `{name}`, which the "
                               "template does not have" + suggestion(name, self._own, "the workflows"))

    def _arguments(self, value: Value | None, about: _About) -> dict[str, ParameterSpec]:
        return {key.text: undeclared(self._converter.convert(
            each, ANY, f"the input `{key.text}` of {about.what}", about.context), place_of(each))
            for key, each in named(value)}

    def _check_inline(self, activity: ActivitySpec, template: TemplateSpec, what: str) -> None:
        """Whether an inlined workflow has the inputs it is given, and is given those it needs."""
        workflow = template.workflows.get(activity.workflow)
        if workflow is None:
            return
        place = Place.of(activity.location)
        if workflow.function:
            self._problems.add(place, f"{what} does a workflow that is a function; only one that is written "
                               "in steps can be done there")
        for name, each in activity.inputs.items():
            if name not in workflow.inputs:
                self._problems.add(Place.of(each.location), f"{what} gives the input `{name}` to a workflow "
                                   "that has none of this name"
                                   + suggestion(name, workflow.inputs, "its inputs"))
        for name, each in workflow.inputs.items():
            if each.required and each.value is None and name not in activity.inputs:
                self._problems.add(place, f"{what} does a workflow that needs a value for its input `{name}`")
