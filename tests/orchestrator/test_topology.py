"""Templates and services in storage: put in whole, instantiated, looked at live, removed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aria_core.exceptions import (
    AlreadyExistsError,
    AriaError,
    ExecutionOwnedError,
    InvalidInputError,
    MissingInputsError,
    NotFoundError,
    StorageError,
    StorageUnavailableError,
    UndeclaredInputsError,
    WrongTypeInputsError,
)
from aria_core.modeling.builder import TemplateBuilder, call, parameter, script
from aria_core.modeling.expressions import (
    ExpressionError,
    concat,
    get_attribute,
    get_input,
    get_nodes_of_type,
    get_operation_output,
    get_property,
    join,
    token,
)
from aria_core.modeling.models import Service, ServiceTemplate
from aria_core.modeling.specification import (
    CapabilitySpec,
    LoadedTemplate,
    NodeSpec,
    ParameterSpec,
    TemplateSpec,
)
from aria_core.orchestrator.exceptions import ActiveExecutionsError
from aria_core.orchestrator.instantiation import SCRIPT_FUNCTION
from aria_core.orchestrator.scope import MAX_HOPS, ServiceScope
from aria_core.orchestrator.topology import (
    check_inputs,
    create_service,
    delete_service,
    delete_template,
    outputs,
    store_template,
    template_spec,
    workflow_inputs,
)
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import NewExecution
from aria_core.storage.resource import ResourceStorage
from aria_core.testing.sample import at_once
from aria_plugins.storage.file import FileStorage

TABLES = ("service_template", "node_template", "service", "node", "relationship", "interface", "operation",
          "parameter", "attribute", "execution")


def counts(model: ModelStorage) -> dict[str, int]:
    return {name: len(getattr(model, name).list()) for name in TABLES}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    (directory / "scripts").mkdir(parents=True)
    (directory / "scripts" / "start.sh").write_text("#!/bin/sh\n")
    (directory / "scripts" / "start.sh").chmod(0o755)
    return directory


def three_tier() -> TemplateBuilder:
    template = TemplateBuilder("shop", description="sells things")
    template.input("port", "integer", default=8080, constraints=[{"in_range": [1, 65535]}])
    template.input("password", "string", default="hush", secret=True)
    template.node("machine", type="Compute", attributes={"ip": None}, capabilities={"host": {"cores": 2}})
    db = template.node(
        "db", type="Database", types=["Database", "Root"], artifacts={"dump": "dump.sql"},
        properties={"size": 5, "login": concat("root:", get_input("password"))}, attributes={"ready": False},
        capabilities={"endpoint": {"port": get_input("port"), "url": get_attribute("SELF", "url")}},
        operations={"create": call(
            "shop.ops:create_db", timeout=5, max_attempts=2, size=get_property("SELF", "size"))})
    db.requires("machine", "host", hosted=True, type="HostedOn", capability="host")
    web = template.node(
        "web", properties={"port": get_input("port"), "conf": {"listen": [80, get_input("port")]}},
        attributes={"address": concat(
            "http://", get_attribute("HOST", "ip"), ":", get_property("SELF", "port"))},
        operations={"start": script("scripts/start.sh", port=get_property("SELF", "port"),
                                    process={"env": {"DB": get_attribute("db", "url")}})},
        interfaces={"Maintenance": {"backup": "shop.ops:backup", "nothing": None}})
    web.requires("machine", "host", hosted=True)
    web.requires(db, "database", type="ConnectsTo", capability="endpoint", properties={"retries": 3},
                 attributes={"up": False}, operations={"pre_configure_source": call(
                     "shop.ops:connect", url=get_attribute("TARGET", "url"),
                     me=get_property("SOURCE", "port"))})
    template.workflow("backup", "shop.ops:backup_all", inputs={
        "keep": 3, "target": parameter(type="string", required=True, constraints=[{"min_length": 2}])})
    template.output("address", get_attribute("web", "address"))
    template.output("port", get_input("port"))
    return template


@pytest.fixture
def template(model_storage: ModelStorage, resource_storage: ResourceStorage, files: Path) -> ServiceTemplate:
    return store_template(model_storage, resource_storage, three_tier().load(files))


def test_a_template_is_stored_with_its_nodes_and_files(
        model_storage: ModelStorage, resource_storage: ResourceStorage, template: ServiceTemplate) -> None:
    again = model_storage.service_template.get_by_name("shop")
    assert (again.id, again.description) == (template.id, "sells things")
    assert set(again.node_templates) == {"machine", "db", "web"}
    assert resource_storage.service_template.list(template.id) == ["scripts/start.sh"]
    spec, ids = template_spec(model_storage, again)
    assert spec == three_tier().build()
    assert ids == {name: row.id for name, row in again.node_templates.items()}


def test_a_taken_template_name_leaves_everything_as_it_was(
        model_storage: ModelStorage, resource_storage: ResourceStorage, template: ServiceTemplate,
        files: Path) -> None:
    before, keys = counts(model_storage), list(resource_storage.list(""))
    (files / "more").write_text("x")
    with pytest.raises(AlreadyExistsError, match="shop"):
        store_template(model_storage, resource_storage, three_tier().load(files))
    assert (counts(model_storage), list(resource_storage.list(""))) == (before, keys)


def test_an_upload_that_fails_leaves_no_row_and_no_file(
        model_storage: ModelStorage, resource_storage: ResourceStorage, files: Path) -> None:
    (files / "aaa").write_text("comes first")
    (files / "zzz").symlink_to("/etc/hostname")
    with pytest.raises(StorageError, match="zzz"):
        store_template(model_storage, resource_storage, three_tier().load(files))
    assert set(counts(model_storage).values()) == {0}
    assert list(resource_storage.list("")) == []


def test_a_template_that_cannot_work_is_not_stored(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    spec = TemplateSpec(name="bad", nodes={"a": NodeSpec(name="a", properties={
        "x": ParameterSpec(value={"$shout": []}, dynamic=True, location="shop.yaml:3:5")})})
    with pytest.raises(InvalidInputError, match=r"^shop.yaml:3:5: property 'x' of node 'a': .*no function"):
        store_template(model_storage, resource_storage, LoadedTemplate(template=spec))
    assert set(counts(model_storage).values()) == {0}


def test_no_service_is_made_while_a_requirement_has_no_target(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    sentence = "shop.yaml:7:5: the requirement `host` of node template `web` has no target"
    template = store_template(model_storage, resource_storage, LoadedTemplate(
        template=TemplateSpec(name="open", nodes={"web": NodeSpec(name="web")}, unsatisfied=[sentence])))
    with pytest.raises(InvalidInputError, match=sentence):
        create_service(model_storage, template, "shop")
    assert counts(model_storage)["service"] == counts(model_storage)["node"] == 0


def test_files_that_a_crash_left_behind_do_not_join_a_new_template(
        model_storage: ModelStorage, resource_storage: ResourceStorage, files: Path) -> None:
    for entry in range(1, 4):
        resource_storage.put(f"service_template/{entry}/old.sh", b"old")
    row = store_template(model_storage, resource_storage, three_tier().load(files))
    assert resource_storage.service_template.list(row.id) == ["scripts/start.sh"]


@pytest.fixture
def service(model_storage: ModelStorage, template: ServiceTemplate) -> Service:
    return create_service(model_storage, template, "my shop", {"port": "9090"})


def test_a_service_has_what_its_template_describes(model_storage: ModelStorage, service: Service) -> None:
    again = model_storage.service.get_by_name("my shop")
    assert again.service_template is not None and again.service_template.name == "shop"
    assert dict(again.inputs) == {"port": 9090, "password": "hush"}
    assert set(again.nodes) == {"machine", "db", "web"}
    db, web = again.nodes["db"], again.nodes["web"]
    assert (db.type_name, db.types, db.state) == ("Database", ["Database", "Root"], "initial")
    assert db.node_template is not None and db.node_template.name == "db"
    assert db.artifacts == {"dump": {"type": "", "file": "dump.sql", "deploy_path": ""}}
    assert db.capabilities == {"endpoint": {"type": "", "properties": {"port": 9090}, "attributes": {}}}
    assert dict(db.attributes) == {"ready": False}
    assert dict(web.properties) == {"port": 9090, "conf": {"listen": [80, 9090]}}
    assert set(web.interfaces) == {"Standard", "Maintenance"}
    assert web.interfaces["Maintenance"].operations["nothing"].function is None


def test_hosts_and_relationships_are_set_in_order(model_storage: ModelStorage, service: Service) -> None:
    again = model_storage.service.get(service.id)
    machine, db, web = (again.nodes[name] for name in ("machine", "db", "web"))
    assert machine.host is None and db.host is machine and web.host is machine
    assert [(each.name, each.position, each.target_node.name) for each in web.outbound_relationships] == [
        ("host", 0, "machine"), ("database", 1, "db")]
    tie = web.outbound_relationships[1]
    assert (tie.type_name, tie.capability, dict(tie.properties), dict(tie.attributes)) == (
        "ConnectsTo", "endpoint", {"retries": 3}, {"up": False})
    assert tie.interfaces["Configure"].operations["pre_configure_source"].function == "shop.ops:connect"


def test_a_host_is_the_nearest_one(model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    builder = TemplateBuilder("tower")
    builder.node("top").requires("middle", hosted=True)
    builder.node("middle").requires("ground", hosted=True).requires("other", hosted=True)
    builder.node("ground", properties={"ip": "10.0.0.1"})
    builder.node("other")
    builder.node("user", operations={"x": None})
    row = store_template(model_storage, resource_storage, builder.load())
    nodes = create_service(model_storage, row, "t", {}).nodes
    hosts = {name: node.host.name if node.host else None for name, node in nodes.items()}
    assert hosts == {"top": "middle", "middle": "ground", "ground": None, "other": None, "user": None}
    assert ServiceScope(nodes["top"].service, nodes["top"]).get_property(["HOST", "ip"]) == "10.0.0.1"


def test_operations_carry_their_settings(service: Service) -> None:
    create = service.nodes["db"].interfaces["Standard"].operations["create"]
    assert (create.function, create.timeout, create.max_attempts) == ("shop.ops:create_db", 5.0, 2)
    assert create.input_parameters["size"].dynamic
    backup = service.workflows["backup"]
    assert (backup.function, dict(backup.inputs)) == ("shop.ops:backup_all", {"keep": 3, "target": None})


def test_a_script_becomes_the_script_operation(service: Service) -> None:
    start = service.nodes["web"].interfaces["Standard"].operations["start"]
    assert start.function == SCRIPT_FUNCTION
    assert start.inputs["script_path"] == "scripts/start.sh"
    assert start.input_parameters["process"].dynamic
    assert start.input_parameters["port"].dynamic


def test_what_is_made_of_a_secret_is_a_secret(service: Service) -> None:
    assert service.input_parameters["password"].secret
    login = service.nodes["db"].property_parameters["login"]
    assert (login.value, login.secret, login.dynamic) == ("root:hush", True, False)
    assert not service.nodes["db"].property_parameters["size"].secret


def test_outputs_are_evaluated_live(model_storage: ModelStorage, service: Service) -> None:
    assert outputs(model_storage, service) == {"address": None, "port": 9090}
    machine = model_storage.service.get(service.id).nodes["machine"]
    machine.attributes["ip"] = "10.1.1.1"
    model_storage.node.update(machine)
    assert outputs(model_storage, service) == {"address": "http://10.1.1.1:9090", "port": 9090}


def test_a_taken_service_name_leaves_everything_as_it_was(
        model_storage: ModelStorage, template: ServiceTemplate, service: Service) -> None:
    before = counts(model_storage)
    with pytest.raises(AlreadyExistsError, match="my shop"):
        create_service(model_storage, template, "my shop", {})
    assert counts(model_storage) == before


@pytest.mark.parametrize(("inputs", "error", "message"), [
    ({"colour": 1, "size": 2}, UndeclaredInputsError, "'colour' nor 'size'; its inputs are: port, password"),
    ({"port": "many"}, WrongTypeInputsError, "input 'port' is 'many'; its type integer takes a whole number"),
    ({"port": 70000}, InvalidInputError, r"input 'port' is 70000; it must be in the range \[1, 65535\]"),
])
def test_wrong_inputs_make_no_service(
        model_storage: ModelStorage, template: ServiceTemplate, inputs: dict[str, Any],
        error: type[AriaError], message: str) -> None:
    before = counts(model_storage)
    with pytest.raises(error, match=message):
        create_service(model_storage, template, "s", inputs)
    assert counts(model_storage) == before


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", "a\0b"])
def test_a_service_name_is_short_text_that_prints(
        model_storage: ModelStorage, template: ServiceTemplate, name: str) -> None:
    with pytest.raises(InvalidInputError, match="service"):
        create_service(model_storage, template, name, {})


def test_values_that_do_not_fit_once_inputs_are_known_are_told_together(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    builder = TemplateBuilder("late")
    builder.input("text", default="abc")
    builder.node("n", properties={"a": parameter(get_input("text"), "integer"),
                                  "b": parameter(required=True), "c": token(get_input("text"), ",", 3)})
    row = store_template(model_storage, resource_storage, builder.load())
    with pytest.raises(InvalidInputError) as caught:
        create_service(model_storage, row, "s", {})
    told = str(caught.value).splitlines()
    assert [line.split(" ")[0] for line in told] == ["'a'", "'b'", "'c'"]
    assert "its type integer takes a whole number" in told[0] and "is required and has no value" in told[1]
    assert model_storage.service.list().items == []


def test_the_value_of_an_input_is_never_taken_for_an_expression(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    builder = TemplateBuilder("injection")
    builder.input("given")
    builder.node("n", properties={"secret": "hush", "x": [get_input("given"), get_property("SELF", "secret")],
                                  "y": get_input("given")})
    row = store_template(model_storage, resource_storage, builder.load())
    hostile = {"$get_property": ["SELF", "secret"]}
    service = create_service(model_storage, row, "s", {"given": hostile})
    node = service.nodes["n"]
    assert ServiceScope(service, node).properties(node) == {
        "secret": "hush", "x": [hostile, "hush"], "y": hostile}


def test_a_template_with_services_stays(
        model_storage: ModelStorage, resource_storage: ResourceStorage, template: ServiceTemplate,
        service: Service) -> None:
    with pytest.raises(InvalidInputError, match="has the services my shop; delete them first"):
        delete_template(model_storage, resource_storage, template)
    assert resource_storage.service_template.list(template.id)


def test_deleting_takes_everything_along(
        model_storage: ModelStorage, resource_storage: ResourceStorage, template: ServiceTemplate,
        service: Service) -> None:
    resource_storage.put(f"service/{service.id}/x", b"x")
    delete_service(model_storage, resource_storage, service)
    assert {name: count for name, count in counts(model_storage).items() if count} == {
        "service_template": 1, "node_template": 3}
    delete_template(model_storage, resource_storage, template)
    assert set(counts(model_storage).values()) == {0}
    assert list(resource_storage.list("")) == []


def test_a_service_with_living_nodes_is_deleted_only_by_force(
        model_storage: ModelStorage, resource_storage: ResourceStorage, service: Service) -> None:
    node = service.nodes["web"]
    node.state = "started"
    model_storage.node.update(node)
    with pytest.raises(InvalidInputError, match=r"still has node 'web' \(started\); run its uninstall"):
        delete_service(model_storage, resource_storage, service)
    delete_service(model_storage, resource_storage, service, force=True)
    assert model_storage.service.list().items == []


def test_a_service_with_an_active_execution_is_not_deleted_even_by_force(
        model_storage: ModelStorage, resource_storage: ResourceStorage, service: Service) -> None:
    model_storage.ledger.claim_new(NewExecution(service.id, "install", {}, {}))
    with pytest.raises(ActiveExecutionsError, match="has the active execution"):
        delete_service(model_storage, resource_storage, service, force=True)
    assert model_storage.service.get(service.id).name == "my shop"


class ClaimedMeanwhile(FileStorage):
    """Somebody claims the service while its files are being removed."""

    def claim_with(self, claim: Callable[[], object]) -> None:
        self._pool, self._claim = ThreadPoolExecutor(1), claim

    def delete(self, prefix: str) -> bool:
        self.claimed = self._pool.submit(self._claim)
        wait([self.claimed], timeout=1)
        return super().delete(prefix)


@pytest.mark.parametrize("resumes", [False, True], ids=["starts", "resumes"])
def test_who_claims_a_service_while_it_is_deleted_finds_nothing(
        model_storage: ModelStorage, service: Service, tmp_path: Path, resumes: bool) -> None:
    ledger, number = model_storage.ledger, service.id
    claim = partial(ledger.claim_new, NewExecution(number, "install", {}, {}))
    if resumes:
        first = claim().execution
        ledger.abandon(ledger.pulse(first), "cancelled")
        claim = partial(ledger.claim_existing, ledger.pulse(first), {}, retry_failed=False)
    with ClaimedMeanwhile(directory=tmp_path / "other") as resources:
        resources.claim_with(claim)
        delete_service(model_storage, resources, service)
        with pytest.raises(ExecutionOwnedError if resumes else NotFoundError):
            resources.claimed.result()
    assert model_storage.service.list().items == []
    assert model_storage.execution.list().items == []


def test_of_a_deletion_and_a_claim_at_once_one_succeeds(
        model_storage: ModelStorage, resource_storage: ResourceStorage, template: ServiceTemplate) -> None:
    for number in range(20):
        service = create_service(model_storage, template, f"service {number}")
        resource_storage.put(f"service/{service.id}/x", b"x")
        key = service.id

        def act(which: int, key: int = key) -> str:
            try:
                if which == 0:
                    delete_service(model_storage, resource_storage, model_storage.service.get(key))
                    return "deleted"
                model_storage.ledger.claim_new(NewExecution(key, "install", {}, {}))
                return "claimed"
            except (ActiveExecutionsError, NotFoundError):
                return "refused"

        outcomes = at_once(act, 2)
        assert sorted(outcomes) in (["claimed", "refused"], ["deleted", "refused"])
        is_there = "claimed" in outcomes
        assert (model_storage.ledger.active(key) is not None) == is_there
        assert bool(resource_storage.service.list(key)) == is_there


def test_a_service_whose_files_cannot_be_removed_stays(
        model_storage: ModelStorage, service: Service, tmp_path: Path) -> None:
    class Full(FileStorage):
        def delete(self, prefix: str) -> bool:
            raise StorageUnavailableError("no")

    with Full(directory=tmp_path / "other") as resources, pytest.raises(StorageUnavailableError):
        delete_service(model_storage, resources, service)
    assert model_storage.service.get(service.id).nodes


def test_a_workflows_inputs_keep_their_constraints(model_storage: ModelStorage, service: Service) -> None:
    declared = workflow_inputs(model_storage, service, service.workflows["backup"])
    assert check_inputs(declared, {"target": "xy"}) == {"keep": 3, "target": "xy"}
    with pytest.raises(InvalidInputError, match="must be at least as long as 2"):
        check_inputs(declared, {"target": "x"})
    with pytest.raises(MissingInputsError, match="workflow 'backup' needs a value for the input 'target'"):
        check_inputs(declared, {}, "workflow 'backup'")


def test_a_workflow_the_template_lacks_has_no_inputs(model_storage: ModelStorage, service: Service) -> None:
    workflow = service.workflows["backup"]
    workflow.name = "other"
    with pytest.raises(NotFoundError, match="has no workflow 'other'"):
        workflow_inputs(model_storage, service, workflow)


def test_checking_inputs_names_every_offender_of_a_kind() -> None:
    declared = {"a": ParameterSpec(type="integer", required=True),
                "b": ParameterSpec(type="boolean", required=True),
                "c": ParameterSpec(type="list", entry="integer", value=["1"]),
                "d": ParameterSpec(type="string", secret=True)}
    with pytest.raises(MissingInputsError, match="'a' nor 'b'"):
        check_inputs(declared, {"b": None})
    with pytest.raises(WrongTypeInputsError) as caught:
        check_inputs(declared, {"a": "x", "b": "y", "c": [1, "z"], "d": ["hush"]})
    assert [line.split(" is ")[0] for line in str(caught.value).splitlines()] == [
        "input 'a'", "input 'b'", "input 'c'[1]", "input 'd'"]
    assert "hush" not in str(caught.value)
    assert check_inputs(declared, {"a": "1", "b": "true"}) == {"a": 1, "b": True, "c": [1], "d": None}


def test_a_default_may_be_made_of_inputs_before_it() -> None:
    declared = {"a": ParameterSpec(value=1),
                "b": ParameterSpec(value=concat("n", get_input("a")), dynamic=True)}
    assert check_inputs(declared, {"a": 5}) == {"a": 5, "b": "n5"}


# Expressions on a stored service


@pytest.fixture
def scope_of(service: Service) -> Any:
    def make(name: str | None = None, requirement: int | None = None) -> ServiceScope:
        node = service.nodes[name] if name else None
        return ServiceScope(service, node if requirement is None or node is None
                            else node.outbound_relationships[requirement])
    return make


def set_attribute(model: ModelStorage, service: Service, node: str, name: str, value: Any) -> None:
    service.nodes[node].attributes[name] = value
    model.node.update(service.nodes[node])


FOUND: list[tuple[str | None, int | None, Any, Any]] = [
    ("web", None, get_property("SELF", "port"), 9090),
    ("web", None, get_property("SELF", "conf", "listen", 1), 9090),
    ("web", None, get_property("db", "size"), 5),
    ("web", None, get_property("SELF", "database", "port"), 9090),
    ("web", None, get_property("SELF", "database", "size"), 5),
    ("web", None, get_property("SELF", "database", "retries"), 3),
    ("web", None, get_property("SELF", "host", "cores"), 2),
    ("db", None, get_property("SELF", "endpoint", "port"), 9090),
    ("db", None, get_property("SELF", "endpoint", "url"), "db:1"),
    (None, None, get_property("machine", "host", "cores"), 2),
    ("web", None, get_attribute("HOST", "ip"), "10.0.0.9"),
    ("web", None, get_attribute("SELF", "address"), "http://10.0.0.9:9090"),
    ("web", None, get_attribute("SELF", "port"), 9090),
    ("web", None, get_attribute("SELF", "database", "url"), "db:1"),
    ("web", 1, get_property("SELF", "retries"), 3),
    ("web", 1, get_attribute("SELF", "up"), False),
    ("web", 1, get_property("SOURCE", "port"), 9090),
    ("web", 1, get_property("TARGET", "endpoint", "port"), 9090),
    ("web", 1, get_attribute("TARGET", "url"), "db:1"),
    (None, None, get_nodes_of_type("Root"), ["db"]),
    (None, None, get_nodes_of_type("Database"), ["db"]),
    (None, None, get_nodes_of_type("Nothing"), []),
    ("web", 1, join([get_attribute("db", "url"), get_input("port")], "/"), "db:1/9090"),
]


def test_an_expression_finds_its_value(
        model_storage: ModelStorage, service: Service, scope_of: Any) -> None:
    set_attribute(model_storage, service, "machine", "ip", "10.0.0.9")
    set_attribute(model_storage, service, "db", "url", "db:1")
    for actor, requirement, expression, value in FOUND:
        found = scope_of(actor, requirement).evaluate(expression)
        assert (actor, requirement, expression, found) == (actor, requirement, expression, value)


MISSING: list[tuple[str | None, int | None, Any, Any]] = [
    ("web", None, get_property("SELF", "nope"), "node 'web' has no property 'nope'; there are: conf, port"),
    ("web", None, get_property("SELF", "conf", "x"), "property 'conf' of node 'web' has no 'x'; it is a map"),
    ("web", None, get_property("SELF", "database", "x"), "node 'web' has no property 'database.x'"),
    ("web", None, get_attribute("SELF", "nope"), "node 'web' has no attribute 'nope'"),
    ("web", None, get_attribute("ghost", "ip"), "there is no node 'ghost'; the nodes are:"),
    ("web", None, get_property("SOURCE", "x"), "SOURCE means nothing on a node"),
    ("machine", None, get_property("HOST", "x"), "node 'machine' has no host"),
    ("web", None, get_property("HOST", "x"), "node 'machine' has no property 'x'"),
    ("web", 1, get_property("HOST", "x"), "HOST means something on nodes only"),
    (None, None, get_property("SELF", "x"), "SELF means nothing outside of nodes"),
    ("web", None, get_operation_output("db", "Standard", "create", "x"),
     "operation Standard.create of node 'db' has not succeeded yet"),
]


def test_a_value_that_is_not_there_is_one_sentence(scope_of: Any) -> None:
    for actor, requirement, expression, message in MISSING:
        with pytest.raises(ExpressionError) as caught:
            scope_of(actor, requirement).evaluate(expression)
        assert message in str(caught.value) and str(caught.value).startswith('{"$get_')


def test_all_of_an_actor_can_be_had_evaluated(
        model_storage: ModelStorage, service: Service, scope_of: Any) -> None:
    scope = scope_of("web")
    assert "address" not in scope.attributes(service.nodes["web"])
    set_attribute(model_storage, service, "machine", "ip", "10.0.0.9")
    assert scope_of("web").attributes(service.nodes["web"]) == {"address": "http://10.0.0.9:9090"}
    set_attribute(model_storage, service, "db", "url", "db:1")
    assert scope_of("db").capabilities(service.nodes["db"]) == {
        "endpoint": {"type": "", "properties": {"port": 9090, "url": "db:1"}, "attributes": {}}}


def test_a_written_attribute_hides_the_expression_of_the_template(
        model_storage: ModelStorage, service: Service, scope_of: Any) -> None:
    set_attribute(model_storage, service, "web", "address", {"$get_property": ["db", "login"]})
    assert scope_of("web").evaluate(get_attribute("SELF", "address")) == {"$get_property": ["db", "login"]}


def stored(model: ModelStorage, resources: ResourceStorage, builder: TemplateBuilder) -> Service:
    return create_service(model, store_template(model, resources, builder.load()), "s", {})


def test_values_that_need_each_other_are_named(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    builder = TemplateBuilder("loop")
    builder.node("a", properties={"x": get_property("b", "y")})
    builder.node("b", properties={"y": concat("1", get_property("a", "x"))})
    builder.node("c", capabilities={"cap": {"z": get_property("SELF", "cap", "z")}},
                 attributes={"w": get_attribute("SELF", "w")})
    service = stored(model_storage, resource_storage, builder)
    scope = ServiceScope(service, service.nodes["a"])
    for expression, loop in [
            (get_property("a", "x"), "node 'a': x -> node 'b': y -> node 'a': x"),
            (get_property("c", "cap", "z"), "node 'c': cap.properties.z -> node 'c': cap.properties.z"),
            (get_attribute("c", "w"), "node 'c': w -> node 'c': w")]:
        with pytest.raises(ExpressionError, match=f"need each other: {loop}"):
            scope.evaluate(expression)


def test_long_chains_of_values_end_in_a_sentence(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    builder = TemplateBuilder("chain")
    last = 300
    builder.node("n", properties={
        "p0": 7, **{f"p{number}": get_property("SELF", f"p{number - 1}") for number in range(1, last)}})
    service = stored(model_storage, resource_storage, builder)
    node = service.nodes["n"]
    assert ServiceScope(service, node).get_property(["SELF", f"p{MAX_HOPS}"]) == 7
    with pytest.raises(ExpressionError, match=f"more than {MAX_HOPS} values"):
        ServiceScope(service, node).get_property(["SELF", f"p{last - 1}"])


def test_values_that_multiply_stay_bounded(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    builder = TemplateBuilder("laughs")
    builder.node("n", properties={"p0": "ha" * 50, **{
        f"p{number}": concat(*[get_property("SELF", f"p{number - 1}")] * 10) for number in range(1, 20)}})
    service = stored(model_storage, resource_storage, builder)
    begin = time.monotonic()
    with pytest.raises(ExpressionError, match="longer than"):
        ServiceScope(service, service.nodes["n"]).get_property(["SELF", "p19"])
    assert time.monotonic() - begin < 5


def test_capability_attributes_are_found(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    spec = TemplateSpec(name="caps", nodes={"n": NodeSpec(name="n", capabilities={"cap": CapabilitySpec(
        type="Endpoint", attributes={"ip": ParameterSpec(value="10.0.0.1")})})})
    row = store_template(model_storage, resource_storage, LoadedTemplate(template=spec))
    service = create_service(model_storage, row, "s")
    scope = ServiceScope(service)
    assert scope.evaluate(get_attribute("n", "cap", "ip")) == "10.0.0.1"
    with pytest.raises(ExpressionError, match=r"no property 'cap\.ip'"):
        scope.evaluate(get_property("n", "cap", "ip"))


def test_a_thousand_nodes_are_stored_quickly(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    builder = TemplateBuilder("big")
    for number in range(1000):
        node = builder.node(f"n{number}", properties={
            "a": 1, "b": "x", "c": [1, 2], "d": True, "e": get_attribute("SELF", "ip")},
            operations={"create": "a:b", "start": "a:c", "stop": "a:d"})
        if number:
            node.requires(f"n{number // 10}")
    loaded = builder.load()
    begin = time.process_time()
    row = store_template(model_storage, resource_storage, loaded)
    service = create_service(model_storage, row, "s")
    # Processor time: others use this machine, too. Idle, it is nearly what the clock says.
    assert time.process_time() - begin < 4
    assert counts(model_storage)["parameter"] == 5000
    assert len(model_storage.service.get(service.id).nodes) == 1000
