"""The workflow and operation decorators."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aria_core.exceptions import InvalidInputError
from aria_core.orchestrator.context.toolbelt import NodeToolBelt, RelationshipToolBelt, toolbelt
from aria_core.orchestrator.context.workflow import current
from aria_core.orchestrator.decorators import (
    OPERATION_DECORATOR_RESERVED_ARGUMENTS,
    WORKFLOW_DECORATOR_RESERVED_ARGUMENTS,
    operation,
    workflow,
)
from aria_core.orchestrator.exceptions import ContextError
from aria_core.orchestrator.task_graph import TaskGraph
from aria_core.orchestrator.tasks import StubTask, WorkflowTask
from aria_core.testing.memory_channel import MemoryChannel
from aria_core.worker.calls import Actor, Call, CallRef
from aria_core.worker.context import make_context

ROOT = Path(__file__).parents[2]


def operation_context(kind="node", **node):
    """The context an operation gets in a worker; `node` is what its runner would tell."""
    channel = MemoryChannel(nodes={1: {"id": 1, "name": "app", **node}})
    call = Call(CallRef(1, 1, 1), "package.module:create", actor=Actor(kind, 1, "app"), name="task")
    return make_context(call, channel)


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_the_reserved_names_are_those_of_the_original():
    assert {"ctx", "graph"} == WORKFLOW_DECORATOR_RESERVED_ARGUMENTS
    assert {"ctx", "toolbelt"} == OPERATION_DECORATOR_RESERVED_ARGUMENTS


class TestWorkflow:
    def test_a_workflow_returns_the_graph_its_function_filled(self, ctx):
        task = StubTask()

        @workflow
        def deploy(ctx, graph):
            """Deploy it."""
            graph.add_tasks(task)

        graph = deploy(ctx)
        assert isinstance(graph, TaskGraph)
        assert list(graph.tasks) == [task]
        assert (deploy.__name__, deploy.__doc__) == ("deploy", "Deploy it.")

    def test_the_function_gets_everything_by_keyword(self, ctx):
        seen = {}

        @workflow
        def deploy(**given):
            seen.update(given)

        graph = deploy(ctx, size=3)
        assert seen == {"ctx": ctx, "graph": graph, "size": 3}

    def test_without_a_suffix_template_each_graph_has_a_name_of_its_own(self, ctx):
        @workflow
        def deploy(ctx, graph):
            pass

        names = {deploy(ctx).name for _ in range(3)}
        assert len(names) == 3
        assert all(name.startswith("deploy.") for name in names)

    def test_the_suffix_template_may_use_the_context_and_the_inputs_with_their_defaults(self, ctx):
        @workflow(suffix_template="{ctx.service.name}-{node.name}-{size}")
        def deploy(ctx, graph, node, size=2):
            pass

        assert deploy(ctx, node=ctx.service.nodes["db"]).name == "deploy.shop-db-2"
        assert deploy(ctx, ctx.service.nodes["db"], size=3).name == "deploy.shop-db-3"

    def test_a_suffix_template_that_asks_for_too_much_is_an_error(self, ctx):
        @workflow(suffix_template="{colour}")
        def deploy(ctx, graph, size=2):
            pass

        with pytest.raises(InvalidInputError, match=r"'{colour}' of the workflow .*may use ctx, size"):
            deploy(ctx)

    def test_missing_and_unknown_inputs_are_named_before_the_function_runs(self, ctx):
        @workflow
        def deploy(ctx, graph, region, size=1):
            raise AssertionError("it ran")

        with pytest.raises(InvalidInputError, match=r"'deploy' misses region and does not know colour; "
                                                    r"it takes ctx, graph, region, size \(optional\)"):
            deploy(ctx, colour="red")

    def test_the_graph_cannot_be_given(self, ctx):
        @workflow
        def deploy(ctx, graph):
            pass

        with pytest.raises(InvalidInputError, match="given graph: ARIA itself fills in ctx, graph"):
            deploy(ctx, graph=TaskGraph("mine"))

    def test_the_context_is_current_while_the_function_runs_and_only_then(self, ctx):
        @workflow
        def fails(ctx, graph):
            assert current.get() is ctx
            raise ValueError("boom")

        with pytest.raises(ValueError, match="boom"):
            fails(ctx)
        with pytest.raises(ContextError):
            current.get()

    def test_a_workflow_is_a_task_of_another(self, ctx):
        @workflow
        def inner(ctx, graph, name):
            graph.add_tasks(StubTask(name))

        @workflow
        def outer(ctx, graph):
            graph.add_tasks(WorkflowTask(inner, name="x"))

        [task] = outer(ctx).tasks
        assert [each.name for each in task.tasks] == ["x"]


class TestOperation:
    def test_an_operation_returns_what_its_function_returns(self):
        @operation
        def create(ctx, port, host="a"):
            """Create it."""
            return ctx, port, host

        ctx = operation_context()
        assert create(ctx=ctx, port=80) == (ctx, 80, "a")
        assert create(ctx, 80, host="b") == (ctx, 80, "b")
        assert (create.__name__, create.__doc__) == ("create", "Create it.")

    def test_missing_and_unknown_arguments_are_named_before_the_function_runs(self):
        @operation
        def create(ctx, port):
            raise AssertionError("it ran")

        with pytest.raises(InvalidInputError, match="'create' misses port and does not know prot"):
            create(ctx=operation_context(), prot=80)
        with pytest.raises(InvalidInputError, match="misses ctx"):
            create(port=80)
        with pytest.raises(InvalidInputError, match="3 arguments without a name; it takes ctx, port"):
            create(operation_context(), 80, 81)
        with pytest.raises(InvalidInputError, match="was given port twice"):
            create(operation_context(), 80, port=81)

    def test_a_function_with_open_arguments_takes_any(self):
        @operation
        def create(ctx, **inputs):
            return inputs

        assert create(ctx=operation_context(), a=1, b=2) == {"a": 1, "b": 2}

    def test_the_suffix_template_changes_the_name_on_display(self):
        @operation(suffix_template="{ctx.node.name}-{port}")
        def create(ctx, port=80):
            return ctx.name

        assert create(ctx=operation_context()) == "create.app-80"

    def test_without_a_suffix_template_the_name_stays(self):
        @operation
        def create(ctx):
            return ctx.name

        assert create(ctx=operation_context()) == "task"

    def test_handlers_are_attached_while_the_operation_runs_and_only_then(self):
        handler = Lines()

        @operation(logging_handlers=[handler])
        def create(ctx, fail):
            ctx.logger.warning("inside")
            if fail:
                raise ValueError("boom")

        ctx = operation_context()
        create(ctx=ctx, fail=False)
        with pytest.raises(ValueError, match="boom"):
            create(ctx=ctx, fail=True)
        ctx.logger.addHandler(logging.NullHandler())
        ctx.logger.warning("outside")
        assert handler.lines == ["inside", "inside"]

    def test_the_toolbelt_of_a_node_tells_the_address_of_its_host(self):
        @operation(toolbelt=True)
        def create(ctx, toolbelt):
            return toolbelt.host_ip

        assert create(ctx=operation_context(host_address="10.0.0.1")) == "10.0.0.1"

    def test_each_kind_of_actor_has_its_toolbelt(self):
        assert isinstance(toolbelt(operation_context("node")), NodeToolBelt)
        assert isinstance(toolbelt(operation_context("relationship")), RelationshipToolBelt)

    def test_what_is_no_context_of_an_operation_has_no_toolbelt(self, ctx):
        with pytest.raises(RuntimeError, match="a WorkflowContext has no toolbelt"):
            toolbelt(ctx)

    @pytest.mark.parametrize("wanted", [True, False])
    def test_the_toolbelt_cannot_be_given(self, wanted):
        @operation(toolbelt=wanted)
        def create(ctx, **inputs):
            pass

        with pytest.raises(InvalidInputError, match="cannot be given toolbelt"):
            create(ctx=operation_context(), toolbelt=1)


TYPED = '''
from typing import Any
from aria_core.orchestrator.context.workflow import WorkflowContext
from aria_core.orchestrator.decorators import operation, workflow
from aria_core.orchestrator.task_graph import TaskGraph

@workflow
def deploy(ctx: WorkflowContext, graph: TaskGraph, size: int = 1) -> None: ...

@workflow(suffix_template="{name}")
def named(ctx: WorkflowContext, graph: TaskGraph, name: str) -> None: ...

@workflow
def loose(graph: TaskGraph, **inputs: Any) -> None: ...

@operation
def create(ctx: Any, port: int) -> str:
    return ""

@operation(suffix_template="x")
def suffixed(ctx: Any, port: int) -> str:
    return ""

@operation(toolbelt=True)
def belted(ctx: Any, toolbelt: Any) -> int:
    return 1

def use(ctx: WorkflowContext) -> None:
    reveal_type(deploy(ctx, size=2))
    reveal_type(named(ctx, name="a"))
    reveal_type(loose(ctx=ctx))
    reveal_type(create(ctx, 80))
    reveal_type(suffixed(ctx, port=80))
    reveal_type(belted(ctx=ctx))
    deploy(ctx, size="a")
    create(ctx, "a")
    suffixed(ctx)
'''


def test_decorated_functions_keep_their_types(tmp_path):
    module = tmp_path / "typed.py"
    module.write_text(TYPED)
    ran = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(module)],
                         cwd=ROOT, capture_output=True, text=True, check=False)
    shown = ran.stdout + ran.stderr
    lines = re.findall(r"typed\.py:\d+: (.*)", shown)  # its cache may name the directory of an earlier run
    graph = 'note: Revealed type is "aria_core.orchestrator.task_graph.TaskGraph"'
    assert lines, shown
    assert lines[:6] == [graph, graph, graph, *('note: Revealed type is "str"',) * 2,
                         'note: Revealed type is "int"']
    assert [line.partition("[")[2] for line in lines[6:] if line.startswith("error")] == [
        "arg-type]", "arg-type]", "call-arg]"]
