"""The tasks that workflow functions make."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from threading import Thread

import pytest

from aria_core.exceptions import InvalidInputError, NotJsonError, WrongTypeInputsError
from aria_core.modeling.models import Operation
from aria_core.modeling.parameters import Parameter
from aria_core.modeling.retries import RetryPolicy
from aria_core.orchestrator.context.workflow import WorkflowContext, current
from aria_core.orchestrator.exceptions import ContextError, OperationNotFoundError
from aria_core.orchestrator.tasks import (
    OperationTask,
    StubTask,
    WorkflowTask,
    create_relationship_tasks,
    create_relationships_tasks,
    create_task,
    has_operation,
)


@pytest.fixture
def node(ctx):
    return ctx.service.nodes["app"]


@pytest.fixture
def pushed(ctx):
    with current.push(ctx):
        yield ctx


@pytest.fixture
def add_operation(node, new_interface, inputs):
    """Give the node an operation Own.run with these columns and inputs."""
    def add(_inputs=None, **columns):
        operation = Operation(**{"name": "run", "function": "package.module:run", **columns},
                              input_parameters=inputs(**(_inputs or {})))
        node.interfaces["Own"] = new_interface("Own", [operation])
    return add


@pytest.mark.usefixtures("pushed")
class TestOperationTask:
    def test_a_task_of_a_node_copies_what_the_operation_says(self, node, add_operation):
        add_operation({"port": 80}, plugin_name="nginx")
        task = OperationTask(node, "Own", "run", max_attempts=3, retry_interval=0.5, ignore_failure=True,
                             timeout=9)
        assert task.name == "Own:run@node:app"
        assert task.function == "package.module:run"
        assert task.actor is node
        assert task.plugin_name == "nginx"
        assert task.arguments == {"port": 80}
        assert (task.interface_name, task.operation_name) == ("Own", "run")
        assert (task.max_attempts, task.retry_interval) == (3, 0.5)
        assert (task.ignore_failure, task.timeout) == (True, 9)

    @pytest.mark.parametrize("operation", ["pre_configure_source", "pre_configure_target"])
    def test_a_task_of_a_relationship_runs_on_either_end(self, node, operation):
        relationship = node.outbound_relationships[0]
        task = OperationTask(relationship, "Configure", operation)
        assert task.name == f"Configure:{operation}@relationship:app_db"
        assert task.actor is relationship
        assert task.function == f"package.module:{operation}"

    def test_what_nobody_says_comes_from_the_workflow_context(self, node):
        task = OperationTask(node, "Standard", "create")
        assert (task.max_attempts, task.retry_interval, task.ignore_failure, task.timeout) == (
            7, 11.0, False, None)

    def test_what_the_operation_says_goes_before_the_context(self, node, add_operation):
        add_operation(max_attempts=2, retry_interval=0.0, ignore_failure=True, timeout=5.0)
        task = OperationTask(node, "Own", "run")
        assert (task.max_attempts, task.retry_interval) == (2, 0.0)
        assert (task.ignore_failure, task.timeout) == (True, 5.0)

    def test_explicit_zeros_and_false_go_before_everything(self, node, add_operation):
        add_operation(retry_interval=3.0, ignore_failure=True, timeout=5.0)
        task = OperationTask(node, "Own", "run", retry_interval=0, ignore_failure=False, timeout=0)
        assert (task.retry_interval, task.ignore_failure, task.timeout) == (0.0, False, None)

    def test_a_policy_is_taken_value_by_value_task_over_operation_over_context(self, node, add_operation):
        context = current.get()
        context.task_retry = RetryPolicy(backoff=2, jitter=0.1, retry_on=["OSError"], max_interval=60)
        add_operation(retry={"backoff": 3, "jitter": 0.2, "interval": 4}, heartbeat_timeout=6.0)
        task = OperationTask(node, "Own", "run", retry=RetryPolicy(backoff=1))
        assert task.retry == RetryPolicy(interval=4, backoff=1, jitter=0.2, retry_on=["OSError"],
                                         max_interval=60)
        assert (task.retry_interval, task.heartbeat_timeout) == (4.0, 6.0)
        assert OperationTask(node, "Own", "run", heartbeat_timeout=0).heartbeat_timeout is None
        assert OperationTask(node, "Standard", "create").retry == replace(context.task_retry, interval=11.0)

    def test_an_interval_alone_goes_before_that_of_the_policy_beside_it(self, node, add_operation):
        add_operation(retry={"interval": 4}, retry_interval=5.0)
        own = RetryPolicy(interval=2)
        assert OperationTask(node, "Own", "run").retry_interval == 5
        assert OperationTask(node, "Own", "run", retry=own).retry_interval == 2
        assert OperationTask(node, "Own", "run", retry=own, retry_interval=1).retry_interval == 1

    @pytest.mark.parametrize("attempts", [0, -2, 1.5, True, "3"])
    def test_max_attempts_must_be_minus_one_or_at_least_one(self, node, attempts):
        with pytest.raises(InvalidInputError, match=r"create@node:app: max_attempts is .*at least 1"):
            OperationTask(node, "Standard", "create", max_attempts=attempts)

    def test_max_attempts_may_be_without_end(self, node):
        assert OperationTask(node, "Standard", "create", max_attempts=-1).max_attempts == -1

    @pytest.mark.parametrize("name", ["retry_interval", "timeout", "heartbeat_timeout"])
    @pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf"), True, "1"])
    def test_seconds_must_be_a_number_that_is_not_negative(self, node, name, seconds):
        with pytest.raises(InvalidInputError, match=f"{name} is .*at least 0"):
            OperationTask(node, "Standard", "create", **{name: seconds})

    def test_a_missing_interface_is_an_error_that_lists_what_there_is(self, node):
        with pytest.raises(OperationNotFoundError, match="'app' has no interface 'Extra'; it has Standard"):
            OperationTask(node, "Extra", "create")

    def test_a_missing_operation_is_an_error_that_lists_what_there_is(self, node):
        with pytest.raises(OperationNotFoundError, match=r"no operation 'creat'.*configure, create, delete"):
            OperationTask(node, "Standard", "creat")

    def test_only_nodes_and_relationships_have_operations(self, ctx):
        with pytest.raises(InvalidInputError, match="asked of a Service"):
            OperationTask(ctx.service, "Standard", "create")


@pytest.mark.usefixtures("pushed")
class TestArguments:
    def test_given_arguments_merge_over_the_inputs_of_the_operation(self, node, add_operation):
        add_operation({"port": 80, "host": "a"})
        task = OperationTask(node, "Own", "run", arguments={"port": 81, "extra": [1, (2,)]})
        assert task.arguments == {"port": 81, "host": "a", "extra": [1, [2]]}

    def test_a_given_argument_replaces_a_dynamic_one(self, node, add_operation):
        expression = {"$get_attribute": ["db", "ip"]}
        add_operation({"ip": Parameter(value=expression, dynamic=True),
                       "other": Parameter(value=expression, dynamic=True)})
        task = OperationTask(node, "Own", "run", arguments={"ip": "1.2.3.4"})
        assert task.arguments == {"ip": "1.2.3.4", "other": expression}
        assert task.dynamic == ("other",)

    def test_a_secret_stays_one_when_it_is_given(self, node, add_operation):
        add_operation({"password": Parameter(value="x", secret=True)})
        assert OperationTask(node, "Own", "run", arguments={"password": "y"}).secret == ("password",)

    def test_a_given_argument_takes_the_declared_type(self, node, add_operation):
        add_operation({"port": Parameter(value=80, type_name="integer")})
        assert OperationTask(node, "Own", "run", arguments={"port": "81"}).arguments == {"port": 81}
        with pytest.raises(WrongTypeInputsError, match="argument port is 'x'"):
            OperationTask(node, "Own", "run", arguments={"port": "x"})

    def test_a_secret_is_taken_as_it_is_so_that_no_error_tells_it(self, node, add_operation):
        add_operation({"pin": Parameter(value=1, type_name="integer", secret=True)})
        task = OperationTask(node, "Own", "run", arguments={"pin": "hunter2"})
        assert task.arguments == {"pin": "hunter2"}

    def test_an_optional_input_without_a_value_is_left_out(self, node, add_operation):
        add_operation({"port": None, "host": Parameter(value=None, required=True)})
        assert OperationTask(node, "Own", "run").arguments == {"host": None}

    def test_what_json_cannot_carry_is_refused_with_its_path(self, node):
        with pytest.raises(NotJsonError, match=r"Standard:create@node:app: argument things\[0\] is a set"):
            OperationTask(node, "Standard", "create", arguments={"things": [{1}]})

    @pytest.mark.parametrize("name", ["ctx", "toolbelt"])
    def test_reserved_names_cannot_be_given(self, node, name):
        with pytest.raises(InvalidInputError, match=f"cannot be given the arguments {name}"):
            OperationTask(node, "Standard", "create", arguments={name: 1})

    def test_changing_the_arguments_changes_no_row(self, node, add_operation):
        add_operation({"ports": [80]})
        OperationTask(node, "Own", "run").arguments["ports"].append(81)
        assert node.interfaces["Own"].operations["run"].inputs["ports"] == [80]


@pytest.mark.usefixtures("pushed")
class TestCreateTask:
    def test_an_implemented_operation_gives_a_task(self, node):
        assert has_operation(node, "Standard", "create")
        assert create_task(node, "Standard", "create", max_attempts=2).max_attempts == 2

    def test_a_missing_operation_gives_none(self, node):
        assert not has_operation(node, "Standard", "paint")
        assert create_task(node, "Standard", "paint") is None
        assert create_task(node, "Extra", "create") is None

    def test_an_operation_that_is_not_implemented_gives_none(self, node, add_operation):
        add_operation(function=None)
        assert not has_operation(node, "Own", "run")
        assert create_task(node, "Own", "run") is None

    def test_a_relationship_gives_the_tasks_of_its_ends(self, node):
        [relationship] = node.outbound_relationships
        tasks = create_relationship_tasks(relationship, "Configure", "add_source", "add_target")
        assert [task.operation_name for task in tasks] == ["add_source", "add_target"]

    def test_ends_without_an_operation_are_left_out(self, node):
        [relationship] = node.outbound_relationships
        assert [task.operation_name for task in create_relationship_tasks(
            relationship, "Configure", "paint", "add_target")] == ["add_target"]
        assert create_relationship_tasks(relationship, "Configure") == []

    def test_a_node_gives_a_group_for_each_relationship_in_order(self, make_service):
        service = make_service({"a": [], "b": [], "c": ["b", "a"]}, name="three")
        groups = create_relationships_tasks(service.nodes["c"], "Configure", "add_source", "add_target")
        assert [[task.actor.name for task in group] for group in groups] == [["c_b", "c_b"], ["c_a", "c_a"]]


class TestWorkflowTask:
    def test_its_graph_is_what_the_function_returned_and_answers_for_it(self, ctx):
        class Result:
            test_attribute = True

        with current.push(ctx):
            task = WorkflowTask(lambda ctx, size: Result, size=3)
        assert task.graph is Result
        assert task.test_attribute is True
        with pytest.raises(AttributeError):
            task.nonexistent  # noqa: B018

    def test_its_function_gets_the_context_and_the_arguments(self, ctx):
        seen = {}
        with current.push(ctx):
            WorkflowTask(lambda **given: seen.update(given), size=3)
        assert seen == {"ctx": ctx, "size": 3}


class TestContext:
    def test_an_operation_outside_of_a_workflow_is_an_error(self, node):
        with pytest.raises(ContextError, match="@workflow"):
            OperationTask(node, "Standard", "create")

    def test_a_context_can_be_given(self, ctx, node):
        assert OperationTask(node, "Standard", "create", ctx=ctx).workflow_context is ctx

    def test_a_task_keeps_the_context_it_was_made_in(self, ctx):
        with current.push(ctx):
            task = StubTask()
        with current.push(WorkflowContext("other", ctx.service)):
            assert task.workflow_context is ctx

    def test_the_former_context_returns_even_after_an_error(self, ctx):
        inner = WorkflowContext("inner", ctx.service)
        with current.push(ctx):
            with pytest.raises(ValueError, match="boom"), current.push(inner):
                assert current.get() is inner
                raise ValueError("boom")
            assert current.get() is ctx
        with pytest.raises(ContextError):
            current.get()

    def test_another_thread_has_a_current_context_of_its_own(self, ctx):
        seen = []
        with current.push(ctx):
            thread = Thread(target=lambda: seen.append(current.find()))
            thread.start()
            thread.join()
        assert seen == [None]

    def test_a_context_knows_only_its_own_service(self, make_service):
        mine, other = make_service({"a": [], "b": []}, name="mine"), make_service({"c": []}, name="other")
        ctx = WorkflowContext("w", mine)
        assert [node.name for node in ctx.nodes] == ["a", "b"]
        assert [each.name for each in ctx.node_templates] == ["a", "b"]
        assert [node.name for node in WorkflowContext("w", other).nodes] == ["c"]

    def test_a_context_without_storages_says_so(self, ctx):
        with pytest.raises(ContextError, match="without a model storage"):
            ctx.model  # noqa: B018
        with pytest.raises(ContextError, match="without a resource storage"):
            ctx.resource  # noqa: B018


def test_a_module_with_workflows_and_operations_costs_workers_nothing_heavy():
    code = ("import sys; from aria_core.orchestrator.decorators import operation, workflow; "
            "from aria_core.orchestrator.tasks import OperationTask; "
            "from aria_core.orchestrator.task_graph import TaskGraph; "
            "print([name for name in ('sqlalchemy', 'networkx', 'jinja2', 'stevedore', 'pluggy') "
            "if name in sys.modules])")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
