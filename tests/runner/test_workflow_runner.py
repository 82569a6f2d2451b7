"""Making a runner: what it refuses, what it stores, which workflow and which inputs it takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from aria_core.exceptions import (
    MissingInputsError,
    NotFoundError,
    UndeclaredInputsError,
    WrongTypeInputsError,
)
from aria_core.modeling.builder import TemplateBuilder, parameter
from aria_core.modeling.specification import LoadedTemplate
from aria_core.orchestrator.exceptions import (
    ActiveExecutionsError,
    InvalidWorkflowRunnerParams,
    UndeclaredWorkflowError,
    WorkflowImplementationNotFoundError,
)
from aria_core.orchestrator.topology import create_service, store_template
from aria_core.orchestrator.workflow_runner import WorkflowRunner
from aria_plugins.executors.dry import DryExecutor

pytestmark = pytest.mark.parametrize("executor", ["thread"], indirect=True)


@pytest.mark.parametrize("arguments", [
    {}, {"service_id": 1}, {"workflow_name": "install"}, {"execution_id": 1, "service_id": 1},
    {"execution_id": 1, "workflow_name": "install"}, {"execution_id": 1, "inputs": {"a": 1}},
    {"service_id": 1, "workflow_name": "install", "task_max_attempts": 0},
    {"service_id": 1, "workflow_name": "install", "task_max_attempts": -2},
    {"service_id": 1, "workflow_name": "install", "task_retry_interval": -1}])
def test_arguments_that_do_not_go_together_are_refused(lab: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidWorkflowRunnerParams):
        WorkflowRunner(lab.model, lab.resource, None, executor=lab.executor, **arguments)


def test_unknown_ids_are_refused(lab: Any) -> None:
    with pytest.raises(NotFoundError):
        WorkflowRunner(lab.model, lab.resource, None, execution_id=4711)
    with pytest.raises(NotFoundError):
        WorkflowRunner(lab.model, lab.resource, None, service_id=4711, workflow_name="install")


def test_an_undeclared_workflow_is_refused_and_leaves_no_execution(lab: Any) -> None:
    with pytest.raises(UndeclaredWorkflowError, match=r"it has: .*install"):
        lab.runner("dance")
    assert list(lab.model.execution) == []


def test_a_workflow_without_its_function_is_refused_and_leaves_no_execution(lab: Any) -> None:
    with pytest.raises(WorkflowImplementationNotFoundError, match="no_such_function"):
        lab.runner("missing")
    assert list(lab.model.execution) == []


def test_a_started_execution_blocks_its_service(lab: Any) -> None:
    runner = lab.runner("nothing")
    with pytest.raises(ActiveExecutionsError, match=f"{runner.execution_id}, pending"):
        lab.runner("nothing")
    runner.cancel()


def test_a_new_execution_is_pending_and_knows_its_service_and_workflow(lab: Any) -> None:
    runner = lab.runner("nothing")
    execution = runner.execution
    assert (execution.state, execution.workflow_name, execution.inputs) == ("pending", "nothing", {})
    assert execution.created_at <= datetime.now(UTC)
    assert runner.service.id == execution.service_id == lab.service.id
    assert runner.execution_id == execution.id
    runner.cancel()


@pytest.fixture
def typed(lab: Any) -> Any:
    """A service with a workflow of typed inputs; call with inputs for a runner."""
    builder = TemplateBuilder("typed")
    builder.node("one")
    builder.workflow("typed", "ops:typed", inputs={
        "word": parameter("default", "string"), "number": parameter(7, "integer"),
        "needed": parameter(type="string", required=True)})
    loaded = LoadedTemplate(template=builder.build(), directory=str(lab.code))
    row = store_template(lab.model, lab.resource, loaded)
    service = create_service(lab.model, row, "typed")

    def make(**inputs: Any) -> WorkflowRunner:
        return WorkflowRunner(lab.model, lab.resource, None, service_id=service.id, workflow_name="typed",
                              inputs=inputs, executor=lab.executor)
    return make


def test_given_inputs_go_before_defaults_and_reach_the_function(lab: Any, typed: Any) -> None:
    runner = typed(word="given", needed="yes")
    assert runner.execution.inputs == {"word": "given", "number": 7, "needed": "yes"}
    runner.execute()
    assert [log.message for log in lab.model.log] == ["word=given number=7 needed=yes"]


@pytest.mark.parametrize(("inputs", "error"), [
    ({"needed": "x", "unknown": 1}, UndeclaredInputsError), ({}, MissingInputsError),
    ({"needed": "x", "number": "seven"}, WrongTypeInputsError)])
def test_wrong_inputs_are_refused_and_leave_no_execution(lab: Any, typed: Any, inputs: dict[str, Any],
                                                         error: type[Exception]) -> None:
    with pytest.raises(error):
        typed(**inputs)
    assert list(lab.model.execution) == []


def test_the_built_in_install_takes_no_inputs(lab: Any) -> None:
    with pytest.raises(UndeclaredInputsError):
        lab.runner("install", inputs={"anything": 1})


def test_a_dry_run_records_tasks_and_touches_neither_nodes_nor_attributes(lab: Any) -> None:
    runner = lab.runner(steps=[{"label": "a", "do": "set_attribute", "arguments": {"name": "x", "value": 1}}],
                        executor=DryExecutor())
    assert runner.execute() == "succeeded"
    assert runner.execution.dry
    assert [task.state for task in lab.tasks(runner.execution).values()] == ["success"]
    assert lab.effects == []
    assert "x" not in lab.node().attributes
    assert lab.runner("edits", executor=DryExecutor()).execute() == "succeeded"
    assert lab.node().attributes["known"] == "original"


def test_without_an_executor_the_one_named_process_is_taken(lab: Any) -> None:
    runner = WorkflowRunner(lab.model, lab.resource, None, service_id=lab.service.id, workflow_name="nothing")
    assert runner.execute() == "succeeded"
    assert runner.execution.executor == "process"


def test_two_executions_in_one_process_keep_their_logs_apart(lab: Any) -> None:
    first = lab.run({"label": "first", "do": "say"})
    second = lab.run({"label": "second", "do": "say"})
    for execution, label in ((first, "first"), (second, "second")):
        rows = lab.model.log.list(filters={"execution_id": execution.id})
        assert f"info from {label}" in [row.message for row in rows]
        assert len({row.execution_id for row in rows}) == 1


def test_an_executor_at_work_is_not_given_to_a_second_runner(lab: Any) -> None:
    gate = lab.directory / "gate"
    first = lab.runner(steps=[{"label": "a", "do": "wait_for", "arguments": {"file": str(gate)}}])
    wait = lab.in_thread(first)
    lab.wait_for_effect("a")
    second = lab.runner("nothing", service_id=lab.new_service("other").id)
    with pytest.raises(InvalidWorkflowRunnerParams, match=f"at work for execution {first.execution_id}"):
        second.execute()
    gate.touch()
    assert wait() == "succeeded"
    assert second.execute() == "succeeded"
