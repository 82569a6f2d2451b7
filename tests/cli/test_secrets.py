"""Canaries are planted wherever a secret may be, told in every way there is, and looked for everywhere."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy import text as sql

from aria_core import (
    Application,
    Config,
    InvalidInputError,
    TemplateBuilder,
    WorkflowRunner,
    call,
    concat,
    create_service,
    get_attribute,
    get_input,
    get_property,
    get_secret,
    parameter,
    script,
    secret_values,
    store_template,
)
from aria_core.modeling.secret_store import read_secret
from aria_core.orchestrator.events import Event

CODE = Path(__file__).parent / "secrets"
INPUT = f"canary-{os.getpid()}'\"swordfish"  # others who run this test have theirs in their environments
PROPERTY = "property-1b9d-canary"
ARGUMENT = "argument-55ad-canary"
MADE = "made-by-an-operation-99-canary"
WORKFLOW = "workflow-3c21-canary"
PIN = 48151623
CANARIES = (INPUT, "swordfish", PROPERTY, ARGUMENT, MADE, WORKFLOW, str(PIN))
PASSWORD_OF_DATABASE = "database-canary"

LEAKS = ("log", "print_it", "returns", "fails", "keeps", "computed", "script", "settings")


def template() -> TemplateBuilder:
    builder = TemplateBuilder("vault")
    builder.input("password", "secret")
    builder.input("canary_file", "string", default="")
    given = {"password": get_input("password"), "own": parameter(ARGUMENT, "string", secret=True)}
    operations: dict[str, Any] = {name: call(f"leaks:{name}", inputs=given)
                                  for name in ("log", "print_it", "returns", "fails", "keeps")}
    operations["computed"] = call("leaks:fails", password=concat(get_property("SELF", "login"), ""), own="")
    operations["crash"] = call("leaks:crash", inputs=given)
    operations["others"] = call("leaks:sees_of_others", canary_file=get_input("canary_file"))
    operations["holds"] = script("hold.sh", password=get_input("password"), gate=get_input("canary_file"))
    operations["script"] = script("leak.sh", inputs={**given, "pin": get_property("SELF", "pin")},
                                  process={"env": {"FROM_SETTINGS": get_input("password")}})
    operations["settings"] = script("leak.sh", process={"cwd": concat([get_input("password")])})
    builder.node(
        "box", interfaces={"Leak": operations},
        attributes={"name": "box", "token": parameter(None, "secret"), "url": "", "seen": None,
                    "copy": get_input("password")},
        properties={"password": parameter(PROPERTY, "string", secret=True),
                    "pin": parameter(PIN, "integer", secret=True),
                    "login": concat("root:", get_input("password"), "@", get_attribute("SELF", "name"))})
    builder.workflow("tell", "leaks:tell", inputs={
        "operations": parameter(None, "list"), "password": parameter(None, "secret", required=True)})
    builder.workflow("breaks", "leaks:breaks", inputs={"password": parameter(None, "secret", required=True)})
    builder.output("shown", concat("https://", get_property("box", "password"), "/"))
    builder.output("hidden", get_attribute("box", "token"), secret=True)
    builder.output("token", get_attribute("box", "token"))
    return builder


def make_service(project: Any) -> None:
    with Application(Config.load()) as application:
        model, resources = application.model_storage, application.resource_storage
        row = store_template(model, resources, template().load(CODE))
        create_service(model, row, "vault", {"password": INPUT,
                                             "canary_file": str(project.directory / "canary")})


@pytest.fixture(params=[("thread", "sqlite"), ("process", "sqlite"), ("process", "postgresql")], ids="-".join)
def vault(project: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A service that knows secrets, and a log file that takes everything."""
    executor, database = request.param
    project.database = "sqlite:///aria.db"
    if database == "postgresql":
        databases = request.getfixturevalue("postgresql_databases")
        name = databases.create(request.getfixturevalue("postgresql_template"))
        project.database = databases.url(name)
    configuration = Path("aria.toml")
    settings = configuration.read_text().replace('"thread"', f'"{executor}"')
    settings = settings.replace("sqlite:///aria.db", project.database)
    configuration.write_text(f'{settings}\n[logging]\nfile = "aria.log"\nlevel = "debug"\n')
    make_service(project)
    yield project
    if database == "postgresql":
        databases.drop(name)


def start(project: Any, workflow: str, code: int, *more: str) -> str:
    """Run a workflow; all that is printed meanwhile."""
    Path("inputs.yaml").write_text(json.dumps({"password": WORKFLOW}))
    words = ("executions", "start", "vault", workflow, "--inputs-file", "inputs.yaml", *more)
    return str(project(*words, code=code).output)


def shown(project: Any) -> Iterator[tuple[str, str]]:
    """Every view of the service and its executions, as text and as JSON."""
    views = [("services", "list"), ("services", "show", "vault"), ("services", "inputs", "vault"),
             ("services", "outputs", "vault"), ("nodes", "list"), ("nodes", "show", "box"),
             ("service-templates", "show", "vault"), ("service-templates", "inputs", "vault"),
             ("workflows", "show", "vault", "tell"), ("executions", "list")]
    for number in [each["id"] for each in project.json("executions", "list")]:
        views += [("executions", "show", number), ("executions", "tasks", number, "--all"),
                  ("logs", "list", number), ("logs", "list", number, "--follow")]
    for view in views:
        for form in ((), ("--json",)):
            yield " ".join(map(str, [*view, *form])), project(*view, *form).output


def found_in(text: str) -> list[str]:
    return [each for each in CANARIES if each in text]


def columns_with_canaries(database: str = "sqlite:///aria.db") -> set[str]:
    """Where the database has them, as ``table.column``."""
    found = set()
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        for table in inspect(engine).get_table_names():
            for row in connection.execute(sql(f'select * from "{table}"')).mappings():
                found |= {f"{table}.{name}" for name, value in row.items() if found_in(str(value))}
    engine.dispose()
    return found


def files_with_canaries(folder: Path) -> list[str]:
    """The files that have one, beside those that the test itself has written and a SQLite database."""
    ours = {"aria.db", "aria.db-wal", "plan.yaml", "inputs.yaml", "canary", "leaks.py"}
    return [each.name for each in folder.rglob("*") if each.is_file() and each.name not in ours
            and any(canary.encode() in each.read_bytes() for canary in CANARIES)]


def test_no_canary_is_shown_anywhere(vault: Any, events: list[Event]) -> None:
    # In a thread an operation's prints go where the program's own go: see SECURITY.md.
    printing = 'use = "process"' in Path("aria.toml").read_text()
    plan = ",".join(f'"{each}"' for each in LEAKS if printing or each != "print_it")
    Path("plan.yaml").write_text(f"operations: [{plan}]\npassword: {WORKFLOW}\n")
    printed = vault("executions", "start", "vault", "tell", "--inputs-file", "plan.yaml", code=1).output
    printed += start(vault, "breaks", 1)
    with_traceback = vault.process("--debug", "executions", "start", "vault", "breaks", "--input",
                                   f"password={WORKFLOW}").stderr
    assert "Traceback" in with_traceback
    printed += with_traceback
    assert "***" in printed
    assert found_in(printed) == []
    for view, text in shown(vault):
        assert (view, found_in(text)) == (view, [])
    assert [each for each in events if found_in(repr(each))] == []
    assert {each.kind for each in events} >= {"started", "failed"}
    assert {"parameter.value", "attribute.value"} <= columns_with_canaries(vault.database) <= {
        "parameter.value", "attribute.value", "execution.inputs", "task.arguments",
        "service_template.content", "node_template.content"}
    assert "***" in vault("logs", "list", "1").output
    assert files_with_canaries(vault.directory) == []


def test_the_programs_own_log_has_no_canary(vault: Any) -> None:
    start(vault, "breaks", 1)
    vault("executions", "show", 1)
    assert Path("aria.log").exists()
    assert found_in(Path("aria.log").read_text()) == []
    assert Path("aria.log").stat().st_mode & 0o777 == 0o600


def test_what_is_told_stays_readable(vault: Any) -> None:
    Path("plan.yaml").write_text(f"operations: [log, fails]\npassword: {WORKFLOW}\n")
    vault("executions", "start", "vault", "tell", "--inputs-file", "plan.yaml", code=1)
    lines = [each["message"] for each in vault.json("logs", "list", "1")]
    assert "the password is ***" in lines
    assert "as a URL: https://user:***@host/" in lines
    assert "begins with ***" in lines
    failed = [each for each in vault.json("executions", "tasks", "1") if each["state"] == "failed"]
    assert [each["reason"] for each in failed] == ["RuntimeError: cannot log in with ***"]
    assert all(each["arguments"].get("own") == "***" for each in failed)


def test_operations_and_python_get_secrets_in_clear(vault: Any) -> None:
    with Application(Config.load()) as application:
        service = application.model_storage.service.get_by_name("vault")
        assert service.inputs["password"] == INPUT
        hidden = secret_values(application.model_storage, service.id)
        assert hidden.hide(f"{INPUT} {PROPERTY} {PIN}") == "*** *** ***"
        assert not secret_values(application.model_storage, 4711).has_values


@pytest.mark.parametrize("spelled", ["str", "list"])
def test_a_secret_of_the_wrong_type_is_not_told(project: Any, spelled: str) -> None:
    builder = TemplateBuilder("vault")
    builder.input("pin", "integer", secret=True)
    builder.input("pins", "list", secret=True, entry="integer", required=False)
    builder.node("box", properties={"pin": parameter(get_input("pin"), "boolean")})
    with Application(Config.load()) as application:
        store_template(application.model_storage, application.resource_storage, builder.load())
    given = {"str": ["--input", "pin=swordfish"],
             "list": ["--input", "pin=1", "--input", 'pins=["swordfish"]']}
    told = project.error("services", "create", "vault", "x", *given[spelled], code=2)
    assert "***" in told
    assert "swordfish" not in told
    told = project("services", "create", "vault", "x", "--input", "pin=48151623", code=2).output
    assert "48151623" not in told


def test_the_password_of_the_database_is_shown_by_nothing(project: Any) -> None:
    url = f"postgresql://aria:{PASSWORD_OF_DATABASE}@127.0.0.1:1/aria?connect_timeout=1"
    configuration = Path("aria.toml")
    configuration.write_text(configuration.read_text().replace("sqlite:///aria.db", url)
                             + '\n[logging]\nfile = "aria.log"\nlevel = "debug"\n')
    for words, code in ((("config",), 0), (("services", "list"), None),
                        (("--debug", "services", "list"), None)):
        result = project.process(*words)
        assert code in (None, result.returncode), result.stderr
        assert PASSWORD_OF_DATABASE not in result.stdout + result.stderr
    assert PASSWORD_OF_DATABASE not in Path("aria.log").read_text()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc to look into")
def test_only_the_operation_that_is_given_a_secret_has_it_in_its_environment(vault: Any) -> None:
    canary = vault.directory / "canary"
    canary.write_text(INPUT)
    Path("plan.yaml").write_text(f"operations: [holds, others]\npassword: {WORKFLOW}\n")
    vault("executions", "start", "vault", "tell", "--inputs-file", "plan.yaml")
    seen = vault.json("nodes", "show", "box")["attributes"]["seen"]
    assert seen == {"in the script": True, "elsewhere": [], "own": False, "told by ps": []}


@pytest.mark.parametrize("vault", [("process", "sqlite")], indirect=True)
def test_an_operation_that_crashes_leaves_no_core_file(vault: Any) -> None:
    Path("plan.yaml").write_text(f"operations: [crash]\npassword: {WORKFLOW}\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        vault("executions", "start", "vault", "tell", "--inputs-file", "plan.yaml", code=1)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert "SIGABRT" in vault("executions", "show", 1).output
    assert [each.name for each in vault.directory.rglob("core*") if each.is_file()] == []
    assert files_with_canaries(vault.directory) == []


def test_a_secret_costs_the_other_lines_nothing_worth_mentioning() -> None:
    from aria_core import SecretValues

    secrets = SecretValues(f"secret-number-{number}" for number in range(1000))
    begin = time.monotonic()
    for _ in range(100):
        secrets.hide("a line of output as scripts write them, " * 3)
    assert time.monotonic() - begin < 2.0


def test_a_runner_masks_for_its_listeners_too(vault: Any) -> None:
    heard: list[Event] = []
    with Application(Config.load()) as application:
        service = application.model_storage.service.get_by_name("vault")
        runner: WorkflowRunner = application.runner(
            listeners=(heard.append,), service_id=service.id, workflow_name="breaks",
            inputs={"password": WORKFLOW}, executor=application.executor())
        with pytest.raises(ValueError, match=r"a workflow with \*\*\*"):
            runner.execute()
    assert heard
    assert found_in(repr(heard)) == []


def test_a_secret_can_stay_outside_of_the_database(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = Path("aria.toml")
    configuration.write_text(configuration.read_text().replace('"thread"', '"process"'))
    folder = Path("secrets")
    folder.mkdir(mode=0o700)
    (folder / "in-a-file").write_text(f"{PROPERTY}\n")
    monkeypatch.setenv("ARIA_SECRETS", str(folder.absolute()))
    monkeypatch.setenv("ARIA_SECRET_IN__ENV", ARGUMENT)
    builder = TemplateBuilder("vault")
    builder.node("box", properties={"password": get_secret("in-a-file")}, interfaces={"Leak": {
        "log": call("leaks:log", own=get_secret("IN__ENV"), password=get_property("SELF", "password")),
        "keeps": call("leaks:environment", password=get_secret("IN__ENV"))}})
    builder.workflow("tell", "leaks:tell", inputs={"operations": ["keeps", "log"], "password": ""})
    builder.output("shown", concat("https://", get_property("box", "password")))
    with Application(Config.load()) as application:
        model, resources = application.model_storage, application.resource_storage
        create_service(model, store_template(model, resources, builder.load(CODE)), "vault")
    assert found_in(project("executions", "start", "vault", "tell").output) == []
    lines = [each["message"] for each in project.json("logs", "list", "1")]
    assert "the password is ***" in lines
    assert "in the environment: []" in lines
    for view, text in shown(project):
        assert (view, found_in(text)) == (view, [])
    assert columns_with_canaries() == set()
    (folder / "in-a-file").unlink()
    told = project("executions", "start", "vault", "tell", code=1).output
    assert "in-a-file in the folder that ARIA_SECRETS names" in told


@pytest.mark.parametrize("name", ["../x", ".x", "", "a/b", "a\0", 1, None, "x" * 200])
def test_a_secret_has_a_name_and_no_path(name: object) -> None:
    with pytest.raises(InvalidInputError, match="letters"):
        read_secret(name)


def test_an_input_cannot_be_a_secret_that_is_not_stored(project: Any) -> None:
    builder = TemplateBuilder("vault")
    builder.input("password", default=get_secret("x"))
    with Application(Config.load()) as application:
        model, resources = application.model_storage, application.resource_storage
        row = store_template(model, resources, builder.load())
        with pytest.raises(InvalidInputError, match="inputs are stored"):
            create_service(model, row, "vault")


def test_the_page_on_secrets_is_run(project: Any) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "secrets.md").read_text()
    template_text, script_text = (
        page.split(f"```{language}\n")[1].split("```")[0] for language in ("yaml", "sh"))
    project.template.write_text(template_text)
    (project.template.parent / "create.sh").write_text(script_text)
    Path("inputs.yaml").write_text("password: swordfish\n")
    project("run", project.template, "--inputs-file", "inputs.yaml")
    assert "logging in with ***" in project("logs", "list", 1).output
    properties = project.json("nodes", "show", "database")["properties"]
    assert (properties["password"], properties["pin"]) == ("***", "***")
