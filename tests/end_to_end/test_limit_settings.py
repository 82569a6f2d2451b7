"""From a template and a configuration to the order and number of the operations that run."""

from __future__ import annotations

from pathlib import Path

import pytest

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

NOTE = "aria_core.testing.operations:note"
SLEEP = "aria_core.testing.operations:wait_for_file"


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
