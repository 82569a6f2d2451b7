"""What only SQL tables have to show: sessions, hostile values, messages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from aria_core.exceptions import AlreadyExistsError, NotFoundError, StorageError
from aria_core.modeling.models import MODELS, Interface, Node, Operation, Service, ServiceTemplate
from aria_core.modeling.parameters import Attribute, Parameter
from aria_core.modeling.plugins import Plugin
from aria_core.storage.model import ModelStorage
from aria_core.storage.sql import SqlModelStorage
from aria_core.testing.sample import add_service, at_once, elsewhere, start_service

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20)
ON_ONE_STORAGE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ON_ONE_STORAGE
@given(value=JSON.filter(lambda each: each is not None))
def test_any_json_comes_back_as_it_was(model_storage: ModelStorage, value: Any) -> None:
    node = model_storage.node.put(Node(name="n", artifacts=value))
    node.attributes["v"] = value
    model_storage.node.update(node)
    with model_storage.read_session() as session:
        found = session.get_one(Node, node.id)
        assert (repr(found.attributes["v"]), repr(found.artifacts)) == (repr(value), repr(value))


@ON_ONE_STORAGE
@given(first=JSON, second=JSON, text=TEXT)
def test_any_change_inside_a_value_is_stored(
        model_storage: ModelStorage, first: Any, second: Any, text: str) -> None:
    node = model_storage.node.put(Node(name="n", capabilities={"a": [{"b": first}]}))
    node.capabilities["a"][0]["b"] = second
    node.capabilities["a"].append({text: first})
    model_storage.node.update(node)
    with model_storage.read_session() as session:
        found = session.get_one(Node, node.id).capabilities
        assert repr(found) == repr({"a": [{"b": second}, {text: first}]})


@ON_ONE_STORAGE
@given(name=TEXT.filter(lambda each: 0 < len(each) <= 255))
def test_any_name_is_found_again_and_no_other(model_storage: ModelStorage, name: str) -> None:
    table = model_storage.service_template
    found = table.list({"name": name})
    stored = found[0] if found else table.put(ServiceTemplate(name=name, description=name))
    assert table.get_by_name(name).id == stored.id
    assert [each.description for each in table.list({"name": [name]})] == [name]


@ON_ONE_STORAGE
@given(value=st.text())
def test_no_text_breaks_a_filter(model_storage: ModelStorage, value: str) -> None:
    try:
        found = model_storage.node.list({"name": {"ge": value, "le": value}}).items
    except StorageError as refused:
        assert "NUL" in str(refused) or "surrogate" in str(refused) or "255" in str(refused)
    else:
        assert found == []


@pytest.mark.parametrize("change", [
    lambda value: value["list"].append(1), lambda value: value["list"].extend((1, 2)),
    lambda value: value["list"].insert(0, 1), lambda value: value["list"].pop(),
    lambda value: value["list"].remove(3), lambda value: value["list"].clear(),
    lambda value: value["list"].sort(), lambda value: value["list"].reverse(),
    lambda value: value["list"].__setitem__(0, 9),
    lambda value: value["list"].__setitem__(slice(1), [7, [8]]),
    lambda value: value["list"].__delitem__(0), lambda value: value["list"].__iadd__([1]),
    lambda value: value["list"].__imul__(2), lambda value: value["map"].update(a=1, b={}),
    lambda value: value["map"].setdefault("new", []).append(1), lambda value: value["map"].pop("k"),
    lambda value: value["map"].popitem(), lambda value: value["map"].clear(),
    lambda value: value["map"].__delitem__("k"), lambda value: value["map"].__ior__({"k": 2})])
def test_every_way_to_change_a_value_in_place_is_noticed(
        model_storage: ModelStorage, change: Callable[[Any], Any]) -> None:
    service = add_service(model_storage)
    node = service.nodes["web"]
    node.capabilities = {"list": [3, 1, 2], "map": {"k": {"deep": []}}}
    model_storage.node.update(node)
    plain: dict[str, Any] = {"list": [3, 1, 2], "map": {"k": {"deep": []}}}
    change(plain)
    change(node.capabilities)
    model_storage.node.update(node)
    assert elsewhere(lambda: model_storage.node.get(node.id).capabilities) == plain


def test_a_value_that_was_replaced_does_not_come_back(model_storage: ModelStorage) -> None:
    node = model_storage.node.put(Node(name="n", capabilities={"old": []}))
    old = node.capabilities
    node.capabilities = {"new": 1}
    old["old"].append("ghost")
    model_storage.node.update(node)
    assert elsewhere(lambda: model_storage.node.get(node.id).capabilities) == {"new": 1}


def test_reading_writes_nothing(model_storage: ModelStorage) -> None:
    assert isinstance(model_storage, SqlModelStorage)
    service = add_service(model_storage)
    statements: list[str] = []
    for engine in {model_storage.database.writer.engine, model_storage.database.reader.engine}:
        event.listen(engine, "before_cursor_execute", lambda *each: statements.append(each[2]))
    service.nodes["web"].state = "started"
    for node in model_storage.node.list():
        assert node.service.service_template is not None
    assert statements
    assert [each for each in statements if not each.startswith("SELECT")] == []


def test_a_row_read_by_one_thread_may_be_stored_by_another(model_storage: ModelStorage) -> None:
    service = add_service(model_storage)
    node = elsewhere(lambda: model_storage.node.get(service.nodes["web"].id))
    node.state = "started"
    model_storage.node.update(node)
    node.service = model_storage.service.get(service.id)
    model_storage.node.update(node)
    assert elsewhere(lambda: model_storage.node.get(node.id).state) == "started"


def test_threads_do_not_see_each_others_unsaved_changes(model_storage: ModelStorage) -> None:
    node = add_service(model_storage).nodes["web"]
    changed, seen = threading.Event(), threading.Event()

    def change() -> None:
        other = model_storage.node.get(node.id)
        other.state = "error"
        changed.set()
        seen.wait(10)

    thread = threading.Thread(target=change)
    thread.start()
    changed.wait(10)
    assert model_storage.node.get(node.id).state == "initial"
    seen.set()
    thread.join()


def test_more_threads_than_connections_read_lazily(model_storage: ModelStorage) -> None:
    service = add_service(model_storage)
    barrier = threading.Barrier(24)

    def read(_: int) -> str:
        found = model_storage.service.get(service.id)
        address = str(found.nodes["web"].host_address)
        barrier.wait(20)  # all of them still hold their objects
        return address

    assert at_once(read, 24) == ["10.0.0.1"] * 24


def test_a_refused_put_can_be_mended_and_repeated(model_storage: ModelStorage) -> None:
    model_storage.service_template.put(ServiceTemplate(name="taken"))
    template = ServiceTemplate(name="taken")
    with pytest.raises(AlreadyExistsError, match="already a service template with this name 'taken'"):
        model_storage.service_template.put(template)
    template.name = "free"
    assert model_storage.service_template.put(template).id


def test_a_refused_row_does_not_spoil_later_writes(model_storage: ModelStorage) -> None:
    service = add_service(model_storage)
    with pytest.raises(StorageError, match="name of Node"):
        model_storage.node.put(Node(name=5, service=service))
    service.nodes["bad"] = Node(name="bad", state="odd")
    with pytest.raises(StorageError, match="odd"):
        model_storage.service.update(service)
    model_storage.service_template.put(ServiceTemplate(name="fine"))
    assert sorted(model_storage.service.get(service.id).nodes) == ["db", "web"]


@pytest.mark.parametrize(("row", "sentence"), [
    (lambda: Node(service_id=1), "name of node is missing"),
    (lambda: Node(name="n", service_id=99), "refers to a row that does not exist"),
    (lambda: Parameter(name="p"), "one_owner"),
    (lambda: Attribute(name="a" * 256, node_id=1), "at most 255"),
    (lambda: Node(name="web", service_id=1), "already a node with this name 'web'"),
    (lambda: Node(id=1, name="other"), "already a node with this id 1"),
    (lambda: Node(name="\ud800"), "surrogate")])
def test_what_the_database_refuses_is_told_in_a_sentence(
        model_storage: ModelStorage, row: Callable[[], Any], sentence: str) -> None:
    service = add_service(model_storage)
    assert (service.id, service.nodes["db"].id) == (1, 1)
    elsewhere(lambda: _refused(model_storage, row(), sentence))


def _refused(storage: ModelStorage, row: Any, sentence: str) -> None:
    with pytest.raises(StorageError, match=sentence) as refused:
        storage.table(type(row)).put(row)
    assert "\n" not in str(refused.value)


def test_a_plugin_that_tasks_need_is_not_deleted(model_storage: ModelStorage) -> None:
    plugin = model_storage.plugin.put(Plugin(
        name="p", package_name="p", package_version="1", archive_name="p.wgn"))
    start_service(model_storage, add_service(model_storage))
    task = model_storage.task.list()[0]
    task.plugin = plugin
    model_storage.task.update(task)
    with pytest.raises(StorageError, match="1 task"):
        model_storage.plugin.delete(plugin)
    with pytest.raises(AlreadyExistsError, match="package_name 'p' and package_version '1'"):
        model_storage.plugin.put(Plugin(name="q", package_name="p", package_version="1", archive_name="q"))


def test_a_row_of_another_table_is_refused(model_storage: ModelStorage) -> None:
    service = add_service(model_storage)
    for act in (model_storage.node.put, model_storage.node.delete, model_storage.node.refresh):
        with pytest.raises(StorageError, match="node takes a Node, not a Service"):
            act(service)  # type: ignore[arg-type]


def test_a_row_that_was_never_stored_is_neither_updated_nor_deleted(model_storage: ModelStorage) -> None:
    with pytest.raises(StorageError, match="use put"):
        model_storage.node.update(Node(name="new"))
    for act in (model_storage.node.delete, model_storage.node.refresh):
        with pytest.raises(NotFoundError):
            act(Node(name="new"))


def test_a_deleted_row_can_still_be_looked_at(model_storage: ModelStorage) -> None:
    service = add_service(model_storage)
    model_storage.service.delete(service)
    assert (service.name, repr(service)) == ("shop", "<Service 1 'shop'>")
    template = model_storage.service_template.list()[0]
    model_storage.node.list()
    model_storage.service_template.delete(template)
    assert template.to_dict()["name"] == "template of shop"


def test_a_filter_takes_many_values_but_not_any_number(model_storage: ModelStorage) -> None:
    add_service(model_storage)
    assert len(model_storage.node.list({"id": list(range(1, 10_001))})) == 2
    with pytest.raises(StorageError, match="10001 values"):
        model_storage.node.list({"id": list(range(10_001))})


def test_thousands_of_rows_are_listed_and_iterated_in_order(model_storage: ModelStorage) -> None:
    nodes = {f"n{each}": Node(name=f"n{each}") for each in range(1201)}
    model_storage.service.put(Service(name="big", nodes=nodes))
    ids = [node.id for node in model_storage.node.iter(sort={"id": "desc"})]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == len(model_storage.node.list()) == 1201


def test_every_model_has_its_table(model_storage: ModelStorage) -> None:
    for name, model in MODELS.items():
        table = getattr(model_storage, name)
        assert (table.name, table.list().items) == (model.__tablename__, [])


def test_interfaces_and_operations_hang_together(model_storage: ModelStorage) -> None:
    node = add_service(model_storage).nodes["web"]
    interface = Interface(name="Standard", operations={"create": Operation(name="create", function="m:f")})
    size = Parameter(name="size", role="argument", value=[1])
    interface.operations["create"].input_parameters["size"] = size
    node.interfaces["Standard"] = interface
    model_storage.node.update(node)
    found = elsewhere(lambda: dict(
        model_storage.node.get(node.id).interfaces["Standard"].operations["create"].inputs))
    assert found == {"size": [1]}


def test_a_moment_keeps_its_microseconds(model_storage: ModelStorage) -> None:
    moment = datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    model_storage.service.put(Service(name="s", created_at=moment))
    assert elsewhere(lambda: model_storage.service.list({"created_at": moment})[0].created_at) == moment
