"""The built-in workflows: what they run on whom, in which order."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.models import Relationship, Service
from aria_core.modeling.states import LIFECYCLE_INTERFACES
from aria_core.orchestrator.builtin import (
    BUILTIN_WORKFLOWS,
    NODE_INTERFACES,
    arrange_nodes,
    execute_operation,
    install,
    install_node,
    start,
    stop,
    uninstall,
    uninstall_node,
)
from aria_core.orchestrator.compiler import compile_graph
from aria_core.orchestrator.context.workflow import WorkflowContext, current
from aria_core.orchestrator.decorators import workflow
from aria_core.orchestrator.exceptions import CyclicGraphError, OperationNotFoundError
from aria_core.orchestrator.tasks import OperationTask, StubTask, WorkflowTask

INSTALL = [["create"], ["pre_configure_source", "pre_configure_target"], ["configure"],
           ["post_configure_source", "post_configure_target"], ["start"], ["add_source", "add_target"]]
UNINSTALL = [["stop"], ["remove_source", "remove_target"], ["delete"]]
START = [["start"], ["add_source", "add_target"]]
STOP = [["stop"], ["remove_source", "remove_target"]]


@pytest.fixture
def three(make_service):
    """front requires left and right."""
    return WorkflowContext("test", make_service({"left": [], "right": [], "front": ["left", "right"]},
                                                name="three"))


def steps(graph):
    """The operations of a graph, step by step; what may run at the same time stands together."""
    found = []
    done = set()
    tasks = list(graph.topological_order(reverse=True))
    while tasks:
        ready = [task for task in tasks if done.issuperset(graph.get_dependencies(task))]
        found.append(sorted(task.operation_name for task in ready))
        done.update(ready)
        tasks = [task for task in tasks if task not in done]
    return found


def order(graph):
    """For each task of a graph, by name, the names it waits for."""
    return {task.name.partition(".")[2] or task.name: sorted(
        each.name.partition(".")[2] or each.name for each in graph.get_dependencies(task))
        for task in graph.tasks}


def sub_workflow(graph, name):
    return next(task for task in graph.tasks if task.name == name)


class TestOrder:
    @pytest.mark.parametrize("name", ["install", "start"])
    def test_dependencies_come_first_and_the_dependent_last(self, three, name):
        assert order(BUILTIN_WORKFLOWS[name](three)) == {"left": [], "right": [], "front": ["left", "right"]}

    @pytest.mark.parametrize("name", ["uninstall", "stop"])
    def test_the_dependent_comes_first_and_its_dependencies_last(self, three, name):
        assert order(BUILTIN_WORKFLOWS[name](three)) == {"left": ["front"], "right": ["front"], "front": []}

    @pytest.mark.parametrize("name", ["install", "uninstall", "start", "stop"])
    def test_only_nodes_of_the_own_service_take_part(self, three, make_service, name):
        other = make_service({"stranger": []}, name="other")
        three.service.nodes["left"].outbound_relationships.append(
            Relationship(name="far", target_node=other.nodes["stranger"]))
        assert set(order(BUILTIN_WORKFLOWS[name](three))) == {"left", "right", "front"}

    @pytest.mark.parametrize("name", ["install", "uninstall", "start", "stop"])
    def test_a_relationship_of_a_node_with_itself_is_no_reason_to_wait(self, make_service, name):
        ctx = WorkflowContext("test", make_service({"loop": ["loop"]}))
        assert order(BUILTIN_WORKFLOWS[name](ctx)) == {"loop": []}
        assert compile_graph(BUILTIN_WORKFLOWS[name](ctx), lambda name: None)

    @pytest.mark.parametrize("name", ["install", "uninstall", "start", "stop"])
    def test_many_nodes_take_as_few_statements_as_one(self, make_service, statements, name):
        def plan(service):
            tasks = BUILTIN_WORKFLOWS[name](WorkflowContext("test", service)).tasks
            assert len(list(tasks)) == len(service.nodes)

        few = statements(make_service({"db": [], "n": ["db"]}), plan)
        names = [f"n{each}" for each in range(30)]
        many = statements(make_service({"db": [], **{each: ["db"] for each in names}}, name="many"), plan)
        assert few == many < 30

    def test_tasks_for_one_node_after_the_other_soon_take_no_more_statements(self, make_service, statements):
        def plan(service):
            with current.push(WorkflowContext("test", service)):
                tasks = [OperationTask(node, "Standard", "create") for node in service.nodes.values()]
            assert {task.function for task in tasks} == {"package.module:create"}

        some = statements(make_service({f"n{each}": [] for each in range(20)}), plan)
        many = statements(make_service({f"n{each}": [] for each in range(40)}, name="many"), plan)
        assert some == many

    def test_two_relationships_to_one_node_are_one_dependency(self, make_service):
        ctx = WorkflowContext("test", make_service({"db": [], "app": ["db", "db"]}))
        assert order(install(ctx)) == {"db": [], "app": ["db"]}

    def test_nodes_that_require_each_other_are_named(self, make_service):
        ctx = WorkflowContext("test", make_service({"hen": ["egg"], "egg": ["hen"]}))
        with pytest.raises(CyclicGraphError, match=r"install_node\.\w+ waits for install_node\.\w+ waits"):
            compile_graph(install(ctx), lambda name: None)


@pytest.fixture
def statements(session):
    """How many statements something takes on a service that was not read before."""
    def count(service, use):
        key = service.id
        session.commit()
        session.expunge_all()
        asked = []
        event.listen(session.get_bind(), "before_cursor_execute", lambda *_: asked.append(1))
        use(session.get_one(Service, key))
        return len(asked)

    return count


class TestLifeOfANode:
    @pytest.mark.parametrize(("build", "name", "expected"), [
        (install, "install_node", INSTALL), (uninstall, "uninstall_node", UNINSTALL),
        (start, "start_node", START), (stop, "stop_node", STOP)])
    def test_a_node_with_one_relationship_takes_these_steps(self, ctx, build, name, expected):
        assert steps(sub_workflow(build(ctx), f"{name}.app")) == expected

    @pytest.mark.parametrize(("build", "name", "expected"), [
        (install, "install_node", ["create", "configure", "start"]),
        (uninstall, "uninstall_node", ["stop", "delete"]),
        (start, "start_node", ["start"]), (stop, "stop_node", ["stop"])])
    def test_a_node_without_relationships_takes_only_its_own_steps(self, ctx, build, name, expected):
        assert steps(sub_workflow(build(ctx), f"{name}.db")) == [[each] for each in expected]

    def test_relationships_come_one_after_another(self, three):
        graph = sub_workflow(install(three), "install_node.front")
        names = [task.actor.name for task in graph.topological_order(reverse=True)
                 if task.operation_name.startswith("pre_configure")]
        assert names == ["front_left", "front_left", "front_right", "front_right"]
        assert steps(graph) == [INSTALL[0], INSTALL[1], INSTALL[1], INSTALL[2], INSTALL[3], INSTALL[3],
                                INSTALL[4], INSTALL[5], INSTALL[5]]

    def test_interfaces_may_be_stored_under_their_full_names(self, make_service):
        ctx = WorkflowContext("test", make_service(
            {"db": [], "app": ["db"]}, standard="tosca.interfaces.node.lifecycle.Standard",
            configure="tosca.interfaces.relationship.Configure"))
        graph = sub_workflow(install(ctx), "install_node.app")
        assert steps(graph) == INSTALL
        assert {task.interface_name for task in graph.tasks} == {
            "tosca.interfaces.node.lifecycle.Standard", "tosca.interfaces.relationship.Configure"}

    def test_the_names_of_the_interface_are_those_that_change_states(self):
        assert set(NODE_INTERFACES) == LIFECYCLE_INTERFACES

    def test_a_step_nobody_implements_is_a_stub_that_still_counts_for_the_node(self, ctx):
        node = ctx.service.nodes["app"]
        del node.interfaces["Standard"].operations["create"]
        node.interfaces["Standard"].operations["configure"].function = None
        graph = sub_workflow(install(ctx), "install_node.app")
        assert steps(graph) == INSTALL
        stubs = [task for task in graph.topological_order(reverse=True) if isinstance(task, StubTask)]
        assert [(task.name, task.actor) for task in stubs] == [
            ("Standard:create@node:app", node), ("Standard:configure@node:app", node)]

    def test_an_end_nobody_implements_is_left_out(self, ctx):
        [relationship] = ctx.service.nodes["app"].outbound_relationships
        operations = relationship.interfaces["Configure"].operations
        del operations["add_source"]
        operations["add_target"].function = None
        assert steps(sub_workflow(start(ctx), "start_node.app")) == [["start"]]

    def test_the_parts_fit_a_workflow_of_ones_own(self, three):
        @workflow
        def heal(ctx, graph, node):
            graph.sequence(WorkflowTask(uninstall_node, node=node), WorkflowTask(install_node, node=node))

        left = three.service.nodes["left"]
        assert order(heal(three, node=left)) == {"left": ["left"]}

    def test_some_nodes_may_be_arranged_without_the_others(self, three):
        @workflow
        def scale(ctx, graph):
            arrange_nodes(graph, [each for each in ctx.nodes if each.name != "right"], install_node)

        assert order(scale(three)) == {"left": [], "front": ["left"]}

    @pytest.mark.parametrize(("dependents_first", "cycle"), [
        (False, "step.a waits for step.b waits for step.c waits for step.a"),
        (True, "step.a waits for step.c waits for step.b waits for step.a")])
    def test_nothing_is_built_for_nodes_that_require_each_other(self, make_service, dependents_first, cycle):
        ctx = WorkflowContext("test", make_service({"a": ["b"], "b": ["c"], "c": ["a"]}, name="ring"))
        built = []

        @workflow(suffix_template="{node.name}")
        def step(ctx, graph, node):
            built.append(node)

        @workflow
        def every(ctx, graph):
            arrange_nodes(graph, ctx.nodes, step, dependents_first=dependents_first)

        with pytest.raises(CyclicGraphError) as refused:
            every(ctx)
        assert sorted(refused.value.cycle) == ["step.a", "step.b", "step.c"]
        shown = " waits for ".join(refused.value.cycle)
        assert shown in f"{cycle}{cycle.removeprefix('step.a')}"
        assert built == []


class TestExecuteOperation:
    def test_it_is_a_built_in_workflow(self):
        assert list(BUILTIN_WORKFLOWS) == ["install", "uninstall", "start", "stop", "execute_operation"]

    def test_without_a_choice_it_runs_on_every_node_in_dependency_order(self, three):
        assert order(execute_operation(three, "Standard", "create")) == {
            "Standard:create@node:left": [], "Standard:create@node:right": [],
            "Standard:create@node:front": ["Standard:create@node:left", "Standard:create@node:right"]}

    def test_order_may_be_switched_off(self, three):
        graph = execute_operation(three, "Standard", "create", run_by_dependency_order=False)
        assert [list(graph.get_dependencies(task)) for task in graph.tasks] == [[], [], []]

    @pytest.mark.parametrize("by_order", [True, False])
    def test_a_node_chosen_by_id_gets_exactly_one_task(self, three, by_order):
        node = three.service.nodes["left"]
        graph = execute_operation(three, interface_name="Standard", operation_name="create",
                                  arguments={"key": "value"}, run_by_dependency_order=by_order,
                                  node_ids=[node.id])
        [task] = graph.tasks
        assert (task.actor, task.name) == (node, "Standard:create@node:left")
        assert task.arguments == {"key": "value"}

    def test_nodes_may_be_chosen_by_name(self, three):
        graph = execute_operation(three, "Standard", "create", node_names=["left", "front"])
        assert [task.actor.name for task in graph.tasks] == ["left", "front"]

    def test_nodes_may_be_chosen_by_template(self, three):
        template = three.service.nodes["right"].node_template
        graph = execute_operation(three, "Standard", "create", node_template_ids=[template.id])
        assert [task.actor.name for task in graph.tasks] == ["right"]

    def test_naming_a_type_includes_it_and_what_derives_from_it(self, three):
        graph = execute_operation(three, "Standard", "create", type_names=["types.left"])
        assert [task.actor.name for task in graph.tasks] == ["left"]
        graph = execute_operation(three, "Standard", "create", type_names=["types.Root"])
        assert [task.actor.name for task in graph.tasks] == ["left", "right", "front"]

    def test_one_value_stands_for_a_list_of_it(self, three):
        node = three.service.nodes["left"]
        for choice in ({"node_names": "left"}, {"node_ids": node.id}, {"type_names": "types.left"},
                       {"node_template_ids": node.node_template_id}):
            [task] = execute_operation(three, "Standard", "create", **choice).tasks
            assert task.actor is node

    def test_order_carries_across_nodes_that_are_not_chosen(self, make_service):
        ctx = WorkflowContext("test", make_service({"a": [], "b": ["a"], "c": ["b"], "d": []}))
        graph = execute_operation(ctx, "Standard", "create", node_names=["a", "c"])
        assert order(graph) == {"Standard:create@node:a": [], "between:b": ["Standard:create@node:a"],
                                "Standard:create@node:c": ["between:b"]}

    def test_nodes_without_the_operation_are_passed_over(self, three):
        del three.service.nodes["left"].interfaces["Standard"]
        graph = execute_operation(three, "Standard", "create")
        assert [task.actor.name for task in graph.tasks] == ["right", "front"]

    def test_a_named_node_must_have_the_operation(self, three):
        del three.service.nodes["left"].interfaces["Standard"]
        with pytest.raises(OperationNotFoundError, match=r"nothing implements Standard\.create on 'left'"):
            execute_operation(three, "Standard", "create", node_names=["left", "right"])

    def test_an_operation_nobody_has_is_an_error(self, three):
        with pytest.raises(OperationNotFoundError, match=r"nothing implements Paint\.it on 'left'.*'front'"):
            execute_operation(three, "Paint", "it")

    def test_the_interface_may_be_named_either_way(self, three):
        graph = execute_operation(three, "tosca.interfaces.node.lifecycle.Standard", "create")
        assert {task.interface_name for task in graph.tasks} == {"Standard"}

    @pytest.mark.parametrize("choice", [{"node_ids": [999]}, {"node_names": ["wrong"]}])
    def test_an_unknown_node_is_an_error_that_lists_the_known(self, three, choice):
        with pytest.raises(InvalidInputError, match=r"has no node (999|'wrong'); it has 'left'"):
            execute_operation(three, "Standard", "create", **choice)

    def test_a_choice_of_nothing_is_an_error(self, three):
        with pytest.raises(InvalidInputError, match="no node of the service 'three' is chosen"):
            execute_operation(three, "Standard", "create", type_names=["types.Wrong"])
