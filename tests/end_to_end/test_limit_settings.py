"""From a template and a configuration to the order and number of the operations that run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from aria_core import (
    Application,
    Config,
    InvalidInputError,
    ModelStorage,
    ResourceStorage,
    Service,
    TemplateBuilder,
    call,
    create_service,
    script,
    store_template,
    template_spec,
)
from aria_plugins.loaders.tosca import ToscaLoader

NOTE = "aria_core.testing.operations:note"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "limits.md"


@pytest.fixture
def service(model_storage: ModelStorage, resource_storage: ResourceStorage, tmp_path: Path) -> Service:
    """Two nodes; the operations of the first run on each other's heels, those of the second in a pool."""
    (tmp_path / "start.sh").write_text("true\n")
    inputs = {"path": str(tmp_path / "effects"), "line": "x"}
    builder = TemplateBuilder("shop")
    builder.node("web", max_concurrency=1, operations={
        "create": call(NOTE, inputs=inputs, priority=5, pool="database"),
        "start": script("start.sh", priority=-1, pool="api")})
    builder.node("db", operations={"create": call(NOTE, inputs=inputs)})
    template = store_template(model_storage, resource_storage, builder.load(tmp_path))
    assert template_spec(model_storage, template)[0] == builder.build()
    return create_service(model_storage, template, "shop", {})


def test_what_a_template_and_the_configuration_say_is_stored_with_the_execution(
        model_storage: ModelStorage, resource_storage: ResourceStorage, service: Service) -> None:
    config = Config.of({"workflow": {"max_concurrency": 7, "max_per_node": 3},
                        "pools": {"database": 2, "api": 1, "other": -1}})
    with Application(config, model_storage=model_storage, resource_storage=resource_storage) as application:
        runner = application.runner(service_id=service.id, workflow_name="install", max_per_node=-1,
                                    pools={"api": 4})
        assert runner.execute() == "succeeded"
        execution = runner.execution
    assert (execution.max_concurrency, execution.max_per_node) == (7, None)
    assert execution.pools == {"database": 2, "api": 4, "other": -1}
    tasks = {task.name: (task.priority, task.pool) for task in execution.tasks if task.function}
    assert tasks == {"Standard:create@node:web": (5, "database"), "Standard:start@node:web": (-1, "api"),
                     "Standard:create@node:db": (None, None)}
    assert {name: node.max_concurrency for name, node in runner.service.nodes.items()} == {
        "web": 1, "db": None}


def test_a_resume_takes_no_limits_from_the_configuration(
        model_storage: ModelStorage, resource_storage: ResourceStorage, service: Service) -> None:
    sizes = {"database": 2, "api": 1}
    with Application(Config.of({"pools": sizes, "workflow": {"max_concurrency": 3}}),
                     model_storage=model_storage, resource_storage=resource_storage) as application:
        execution = application.runner(service_id=service.id, workflow_name="install")
        execution.stop(0)
        assert execution.execute() == "started"
    with Application(Config.of({"pools": {"database": 9}, "workflow": {"max_concurrency": 9}}),
                     model_storage=model_storage, resource_storage=resource_storage) as application:
        again = application.runner(execution_id=execution.execution_id, pools={"api": 5})
        assert again.execute() == "succeeded"
    row = again.execution
    assert (row.max_concurrency, row.pools) == (3, {"database": 2, "api": 5})


@pytest.mark.parametrize(("node", "operation", "said"), [
    ({"max_concurrency": 0}, {}, "max_concurrency of node 'web' is 0; it is a whole number, at least 1"),
    ({}, {"priority": "high"}, "the priority of operation Standard.create of node 'web' is 'high'; it is"),
    ({}, {"pool": ""}, "the pool of operation Standard.create of node 'web' is ''; it is a name")])
def test_a_template_in_python_with_a_limit_that_is_none_is_refused(
        node: dict[str, int], operation: dict[str, str], said: str) -> None:
    builder = TemplateBuilder("shop")
    builder.node("web", operations={"create": call(NOTE, **operation)}, **node)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=said):
        builder.build()


# --- the how-to page


def blocks(language: str) -> list[str]:
    """What the page shows in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_template_and_the_configuration_of_the_page_mean_what_it_says(tmp_path: Path) -> None:
    policies, *operations = map(yaml.safe_load, blocks("yaml"))
    standard = {name: each for block in operations for name, each in block.items()}
    for each in standard.values():
        script_file = tmp_path / each["implementation"]["primary"]
        script_file.parent.mkdir(exist_ok=True)
        script_file.touch()
    policies["topology_template"]["node_templates"] = {
        "db": {"type": "tosca.nodes.Root", "interfaces": {"Standard": standard}},
        "web": {"type": "tosca.nodes.Root"}}
    source = tmp_path / "shop.yaml"
    source.write_text(f"tosca_definitions_version: tosca_simple_yaml_1_3\n{yaml.safe_dump(policies)}")
    template = ToscaLoader().load(source, Path.read_bytes).template
    assert {name: each.max_concurrency for name, each in template.nodes.items()} == {"db": 1, "web": None}
    found = template.nodes["db"].interfaces["Standard"].operations
    assert (found["create"].pool, found["start"].priority) == ("database", 10)
    sizes, = blocks("toml")
    (tmp_path / "aria.toml").write_text(sizes)
    assert Config.load(tmp_path / "aria.toml", environ={}).pools == {"database": 2, "licences": 3}


def test_the_workflow_of_the_page_runs(
        model_storage: ModelStorage, resource_storage: ResourceStorage, tmp_path: Path) -> None:
    code, = blocks("python")
    (tmp_path / "migrations.py").write_text(code)
    operation = call(NOTE, inputs={"path": str(tmp_path / "effects"), "line": "x"})
    builder = TemplateBuilder("shop")
    for name, kind in {"web": "shop.Server", "db": "shop.Database", "cache": "shop.Server"}.items():
        builder.node(name, type=kind, interfaces={"Maintenance": {"migrate": operation}})
    builder.workflow("migrate", "migrations:migrate")
    template = store_template(model_storage, resource_storage, builder.load(tmp_path))
    service = create_service(model_storage, template, "shop", {})
    with Application(Config.of({"pools": {"database": 1}}), model_storage=model_storage,
                     resource_storage=resource_storage) as application:
        runner = application.runner(service_id=service.id, workflow_name="migrate")
        assert runner.execute() == "succeeded"
    operations = [task for task in runner.execution.tasks if task.function]
    tasks = sorted(operations, key=lambda task: task.started_at)
    assert [(task.node.name, task.priority, task.pool) for task in tasks] == [
        ("db", 10, "database"), ("web", None, "database"), ("cache", None, "database")]
