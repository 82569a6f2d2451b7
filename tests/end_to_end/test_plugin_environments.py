"""Two plugins that need two versions of one real library, in one execution; the runner stays as it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aria_core import (
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
from aria_core.testing.wagons import make_wagon, make_wheel, write_wagon
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor

VERSIONS = ("3.6", "3.10")
SOURCE = """\
from importlib.metadata import version

import idna
from aria_core import operation


@operation
def tell(ctx):
    ctx.node.attributes["version"] = idna.__version__, version("idna"), idna.encode("königsgäßchen").decode()
"""
TASKS = 100


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two releases of a real library, as their authors published them."""
    place, found = tmp_path_factory.mktemp("registry"), {}
    for version in VERSIONS:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d",
             str(place), f"idna=={version}"], capture_output=True, text=True, timeout=110, check=False)
        if done.returncode:
            pytest.skip(f"no index gives idna {version}: {done.stderr.strip().splitlines()[-1:]}")
        (found[version],) = place.glob(f"idna-{version}-*.whl")
    return found


@pytest.fixture
def model(tmp_path: Path) -> Iterator[ModelStorage]:
    with SqlModelStorage(f"sqlite:///{tmp_path / 'aria.db'}") as storage:
        yield storage


@pytest.fixture
def plugins(model: ModelStorage, tmp_path: Path, libraries: dict[str, Path]) -> PluginManager:
    manager = PluginManager(model, tmp_path / "plugins")
    for number, (version, wheel) in enumerate(libraries.items(), 1):
        name = f"teller-{number}"
        own = make_wheel(name, files={f"teller_{number}.py": SOURCE}, requires=[f"idna=={version}"])
        wagon = make_wagon(name, wheels=[own, (wheel.name, wheel.read_bytes())])
        manager.install(write_wagon(tmp_path / f"{number}.wgn", wagon))
    return manager


def served(model: ModelStorage, resource_storage: ResourceStorage, builder: TemplateBuilder) -> Service:
    template = store_template(model, resource_storage, builder.load())
    return create_service(model, template, template.name, {})


@pytest.mark.parametrize("executor", [ThreadExecutor, ProcessExecutor])
def test_plugins_with_two_versions_of_a_library_run_in_one_execution_and_leave_no_trace(
        model: ModelStorage, resource_storage: ResourceStorage, plugins: PluginManager,
        executor: type[ThreadExecutor | ProcessExecutor]) -> None:
    builder = TemplateBuilder("conflict")
    for task in range(TASKS):
        number = 1 + task % 2
        builder.node(f"node-{task}", operations={
            "create": call(f"teller_{number}:tell", plugin=f"teller-{number}")})
    service = served(model, resource_storage, builder)
    ours = TemplateBuilder("ours")
    ours.node("node", operations={"create": call("aria_core.testing.operations:nothing")})
    first = served(model, resource_storage, ours)
    with executor(slots=2) as warm:
        runners = [WorkflowRunner(model, resource_storage, plugins, service_id=each.id,
                                  workflow_name="install", executor=warm) for each in (first, service)]
        assert runners[0].execute() == "succeeded"  # a runner imports some of its own only when it runs
        modules, path = set(sys.modules), list(sys.path)
        assert runners[1].execute() == "succeeded"
        assert (set(sys.modules), sys.path) == (modules, path)
    nodes = model.service.get(service.id).nodes
    told = [nodes[f"node-{task}"].attributes["version"] for task in range(TASKS)]
    assert told == [[version, version, "xn--knigsgchen-b4a3dun"]
                    for _ in range(TASKS // 2) for version in VERSIONS]
