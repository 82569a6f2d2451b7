"""Arguments are compared with the function they go to before the graph of an execution is stored."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aria_core import (
    Executor,
    InvalidInputError,
    ModelStorage,
    PluginManager,
    ResourceStorage,
    TemplateBuilder,
    WorkflowRunner,
    create_service,
    get_attribute,
    get_input,
    parameter,
    script,
    store_template,
)
from aria_core.installer import Installer, PluginInfo
from aria_core.modeling.builder import call
from aria_core.worker.calls import Environment
from aria_plugins.executors.dry import DryExecutor
from aria_plugins.executors.thread import ThreadExecutor
from aria_plugins.loaders.tosca import ToscaLoader

OPS = """\
from pathlib import Path

from aria_core import OperationTask, operation, workflow

Path(__file__).with_name("imported").touch()


@operation
def create(ctx, label: str, count: int = 1):
    ctx.node.attributes["label"] = label


@operation
def connect(ctx, port: int): ...


@workflow
def plan(ctx, graph, arguments):
    graph.add_tasks(OperationTask(node, "Standard", "create", arguments) for node in ctx.nodes)
"""

PLUGIN = """\
from aria_core import operation


@operation
def greet(ctx, greeting: str, times: int = 1): ...
"""

Refused = Callable[[TemplateBuilder], str]


class FolderInstaller(Installer):
    """Installs one module, below a folder that only PYTHONPATH tells of or in a virtual environment."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def recognises(self, path: Path) -> bool:
        return True

    def inspect(self, path: Path) -> PluginInfo:
        return PluginInfo("greeter", "greeter", "1.0", path.name)

    def install(self, path: Path, directory: Path) -> Environment:
        place = directory / self.folder
        place.mkdir(parents=True)
        (place / "greeter_ops.py").write_text(PLUGIN)
        if self.folder == "code":
            return Environment("greeter", None, (), (str(place),))
        return Environment("greeter", str(directory / "bin" / "python"), (), ())


class Lab:
    def __init__(self, model: ModelStorage, resource: ResourceStorage, directory: Path) -> None:
        self.model, self.resource, self.directory = model, resource, directory
        self.plugins = PluginManager(model, directory / "plugins")

    def runner(self, builder: TemplateBuilder, workflow: str = "install", executor: Executor | None = None,
               **more: Any) -> WorkflowRunner:
        code = self.directory / "code"
        code.mkdir(exist_ok=True)
        (code / "ops.py").write_text(OPS)
        template = store_template(self.model, self.resource, builder.load(directory=str(code)))
        service = create_service(self.model, template, "lab", more.pop("service_inputs", {}))
        return WorkflowRunner(self.model, self.resource, self.plugins, service_id=service.id,
                              workflow_name=workflow, executor=executor or ThreadExecutor(slots=1), **more)

    def install(self, folder: str) -> None:
        self.plugins.use_installers([FolderInstaller(folder)])
        archive = self.directory / "greeter.wgn"
        archive.write_bytes(b"")
        self.plugins.install(archive)


@pytest.fixture
def lab(model_storage: ModelStorage, resource_storage: ResourceStorage, tmp_path: Path) -> Lab:
    return Lab(model_storage, resource_storage, tmp_path)


def refused(lab: Lab, runner: WorkflowRunner) -> str:
    """The error; nothing was stored of the graph, and the execution has failed with that cause."""
    with pytest.raises(InvalidInputError) as caught:
        runner.execute()
    execution = runner.execution
    assert (execution.state, execution.error) == ("failed", str(caught.value))
    assert lab.model.task.list().items == []
    assert not list(lab.directory.rglob("imported"))
    return str(caught.value)


def test_all_that_does_not_fit_is_told_and_nothing_is_stored_or_imported(lab: Lab) -> None:
    builder = TemplateBuilder("t")
    one = builder.node("one", operations={"create": call("ops:create", lable="x", count="many")})
    two = builder.node("two", operations={"create": call("ops:create", label="x"),
                                          "start": call("ops:begin")})
    two.requires(one, "link", interfaces={"Configure": {"add_target": call("ops:connect", port="80")}})
    before = set(sys.modules)
    assert refused(lab, lab.runner(builder)).splitlines() == [
        "operation Standard.create of node 'one': ops:create (ops.py:9) does not know 'lable'; did you mean "
        "'label'? it takes label, count (optional)",
        "operation Standard.create of node 'one': ops:create (ops.py:9) misses 'label'; it takes label, "
        "count (optional)",
        "operation Standard.create of node 'one': ops:create (ops.py:9) takes int for 'count', not 'many'",
        "operation Standard.start of node 'two': ops.py has no function 'begin', which ops:begin asks for",
        "operation Configure.add_target of requirement 'link' of node 'two': ops:connect (ops.py:14) takes "
        "int for 'port', not '80'",
    ]
    assert not [each for each in set(sys.modules) - before if each.endswith(".ops")]


def test_what_an_expression_gives_is_not_looked_at_and_its_name_is(lab: Lab) -> None:
    builder = TemplateBuilder("t")
    builder.input("wanted", "integer", default=5)
    builder.node("one", attributes={"a": 5}, operations={
        "create": call("ops:create", label=get_attribute("SELF", "a"), cuont=get_attribute("SELF", "a")),
        "start": call("ops:create", label=get_input("wanted"))})
    assert [each.partition(") ")[2] for each in refused(lab, lab.runner(builder)).splitlines()] == [
        "does not know 'cuont'; did you mean 'count'? it takes label, count (optional)",
        "takes str for 'label', not 5"]  # inputs are known when the service is made


def test_arguments_that_a_workflow_gives_are_checked_with_the_others(lab: Lab) -> None:
    builder = TemplateBuilder("t")
    builder.node("one", operations={"create": call("ops:create", count=2)})
    builder.workflow("plan", "ops:plan", inputs={"arguments": {"label": "from the workflow"}})
    runner = lab.runner(builder, "plan")
    assert runner.execute() == "succeeded"
    assert runner.service.nodes["one"].attributes["label"] == "from the workflow"
    again = WorkflowRunner(lab.model, lab.resource, lab.plugins, service_id=runner.service.id,
                           workflow_name="plan", inputs={"arguments": {"label": 1, "more": 2}},
                           executor=ThreadExecutor(slots=1))
    with pytest.raises(InvalidInputError, match=r"does not know 'more'.*\n.*takes str for 'label', not 1"):
        again.execute()


def test_secret_values_are_not_shown(lab: Lab) -> None:
    builder = TemplateBuilder("t")
    builder.node("one", operations={
        "create": call("ops:create", label="x", count=parameter("hunter2", secret=True))})
    assert refused(lab, lab.runner(builder)).endswith("takes int for 'count', not ***")


def test_a_dry_run_tells_it_too(lab: Lab) -> None:
    builder = TemplateBuilder("t")
    builder.node("one", operations={"create": call("ops:create")})
    assert "misses 'label'" in refused(lab, lab.runner(builder, executor=DryExecutor()))


def test_the_operations_that_run_scripts_are_checked_by_the_same_rule(lab: Lab) -> None:
    builder = TemplateBuilder("t")
    (lab.directory / "code").mkdir()
    (lab.directory / "code" / "run.sh").write_text("exit 0\n")
    builder.node("one", operations={"create": script("run.sh", anything="goes")})
    assert lab.runner(builder).execute() == "succeeded"


@pytest.mark.parametrize("folder", ["code", "lib/python3.11/site-packages"])
def test_functions_of_plugins_are_read_where_they_are_installed(lab: Lab, folder: str) -> None:
    lab.install(folder)
    builder = TemplateBuilder("t")
    builder.node("one", operations={
        "create": call("greeter_ops:greet", plugin="greeter", greeting=1, name="you")})
    file = lab.directory / "plugins" / "greeter-1.0" / folder / "greeter_ops.py"
    assert refused(lab, lab.runner(builder)).splitlines() == [
        f"operation Standard.create of node 'one': greeter_ops:greet ({file}:5) does not know 'name'; it "
        "takes greeting, times (optional)",
        f"operation Standard.create of node 'one': greeter_ops:greet ({file}:5) takes str for 'greeting', "
        "not 1"]


def test_many_faults_are_told_shortly(lab: Lab) -> None:
    builder = TemplateBuilder("t")
    for number in range(50):
        builder.node(f"node-{number}", operations={"create": call("ops:create")})
    told = refused(lab, lab.runner(builder)).splitlines()
    assert (len(told), told[-1]) == (21, "and so it is with 30 more tasks")


TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
imports: [aria-1.0]
topology_template:
  node_templates:
    db: {type: tosca.nodes.Root}
    web:
      type: tosca.nodes.Root
      requirements:
      - dependency:
          node: db
          relationship:
            interfaces:
              Configure: {add_target: greeter > greeter_ops.greet}
      interfaces:
        Standard:
          create: {implementation: greeter > greeter_ops.greet, inputs: {greeting: hello, name: you}}
  policies:
  - greeter: {type: aria.Plugin}
"""


def test_the_place_in_the_template_is_told_where_it_is_known(lab: Lab) -> None:
    lab.install("code")
    source = lab.directory / "code" / "service.yaml"
    source.parent.mkdir()
    source.write_text(TEMPLATE)
    template = store_template(lab.model, lab.resource, ToscaLoader().load(source, Path.read_bytes))
    runner = WorkflowRunner(lab.model, lab.resource, lab.plugins, workflow_name="install",
                            service_id=create_service(lab.model, template, "lab").id,
                            executor=ThreadExecutor(slots=1))
    unknown, missing = sorted(refused(lab, runner).splitlines(), key=lambda each: "misses" in each)
    assert unknown.startswith(f"{source}:16:97: operation Standard.create of node 'web': greeter_ops:greet (")
    assert missing.startswith(
        f"{source}:13:27: operation Configure.add_target of requirement 'dependency' of node 'web': ")
