"""What the friendly tables of every model storage do."""

from __future__ import annotations

import importlib
from datetime import timedelta, timezone
from typing import Any

import pytest

from aria_core.exceptions import AlreadyExistsError, NotFoundError, StorageError, StorageUnavailableError
from aria_core.modeling.models import Execution, Node, Service, ServiceTemplate, Task
from aria_core.modeling.plugins import Plugin
from aria_core.storage.model import ModelStorage
from aria_core.testing.sample import (
    JSON_VALUES,
    MOMENT,
    add_service,
    at_once,
    elsewhere,
    end_execution,
    start_service,
)


def _state_of(storage: ModelStorage, node: int) -> str:
    return elsewhere(lambda: storage.node.get(node).state)


class TableContract:
    """Reading and writing through ``storage.<table>``."""

    def test_a_row_is_found_by_its_id_and_by_its_name(self, storage: ModelStorage) -> None:
        service = add_service(storage)
        by_id = elsewhere(lambda: storage.service.get(service.id).to_dict())
        by_name = elsewhere(lambda: storage.service.get_by_name("shop").to_dict())
        assert by_id == by_name
        assert (by_id["id"], by_id["name"]) == (service.id, "shop")

    def test_a_missing_row_is_not_found(self, storage: ModelStorage) -> None:
        for missing in (1, 0, -1, 2**80):
            with pytest.raises(NotFoundError):
                storage.service.get(missing)
        with pytest.raises(NotFoundError, match="nobody"):
            storage.service.get_by_name("nobody")

    def test_a_name_that_several_rows_have_is_refused(self, storage: ModelStorage) -> None:
        add_service(storage, "one")
        add_service(storage, "two")
        with pytest.raises(StorageError, match="web") as refused:
            storage.node.get_by_name("web")
        assert not isinstance(refused.value, NotFoundError)

    def test_a_table_without_names_refuses_to_look_for_one(self, storage: ModelStorage) -> None:
        with pytest.raises(StorageError, match="execution"):
            storage.execution.get_by_name("install")

    def test_a_row_is_stored_with_what_it_owns_and_stays_usable(self, storage: ModelStorage) -> None:
        service = add_service(storage)
        assert all(node.id and node.service_id == service.id for node in service.nodes.values())
        assert elsewhere(lambda: storage.node.get_by_name("web").host_address) == "10.0.0.1"
        assert service.nodes["web"].outbound_relationships[0].target_node is service.nodes["db"]

    def test_a_taken_name_already_exists(self, storage: ModelStorage) -> None:
        storage.service_template.put(ServiceTemplate(name="twice"))
        with pytest.raises(AlreadyExistsError, match="twice"):
            storage.service_template.put(ServiceTemplate(name="twice"))
        assert len(storage.service_template.list()) == 1

    def test_a_refused_row_stores_nothing_of_what_hangs_on_it(self, storage: ModelStorage) -> None:
        nodes = {"good": Node(name="good"), "bad": Node(name="bad", state="odd")}
        service = Service(name="half", nodes=nodes)
        with pytest.raises(StorageError, match="odd"):
            storage.service.put(service)
        assert elsewhere(lambda: (len(storage.service.list()), len(storage.node.list()))) == (0, 0)
        assert storage.service.put(Service(name="half")).id

    def test_a_wrong_type_is_refused_naming_model_column_and_type(self, storage: ModelStorage) -> None:
        wrong: list[tuple[Any, str, str]] = [
            (Service(name=5), "name", "int"),
            (Service(name="s", created_at="now"), "created_at", "str"),
            (Service(name="s", created_at=MOMENT.replace(tzinfo=None)), "created_at", "datetime"),
            (Node(name="n", capabilities={"a": {1, 2}}), "capabilities", "set"),
            (Node(name="n", types=[object()]), "types", "object"),
            (Task(name="t", position="1"), "position", "str"),
            (Task(name="t", position=True), "position", "bool"),
            (Task(name="t", timeout="1"), "timeout", "str"),
            (Task(name="t", ignore_failure=1), "ignore_failure", "int"),
            (Plugin(name="\0"), "name", "NUL")]
        for row, column, kind in wrong:
            with pytest.raises(StorageError, match=rf"{column} of {type(row).__name__}.*{kind}"):
                storage.table(type(row)).put(row)

    def test_an_update_with_a_wrong_type_is_refused_and_changes_nothing(self, storage: ModelStorage) -> None:
        node = add_service(storage).nodes["web"]
        node.type_name, node.state = "New", 7  # type: ignore[assignment]
        with pytest.raises(StorageError, match="state of Node"):
            storage.node.update(node)
        assert elsewhere(lambda: storage.node.get(node.id).type_name) == "Web"

    def test_an_update_is_seen_elsewhere(self, storage: ModelStorage) -> None:
        node = add_service(storage).nodes["web"]
        node.state = "started"
        assert storage.node.update(node) is node
        assert _state_of(storage, node.id) == "started"

    def test_a_change_deep_inside_a_value_is_stored(self, storage: ModelStorage) -> None:
        node = add_service(storage).nodes["web"]
        node.attributes["disks"] = [{"sizes": [1]}]
        node.capabilities["endpoint"] = {"ports": []}
        storage.node.update(node)
        held = node.attributes["disks"][0]
        storage.service.list()  # another call between taking a value and changing it
        held["sizes"].append(2)
        node.capabilities["endpoint"]["ports"].extend([80, 443])
        storage.node.update(node)
        found = elsewhere(lambda: [storage.node.get(node.id).capabilities,
                                   storage.node.get(node.id).attributes["disks"]])
        assert found == [{"endpoint": {"ports": [80, 443]}}, [{"sizes": [1, 2]}]]

    def test_values_come_back_exactly_as_they_were(self, storage: ModelStorage) -> None:
        node = add_service(storage).nodes["web"]
        for number, value in enumerate(JSON_VALUES):
            node.attributes[f"value {number}"] = value
        storage.node.update(node)
        found = elsewhere(lambda: dict(storage.node.get(node.id).attributes))
        assert [repr(found[f"value {number}"]) for number in range(len(JSON_VALUES))] == [
            repr(value) for value in JSON_VALUES]

    def test_times_come_back_aware_and_in_utc(self, storage: ModelStorage) -> None:
        there = MOMENT.astimezone(timezone(timedelta(hours=5, minutes=45)))
        service = storage.service.put(Service(name="then", created_at=there))
        found = elsewhere(lambda: storage.service.get(service.id).created_at)
        assert (found, found.utcoffset()) == (MOMENT, timedelta(0))

    def test_what_hangs_on_a_row_is_read_when_it_is_used(self, storage: ModelStorage) -> None:
        add_service(storage)
        service = storage.service.list()[0]
        assert sorted(service.nodes) == ["db", "web"]
        assert service.nodes["web"].outbound_relationships[0].target_node.attributes["ip"] == "10.0.0.1"

    def test_every_call_sees_what_others_have_stored(self, storage: ModelStorage) -> None:
        node = add_service(storage).nodes["web"]
        assert storage.service.get_by_name("shop").nodes["web"].state == "initial"

        def change() -> None:
            other = storage.node.get(node.id)
            other.state = "started"
            storage.node.update(other)

        elsewhere(change)
        assert storage.node.get(node.id).state == "started"
        assert storage.service.get_by_name("shop").nodes["web"].state == "started"

    def test_changes_not_stored_yet_survive_reading(self, storage: ModelStorage) -> None:
        node = add_service(storage).nodes["web"]
        node.state = "creating"
        assert _state_of(storage, node.id) == "initial"
        assert storage.node.list({"name": "web"})[0].state == "creating"

    def test_rows_are_filtered_by_values_lists_and_operators(self, storage: ModelStorage) -> None:
        templates = [storage.service_template.put(ServiceTemplate(name=name)) for name in "abcd"]
        first = templates[0].id

        def names(**filters: Any) -> str:
            return "".join(each.name for each in storage.service_template.list(filters, {"name": "asc"}))

        assert names(name="b") == "b"
        assert names(name=["a", "d", "x"]) == "ad"
        assert names(name=[]) == ""
        assert (names(id={"gt": first}), names(id={"ge": first + 1, "lt": first + 3})) == ("bcd", "bc")
        assert (names(id={"le": first}), names(name={"ne": "a"})) == ("a", "bcd")
        assert names(name={"eq": "c"}) == "c"
        assert names(name=["a", "b"], id={"gt": first}) == "b"

    def test_nothing_is_a_value_to_filter_by(self, storage: ModelStorage) -> None:
        add_service(storage)

        def names(condition: Any) -> list[str]:
            return [node.name for node in storage.node.list({"host_id": condition})]

        assert (names(None), names({"ne": None}), names([None])) == (["db"], ["web"], ["db"])

    def test_what_cannot_be_asked_is_named(self, storage: ModelStorage) -> None:
        asked: list[tuple[str, dict[str, Any]]] = [
            ("colour", {"filters": {"colour": 1}}), ("like", {"filters": {"name": {"like": "%"}}}),
            ("colour", {"sort": {"colour": "asc"}}), ("sideways", {"sort": {"name": "sideways"}}),
            ("limit", {"pagination": {"limit": 1}}), ("size", {"pagination": {"size": -1}}),
            ("capabilities", {"filters": {"capabilities": {}}}), ("id of Node", {"filters": {"id": "1"}})]
        for word, arguments in asked:
            with pytest.raises(StorageError, match=word):
                storage.node.list(**arguments)

    def test_hostile_text_is_only_a_value(self, storage: ModelStorage) -> None:
        storage.service_template.put(ServiceTemplate(name="plain"))
        for text in ("' OR 1=1 --", "%", "_____", "plain' --", "'; DROP TABLE node; --", "a" * 300, ""):
            if len(text) <= 255:
                assert storage.service_template.list({"name": text}).items == []
            with pytest.raises(StorageError):
                storage.service_template.list(sort={text: "asc"})
        assert len(storage.service_template.list()) == 1

    def test_rows_are_sorted_both_ways_and_else_by_id(self, storage: ModelStorage) -> None:
        for name in "bca":
            storage.service_template.put(ServiceTemplate(name=name))

        def names(sort: dict[str, str] | None) -> str:
            return "".join(each.name for each in storage.service_template.list(sort=sort))

        assert (names({"name": "asc"}), names({"name": "desc"}), names(None)) == ("abc", "cba", "bca")
        assert names({"description": "desc"}) == "bca"

    def test_a_page_has_its_rows_size_offset_and_total(self, storage: ModelStorage) -> None:
        for name in "abcde":
            storage.service_template.put(ServiceTemplate(name=name))
        page = storage.service_template.list({"name": {"gt": "a"}}, {"name": "asc"}, {"size": 2, "offset": 1})
        assert [each.name for each in page] == ["c", "d"]
        assert page.metadata == {"total": 4, "size": 2, "offset": 1}
        assert storage.service_template.list().metadata == {"total": 5, "size": 5, "offset": 0}

    def test_a_table_is_iterated_row_by_row(self, storage: ModelStorage) -> None:
        for name in "bac":
            storage.service_template.put(ServiceTemplate(name=name))
        assert [each.name for each in storage.service_template] == ["b", "a", "c"]
        found = storage.service_template.iter({"name": {"ne": "a"}}, {"name": "desc"})
        assert [each.name for each in found] == ["c", "b"]

    def test_deleting_a_service_keeps_its_template_only(self, storage: ModelStorage) -> None:
        service = add_service(storage)
        end_execution(storage, start_service(storage, service))
        storage.service.delete(service)
        owned = (storage.node, storage.relationship, storage.attribute, storage.execution, storage.task)
        assert [len(table.list()) for table in owned] == [0] * len(owned)
        assert len(storage.service_template.list()) == 1

    def test_what_may_be_running_is_not_deleted(self, storage: ModelStorage) -> None:
        service = add_service(storage)
        claim = start_service(storage, service)
        execution = storage.execution.get(claim.execution)
        with pytest.raises(StorageError, match=f"execution {claim.execution} is started"):
            storage.service.delete(service)
        with pytest.raises(StorageError, match=f"execution {claim.execution} is started"):
            storage.execution.delete(execution)
        assert storage.ledger.pulse(claim.execution).state == "started"
        assert storage.service.get_by_name("shop").nodes["web"].host_address == "10.0.0.1"
        end_execution(storage, claim)
        storage.execution.delete(execution)
        storage.service.delete(service)
        assert len(storage.service.list()) == 0

    def test_a_template_with_services_is_not_deleted(self, storage: ModelStorage) -> None:
        service = add_service(storage)
        template = storage.service_template.get_by_name("template of shop")
        with pytest.raises(StorageError, match="shop"):
            storage.service_template.delete(template)
        assert elsewhere(lambda: storage.service.get(service.id).service_template_id) == template.id
        storage.service.delete(service)
        storage.service_template.delete(template)
        assert len(storage.service_template.list()) == 0

    def test_a_row_that_is_gone_is_not_found(self, storage: ModelStorage) -> None:
        node = add_service(storage).nodes["web"]
        elsewhere(lambda: storage.node.delete(storage.node.get(node.id)))
        node.state = "started"
        for act in (storage.node.update, storage.node.delete, storage.node.refresh):
            with pytest.raises(NotFoundError):
                act(node)

    def test_refresh_drops_what_was_not_stored_and_reads_the_row(self, storage: ModelStorage) -> None:
        node = add_service(storage).nodes["web"]
        node.state, node.capabilities = "error", {"lost": {}}
        node.attributes["ip"] = "lost"
        assert storage.node.refresh(node) is node
        assert (node.state, node.capabilities, dict(node.attributes)) == ("initial", {}, {})

    def test_an_execution_moves_only_along_its_transitions(self, storage: ModelStorage) -> None:
        claim = start_service(storage, add_service(storage))
        for table, row in ((storage.execution, claim.execution), (storage.task, storage.task.list()[0].id)):
            entry: Any = table.get(row)
            entry.state = "retrying" if isinstance(entry, Task) else "pending"
            with pytest.raises(StorageError, match="cannot go from"):
                table.update(entry)
        assert storage.ledger.pulse(claim.execution).state == "started"

    def test_a_service_has_one_active_execution_here_too(self, storage: ModelStorage) -> None:
        service = add_service(storage)
        start_service(storage, service)
        with pytest.raises(AlreadyExistsError):
            storage.execution.put(Execution(service_id=service.id, workflow_name="again"))

    def test_many_threads_write_at_once(self, storage: ModelStorage) -> None:
        outcomes = at_once(lambda number: [
            storage.service_template.put(ServiceTemplate(name=f"{number} {each}")).id for each in range(5)])
        assert len({row for rows in outcomes for row in rows}) == 40
        assert len(storage.service_template.list()) == 40

    def test_a_reading_session_stores_nothing(self, storage: ModelStorage) -> None:
        node = add_service(storage).nodes["web"]
        with storage.read_session() as session:
            found = session.get(Node, node.id)
            assert found is not None
            assert found.host_address == "10.0.0.1"
            found.state = "error"
        assert _state_of(storage, node.id) == "initial"

    def test_a_storage_made_from_the_spec_has_the_same_rows(self, storage: ModelStorage) -> None:
        if storage.reach == "process":
            pytest.skip(f"{type(storage).__name__} declares reach = {storage.reach!r}")
        service = add_service(storage)
        place, keywords = storage.spec()
        module, _, name = place.partition(":")
        with getattr(importlib.import_module(module), name)(**keywords) as other:
            assert other.service.get(service.id).nodes["web"].host_address == "10.0.0.1"
            assert other.reach == storage.reach

    def test_opening_again_keeps_the_rows(self, storage: ModelStorage) -> None:
        add_service(storage)
        storage.open()
        assert len(storage.service.list()) == 1

    def test_after_drop_it_is_opened_empty(self, storage: ModelStorage) -> None:
        add_service(storage)
        storage.drop()
        storage.open()
        assert len(storage.service.list()) == 0
        assert add_service(storage).id

    def test_a_closed_storage_says_so(self, storage: ModelStorage) -> None:
        storage.close()
        storage.close()
        with pytest.raises(StorageUnavailableError):
            storage.service.list()
        with pytest.raises(StorageUnavailableError):
            storage.ledger.pulse(1)
