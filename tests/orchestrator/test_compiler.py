"""From task graphs to rows."""

from __future__ import annotations

import time

import pytest

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.models import Operation
from aria_core.modeling.parameters import Parameter
from aria_core.orchestrator.builtin import install
from aria_core.orchestrator.compiler import compile_graph
from aria_core.orchestrator.context.workflow import current
from aria_core.orchestrator.decorators import workflow
from aria_core.orchestrator.exceptions import CyclicGraphError, PluginNotFoundError
from aria_core.orchestrator.task_graph import TaskGraph
from aria_core.orchestrator.tasks import BaseTask, OperationTask, StubTask, WorkflowTask


def no_plugins(name):
    return None


def rows_of(graph):
    return compile_graph(graph, no_plugins)


def shape(rows):
    return [(row.stub, row.name, row.waits_for) for row in rows]


def nested(graph, ctx, name="inner"):
    """A sub-workflow task around a graph that is already there."""
    return WorkflowTask(lambda ctx: graph, ctx=ctx)


def test_an_empty_graph_is_a_start_and_an_end():
    assert shape(rows_of(TaskGraph("empty"))) == [
        ("start_workflow", "empty", ()), ("end_workflow", "empty", (0,))]


def test_a_nested_graph_stands_flat_in_its_place_with_exact_dependencies(ctx):
    outer, inner = TaskGraph("outer"), TaskGraph("inner")
    inner.sequence(StubTask("i1"), StubTask("i2"), StubTask("i3"))
    outer.sequence(StubTask("before"), nested(inner, ctx), StubTask("after"))
    assert shape(rows_of(outer)) == [
        ("start_workflow", "outer", ()),
        ("stub", "before", (0,)),
        ("start_subworkflow", "inner", (1,)),
        ("stub", "i1", (2,)),
        ("stub", "i2", (3,)),
        ("stub", "i3", (4,)),
        ("end_subworkflow", "inner", (5,)),
        ("stub", "after", (6,)),
        ("end_workflow", "outer", (7,)),
    ]


def test_an_empty_sub_workflow_is_its_two_stubs(ctx):
    outer = TaskGraph("outer")
    outer.add_tasks(nested(TaskGraph("inner"), ctx))
    assert [row.waits_for for row in rows_of(outer)] == [(), (0,), (1,), (2,)]


def test_the_end_of_a_sub_workflow_waits_for_nothing_outside_of_it(ctx):
    outer = TaskGraph("outer")
    for name in ("left", "right"):
        inner = TaskGraph(name)
        inner.add_tasks(StubTask(f"{name}1"), StubTask(f"{name}2"))
        outer.add_tasks(nested(inner, ctx))
    assert shape(rows_of(outer)) == [
        ("start_workflow", "outer", ()),
        ("start_subworkflow", "left", (0,)),
        ("stub", "left1", (1,)), ("stub", "left2", (1,)),
        ("end_subworkflow", "left", (2, 3)),
        ("start_subworkflow", "right", (0,)),
        ("stub", "right1", (5,)), ("stub", "right2", (5,)),
        ("end_subworkflow", "right", (6, 7)),
        ("end_workflow", "outer", (4, 8)),
    ]


def test_positions_count_up_and_everything_waits_only_for_what_stands_before(ctx):
    rows = rows_of(install(ctx))
    assert [row.position for row in rows] == list(range(len(rows)))
    assert all(position < row.position for row in rows for position in row.waits_for)


def test_install_of_two_nodes_with_one_relationship_has_18_rows(ctx):
    rows = rows_of(install(ctx))
    assert len(rows) == 18
    assert [row.stub for row in rows if row.stub] == [
        "start_workflow", "start_subworkflow", "end_subworkflow", "start_subworkflow", "end_subworkflow",
        "end_workflow"]
    operations = [(row.operation_name, row.waits_for) for row in rows if row.stub is None]
    assert operations == [
        ("create", (1,)), ("configure", (2,)), ("start", (3,)),
        ("create", (6,)), ("pre_configure_source", (7,)), ("pre_configure_target", (7,)),
        ("configure", (8, 9)), ("post_configure_source", (10,)), ("post_configure_target", (10,)),
        ("start", (11, 12)), ("add_source", (13,)), ("add_target", (13,))]


def test_a_row_carries_all_of_its_task(ctx, new_interface, inputs):
    node = ctx.service.nodes["app"]
    node.interfaces["Own"] = new_interface("Own", [Operation(
        name="run", function="package.module:run", plugin_name="nginx", timeout=8.0, ignore_failure=True,
        input_parameters=inputs(password=Parameter(value="x", secret=True),
                                ip=Parameter(value={"$get_attribute": ["db", "ip"]}, dynamic=True)))])
    graph = TaskGraph("g")
    task = OperationTask(node, "Own", "run", {"port": 80}, max_attempts=-1, retry_interval=0, ctx=ctx)
    relationship = node.outbound_relationships[0]
    graph.sequence(task, OperationTask(relationship, "Configure", "add_source", ctx=ctx))
    _, row, tie, _ = compile_graph(graph, {"nginx": 5}.get)
    assert (row.name, row.function) == (task.name, task.function)
    assert (row.name, row.function) == ("Own:run@node:app", "package.module:run")
    assert row.arguments == {"password": "x", "ip": {"$get_attribute": ["db", "ip"]}, "port": 80}
    assert (row.dynamic, row.secret, row.plugin_id) == (("ip",), ("password",), 5)
    assert (row.node_id, row.relationship_id) == (node.id, None)
    assert (row.interface_name, row.operation_name) == ("Own", "run")
    assert (row.max_attempts, row.retry_interval, row.ignore_failure, row.timeout) == (-1, 0.0, True, 8.0)
    assert (row.stub, row.state, row.attempts) == (None, "pending", 0)
    assert (tie.node_id, tie.relationship_id) == (None, relationship.id)


def test_an_operation_without_implementation_is_a_stub_that_keeps_its_actor(ctx):
    node = ctx.service.nodes["db"]
    node.interfaces["Standard"].operations["create"].function = None
    graph = TaskGraph("g")
    graph.add_tasks(OperationTask(node, "Standard", "create", ctx=ctx))
    row = rows_of(graph)[1]
    assert (row.stub, row.function, row.name) == ("stub", None, "Standard:create@node:db")
    assert (row.node_id, row.interface_name, row.operation_name) == (node.id, "Standard", "create")


def test_a_missing_plugin_is_named_with_the_task_that_needs_it(ctx):
    node = ctx.service.nodes["db"]
    node.interfaces["Standard"].operations["create"].plugin_name = "nginx"
    with pytest.raises(PluginNotFoundError, match=r"Standard:create@node:db .*'nginx'"):
        rows_of(install(ctx))


@pytest.mark.parametrize("length", [1, 2, 1000])
def test_a_cycle_is_refused_and_named_by_its_tasks(length):
    graph = TaskGraph("g")
    tasks = [StubTask(f"t{index}") for index in range(length)]
    graph.sequence(*tasks, tasks[0])
    with pytest.raises(CyclicGraphError, match="'g' has a cycle") as caught:
        rows_of(graph)
    assert sorted(caught.value.cycle) == sorted(task.name for task in tasks)


def test_a_cycle_in_a_sub_workflow_is_refused_before_anything_is_returned(ctx):
    inner, outer = TaskGraph("inner"), TaskGraph("outer")
    a, b = StubTask("a"), StubTask("b")
    inner.sequence(a, b, a)
    outer.sequence(StubTask("first"), nested(inner, ctx))
    with pytest.raises(CyclicGraphError, match=r"'inner' has .*: (a waits for b|b waits for a) waits for"):
        rows_of(outer)


def test_a_graph_that_contains_itself_is_refused(ctx):
    outer, inner = TaskGraph("outer"), TaskGraph("inner")
    outer.add_tasks(nested(inner, ctx))
    inner.add_tasks(nested(outer, ctx))
    with pytest.raises(CyclicGraphError, match=r"'inner' has a cycle.*outer waits for outer"):
        rows_of(outer)


def test_one_graph_may_stand_in_two_places(ctx):
    outer, inner = TaskGraph("outer"), TaskGraph("inner")
    inner.add_tasks(StubTask("i"))
    outer.sequence(nested(inner, ctx), nested(inner, ctx))
    assert [row.waits_for for row in rows_of(outer)] == [(), (0,), (1,), (2,), (3,), (4,), (5,), (6,)]


def test_a_sub_workflow_that_returned_no_graph_is_named(ctx):
    graph = TaskGraph("outer")
    graph.add_tasks(WorkflowTask(lambda ctx: None, ctx=ctx))
    with pytest.raises(InvalidInputError, match=r"of 'outer' returned a NoneType.*@workflow"):
        rows_of(graph)


def test_a_task_of_no_known_kind_is_refused():
    graph = TaskGraph("g")
    graph.add_tasks(BaseTask())
    with pytest.raises(InvalidInputError, match="cannot be run"):
        rows_of(graph)


def test_two_hundred_sub_workflows_may_be_nested(ctx):
    @workflow(suffix_template="{depth}")
    def level(ctx, graph, depth):
        graph.add_tasks(WorkflowTask(level, depth=depth - 1) if depth else StubTask("bottom"))

    with current.push(ctx):
        rows = rows_of(level(ctx, depth=200))
    assert len(rows) == 2 * 201 + 1
    assert [row.waits_for for row in rows[1:]] == [(position,) for position in range(len(rows) - 1)]


@pytest.mark.parametrize("tasks", [10_000])
def test_long_chains_and_wide_fans_compile_in_linear_time(tasks):
    graph = TaskGraph("big")
    graph.sequence(*[StubTask(f"chain{index}") for index in range(tasks)])
    graph.add_tasks([StubTask(f"fan{index}") for index in range(tasks)])
    began = time.process_time()
    rows = rows_of(graph)
    assert len(rows) == 2 * tasks + 2
    assert len(rows[-1].waits_for) == tasks + 1
    assert time.process_time() - began < 5
