"""What ``ctx`` shows, what it asks for, and which changes it notices."""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aria_core.exceptions import InvalidInputError, NotFoundError, NotJsonError
from aria_core.modeling.models import MODELS
from aria_core.testing.memory_channel import PIECE, MemoryChannel
from aria_core.worker.calls import Actor, Call, CallRef, Edit
from aria_core.worker.context import (
    NodeOperationContext,
    OperationContext,
    RelationshipOperationContext,
    make_context,
)
from aria_core.worker.model import TABLES
from aria_core.worker.outcomes import TaskAbortException, TaskRetryException

REF = CallRef(3, 40, 2)


@pytest.fixture
def channel() -> MemoryChannel:
    return MemoryChannel(
        nodes={
            1: {"name": "web", "type_name": "Web", "types": ["Web", "Root"], "state": "starting", "host": 2,
                "host_address": "10.0.0.1", "template": "web_template",
                "properties": {"port": 80, "nested": {"list": [1, {"a": 2}]}},
                "attributes": {"list": [1, [2]], "map": {"a": {"b": 1}}, "plain": 1},
                "capabilities": {"endpoint": {"type": "Endpoint", "properties": {"port": 443},
                                              "attributes": {"url": "u"}}},
                "artifacts": {"image": {"file": "image.bin"}}},
            2: {"name": "host", "host_address": "10.0.0.1", "attributes": {"ip": "10.0.0.1"},
                "template": "host_template"}},
        relationships={5: {"name": "uses", "type_name": "Uses", "capability": "endpoint", "source": 1,
                           "target": 2, "properties": {"weight": 3}, "attributes": {"seen": 0}}},
        service={"id": 9, "name": "shop", "description": "a shop", "inputs": {"color": "blue"}},
        templates={None: {"name": "shop_template", "description": "d"},
                   "web_template": {"name": "web_template"}, "host_template": {"name": "host_template"}},
        resources={"a.txt": b"A", "folder/b.txt": b"hello {{ name }}", "folder/deep/c.bin": b"\xff",
                   "big": os.urandom(PIECE + 10), "empty": b""},
        rows={"task": [{"id": each, "name": f"t{each}", "state": "pending"} for each in range(1, 1201)]})


def a_call(actor: Actor | None, **changes: Any) -> Call:
    return Call(**{"ref": REF, "function": "m:f", "arguments": {"a": [1]}, "actor": actor, "name": "the task",
                   "interface": "Standard", "operation": "start", "workflow": "install", "service": 9,
                   "service_name": "shop", "max_attempts": 30, **changes})


@pytest.fixture
def ctx(channel: MemoryChannel) -> NodeOperationContext:
    made = make_context(a_call(Actor("node", 1, "web")), channel)
    assert isinstance(made, NodeOperationContext)
    return made


@pytest.fixture
def tie(channel: MemoryChannel) -> RelationshipOperationContext:
    made = make_context(a_call(Actor("relationship", 5, "uses")), channel)
    assert isinstance(made, RelationshipOperationContext)
    return made


def edits(ctx: OperationContext) -> list[Edit]:
    found, problems = ctx.edits()
    assert not problems
    return found


def test_the_context_fits_its_actor() -> None:
    kinds = [make_context(a_call(actor)).actor_kind
             for actor in (None, Actor("node", 1, "n"), Actor("relationship", 1, "r"))]
    assert kinds == [None, "node", "relationship"]


def test_what_the_call_says_is_known_without_asking(ctx: NodeOperationContext,
                                                    channel: MemoryChannel) -> None:
    task = ctx.task
    assert (ctx.name, ctx.execution_id, ctx.workflow_name) == ("the task", 3, "install")
    assert (task.id, task.name, task.attempt, task.token) == (40, "the task", 2, "3/40")
    assert task.max_attempts == 30
    assert (task.interface_name, task.operation_name, task.function) == ("Standard", "start", "m:f")
    assert task.arguments == {"a": [1]}
    assert (ctx.service.id, ctx.service.name, ctx.node.id, ctx.node.name) == (9, "shop", 1, "web")
    assert channel.asked == []


def test_all_threads_of_an_operation_see_the_same_objects(channel: MemoryChannel) -> None:
    threads, rounds = 4, 200
    barrier = threading.Barrier(threads)
    contexts = [make_context(a_call(Actor("node", 1, "web")), channel) for _ in range(rounds)]

    def look_at_each(_: int) -> list[tuple[int, ...]]:
        barrier.wait()
        return [(id(each.logger), id(each.task), id(each.service), id(each.model), id(each.model.node.get(1)))
                for each in contexts]

    with ThreadPoolExecutor(threads) as pool:
        first, *others = pool.map(look_at_each, range(threads))
    assert all(each == first for each in others)


def test_an_actor_is_asked_for_once(ctx: NodeOperationContext, channel: MemoryChannel) -> None:
    node = ctx.node
    assert (node.type_name, node.types, node.state) == ("Web", ["Web", "Root"], "starting")
    assert node.properties["port"] == 80
    assert node.artifacts["image"]["file"] == "image.bin"
    assert node.capabilities["endpoint"].properties["port"] == 443
    assert node.capabilities["endpoint"].type_name == "Endpoint"
    assert node.attributes["plain"] == 1
    assert channel.asked == [{"ask": "node", "id": 1}]


def test_the_host_is_a_node_and_its_address_is_known(ctx: NodeOperationContext) -> None:
    assert ctx.node.host_address == "10.0.0.1"
    assert ctx.node.host is not None
    assert (ctx.node.host.name, ctx.node.host.host, ctx.node.host.host_address) == ("host", None, "10.0.0.1")
    ctx.node.host.attributes["ip"] = "10.0.0.2"
    assert (ctx.node.host_address, ctx.node.host.host_address) == ("10.0.0.2", "10.0.0.2")


def test_a_relationship_shows_both_ends(tie: RelationshipOperationContext) -> None:
    assert (tie.relationship.name, tie.relationship.properties["weight"]) == ("uses", 3)
    assert tie.relationship.capability == "endpoint"
    assert (tie.source_node.name, tie.target_node.name) == ("web", "host")
    assert (tie.source_node_template.name, tie.target_node_template.name) == ("web_template", "host_template")
    tie.source_node.attributes["plain"] = 2
    tie.target_node.attributes["ip"] = "x"
    tie.relationship.attributes["seen"] += 1
    assert edits(tie) == [Edit("relationship", 5, "seen", 1), Edit("node", 1, "plain", 2),
                          Edit("node", 2, "ip", "x")]


def test_service_and_templates_are_read_when_looked_at(ctx: NodeOperationContext,
                                                       channel: MemoryChannel) -> None:
    assert (ctx.service.description, ctx.service.inputs["color"]) == ("a shop", "blue")
    assert ctx.service_template.name == ctx.service_template["name"] == "shop_template"
    assert ctx.node_template.name == "web_template"
    assert [each["ask"] for each in channel.asked] == ["service", "template", "node", "template"]
    with pytest.raises(AttributeError, match="service template has no 'nodes'; it has description, name"):
        _ = ctx.service_template.nodes


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], list[Edit]]] = {
    "set": (lambda a: a.update(plain=2), [Edit("node", 1, "plain", 2)]),
    "new": (lambda a: a.setdefault("new", None), [Edit("node", 1, "new", None)]),
    "delete": (lambda a: a.pop("plain"), [Edit("node", 1, "plain", deleted=True)]),
    "append": (lambda a: a["list"].append(3), [Edit("node", 1, "list", [1, [2], 3])]),
    "in a list in a list": (lambda a: a["list"][1].clear(), [Edit("node", 1, "list", [1, []])]),
    "in a map in a map": (lambda a: a["map"]["a"].update(c=2),
                          [Edit("node", 1, "map", {"a": {"b": 1, "c": 2}})]),
    "another type of an equal value": (lambda a: a.update(plain=True), [Edit("node", 1, "plain", True)]),
    "a float for an integer": (lambda a: a.update(plain=1.0), [Edit("node", 1, "plain", 1.0)]),
    "a tuple": (lambda a: a.update(plain=(1, 2)), [Edit("node", 1, "plain", [1, 2])]),
    "an equal value": (lambda a: a.update(map={"a": {"b": 1}}, plain=1), []),
    "there and back": (lambda a: (a["list"].append(3), a["list"].pop()), []),
    "another order of keys": (lambda a: a.update(map=dict(reversed(a["map"].items()))), []),
    "everything": (lambda a: a.clear(),
                   [Edit("node", 1, name, deleted=True) for name in ("list", "map", "plain")]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_of_attributes_are_found_wherever_they_are(ctx: NodeOperationContext, change: str) -> None:
    make, expected = CHANGES[change]
    make(ctx.node.attributes)
    found = edits(ctx)
    assert [(each, type(each.value)) for each in found] == [(each, type(each.value)) for each in expected]


def test_looking_at_attributes_changes_nothing(ctx: NodeOperationContext) -> None:
    assert sorted(ctx.node.attributes) == ["list", "map", "plain"]
    assert edits(ctx) == []


@pytest.mark.parametrize("change", [
    lambda ctx: ctx.node.properties.update(port=1), lambda ctx: ctx.node.properties["nested"].clear(),
    lambda ctx: ctx.node.properties["nested"]["list"].append(1),
    lambda ctx: ctx.node.properties["nested"]["list"].__delitem__(0),
    lambda ctx: ctx.node.capabilities["endpoint"].attributes.update(url=1),
    lambda ctx: ctx.service.inputs.pop("color"), lambda ctx: ctx.task.arguments["a"].append(2),
    lambda ctx: ctx.node.properties.__ior__({"a": 1}),
])
def test_what_is_no_attribute_cannot_be_changed(ctx: NodeOperationContext,
                                                change: Callable[[NodeOperationContext], Any]) -> None:
    with pytest.raises(TypeError, match="read-only inside an operation; what may be changed are"):
        change(ctx)


def test_properties_are_dicts_and_lists_to_those_who_read(ctx: NodeOperationContext) -> None:
    import json

    assert json.dumps(ctx.node.properties) == '{"port": 80, "nested": {"list": [1, {"a": 2}]}}'
    assert ctx.node.properties["nested"]["list"] == [1, {"a": 2}]


def test_flush_stores_the_changes_so_far_once(ctx: NodeOperationContext, channel: MemoryChannel) -> None:
    ctx.flush()
    ctx.node.attributes["plain"] = 5
    del ctx.node.attributes["map"]
    ctx.flush()
    assert channel.nodes[1]["attributes"] == {"list": [1, [2]], "plain": 5}
    assert edits(ctx) == []
    ctx.flush()
    ctx.node.attributes["list"].append(4)
    assert edits(ctx) == [Edit("node", 1, "list", [1, [2], 4])]
    assert len([each for each in channel.asked if each["ask"] == "flush"]) == 1


def test_flush_refuses_what_cannot_be_stored_and_stores_nothing(ctx: NodeOperationContext,
                                                                channel: MemoryChannel) -> None:
    ctx.node.attributes.update(good=1, bad={"x": object()})
    with pytest.raises(NotJsonError, match=r"node web: attributes.bad.x is a object"):
        ctx.flush()
    assert "good" not in channel.nodes[1]["attributes"]


def test_refresh_sees_what_others_stored_and_keeps_what_was_changed_here(
        ctx: NodeOperationContext, channel: MemoryChannel) -> None:
    attributes = ctx.node.attributes
    attributes["plain"] = "mine"
    attributes.pop("map")
    channel.nodes[1].update(state="started", attributes={
        "plain": "theirs", "other": 1, "map": {}, "list": []})
    assert ctx.model.node.refresh(ctx.node) is ctx.node
    assert ctx.node.state == "started"
    assert attributes == {"plain": "mine", "other": 1, "list": []}
    assert attributes is ctx.node.attributes
    assert edits(ctx) == [Edit("node", 1, "map", deleted=True), Edit("node", 1, "plain", "mine")]


def test_a_change_that_somebody_else_made_as_well_is_no_change(ctx: NodeOperationContext,
                                                               channel: MemoryChannel) -> None:
    ctx.node.attributes["plain"] = 7
    channel.nodes[1]["attributes"]["plain"] = 7
    ctx.model.node.refresh(ctx.node)
    assert edits(ctx) == []


def test_there_is_a_table_for_every_model(ctx: NodeOperationContext) -> None:
    assert set(TABLES) == set(MODELS)
    with pytest.raises(AttributeError, match="there is no table 'nodes'; there are service_template"):
        _ = ctx.model.nodes


def test_rows_are_found_by_id_name_and_filter(ctx: NodeOperationContext) -> None:
    assert ctx.model.task.get(7)["name"] == ctx.model.task.get_by_name("t7").name == "t7"
    assert len(ctx.model.task.list(filters={"state": "pending"}, pagination={"size": 5, "offset": 2})) == 5
    assert [row["id"] for row in ctx.model.task.iter()] == list(range(1, 1201))
    assert len(list(ctx.model.task)) == 1200
    with pytest.raises(NotFoundError):
        ctx.model.task.get(5000)


def test_iterating_reads_page_by_page(ctx: NodeOperationContext, channel: MemoryChannel) -> None:
    next(iter(ctx.model.task))
    assert channel.asked == [{"ask": "model", "table": "task", "method": "list", "arguments": {
        "sort": {"id": "asc"}, "pagination": {"size": 500, "offset": 0}}}]


def test_a_node_is_the_same_however_it_was_reached(ctx: NodeOperationContext) -> None:
    host = ctx.model.node.get_by_name("host")
    assert host is ctx.node.host
    assert ctx.model.node.get(1) is ctx.node
    assert {each.name for each in ctx.model.node.list()} == {"web", "host"}
    ctx.model.node.get(2).attributes["ip"] = "changed"
    assert edits(ctx) == [Edit("node", 2, "ip", "changed")]


@pytest.mark.parametrize("method", ["put", "update", "delete", "create", "drop"])
def test_the_model_is_read_only(ctx: NodeOperationContext, method: str) -> None:
    with pytest.raises(AttributeError, match=f"ctx.model.node.{method}: the model is read-only inside"):
        getattr(ctx.model.node, method)


def test_retry_and_abort_raise_what_the_engine_understands(ctx: NodeOperationContext) -> None:
    with pytest.raises(TaskRetryException, match="later") as caught:
        ctx.task.retry("later", retry_interval=5)
    assert caught.value.retry_interval == 5
    with pytest.raises(TaskAbortException, match="never"):
        ctx.task.abort("never")


def test_a_heartbeat_is_told_with_or_without_progress(ctx: NodeOperationContext,
                                                      channel: MemoryChannel) -> None:
    ctx.task.heartbeat()
    ctx.task.heartbeat(0.5, "half")
    assert channel.heartbeats == [
        {"tell": "heartbeat", "progress": None, "message": None},
        {"tell": "heartbeat", "progress": 0.5, "message": "half"}]


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan"), "0.5", True])
def test_a_progress_that_is_none_is_refused(ctx: NodeOperationContext, progress: Any) -> None:
    with pytest.raises(InvalidInputError, match="it is a number from 0 to 1"):
        ctx.task.heartbeat(progress)


def test_a_resource_is_read_whole_whatever_its_size(ctx: NodeOperationContext,
                                                    channel: MemoryChannel) -> None:
    assert ctx.get_resource("big") == channel.resources["big"]
    assert ctx.get_resource("empty") == b""
    with pytest.raises(NotFoundError, match="there is no resource 'missing'"):
        ctx.get_resource("missing")


def test_resources_are_downloaded_as_file_into_a_folder_and_as_folder(
        ctx: NodeOperationContext, channel: MemoryChannel, tmp_path: Path) -> None:
    ctx.download_resource(tmp_path / "new" / "x", "big")
    ctx.download_resource(tmp_path, "folder/b.txt")
    ctx.download_resource(tmp_path / "all", "folder")
    ctx.download_resource(str(tmp_path / "everything"))
    assert (tmp_path / "new" / "x").read_bytes() == channel.resources["big"]
    assert (tmp_path / "b.txt").is_file()
    assert (tmp_path / "all" / "deep" / "c.bin").read_bytes() == b"\xff"
    everything = tmp_path / "everything"
    found = {str(each.relative_to(everything)) for each in everything.rglob("*") if each.is_file()}
    assert found == set(channel.resources)
    with pytest.raises(NotFoundError, match="there is no resource 'nothing'"):
        ctx.download_resource(tmp_path / "y", "nothing")


def test_a_download_that_fails_leaves_the_old_file_and_nothing_else(
        ctx: NodeOperationContext, channel: MemoryChannel, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    ask = channel.ask

    def fail_in_the_middle(request: Any) -> Any:
        if request.get("offset"):
            raise OSError("cut")
        return ask(request)

    channel.ask = fail_in_the_middle  # type: ignore[method-assign]
    with pytest.raises(OSError, match="cut"):
        ctx.download_resource(tmp_path / "x", "big")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("x", "old")]


def test_resources_are_rendered_with_variables(ctx: NodeOperationContext, tmp_path: Path) -> None:
    assert ctx.get_resource_and_render("folder/b.txt", {"name": "you"}) == "hello you"
    ctx.download_resource_and_render(tmp_path / "out", "folder/b.txt", {"name": "me"})
    ctx.download_resource_and_render(tmp_path, "folder/b.txt", {"name": "them"})
    assert (tmp_path / "out").read_text() == "hello me"
    assert (tmp_path / "b.txt").read_text() == "hello them"


def test_rendering_without_variables_lets_the_runner_see_the_changes_so_far(
        ctx: NodeOperationContext, channel: MemoryChannel) -> None:
    ctx.node.attributes["plain"] = 6
    assert ctx.get_resource_and_render("folder/b.txt") == "hello {{ name }}"
    assert [each["ask"] for each in channel.asked] == ["node", "flush", "render"]
    assert channel.asked[-1]["variables"] is None


def test_a_plugins_directory_is_made_when_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "plugins" / "9" / "p"
    ctx = make_context(a_call(None, plugin_workdir=str(path)))
    assert not path.exists()
    assert ctx.plugin_workdir == str(path) == ctx.plugin_workdir
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert make_context(a_call(None)).plugin_workdir is None


def test_handlers_take_part_for_a_while(ctx: NodeOperationContext, channel: MemoryChannel) -> None:
    seen: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    with ctx.logging_handlers([Keep()]):
        ctx.logger.info("inside")
    ctx.logger.info("outside")
    assert seen == ["inside"]
    assert channel.messages == [("INFO", "inside"), ("INFO", "outside")]


def test_threads_of_one_operation_share_its_actors(ctx: NodeOperationContext, channel: MemoryChannel) -> None:
    barrier = threading.Barrier(8)

    def change(number: int) -> None:
        barrier.wait()
        ctx.node.attributes[f"t{number}"] = number

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(edits(ctx)) == 8
    assert len(channel.asked) == 1
