"""The models: what hangs on what, defaults, states, and what a row shows of itself."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, inspect

from aria_core.exceptions import StorageError
from aria_core.modeling.base import Model, utc_now
from aria_core.modeling.models import (
    MODELS,
    Execution,
    Interface,
    Log,
    Node,
    NodeTemplate,
    Operation,
    Service,
    ServiceTemplate,
    Task,
)
from aria_core.modeling.parameters import Attribute, Parameter
from aria_core.modeling.states import (
    ENDED_EXECUTION_STATES,
    EXECUTION_TRANSITIONS,
    LIFECYCLE_INTERFACES,
    NODE_TRANSITIONS,
    TASK_TRANSITIONS,
    ExecutionState,
    NodeState,
    TaskState,
    check_execution_transition,
    check_task_transition,
    lifecycle_states,
)
from aria_core.storage.model import ModelStorage
from aria_core.storage.sql import SqlModelStorage
from aria_core.testing.sample import add_service, elsewhere, end_execution, start_service

WRONG: dict[str, list[Any]] = {
    "VARCHAR": [1, 1.5, b"x", ["x"], {"x": 1}, object()], "TEXT": [1, b"x", ["x"]],
    "INTEGER": ["1", 1.5, True, 2**40], "FLOAT": ["1.5", True, float("nan"), float("inf")],
    "BOOLEAN": [1, "true"], "DATETIME": ["now", 1.5],
    "JSON": [{1: 2}, {"a": float("nan")}, {1, 2}, b"x", object(), "\0"]}


def kind_of(column: Any) -> str:
    name = type(column.type).__name__
    special = {"JsonText": "JSON", "UtcDateTime": "DATETIME", "String": "VARCHAR", "Double": "FLOAT"}
    return special.get(name, name.upper())


COLUMNS = [(model, column.key, kind_of(column.columns[0])) for model in MODELS.values()
           for column in inspect(model).column_attrs]


@pytest.fixture(scope="module")
def sqlite_storage() -> Iterator[ModelStorage]:
    with SqlModelStorage("sqlite://") as storage:
        yield storage


@pytest.mark.parametrize(
    ("model", "column", "kind"), COLUMNS, ids=[f"{model.__name__}.{column}" for model, column, _ in COLUMNS])
def test_every_column_refuses_every_other_type(
        sqlite_storage: ModelStorage, model: type[Model], column: str, kind: str) -> None:
    for value in WRONG[kind]:
        with pytest.raises(StorageError, match=f"{column} of {model.__name__}"):
            sqlite_storage.table(model).put(model(**{column: value}))


@pytest.mark.parametrize(("before", "after"), [*product(ExecutionState, repeat=2)])
def test_an_execution_takes_exactly_the_transitions_of_the_table(
        sqlite_storage: ModelStorage, before: ExecutionState, after: ExecutionState) -> None:
    legal = before == after or (before, after) in EXECUTION_TRANSITIONS
    service = sqlite_storage.service.put(Service(name=f"{before} {after}"))
    execution = Execution(service_id=service.id, workflow_name="w", state=before)
    sqlite_storage.execution.put(execution)
    execution.state = after
    assert _stored(sqlite_storage.execution, execution) is legal
    expected = after if legal else before
    assert elsewhere(lambda: sqlite_storage.execution.get(execution.id).state) == expected


@pytest.mark.parametrize(("before", "after"), [*product(TaskState, repeat=2)])
def test_a_task_takes_exactly_the_transitions_of_the_table(
        sqlite_storage: ModelStorage, before: TaskState, after: TaskState) -> None:
    legal = before == after or (before, after) in TASK_TRANSITIONS
    execution = sqlite_storage.execution.put(Execution(workflow_name="w", state="succeeded"))
    task = sqlite_storage.task.put(Task(execution_id=execution.id, position=0, name="t", state=before))
    task.state = after
    assert _stored(sqlite_storage.task, task) is legal


def _stored(table: Any, entry: Any) -> bool:
    try:
        table.update(entry)
    except StorageError as refused:
        assert "cannot go from" in str(refused)
        return False
    return True


def test_the_tables_of_transitions_say_why_and_lead_everywhere() -> None:
    for table, states in ((EXECUTION_TRANSITIONS, ExecutionState), (TASK_TRANSITIONS, TaskState)):
        assert all(reason.strip() for reason in table.values())
        assert {after for _, after in table} | {"pending"} == set(states)
    assert not [pair for pair in EXECUTION_TRANSITIONS if pair[0] == ExecutionState.SUCCEEDED]
    assert not [pair for pair in TASK_TRANSITIONS if pair[0] == TaskState.SUCCESS]
    resumed = {before for before, after in EXECUTION_TRANSITIONS if before in ENDED_EXECUTION_STATES}
    assert resumed == {ExecutionState.CANCELLED, ExecutionState.FAILED}


def test_an_illegal_transition_is_named() -> None:
    with pytest.raises(ValueError, match="an execution cannot go from succeeded to started"):
        check_execution_transition(ExecutionState.SUCCEEDED, ExecutionState.STARTED)
    with pytest.raises(ValueError, match="a task cannot go from success to pending"):
        check_task_transition(TaskState.SUCCESS, TaskState.PENDING)


def test_only_lifecycle_operations_of_standard_change_a_node() -> None:
    assert lifecycle_states("Standard", "stop") == (NodeState.STOPPING, NodeState.CONFIGURED)
    for interface in LIFECYCLE_INTERFACES:
        found = {name: lifecycle_states(interface, name) for name in NODE_TRANSITIONS}
        assert found == dict(NODE_TRANSITIONS)
        assert lifecycle_states(interface, "restart") is None
    assert lifecycle_states("Custom", "create") is None


@pytest.mark.parametrize(("model", "state"), [(Node, "running"), (Execution, "done"), (Task, "ready")])
def test_an_unknown_state_is_refused_with_those_known(
        sqlite_storage: ModelStorage, model: type[Any], state: str) -> None:
    with pytest.raises(StorageError, match=f"state of {model.__name__} is '{state}'; it takes .*started"):
        sqlite_storage.table(model).put(model(state=state))


@pytest.mark.parametrize(
    ("attempts", "accepted"), [(-1, True), (1, True), (100, True), (0, False), (-2, False)])
def test_max_attempts_is_without_end_or_at_least_one(
        sqlite_storage: ModelStorage, attempts: int, accepted: bool) -> None:
    execution = sqlite_storage.execution.put(Execution(workflow_name="w", state="succeeded"))
    task = Task(execution_id=execution.id, position=0, name="t", max_attempts=attempts)
    if accepted:
        assert sqlite_storage.task.put(task).max_attempts == attempts
    else:
        with pytest.raises(StorageError, match="-1"):
            sqlite_storage.task.put(task)


def test_new_rows_have_their_defaults(model_storage: ModelStorage) -> None:
    before = utc_now() - timedelta(seconds=5)
    service = add_service(model_storage)
    node = service.nodes["db"]
    assert (node.state, node.types, node.capabilities, node.artifacts) == ("initial", [], {}, {})
    assert (service.description, before <= service.created_at <= utc_now()) == ("", True)
    execution = model_storage.execution.put(Execution(service_id=service.id, workflow_name="w"))
    assert (execution.state, execution.epoch, execution.batch) == ("pending", 1, 0)
    assert (execution.task_max_attempts, execution.task_retry_interval) == (30, 30.0)
    assert (execution.started_at, execution.error) == (None, None)


def test_a_default_value_notices_changes_too(model_storage: ModelStorage) -> None:
    node = model_storage.node.put(Node(name="n"))
    node.capabilities["a"] = {"b": []}
    node.types.append("T")
    model_storage.node.update(node)
    found = elsewhere(lambda: model_storage.node.get(node.id).to_dict())
    assert (found["capabilities"], found["types"]) == ({"a": {"b": []}}, ["T"])


def test_values_in_rows_copy_compare_and_serialise_as_plain_ones(model_storage: ModelStorage) -> None:
    content = {"a": [1, {"b": None}], "t": (1, 2)}
    template = model_storage.service_template.put(ServiceTemplate(name="t", content=content))
    value, plain = template.content, {"a": [1, {"b": None}], "t": [1, 2]}
    assert value == plain
    assert json.loads(json.dumps(value)) == plain
    for made in (copy.copy(value), copy.deepcopy(value), value.copy(), pickle.loads(pickle.dumps(value))):
        assert (made, type(made)) == (plain, dict)
    assert (type(value["a"].copy()), type(copy.deepcopy(value["a"]))) == (list, list)
    content["a"].append("not in the row")  # type: ignore[attr-defined]
    assert template.content == plain


def test_the_address_of_a_node_is_its_hosts(model_storage: ModelStorage) -> None:
    service = add_service(model_storage)
    assert (service.nodes["web"].host_address, service.nodes["db"].host_address) == ("10.0.0.1", "10.0.0.1")
    lonely = model_storage.node.put(Node(name="lonely", service=service))
    assert lonely.host_address is None


def test_a_row_as_a_dict_has_its_columns(model_storage: ModelStorage) -> None:
    node = add_service(model_storage).nodes["web"]
    assert node.to_dict() == {
        "id": node.id, "service_id": node.service_id, "node_template_id": None, "host_id": node.host_id,
        "name": "web", "type_name": "Web", "types": [], "state": "initial", "capabilities": {},
        "artifacts": {}, "max_concurrency": None}


def test_a_row_shows_its_model_id_and_name() -> None:
    assert repr(Node(name="web")) == "<Node None 'web'>"
    assert repr(Execution()) == "<Execution None>"


def test_attributes_behave_like_a_dict(model_storage: ModelStorage) -> None:
    node = add_service(model_storage).nodes["db"]
    node.attributes["port"] = 80
    node.attributes.update({"a": [1], "b": None})
    del node.attributes["ip"]
    model_storage.node.update(node)
    found = elsewhere(lambda: dict(model_storage.node.get(node.id).attributes))
    assert found == {"port": 80, "a": [1], "b": None}
    assert len(model_storage.attribute.list()) == 3
    assert node.attributes.get("none", 5) == 5


def test_the_dependencies_of_a_task_are_tasks(model_storage: ModelStorage) -> None:
    start_service(model_storage, add_service(model_storage))
    first, second, _ = model_storage.task.list(sort={"position": "asc"})
    assert (first.dependencies, second.dependencies) == ([], [first])
    assert first.actor is None


def test_inputs_and_outputs_of_a_service_are_apart(model_storage: ModelStorage) -> None:
    service = add_service(model_storage)
    service.input_parameters["size"] = Parameter(name="size", role="input", value=1)
    service.output_parameters["size"] = Parameter(name="size", role="output", value=2)
    model_storage.service.update(service)
    found = elsewhere(lambda: [dict(model_storage.service.get(service.id).inputs), {
        name: each.value for name, each in model_storage.service.get(service.id).output_parameters.items()}])
    assert found == [{"size": 1}, {"size": 2}]


def _everything(service: Service) -> None:
    web = service.nodes["web"]
    tie = web.outbound_relationships[0]
    for owner in (web, tie):
        owner.property_parameters["p"] = Parameter(name="p", value=1)
        owner.attribute_rows["a"] = Attribute(name="a", value=1)
        operation = Operation(name="create", input_parameters={"i": Parameter(name="i", role="argument")})
        owner.interfaces["Standard"] = Interface(name="Standard", operations={"create": operation})
    service.workflows["deploy"] = Operation(name="deploy")
    service.input_parameters["size"] = Parameter(name="size", role="input")


def test_deleting_an_owner_deletes_exactly_what_it_owns(model_storage: ModelStorage) -> None:
    kept, gone = add_service(model_storage, "kept"), add_service(model_storage, "gone")
    for service in (kept, gone):
        _everything(service)
        model_storage.service.update(service)
        claim = start_service(model_storage, service)
        model_storage.log.put(Log(execution_id=claim.execution, level="info", message="m"))
        end_execution(model_storage, claim)
    owned = [name for name in MODELS if name not in ("service_template", "node_template", "plugin")]
    before = {name: len(getattr(model_storage, name).list()) for name in owned}
    model_storage.service.delete(model_storage.service.get_by_name("gone"))
    after = {name: len(getattr(model_storage, name).list()) for name in owned}
    assert after == {name: count // 2 for name, count in before.items()}
    assert set(after.values()) - {0}
    assert len(model_storage.service_template.list()) == 2


def test_deleting_a_template_deletes_its_node_templates(model_storage: ModelStorage) -> None:
    template = ServiceTemplate(name="t", node_templates={"web": NodeTemplate(name="web")})
    model_storage.service_template.put(template)
    model_storage.service_template.delete(template)
    assert len(model_storage.node_template.list()) == 0


def test_deleting_a_host_leaves_its_guests(model_storage: ModelStorage) -> None:
    service = add_service(model_storage)
    web = service.nodes["web"].id
    model_storage.node.delete(service.nodes["db"])
    assert elsewhere(lambda: model_storage.node.get(web).host_id) is None
    assert len(model_storage.relationship.list()) == 0


def test_taking_a_part_out_of_its_owner_deletes_it(model_storage: ModelStorage) -> None:
    service = add_service(model_storage)
    web = service.nodes.pop("web")
    model_storage.service.update(service)
    assert [each.name for each in model_storage.node.list()] == ["db"]
    assert web.name == "web"


def test_what_has_one_owner_has_exactly_one() -> None:
    owned = {name for name, table in Model.metadata.tables.items()
             if any(isinstance(each, CheckConstraint) for each in table.constraints)}
    assert owned == {"interface", "operation", "parameter", "attribute"}


def test_every_table_has_readable_constraint_names() -> None:
    names = [str(each.name) for table in Model.metadata.tables.values()
             for each in (*table.constraints, *table.indexes)]
    assert [name for name in names if name == "None" or len(name) > 63] == []
    assert len(names) == len(set(names))
