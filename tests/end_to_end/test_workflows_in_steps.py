"""Workflows that a template writes in steps, run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aria_core import (
    ActivitySpec,
    ConditionSpec,
    ExecutionFailedError,
    Expression,
    InvalidInputError,
    ModelStorage,
    ParameterSpec,
    SqlModelStorage,
    StepSpec,
    TemplateBuilder,
    WorkflowRunner,
    WrongTypeInputsError,
    create_service,
    get_attribute,
    get_input,
    outputs,
    store_template,
)
from aria_plugins.executors.thread import ThreadExecutor
from aria_plugins.loaders.tosca import ToscaLoader
from aria_plugins.storage.file import FileStorage

OPERATIONS = """
from pathlib import Path

from aria_core import operation

@operation
def note(ctx, what="", **others):
    with open(ctx.service.inputs["notes"], "a") as file:
        name = ctx.node.name if hasattr(ctx, "node") else f"{ctx.source_node.name}-{ctx.target_node.name}"
        file.write(f"{ctx.task.operation_name} {name} {what}".strip() + "\\n")

@operation
def repair(ctx):
    tried = Path(ctx.service.inputs["notes"] + ".tried")
    if not tried.exists():
        tried.touch()
        raise ValueError("not yet")
    note(ctx)

@operation
def measure(ctx):
    ctx.node.attributes["load"] = 7
"""

TEMPLATE = """
tosca_definitions_version: tosca_simple_yaml_1_3
interface_types:
  Care:
    derived_from: tosca.interfaces.Root
    operations: {backup: {inputs: {what: {type: string, default: all}}}, measure: {}, repair: {}}
relationship_types:
  Uses:
    derived_from: tosca.relationships.DependsOn
    interfaces: {Configure: {type: tosca.interfaces.relationship.Configure, operations: {
      add_target: ops.note}}}
node_types:
  Thing:
    derived_from: tosca.nodes.Root
    attributes: {load: {type: integer, default: 1}}
    interfaces:
      Standard: {operations: {create: ops.note, start: ops.note, stop: ops.note}}
      Care: {type: Care, operations: {backup: ops.note, measure: ops.measure, repair: ops.repair}}
topology_template:
  inputs: {notes: {type: string}}
  node_templates:
    db: {type: Thing}
    web: {type: Thing, requirements: [{dependency: {node: db, relationship: Uses}}]}
  groups:
    all: {type: tosca.groups.Root, members: [web, db]}
  workflows: %s
"""

class Program:
    """A service of a template, whose operations write down what they do."""

    def __init__(self, folder: Path, model: ModelStorage, files: FileStorage,
                 executor: ThreadExecutor) -> None:
        self._folder = folder
        self._notes = folder / "notes"
        self._model, self._files, self._executor = model, files, executor
        self._service = 0

    def load(self, workflows: str) -> None:
        """Make a service of the template with these workflows."""
        (self._folder / "ops.py").write_text(OPERATIONS)
        source = self._folder / "service.yaml"
        source.write_text(TEMPLATE % workflows)
        template = store_template(self._model, self._files, ToscaLoader().load(source, Path.read_bytes))
        self._service = create_service(self._model, template, "one", {"notes": str(self._notes)}).id

    def run(self, name: str = "w", **inputs: Any) -> list[str]:
        """Run a workflow, and return what its operations did in their order."""
        self._notes.write_text("")
        WorkflowRunner(self._model, self._files, None, service_id=self._service, workflow_name=name,
                       inputs=inputs, executor=self._executor, task_max_attempts=1).execute()
        return self._notes.read_text().splitlines()

    def resume(self) -> list[str]:
        """Go on with the last execution, and return what was done in all."""
        last = self._model.execution.list(sort={"id": "desc"}).items[0]
        WorkflowRunner(self._model, self._files, None, execution_id=last.id,
                       executor=self._executor).execute(retry_failed=True)
        return self._notes.read_text().splitlines()

    def states(self) -> dict[str, str]:
        """The states of the nodes."""
        nodes = self._model.service.get(self._service).nodes
        return {name: str(each.state) for name, each in nodes.items()}


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    folder = tmp_path / "template"
    folder.mkdir()
    with (ThreadExecutor() as executor, SqlModelStorage(f"sqlite:///{tmp_path / 'db'}") as model,
          FileStorage(tmp_path / "files") as files):
        yield Program(folder, model, files, executor)


def test_a_step_comes_after_all_that_lead_to_it_and_does_its_activities_in_order(program: Program) -> None:
    program.load("""
    w:
      steps:
        last: {target: web, activities: [{call_operation: Standard.start}]}
        left: {target: db, activities: [{call_operation: Standard.create}, {call_operation: Standard.start}],
               on_success: [last]}
        right: {target: web, activities: [{call_operation: Standard.create}], on_success: [last]}
    """)
    done = program.run()
    assert sorted(done) == ["create db", "create web", "start db", "start web"]
    assert done[-1] == "start web"
    assert done.index("create db") < done.index("start db")
    assert program.states() == {"db": "started", "web": "started"}


def test_the_built_in_workflows_are_done_with_the_nodes_of_a_step_in_their_order(program: Program) -> None:
    program.load("""
    w:
      steps:
        up: {target: all, activities: [{delegate: deploy}], on_success: [down]}
        down: {target: web, activities: [{delegate: {workflow: stop}}]}
    """)
    assert program.run() == [
        "create db", "start db", "create web", "start web", "add_target web-db", "stop web"]
    assert program.states() == {"db": "started", "web": "configured"}


def test_states_are_set_without_an_operation(program: Program) -> None:
    program.load("""
    w: {steps: {one: {target: all, activities: [{set_state: creating}, {set_state: created}]},
                two: {target: web, activities: [{set_state: configured}]}}}
    """)
    assert program.run() == []
    assert program.states()["db"] == "created"


def test_operations_of_relationships_are_called(program: Program) -> None:
    program.load("""
    w:
      steps:
        one:
          target: web
          target_relationship: dependency
          activities: [{call_operation: Configure.add_target}, {call_operation: Configure.add_source}]
    """)
    assert program.run() == ["add_target web-db"]


def test_an_operation_gets_inputs_of_the_workflow_and_what_other_steps_have_changed(program: Program) -> None:
    program.load("""
    w:
      inputs: {part: {type: string, default: tables}}
      steps:
        first: {target: db, activities: [{call_operation: Care.measure}], on_success: [second]}
        second:
          target: web
          activities:
          - call_operation:
              operation: Care.backup
              inputs: {what: {concat: [{get_input: part}, ' at ', {get_attribute: [db, load]}]}}
    """)
    assert program.run() == ["backup web tables at 7"]
    assert program.run(part="views") == ["backup web views at 7"]
    with pytest.raises(WrongTypeInputsError, match="part"):
        program.run(part=[])


def test_a_workflow_does_another_with_inputs(program: Program) -> None:
    program.load("""
    w:
      inputs: {first: {type: string, default: a}}
      steps:
        one: {target: db, activities: [{inline: {workflow: inner, inputs: {part: {get_input: first}}}}],
              on_success: [two]}
        two: {target: db, activities: [{inline: inner}]}
    inner:
      inputs: {part: {type: string, default: b}}
      steps:
        one: {target: db, activities: [{call_operation: {operation: Care.backup,
                                                         inputs: {what: {get_input: part}}}}]}
    """.replace("\n    ", "\n      "))
    assert program.run() == ["backup db a", "backup db b"]
    assert program.run("inner", part="c") == ["backup db c"]


def test_a_step_is_done_for_the_nodes_its_filter_passes(program: Program) -> None:
    program.load("""
    w: {steps: {one: {target: db, activities: [{call_operation: Standard.start}]}}}
    some:
      steps:
        one:
          target: all
          filter: [{state: [{equal: started}]}, {or: [{assert: [{load: [{less_than: 5}]}]}, {load: 9}]}]
          activities: [{call_operation: Standard.stop}]
          on_success: [two]
        two:
          target: all
          filter: [{not: [{state: [{valid_values: [initial]}]}]}]
          activities: [{call_operation: Care.backup}]
    """.replace("\n    ", "\n      "))
    assert program.run("some") == []
    program.run()
    assert program.run("some") == ["stop db", "backup db all"]


def test_a_workflow_begins_only_if_its_preconditions_hold(program: Program) -> None:
    program.load("""
    w:
      preconditions:
      - target: all
        condition: [{assert: [{state: [{equal: initial}]}, {load: [{in_range: [0, 3]}]}]}]
      steps:
        one: {target: db, activities: [{call_operation: Care.measure}]}
    """)
    assert program.run() == []
    with pytest.raises(InvalidInputError, match=r"the workflow 'w' cannot begin: 'load' of node 'db' is 7; "
                                                r"it must be in the range \[0, 3\]"):
        program.run()


def test_conditions_may_be_expressions(tmp_path: Path) -> None:
    template = TemplateBuilder("steps")
    for name in ("one", "two"):
        template.node(name, attributes={"load": len(name) if name == "one" else 9})
    same = Expression({"$equal": [get_input("wanted"), get_input("given")]})
    light = Expression({"$less_than": [get_attribute("SELF", "load"), 5]})
    template.output("state", get_attribute("two", "state"))
    template.output("id", get_attribute("two", "tosca_id"))
    template.input("given", default="x")
    heavy_up = StepSpec(nodes=["one", "two"], conditions=[{"not": [{"expression": light}]}],
                        activities=[ActivitySpec(delegate="install")])
    template.workflow("w", inputs={"wanted": "x"}, steps={"up": heavy_up},
                      preconditions=[ConditionSpec(conditions=[{"expression": same}])])
    with ThreadExecutor() as executor, SqlModelStorage("sqlite://") as model, FileStorage(tmp_path) as files:
        service = create_service(model, store_template(model, files, template.load()), "one")

        def run(wanted: str) -> None:
            WorkflowRunner(model, files, None, service_id=service.id, workflow_name="w",
                           inputs={"wanted": wanted}, executor=executor).execute()

        with pytest.raises(InvalidInputError, match=r"cannot begin: .* is false"):
            run("y")
        run("x")
        nodes = model.service.get(service.id).nodes
        assert {name: str(each.state) for name, each in nodes.items()} == {"one": "initial", "two": "started"}
        assert outputs(model, service) == {"state": "started", "id": str(nodes["two"].id)}


def test_a_workflow_of_steps_resumes_where_it_failed(program: Program) -> None:
    program.load("""
    w:
      steps:
        one: {target: db, activities: [{call_operation: Standard.create}], on_success: [two]}
        two: {target: db, activities: [{call_operation: Care.repair}], on_success: [three]}
        three: {target: db, activities: [{call_operation: Standard.start}]}
    """)
    with pytest.raises(ExecutionFailedError):
        program.run()
    assert program.resume() == ["create db", "repair db", "start db"]


def test_a_template_of_python_has_steps_too(tmp_path: Path) -> None:
    template = TemplateBuilder("steps")
    template.node("one")
    is_new = {"attribute": "state", "constraints": [{"equal": "initial"}]}
    template.workflow("w", preconditions=[ConditionSpec(nodes=["one"], conditions=[is_new])], steps={
        "up": StepSpec(nodes=["one"], activities=[ActivitySpec(delegate="install")])})
    with ThreadExecutor() as executor, SqlModelStorage("sqlite://") as model, FileStorage(tmp_path) as files:
        service = create_service(model, store_template(model, files, template.load()), "one")
        runner = WorkflowRunner(model, files, None, service_id=service.id, workflow_name="w",
                                executor=executor)
        runner.execute()
        assert str(runner.service.nodes["one"].state) == "started"


@pytest.mark.parametrize(("steps", "sentence"), [
    ({"a": StepSpec(nodes=["two"])}, "there is no node 'two'"),
    ({"a": StepSpec(nodes=["one"], requirement="r")}, "node 'one' has no requirement 'r'"),
    ({"a": StepSpec(then=["b"])}, "there is no step 'b'"),
    ({"a": StepSpec(then=["b"]), "b": StepSpec(then=["a"])}, "wait for each other"),
    ({"a": StepSpec(activities=[ActivitySpec()])}, "an activity has one of"),
    ({"a": StepSpec(activities=[ActivitySpec(state="down")])}, "'down' is no state"),
    ({"a": StepSpec(activities=[ActivitySpec(delegate="heal")])}, "'heal' cannot be delegated"),
    ({"a": StepSpec(activities=[ActivitySpec(workflow="x")])}, "has no workflow 'x'"),
    ({"a": StepSpec(activities=[ActivitySpec(workflow="w")])}, "do each other: w -> w"),
    ({"a": StepSpec(nodes=["one"], activities=[ActivitySpec(interface="I", operation="o")])},
     "has no operation I.o"),
    ({"a": StepSpec(conditions=[{"state": 1}])}, "is no clause"),
    ({"a": StepSpec(conditions=[{"or": [{"expression": {"$get_input": ["x"]}}]}])}, "there is no input 'x'"),
])
def test_a_template_of_python_with_steps_that_cannot_work_is_refused(
        steps: dict[str, StepSpec], sentence: str) -> None:
    template = TemplateBuilder("steps")
    template.node("one")
    template.workflow("w", steps=steps)
    with pytest.raises(InvalidInputError, match=sentence):
        template.build()


def test_an_input_that_does_not_exist_is_refused_in_a_step() -> None:
    template = TemplateBuilder("steps")
    template.node("one", operations={"start": "m:f"})
    call = ActivitySpec(interface="Standard", operation="start",
                        inputs={"x": ParameterSpec(value=get_input("y"), dynamic=True)})
    template.workflow("w", steps={"a": StepSpec(nodes=["one"], activities=[call])})
    with pytest.raises(InvalidInputError, match="there is no input 'y'"):
        template.build()
