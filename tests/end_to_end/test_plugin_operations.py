"""An operation of a plugin runs: a real wagon is made, installed and called in its own process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aria_core import (
    ExecutionFailedError,
    Executor,
    ModelStorage,
    PluginManager,
    ResourceStorage,
    Service,
    SqlModelStorage,
    TemplateBuilder,
    WorkflowRunner,
    create_service,
    store_template,
)
from aria_core.modeling.builder import call
from aria_core.testing.wagons import LIBRARY
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor
from aria_plugins.loaders.tosca import ToscaLoader

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "tiny-plugin"
version = "0.1"
dependencies = ["aria-core", "tiny-helper>=2"]

[project.scripts]
tiny-tool = "tiny_plugin.program:tool"
"""

HELPER = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "tiny-helper"
version = "2.0"
"""

OPERATIONS = """\
import os
import shutil
import subprocess
from pathlib import Path

import tiny_helper
from aria_core import operation


@operation
def look_around(ctx, greeting):
    (Path(ctx.plugin_workdir) / "note").write_text(greeting)
    tool = shutil.which("tiny-tool")
    ctx.node.attributes["seen"] = {
        "greeting": tiny_helper.shout(greeting), "pid": os.getpid(), "file": __file__,
        "workdir": ctx.plugin_workdir, "tool": subprocess.run([tool], capture_output=True, text=True).stdout}
    ctx.logger.info("hello from the plugin")


@operation
def fail(ctx):
    raise LookupError("the plugin found nothing")
"""

PROGRAM = """\
import sys
from pathlib import Path


def tool():
    print("from", Path(sys.argv[0]).name)
"""


TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3

imports:
  - aria-1.0

topology_template:
  node_templates:
    node:
      type: tosca.nodes.Root
      interfaces:
        Standard:
          operations:
            create:
              implementation: tiny-plugin > tiny_plugin.operations:look_around
              inputs:
                greeting: good day
            delete: tiny-plugin > tiny_plugin.operations.fail
  policies:
    - tiny-plugin:
        type: aria.Plugin
        properties:
          version: "0.1"
"""


def write_project(place: Path, project: str, files: dict[str, str]) -> Path:
    own = {"pyproject.toml": project, "setup.py": '__import__("setuptools").setup()\n'}  # wagon asks setup.py
    for name, text in {**own, **files}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def run(source: Path, *arguments: str) -> None:
    """Run a module of this Python in a source folder: wagon and pip both depend on where they are."""
    variables = {**os.environ, "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=source, env=variables, timeout=110,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="session")
def wagons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The plugin, packed by the tool wagon in both of its formats, offline."""
    place = tmp_path_factory.mktemp("wagons")
    helper = write_project(place / "helper", HELPER, {
        "tiny_helper/__init__.py": "def shout(text):\n    return text.upper()\n"})
    plugin = write_project(place / "plugin", PROJECT, {
        "tiny_plugin/__init__.py": "", "tiny_plugin/operations.py": OPERATIONS,
        "tiny_plugin/program.py": PROGRAM})
    wheels = place / "wheels"
    run(helper, "pip", "wheel", ".", "--no-build-isolation", "--no-deps", "--no-index", "-w", str(wheels))
    (plugin / "requirements.txt").write_text("tiny-helper\n")
    arguments = f"--no-build-isolation --no-deps --no-index --find-links {wheels}"
    made = {}
    for form in ("zip", "tar.gz"):
        run(plugin, "wagon", "create", ".", "-t", form, "-f", "-o", str(place / form), "-a", arguments,
            "-r", "requirements.txt")
        (made[form],) = (place / form).iterdir()
    return made


@pytest.fixture
def model(tmp_path: Path) -> Iterator[ModelStorage]:
    with SqlModelStorage(f"sqlite:///{tmp_path / 'aria.db'}") as storage:
        yield storage


@pytest.fixture
def plugins(model: ModelStorage, tmp_path: Path, wagons: dict[str, Path]) -> PluginManager:
    manager = PluginManager(model, tmp_path / "plugins")
    manager.install(wagons["zip"])
    return manager


@pytest.fixture(params=["thread", "process"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with ThreadExecutor(slots=2) if request.param == "thread" else ProcessExecutor(slots=2) as executor:
        yield executor


@pytest.fixture
def service(model: ModelStorage, resource_storage: ResourceStorage, tmp_path: Path) -> Service:
    source = tmp_path / "template" / "service.yaml"
    source.parent.mkdir()
    source.write_text(TEMPLATE)
    template = store_template(model, resource_storage, ToscaLoader().load(source, Path.read_bytes))
    return create_service(model, template, "tiny", {})


def test_an_operation_runs_in_its_plugin_and_nothing_of_it_in_the_runner(
        model: ModelStorage, resource_storage: ResourceStorage, plugins: PluginManager, service: Service,
        executor: Executor, tmp_path: Path) -> None:
    path = list(sys.path)
    runner = WorkflowRunner(model, resource_storage, plugins, service_id=service.id, workflow_name="install",
                            executor=executor)
    assert runner.execute() == "succeeded"
    seen = model.service.get(service.id).nodes["node"].attributes["seen"]
    home = tmp_path / "plugins" / "tiny-plugin-0.1"
    assert (seen["greeting"], seen["tool"]) == ("GOOD DAY", "from tiny-tool\n")
    assert Path(seen["file"]) == home / LIBRARY / "tiny_plugin" / "operations.py"
    assert seen["pid"] != os.getpid()
    workdir = plugins.workdir(service.id, model.plugin.get_by_name("tiny-plugin"))
    assert seen["workdir"] == str(workdir)
    assert (workdir / "note").read_text() == "good day"
    assert sys.path == path
    assert not [name for name in sys.modules if name.startswith(("tiny_plugin", "tiny_helper"))]
    assert "hello from the plugin" in [log.message for log in model.log.iter()]


def test_a_failure_in_a_plugin_keeps_its_class_and_its_place(
        model: ModelStorage, resource_storage: ResourceStorage, plugins: PluginManager, service: Service,
        executor: Executor) -> None:
    runner = WorkflowRunner(model, resource_storage, plugins, service_id=service.id, executor=executor,
                            workflow_name="uninstall", task_max_attempts=1)
    with pytest.raises(ExecutionFailedError, match="LookupError: the plugin found nothing"):
        runner.execute()
    (attempt,) = model.attempt.iter()
    assert "tiny_plugin" in attempt.traceback


def test_a_function_the_plugin_does_not_have_is_named_with_its_plugin(
        model: ModelStorage, resource_storage: ResourceStorage, plugins: PluginManager,
        executor: Executor) -> None:
    builder = TemplateBuilder("wrong")
    builder.node("node", operations={"create": call("tiny_plugin.missing:f", plugin="tiny-plugin")})
    template = store_template(model, resource_storage, builder.load())
    runner = WorkflowRunner(
        model, resource_storage, plugins, service_id=create_service(model, template, "wrong", {}).id,
        workflow_name="install", executor=executor, task_max_attempts=1)
    words = r"in the plugin tiny-plugin: there is no module tiny_plugin\.missing"
    with pytest.raises(ExecutionFailedError, match=words):
        runner.execute()


def test_both_formats_of_wagon_install_the_same(
        model: ModelStorage, wagons: dict[str, Path], tmp_path: Path) -> None:
    trees = []
    for form, archive in wagons.items():
        PluginManager.validate_plugin(archive)
        manager = PluginManager(model, tmp_path / form)
        plugin = manager.install(archive)
        home = Path(manager.get_plugin_dir(plugin))
        trees.append(sorted(str(each.relative_to(home)) for each in home.rglob("*")))
        model.plugin.delete(plugin)
    assert trees[0] == trees[1]
    assert str(LIBRARY / "tiny_helper" / "__init__.py") in trees[0]


def test_a_plugin_is_reached_through_an_environment_it_was_loaded_into(
        plugins: PluginManager, model: ModelStorage) -> None:
    env = {"PATH": os.defpath}
    plugins.load_plugin(model.plugin.get_by_name("tiny-plugin"), env)
    tool = shutil.which("tiny-tool", path=env["PATH"])
    assert tool is not None
    done = subprocess.run([sys.executable, "-c", "import tiny_helper; print(tiny_helper.shout('x'))"],
                          env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "X\n"
