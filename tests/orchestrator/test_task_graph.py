"""The 72 behaviours of task graphs that authors rely on, and a few of ours."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from aria_core.exceptions import InvalidInputError
from aria_core.orchestrator.exceptions import CyclicGraphError, TaskNotInGraphError
from aria_core.orchestrator.task_graph import TaskGraph
from aria_core.orchestrator.tasks import StubTask


@pytest.fixture
def graph() -> TaskGraph:
    return TaskGraph("work")


def stubs(count: int) -> list[StubTask]:
    return [StubTask(f"t{index}") for index in range(count)]


class TestAddTasks:
    def test_an_added_task_is_returned_and_is_in_the_graph(self, graph):
        [task] = stubs(1)
        assert graph.add_tasks(task) == [task]
        assert list(graph.tasks) == [task]

    def test_adding_an_empty_group_adds_nothing(self, graph):
        assert graph.add_tasks([]) == []
        assert list(graph.tasks) == []

    def test_adding_a_group_returns_all_of_it(self, graph):
        tasks = stubs(3)
        assert graph.add_tasks(*tasks) == tasks

    def test_adding_a_partially_existing_group_returns_only_the_new(self, graph):
        tasks = stubs(3)
        graph.add_tasks(tasks[1])
        assert graph.add_tasks(*tasks) == [tasks[0], tasks[2]]

    def test_adding_a_recursive_group_returns_its_tasks_in_order(self, graph):
        a, b, c, d = stubs(4)
        assert graph.add_tasks([a, [b, c], d]) == [a, b, c, d]

    def test_adding_an_existing_task_changes_nothing(self, graph):
        [task] = stubs(1)
        graph.add_tasks(task)
        assert graph.add_tasks(task) == []
        assert list(graph.tasks) == [task]


class TestRemoveTasks:
    def test_a_removed_task_is_gone_and_the_others_stay(self, graph):
        task, other = stubs(2)
        graph.add_tasks(task, other)
        graph.remove_tasks(other)
        assert list(graph.tasks) == [task]

    def test_removing_a_task_removes_its_dependencies(self, graph):
        task, dependent, needed = stubs(3)
        graph.add_tasks(task, dependent, needed)
        graph.add_dependency(dependent, task)
        graph.add_dependency(needed, dependent)
        assert graph.remove_tasks(dependent) == [dependent]
        assert list(graph.tasks) == [task, needed]
        assert list(graph.get_dependents(task)) == []
        assert list(graph.get_dependencies(needed)) == []

    def test_removing_an_empty_group_removes_nothing(self, graph):
        assert graph.remove_tasks([]) == []

    def test_removing_a_group_returns_all_of_it(self, graph):
        tasks = stubs(3)
        graph.add_tasks(*tasks)
        assert graph.remove_tasks(*tasks) == tasks
        assert list(graph.tasks) == []

    def test_removing_a_partially_existing_group_returns_what_was_there(self, graph):
        tasks = stubs(3)
        graph.add_tasks(tasks[1])
        assert graph.remove_tasks(*tasks) == [tasks[1]]

    def test_removing_a_recursive_group_returns_its_tasks_in_order(self, graph):
        a, b, c, d = stubs(4)
        graph.add_tasks(a, b, c, d)
        assert graph.remove_tasks([a, [b, c], d]) == [a, b, c, d]

    def test_removing_a_missing_task_changes_nothing(self, graph):
        task, missing = stubs(2)
        graph.add_tasks(task)
        assert graph.remove_tasks(missing) == []
        assert list(graph.tasks) == [task]


class TestHasTasks:
    def test_a_graph_has_the_task_that_was_added(self, graph):
        [task] = stubs(1)
        graph.add_tasks(task)
        assert graph.has_tasks(task) is True

    def test_a_graph_does_not_have_a_missing_task(self, graph):
        task, missing = stubs(2)
        graph.add_tasks(task)
        assert graph.has_tasks(missing) is False

    def test_a_graph_has_an_empty_group(self, graph):
        assert graph.has_tasks([]) is True

    def test_a_graph_has_a_group_that_was_added(self, graph):
        tasks = stubs(3)
        graph.add_tasks(*tasks)
        assert graph.has_tasks(*tasks) is True

    def test_a_graph_does_not_have_a_partially_existing_group(self, graph):
        tasks = stubs(3)
        graph.add_tasks(tasks[1])
        assert graph.has_tasks(tasks) is False

    def test_a_graph_has_a_recursive_group_that_was_added(self, graph):
        a, b, c, d = stubs(4)
        graph.add_tasks([a, [b, c], d])
        assert graph.has_tasks([a, [b, c], d]) is True


class TestGetTask:
    def test_a_task_is_found_by_its_id(self, graph):
        [task] = stubs(1)
        graph.add_tasks(task)
        assert graph.get_task(task.id) is task

    def test_a_missing_id_is_an_error(self, graph):
        task, missing = stubs(2)
        graph.add_tasks(task)
        with pytest.raises(TaskNotInGraphError, match="'work'"):
            graph.get_task(missing.id)


class TestTraversal:
    def test_tasks_iterates_all(self, graph):
        tasks = stubs(2)
        graph.add_tasks(tasks[0])
        graph.add_tasks(tasks[1])
        assert set(graph.tasks) == set(tasks)

    def test_dependents_are_those_that_wait_for_the_task_itself(self, graph):
        task, one, two, far = stubs(4)
        graph.add_tasks(task, one, two, far)
        graph.add_dependency(one, task)
        graph.add_dependency(two, task)
        graph.add_dependency(far, two)
        assert set(graph.get_dependents(task)) == {one, two}

    def test_a_task_nobody_waits_for_has_no_dependents(self, graph):
        task, other = stubs(2)
        graph.add_tasks(task, other)
        assert list(graph.get_dependents(task)) == []

    def test_dependents_of_a_missing_task_are_an_error(self, graph):
        task, missing = stubs(2)
        graph.add_tasks(task)
        with pytest.raises(TaskNotInGraphError, match="'t1'"):
            list(graph.get_dependents(missing))

    def test_dependencies_are_those_the_task_itself_waits_for(self, graph):
        task, one, two, far = stubs(4)
        graph.add_tasks(task, one, two, far)
        graph.add_dependency(task, one)
        graph.add_dependency(task, two)
        graph.add_dependency(two, far)
        assert set(graph.get_dependencies(task)) == {one, two}

    def test_a_task_that_waits_for_nothing_has_no_dependencies(self, graph):
        task, other = stubs(2)
        graph.add_tasks(task, other)
        assert list(graph.get_dependencies(task)) == []

    def test_dependencies_of_a_missing_task_are_an_error(self, graph):
        task, missing = stubs(2)
        graph.add_tasks(task)
        with pytest.raises(TaskNotInGraphError, match="'t1'"):
            list(graph.get_dependencies(missing))


@pytest.fixture
def task(graph) -> StubTask:
    task = StubTask("task")
    graph.add_tasks(task)
    return task


@pytest.fixture
def group(graph) -> list[StubTask]:
    tasks = [StubTask(f"group{index}") for index in range(3)]
    graph.add_tasks(*tasks)
    return tasks


@pytest.fixture
def other_group(graph) -> list[StubTask]:
    tasks = [StubTask(f"other{index}") for index in range(3)]
    graph.add_tasks(*tasks)
    return tasks


class TestAddDependency:
    def test_a_dependency_is_added_between_two_tasks_only(self, graph, task, group):
        assert graph.add_dependency(task, group[0]) is True
        assert graph.has_dependency(task, group[0]) is True
        assert list(graph.get_dependencies(task)) == [group[0]]

    def test_adding_an_existing_dependency_makes_no_second_one(self, graph, task, group):
        graph.add_dependency(task, group[0])
        assert graph.add_dependency(task, group[0]) is False
        assert list(graph.get_dependencies(task)) == [group[0]]

    def test_adding_a_missing_dependent_is_an_error(self, graph, task):
        with pytest.raises(TaskNotInGraphError):
            graph.add_dependency(StubTask(), task)

    def test_adding_a_missing_dependency_is_an_error(self, graph, task):
        with pytest.raises(TaskNotInGraphError):
            graph.add_dependency(task, StubTask())

    def test_adding_an_empty_dependent_group_changes_nothing(self, graph, task):
        assert graph.add_dependency([], task) is False
        assert list(graph.get_dependents(task)) == []

    def test_adding_an_empty_dependency_group_changes_nothing(self, graph, task):
        assert graph.add_dependency(task, []) is False
        assert list(graph.get_dependencies(task)) == []

    def test_each_of_a_dependent_group_waits_for_the_task(self, graph, task, group):
        assert graph.add_dependency(group, task) is True
        assert all(graph.has_dependency(each, task) for each in group)

    def test_the_task_waits_for_each_of_a_dependency_group(self, graph, task, group):
        assert graph.add_dependency(task, group) is True
        assert all(graph.has_dependency(task, each) for each in group)

    def test_between_groups_each_waits_for_each(self, graph, group, other_group):
        graph.add_dependency(group, other_group)
        for each in group:
            assert list(graph.get_dependencies(each)) == other_group

    def test_missing_edges_of_a_partially_existing_dependency_are_filled_in(self, graph, task, group):
        graph.add_dependency(task, group[1])
        assert graph.add_dependency(task, group) is True
        assert set(graph.get_dependencies(task)) == set(group)

    def test_adding_an_existing_dependency_between_groups_changes_nothing(self, graph, group, other_group):
        graph.add_dependency(group, other_group)
        assert graph.add_dependency(group, other_group) is False
        for each in group:
            assert list(graph.get_dependencies(each)) == other_group


class TestHasDependency:
    def test_an_added_dependency_is_there(self, graph, task, group):
        graph.add_dependency(task, group[0])
        assert graph.has_dependency(task, group[0]) is True
        assert graph.has_dependency(group[0], task) is False

    def test_a_dependency_that_was_not_added_is_not_there(self, graph, task, group):
        assert graph.has_dependency(task, group[0]) is False

    def test_asking_for_a_missing_dependent_is_an_error(self, graph, task):
        with pytest.raises(TaskNotInGraphError):
            graph.has_dependency(StubTask(), task)

    def test_asking_for_a_missing_dependency_is_an_error(self, graph, task):
        with pytest.raises(TaskNotInGraphError):
            graph.has_dependency(task, StubTask())

    def test_an_empty_dependent_group_has_no_dependency(self, graph, task):
        assert graph.has_dependency([], task) is False

    def test_nobody_depends_on_an_empty_dependency_group(self, graph, task):
        assert graph.has_dependency(task, []) is False

    def test_a_dependent_group_must_wait_as_a_whole(self, graph, task, group):
        assert graph.has_dependency(group, task) is False
        graph.add_dependency(group, task)
        assert graph.has_dependency(group, task) is True

    def test_a_dependency_group_must_be_waited_for_as_a_whole(self, graph, task, group):
        assert graph.has_dependency(task, group) is False
        graph.add_dependency(task, group)
        assert graph.has_dependency(task, group) is True

    def test_a_dependency_between_groups_is_there_once_added(self, graph, group, other_group):
        assert graph.has_dependency(other_group, group) is False
        graph.add_dependency(other_group, group)
        assert graph.has_dependency(other_group, group) is True

    def test_a_partial_dependency_on_a_group_does_not_count(self, graph, task, group):
        graph.add_dependency(task, group[1])
        assert graph.has_dependency(task, group) is False

    def test_groups_without_dependency_have_none(self, graph, group, other_group):
        assert graph.has_dependency(group, other_group) is False


class TestRemoveDependency:
    def test_a_removed_dependency_is_gone_and_others_stay(self, graph, task, group):
        graph.add_dependency([task, group[1]], group[0])
        assert graph.remove_dependency(task, group[0]) is True
        assert graph.has_dependency(task, group[0]) is False
        assert graph.has_dependency(group[1], group[0]) is True

    def test_removing_a_dependency_that_is_not_there_changes_nothing(self, graph, task, group):
        assert graph.remove_dependency(task, group[0]) is False
        assert set(graph.tasks) == {task, *group}

    def test_removing_from_a_missing_dependent_is_an_error(self, graph, task):
        with pytest.raises(TaskNotInGraphError):
            graph.remove_dependency(StubTask(), task)

    def test_removing_a_missing_dependency_is_an_error(self, graph, task):
        with pytest.raises(TaskNotInGraphError):
            graph.remove_dependency(task, StubTask())

    def test_removing_from_an_empty_dependent_group_changes_nothing(self, graph, task):
        assert graph.remove_dependency([], task) is False
        assert list(graph.tasks) == [task]

    def test_removing_an_empty_dependency_group_changes_nothing(self, graph, task):
        assert graph.remove_dependency(task, []) is False
        assert list(graph.tasks) == [task]

    def test_a_dependent_group_waits_for_nothing_after_removal(self, graph, task, group):
        graph.add_dependency(group, task)
        assert graph.remove_dependency(group, task) is True
        assert not any(graph.has_dependency(each, task) for each in group)

    def test_a_dependency_group_is_not_waited_for_after_removal(self, graph, task, group):
        graph.add_dependency(task, group)
        assert graph.remove_dependency(task, group) is True
        assert not any(graph.has_dependency(task, each) for each in group)

    def test_between_groups_nothing_is_left_after_removal(self, graph, group, other_group):
        graph.add_dependency(other_group, group)
        assert graph.remove_dependency(other_group, group) is True
        assert not any(graph.has_dependency(one, two) for one in other_group for two in group)

    def test_removing_a_partial_dependency_removes_nothing(self, graph, task, group):
        graph.add_dependency(task, group[1])
        assert graph.remove_dependency(task, group) is False
        assert [graph.has_dependency(task, each) for each in group] == [False, True, False]

    def test_removing_what_is_not_there_between_groups_changes_nothing(self, graph, group, other_group):
        assert graph.remove_dependency(other_group, group) is False
        assert graph.has_dependency(other_group, group) is False


class TestNesting:
    def test_a_sequence_inside_a_group_orders_only_its_own_tasks(self, graph):
        a, b, c, d, e = stubs(5)
        graph.add_tasks(a, graph.sequence(b, c, d), e)
        assert set(graph.tasks) == {a, b, c, d, e}
        assert [list(graph.get_dependencies(each)) for each in (a, b, c, d, e)] == [[], [], [b], [c], []]

    def test_a_group_inside_a_group_orders_nothing(self, graph):
        a, b, c, d, e = stubs(5)
        graph.add_tasks(a, (b, c, d), e)
        assert set(graph.tasks) == {a, b, c, d, e}
        assert not any(list(graph.get_dependencies(each)) for each in graph.tasks)

    def test_recursive_groups_order_nothing(self, graph):
        tasks = stubs(9)
        graph.add_tasks(*tasks[:3], [*tasks[3:6], [*tasks[6:]]])
        assert set(graph.tasks) == set(tasks)
        assert not any(list(graph.get_dependencies(each)) for each in tasks)

    def test_recursive_groups_keep_the_dependencies_among_their_tasks(self, graph):
        tasks = stubs(9)
        graph.add_tasks(*tasks[:3], [*tasks[3:6], [*tasks[6:]]])
        graph.add_dependency(tasks[2], tasks[5])
        graph.add_dependency(tasks[4], tasks[6])
        graph.add_dependency(tasks[7], tasks[0])
        expected = {2: [tasks[5]], 4: [tasks[6]], 7: [tasks[0]]}
        for index, task in enumerate(tasks):
            assert list(graph.get_dependencies(task)) == expected.get(index, [])


class TestSequence:
    def test_each_task_waits_for_the_one_before(self, graph):
        a, b, c = stubs(3)
        graph.sequence(a, b, c)
        assert set(graph.tasks) == {a, b, c}
        assert [list(graph.get_dependencies(each)) for each in (a, b, c)] == [[], [a], [b]]

    def test_tasks_and_dependencies_already_in_the_graph_are_kept(self, graph):
        a, b, c = stubs(3)
        graph.add_tasks(b, c)
        graph.add_dependency(c, b)
        graph.sequence(a, b, c)
        assert set(graph.tasks) == {a, b, c}
        assert [list(graph.get_dependencies(each)) for each in (a, b, c)] == [[], [a], [b]]

    def test_a_nested_sequence_stands_as_a_whole_between_its_neighbours(self, graph):
        a, b, c, d, e = stubs(5)
        graph.sequence(a, graph.sequence(b, c, d), e)
        expected = [set(), {a}, {a, b}, {a, c}, {b, c, d}]
        assert [set(graph.get_dependencies(each)) for each in (a, b, c, d, e)] == expected

    def test_a_nested_group_runs_between_its_neighbours(self, graph):
        a, b, c, d, e = stubs(5)
        graph.sequence(a, (b, c, d), e)
        assert [set(graph.get_dependencies(each)) for each in (a, b, c, d, e)] == [
            set(), {a}, {a}, {a}, {b, c, d}]

    def test_a_recursive_group_runs_between_its_neighbours(self, graph):
        first, a, b, c, d, last = stubs(6)
        graph.sequence(first, [a, [b, c], d], last)
        assert set(graph.tasks) == {first, a, b, c, d, last}
        for each in (a, b, c, d):
            assert list(graph.get_dependencies(each)) == [first]
            assert list(graph.get_dependents(each)) == [last]

    def test_an_empty_group_is_skipped(self, graph):
        a, b = stubs(2)
        graph.sequence(a, [], b)
        assert set(graph.tasks) == {a, b}
        assert list(graph.get_dependents(a)) == [b]
        assert list(graph.get_dependencies(b)) == [a]

    def test_recursive_sequences_keep_the_order_inside_each(self, graph):
        outer, middle, inner = stubs(3), stubs(3), stubs(3)
        inner_sequence = list(graph.sequence(*inner))
        middle_sequence = list(graph.sequence(*middle, inner_sequence))
        graph.sequence(*outer, middle_sequence)
        expected = {
            outer[0]: set(), outer[1]: {outer[0]}, outer[2]: {outer[1]},
            middle[0]: {outer[2]}, middle[1]: {outer[2], middle[0]}, middle[2]: {outer[2], middle[1]},
            inner[0]: {outer[2], middle[2]}, inner[1]: {outer[2], middle[2], inner[0]},
            inner[2]: {outer[2], middle[2], inner[1]},
        }
        assert {task: set(graph.get_dependencies(task)) for task in graph.tasks} == expected


class TestOurs:
    def test_the_order_goes_from_dependents_and_in_reverse_from_dependencies(self, graph):
        a, b, c = stubs(3)
        graph.sequence(a, b, c)
        assert list(graph.topological_order()) == [c, b, a]
        assert list(graph.topological_order(reverse=True)) == [a, b, c]

    def test_independent_tasks_keep_the_order_they_were_added_in(self, graph):
        tasks = stubs(20)
        graph.add_tasks(*tasks)
        assert list(graph.topological_order(reverse=True)) == tasks

    @pytest.mark.parametrize("length", [1, 2, 1000])
    def test_a_cycle_is_named_in_the_order_of_waiting(self, graph, length):
        before, after, *tasks = stubs(length + 2)
        graph.sequence(before, tasks[0])
        graph.sequence(*tasks, tasks[0])
        graph.sequence(tasks[-1], after)
        with pytest.raises(CyclicGraphError) as caught:
            graph.topological_order()
        cycle = caught.value.cycle
        assert sorted(cycle) == sorted(task.name for task in tasks)
        turned = cycle.index("t2")
        assert [*cycle[turned:], *cycle[:turned]] == ["t2", *(task.name for task in reversed(tasks[1:]))]
        assert "'work'" in str(caught.value)

    def test_none_stands_for_no_task(self, graph):
        a, b = stubs(2)
        graph.sequence(a, None, b)
        assert list(graph.get_dependencies(b)) == [a]

    def test_what_is_no_task_is_refused_by_name(self, graph):
        with pytest.raises(InvalidInputError, match="'create' is no task"):
            graph.add_tasks("create")

    def test_the_graph_may_change_while_its_tasks_are_walked(self, graph):
        graph.add_tasks(*stubs(3))
        for task in graph.tasks:
            graph.remove_tasks(task)
        assert list(graph.tasks) == []

    def test_ids_of_graphs_differ(self):
        assert TaskGraph("a").id != TaskGraph("a").id

    def test_the_cost_of_a_call_does_not_grow_with_the_graph(self, graph):
        tasks = stubs(20_000)
        began = time.process_time()
        for task in tasks:
            graph.add_tasks(task)
        for earlier, later in pairwise(tasks):
            graph.add_dependency(later, earlier)
            graph.has_dependency(later, earlier)
        assert len(list(graph.topological_order())) == 20_000
        assert time.process_time() - began < 10
