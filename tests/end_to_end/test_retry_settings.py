"""From a template and a configuration to the rows of a runner's tasks."""

from __future__ import annotations

from pathlib import Path

from aria_core import (
    Application,
    Config,
    ModelStorage,
    ResourceStorage,
    RetryPolicy,
    TemplateBuilder,
    call,
    create_service,
    script,
    store_template,
    template_spec,
)

NOTE = "aria_core.testing.operations:note"


def test_what_a_template_says_goes_before_the_configuration(
        model_storage: ModelStorage, resource_storage: ResourceStorage, tmp_path: Path) -> None:
    (tmp_path / "start.sh").write_text("true\n")
    inputs = {"path": str(tmp_path / "effects"), "line": "created"}
    builder = TemplateBuilder("shop")
    builder.node("web", operations={
        "create": call(NOTE, retry=RetryPolicy(interval=2, backoff=3, retry_on=[OSError]), inputs=inputs,
                       heartbeat_timeout=60),
        "configure": call(NOTE, inputs=inputs),
        "start": script("start.sh", retry_interval=1, retry=RetryPolicy(interval=9, jitter=0.5))})
    template = store_template(model_storage, resource_storage, builder.load(tmp_path))
    assert template_spec(model_storage, template)[0] == builder.build()
    service = create_service(model_storage, template, "shop", {})
    config = Config.of({"workflow": {
        "task_retry_backoff": 2, "task_retry_max_interval": 60, "task_abort_on": ["ValueError"],
        "retry_budget": 100}})
    with Application(config, model_storage=model_storage, resource_storage=resource_storage) as application:
        runner = application.runner(service_id=service.id, workflow_name="install",
                                    task_retry=RetryPolicy(max_interval=90))
        assert runner.execute() == "succeeded"
        execution = runner.execution
    assert (execution.task_retry_interval, execution.retry_budget) == (30, 100)
    said = {"backoff": 2, "max_interval": 90, "jitter": 0, "retry_on": [], "abort_on": ["ValueError"]}
    assert execution.task_retry == said
    tasks = {task.operation_name: task for task in execution.tasks if task.function}
    assert {name: (task.retry_interval, task.heartbeat_timeout) for name, task in tasks.items()} == {
        "create": (2, 60), "configure": (30, None), "start": (1, None)}
    assert tasks["create"].retry == {**said, "backoff": 3, "retry_on": ["OSError"]}
    assert tasks["configure"].retry == said
    assert tasks["start"].retry == {**said, "jitter": 0.5}
