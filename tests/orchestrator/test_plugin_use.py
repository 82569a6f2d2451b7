"""Several versions of a plugin side by side, and uninstalling: what needs one keeps it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aria_core import (
    ExecutionFailedError,
    Executor,
    ModelStorage,
    NotFoundError,
    Plugin,
    PluginAlreadyExistsError,
    PluginInUseError,
    PluginManager,
    ResourceStorage,
    Service,
    TemplateBuilder,
    WorkflowRunner,
    create_service,
    delete_service,
    store_template,
)
from aria_core.modeling.builder import call
from aria_core.orchestrator.exceptions import PluginNotFoundError
from aria_core.testing.wagons import make_wagon, make_wheel, write_wagon
from aria_plugins.executors.thread import ThreadExecutor

SOURCE = """\
import time
from pathlib import Path

from aria_core import operation

@operation
def tell(ctx):
    ctx.node.attributes["version"] = {version!r}

@operation
def wait(ctx, gate):
    Path(gate + ".waiting").touch()
    while not Path(gate).exists():
        time.sleep(0.02)
    ctx.node.attributes["version"] = {version!r}

@operation
def fail(ctx):
    raise LookupError("as asked")
"""

Install = Callable[..., Plugin]
Serve = Callable[..., Service]


@pytest.fixture
def manager(model_storage: ModelStorage, tmp_path: Path) -> PluginManager:
    return PluginManager(model_storage, tmp_path / "plugins")


@pytest.fixture
def install(manager: PluginManager, tmp_path: Path) -> Install:
    """Call with versions: installs each as the plugin ``teller``."""
    def install(*versions: str) -> Plugin:
        for version in versions:
            files = {"teller.py": SOURCE.format(version=version)}
            wagon = make_wagon("teller", version, wheels=[make_wheel("teller", version, files=files)])
            plugin = manager.install(write_wagon(tmp_path / f"teller-{version}.wgn", wagon))
        return plugin

    return install


@pytest.fixture
def serve(model_storage: ModelStorage, resource_storage: ResourceStorage) -> Serve:
    """Makes a service whose node is created by the plugin; `version` is what its template asks for."""
    def serve(name: str = "one", version: str | None = None, *, enabled: bool = True,
              function: str = "tell", **inputs: str) -> Service:
        builder = TemplateBuilder(name)
        builder.plugin("teller", version=version, enabled=enabled)
        builder.node("node", operations={
            "create": call(f"teller:{function}", plugin="teller", inputs=inputs)})
        return create_service(
            model_storage, store_template(model_storage, resource_storage, builder.load()), name, {})

    return serve


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadExecutor(slots=1) as executor:
        yield executor


@pytest.fixture
def told(model_storage: ModelStorage, resource_storage: ResourceStorage, manager: PluginManager,
         executor: Executor) -> Callable[[Service], str | None]:
    """Installs a service and gives the version that its operation told."""
    def told(service: Service) -> str | None:
        runner = WorkflowRunner(model_storage, resource_storage, manager, service_id=service.id,
                                workflow_name="install", executor=executor, task_max_attempts=1)
        assert runner.execute() == "succeeded"
        version: str | None = model_storage.service.get(service.id).nodes["node"].attributes.get("version")
        return version

    return told


@pytest.mark.parametrize("order", [("1.9", "1.10"), ("1.10", "1.9")])
def test_without_a_version_the_template_gets_the_highest(
        install: Install, serve: Serve, told: Callable[[Service], str], order: tuple[str, str]) -> None:
    install(*order)
    assert told(serve()) == "1.10"


def test_a_template_gets_the_version_it_asks_for(
        install: Install, serve: Serve, told: Callable[[Service], str]) -> None:
    install("1.0", "2.0")
    assert told(serve("old", "1.0")) == "1.0"
    assert told(serve("also", "1")) == "1.0"
    assert told(serve("new", "2.0")) == "2.0"


def test_a_version_that_is_not_there_is_told_with_those_that_are(
        install: Install, serve: Serve, told: Callable[[Service], str]) -> None:
    install("1.0", "2.0")
    words = r"asks for version 3 of the plugin 'teller', which is not installed; installed: 1\.0, 2\.0"
    with pytest.raises(PluginNotFoundError, match=words):
        told(serve(version="3"))


def test_a_plugin_that_is_not_enabled_need_not_be_there_and_its_operations_do_nothing(
        serve: Serve, told: Callable[[Service], str | None]) -> None:
    assert told(serve(enabled=False)) is None


def test_uninstalling_removes_the_row_and_the_files(
        manager: PluginManager, install: Install, model_storage: ModelStorage) -> None:
    first, second = install("1"), install("2")
    manager.uninstall(first)
    assert [row.package_version for row in model_storage.plugin.iter()] == ["2"]
    assert not Path(manager.get_plugin_dir(first)).exists()
    assert Path(manager.get_plugin_dir(second)).is_dir()
    assert install("1").package_version == "1"


def test_a_plugin_that_a_service_needs_stays(
        manager: PluginManager, install: Install, serve: Serve, model_storage: ModelStorage,
        resource_storage: ResourceStorage) -> None:
    plugin = install("1")
    services = [serve("b"), serve("a")]
    words = r"^plugin teller, version 1, is needed by service 'a'; service 'b'$"
    with pytest.raises(PluginInUseError, match=words):
        manager.uninstall(plugin)
    assert Path(manager.get_plugin_dir(plugin)).is_dir()
    for each in services:
        delete_service(model_storage, resource_storage, each)
    manager.uninstall(plugin)


def test_a_plugin_that_only_a_relationship_or_a_workflow_names_stays(
        manager: PluginManager, install: Install, model_storage: ModelStorage,
        resource_storage: ResourceStorage) -> None:
    plugin = install("1")
    tied, flowing = TemplateBuilder("tied"), TemplateBuilder("flowing")
    tied.node("target")
    tied.node("source").requires("target", operations={"add_target": call("teller:tell", plugin="teller")})
    flowing.workflow("own", "teller:tell", plugin="teller")
    for each in (tied, flowing):
        template = store_template(model_storage, resource_storage, each.load())
        create_service(model_storage, template, template.name, {})
    with pytest.raises(PluginInUseError, match=r"service 'flowing'; service 'tied'$"):
        manager.uninstall(plugin)


def test_of_two_versions_the_one_that_no_service_would_get_can_go_and_tasks_stay(
        manager: PluginManager, install: Install, serve: Serve, told: Callable[[Service], str],
        model_storage: ModelStorage) -> None:
    old, service = install("1"), serve()
    assert told(service) == "1"
    new = install("2")
    manager.uninstall(old)
    (task,) = model_storage.task.list(filters={"operation_name": "create"})
    assert (task.state, task.plugin) == ("success", None)
    with pytest.raises(PluginInUseError, match=r"service 'one'$"):
        manager.uninstall(new)


def test_a_version_in_which_an_execution_could_go_on_stays(
        manager: PluginManager, install: Install, serve: Serve, told: Callable[[Service], str],
        model_storage: ModelStorage) -> None:
    old, service = install("1"), serve(function="fail")
    with pytest.raises(ExecutionFailedError):
        told(service)
    install("2")
    (execution,) = model_storage.execution.iter()
    words = f"is needed by execution {execution.id} of service 'one', which is failed$"
    with pytest.raises(PluginInUseError, match=words):
        manager.uninstall(old)
    with pytest.raises(ExecutionFailedError):  # from here on the first one cannot be resumed
        told(service)
    manager.uninstall(old)


def test_a_version_in_which_an_execution_runs_stays(
        manager: PluginManager, install: Install, serve: Serve, told: Callable[[Service], str | None],
        tmp_path: Path) -> None:
    old, service = install("1"), serve(function="wait", gate=str(tmp_path / "gate"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(told, service)
        try:
            while not (tmp_path / "gate.waiting").exists():
                assert not running.done(), running.result()
                time.sleep(0.02)
            install("2")
            words = r"is needed by execution \d+ of service 'one', which is started$"
            with pytest.raises(PluginInUseError, match=words):
                manager.uninstall(old)
        finally:
            (tmp_path / "gate").touch()
        assert running.result(60) == "1"
    manager.uninstall(old)


def test_what_a_killed_uninstall_left_is_no_plugin_and_goes_with_the_next(
        manager: PluginManager, install: Install, tmp_path: Path) -> None:
    plugin = install("1")
    kept = tmp_path / "kept"
    shutil.copytree(manager.get_plugin_dir(plugin), kept)
    manager.uninstall(plugin)
    kept.rename(manager.get_plugin_dir(plugin))  # killed when the row was gone
    (tmp_path / "plugins" / ".removing-x" / "code").mkdir(parents=True)  # killed while it removed
    again = install("1")
    assert sorted(each.name for each in (tmp_path / "plugins").iterdir()) == [".lock", "teller-1"]
    manager.uninstall(again)
    assert [each.name for each in (tmp_path / "plugins").iterdir()] == [".lock"]


def test_a_plugin_whose_files_are_gone_is_put_back_by_the_same_archive(
        manager: PluginManager, install: Install, serve: Serve, told: Callable[[Service], str],
        tmp_path: Path) -> None:
    plugin = install("1")
    shutil.rmtree(manager.get_plugin_dir(plugin))
    other = write_wagon(tmp_path / "other.wgn", make_wagon("teller", "1"))
    with pytest.raises(PluginAlreadyExistsError, match="from another archive, and its files are gone"):
        manager.install(other)
    assert manager.install(tmp_path / "teller-1.wgn").id == plugin.id
    assert told(serve()) == "1"


def test_a_plugin_without_files_can_be_uninstalled_but_not_twice(
        manager: PluginManager, install: Install) -> None:
    plugin = install("1")
    shutil.rmtree(manager.get_plugin_dir(plugin))
    manager.uninstall(plugin)
    with pytest.raises(NotFoundError):
        manager.uninstall(plugin)


def test_another_archive_of_the_same_version_is_not_run_by_workers_of_the_first(
        manager: PluginManager, serve: Serve, told: Callable[[Service], str], model_storage: ModelStorage,
        resource_storage: ResourceStorage, tmp_path: Path) -> None:
    for words in ("first", "second"):  # one executor, which keeps its workers
        wheel = make_wheel("teller", "1", files={"teller.py": SOURCE.format(version=words)})
        plugin = manager.install(write_wagon(tmp_path / "x.wgn", make_wagon("teller", "1", wheels=[wheel])))
        service = serve(words)
        assert told(service) == words
        delete_service(model_storage, resource_storage, service, force=True)
        manager.uninstall(plugin)
