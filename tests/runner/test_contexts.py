"""What operations see and change through ``ctx``, in threads and in processes, with a real runner."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from aria_core.exceptions import ExecutionFailedError
from aria_core.orchestrator.executor import Executor, Inbox
from aria_core.worker.calls import Call, Edit, Succeeded


def test_a_node_operation_knows_where_it_is(lab: Any) -> None:
    execution = lab.run({"label": "a", "do": "show_context"})
    task = lab.tasks(execution)["a"]
    name, node, node_id, task_id, template, service, token, attempt, pid = lab.effects[0].split("|")
    assert name == task.name == "Test:show_context@node:one"
    assert (node, int(node_id), int(task_id)) == ("one", lab.node().id, task.id)
    assert (template, service, token, attempt) == ("one", "lab", f"{execution.id}/{task.id}", "1")
    assert (int(pid) == os.getpid()) is (not lab.executor.isolates_calls)


def test_a_relationship_operation_knows_where_it_is(lab: Any) -> None:
    execution = lab.run({"label": "a", "do": "show_relationship", "relationship": True})
    task, (tie,) = lab.tasks(execution)["a"], lab.node().outbound_relationships
    name, function, arguments, tie_name, tie_id, task_id, source, target = lab.effects[0].split("|")
    assert name == task.name == "Test:show_relationship@relationship:host"
    assert (function, json.loads(arguments)) == (task.function, task.arguments)
    assert function == "ops:show_relationship"
    assert arguments == json.dumps({"effects": str(lab.effects_file), "label": "a"})
    assert (tie_name, int(tie_id), int(task_id)) == ("host", tie.id, task.id)
    assert (source, target) == (f"one/{lab.node('one').id}/one", f"two/{lab.node('two').id}/two")


def test_attributes_are_stored_when_the_operation_succeeds(lab: Any) -> None:
    lab.run({"label": "a", "do": "set_attribute",
             "arguments": {"name": "color", "value": {"r": [1, 2.5, None]}}})
    assert lab.node().attributes["color"] == {"r": [1, 2.5, None]}


def test_attributes_are_stored_when_the_operation_fails_too(lab: Any) -> None:
    with pytest.raises(ExecutionFailedError):
        lab.run({"label": "a", "do": "set_attribute", "max_attempts": 1,
                 "arguments": {"name": "color", "value": "red", "fail": True}})
    assert lab.node().attributes["color"] == "red"


def test_nested_changes_and_deletions_of_attributes_are_stored(lab: Any) -> None:
    lab.run({"label": "a", "do": "set_nested"})
    assert lab.node().attributes["nested"] == {"list": [{"deep": 1}]}
    assert "doomed" not in lab.node().attributes


def test_a_relationship_operation_passes_an_attribute_from_target_to_source(lab: Any) -> None:
    lab.run({"label": "a", "do": "copy_attribute", "relationship": True, "arguments": {"name": "address"}})
    assert lab.node("one").attributes["copied"] == "two's"


def test_a_later_operation_reads_what_an_earlier_one_wrote(lab: Any) -> None:
    lab.run({"label": "w", "node": "two", "do": "set_attribute",
             "arguments": {"name": "address", "value": "new"}},
            {"label": "r", "do": "copy_attribute", "relationship": True, "arguments": {"name": "address"},
             "after": ["w"]})
    assert lab.node("one").attributes["copied"] == "new"


def test_two_operations_that_write_one_attribute_both_run_and_the_last_stays(lab: Any) -> None:
    lab.run(*({"label": str(each), "do": "set_attribute", "arguments": {"name": "who", "value": each}}
              for each in range(2)))
    assert sorted(lab.effects) == ["0", "1"]
    assert lab.node().attributes["who"] in (0, 1)


@pytest.mark.parametrize("who", ["one", "two"])
def test_of_two_that_write_one_attribute_at_once_the_one_that_fails_is_told_and_both_wrote(
        lab: Any, who: str) -> None:
    steps = [{"label": label, "do": "set_at_once", "max_attempts": 1,
              "arguments": {"others": other, "fail": label == who}}
             for label, other in (("one", "two"), ("two", "one"))]
    with pytest.raises(ExecutionFailedError, match=f"LookupError: {who} fails"):
        lab.run(*steps)
    tasks = lab.tasks(1)
    assert {label: task.state for label, task in tasks.items()} == {
        "one": "success", "two": "success", who: "failed"}
    assert sorted(lab.effects) == ["one begins", "two begins"]
    assert lab.node().attributes["who"] in ("one", "two")


def test_an_operation_that_refreshes_its_node_sees_its_own_changes(lab: Any) -> None:
    lab.run({"label": "a", "do": "set_and_refresh"})
    assert lab.effects == ["a red original"]


@pytest.mark.parametrize("executor", ["process"], indirect=True)
def test_flushed_attributes_outlive_an_operation_that_dies(lab: Any) -> None:
    with pytest.raises(ExecutionFailedError, match="lost"):
        lab.run({"label": "a", "do": "flush_then_die"})
    assert lab.node().attributes["flushed"] is True
    assert lab.tasks(1)["a"].lost == 3


def test_the_toolbelt_gives_the_address_of_the_host(lab: Any) -> None:
    lab.run({"label": "a", "do": "host_address"})
    assert lab.effects == ["a 10.0.0.2"]


@pytest.mark.parametrize("relationship", [False, True], ids=["node", "relationship"])
def test_logs_of_operations_are_stored_with_level_and_task(lab: Any, relationship: bool) -> None:
    execution = lab.run({"label": "a", "do": "say", "relationship": relationship})
    rows = lab.model.log.list(filters={"execution_id": execution.id}, sort={"id": "asc"}).items
    assert [(row.level, row.message) for row in rows] == [
        ("INFO", "info from a"), ("WARNING", "two\nlines \N{SNOWMAN}")]
    assert {row.task_id for row in rows} == {lab.tasks(execution)["a"].id}


def test_resources_are_read_and_rendered(lab: Any) -> None:
    lab.run({"label": "a", "do": "read_resource", "max_attempts": 1})
    assert lab.effects == ["hello you one/1 17"]


def test_files_are_rendered_with_what_is_given_or_with_ctx(lab: Any) -> None:
    lab.run({"label": "a", "do": "render_files", "max_attempts": 1,
             "arguments": {"directory": str(lab.directory)}})
    assert lab.effects == ["a hello you one/1"]


def test_a_file_of_the_service_hides_that_of_its_template(lab: Any) -> None:
    other = lab.directory / "greeting.txt"
    other.write_text("goodbye {{ name }}\n")
    lab.resource.service.upload(lab.service.id, other)
    lab.run({"label": "a", "do": "read_resource", "max_attempts": 1})
    assert lab.effects == ["goodbye you one/1 19"]


def test_an_operation_cannot_reach_the_nodes_of_another_service(lab: Any) -> None:
    other = lab.new_service("other").nodes["one"].id
    with pytest.raises(ExecutionFailedError, match=f"this service has no node {other}"):
        lab.run({"label": "a", "do": "set_foreign", "max_attempts": 1, "arguments": {"node": other}})
    assert "stolen" not in lab.model.node.get(other).attributes


class LyingExecutor(Executor):
    """Runs nothing and claims that `node` was changed, and a node that does not exist."""

    slots = 1

    def __init__(self, node: int) -> None:
        self.node = node

    def open(self, report: Inbox) -> None:
        self.report = report

    def submit(self, call: Call) -> None:
        edits = tuple(Edit("node", owner, "stolen", True) for owner in (self.node, 10**9, call.actor.id))
        self.report(Succeeded(call.ref, edits=edits))

    def close(self, grace: float) -> None:
        """Nothing runs."""


@pytest.mark.parametrize("executor", ["thread"], indirect=True)
def test_edits_of_what_is_not_of_the_service_are_left_out_and_told(lab: Any) -> None:
    other = lab.new_service("other").nodes["one"].id
    execution = lab.run({"label": "a"}, executor=LyingExecutor(other))
    assert lab.node().attributes["stolen"] is True
    assert "stolen" not in lab.model.node.get(other).attributes
    told = [row.message for row in lab.model.log.list(filters={"execution_id": execution.id})]
    assert [each.split(" is not of")[0] for each in told] == [f"the node {other}", f"the node {10**9}"]
