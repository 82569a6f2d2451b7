"""Case 38: names and values nobody would choose are kept or refused in one line; no line is forged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aria_core import Application, AriaError, Config, Service, TemplateBuilder, create_service, store_template
from aria_core.testing.names import COMMANDING, LINE, NAMES
from aria_plugins.cli.root import aria

EVERYWHERE: dict[str, Any] = {"executors": ["thread", "process"], "databases": ["sqlite", "postgresql"]}
TEXTS = [each for each in NAMES.values() if "\0" not in each and "\ud800" not in each]
"""Those that JSON text in a database can hold."""
_CODE = "aria_core.testing.names"


@contextmanager
def opened(trial: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.chdir(trial.directory)
    Path("aria.toml").write_text(trial.configuration)
    with Application(Config.load()) as application:
        yield application


def made(application: Application, *, template: str = "t", service: str = "s", node: str = "one",
         given: str = "given", attribute: str = "a") -> Service:
    """A new service with these names."""
    builder = TemplateBuilder(template)
    builder.input(given, "string", default="x")
    builder.node(node, attributes={attribute: "x"}, interfaces={
        "Test": {name: f"{_CODE}:{name}" for name in ("use", "use_kind", "name_attribute")}})
    builder.workflow("use_all", f"{_CODE}:use_all", inputs={"texts": [], "operation": ""})
    model = application.model_storage
    return create_service(model, store_template(model, application.resource_storage, builder.load()), service)


def found(application: Application, key: int, place: str) -> str:
    """The name as it was stored."""
    with application.model_storage.read_session() as session:
        service = session.get_one(Service, key)
        (node,) = service.nodes.values()
        names = {"template": service.service_template.name, "service": service.name, "node": node.name,
                 "given": next(iter(service.inputs)), "attribute": next(iter(node.attributes))}
        return str(names[place])


@pytest.mark.fault(38, of="names", **EVERYWHERE)
@pytest.mark.parametrize("place", ["template", "service", "node", "given", "attribute"])
def test_a_name_is_kept_or_refused_in_one_line(
        cell: Any, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    for trial in cell.trials():
        refused = {}
        with opened(trial, monkeypatch) as application:
            for number, (kind, name) in enumerate(NAMES.items()):
                names = {"template": f"t{number}", "service": f"s{number}", place: name}
                try:
                    service = made(application, **names)
                except AriaError as error:
                    refused[kind] = str(error)
                else:
                    assert found(application, service.id, place) == name, kind
        assert all(len(each.splitlines()) == 1 and len(each) < 1000 for each in refused.values()), refused
        assert not refused.keys() & {"hebrew", "emoji", "combining", "up", "percent", "braces", "SQL"}
        cell.note(f"{len(refused)} of {len(NAMES)} refused")


def run(application: Application, texts: list[str], operation: str) -> Any:
    """An execution of one operation with each text; its tasks in the order of the texts, and its logs."""
    service, model = made(application), application.model_storage
    runner = application.runner(service_id=service.id, workflow_name="use_all", task_max_attempts=1,
                                inputs={"texts": texts, "operation": operation})
    assert runner.execute() == "succeeded"
    of_this = {"execution_id": runner.execution_id}
    tasks = [each for each in model.task.list(filters=of_this, sort={"position": "asc"}) if not each.stub]
    assert [each.arguments["text"] for each in tasks] == texts
    return tasks, list(model.log.list(filters=of_this, sort={"id": "asc"}))


@pytest.mark.fault(38, of="values", **EVERYWHERE)
def test_inputs_results_attributes_and_messages_come_back_as_they_were(
        cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for trial in cell.trials():
        with opened(trial, monkeypatch) as application:
            tasks, logs = run(application, TEXTS, "use")
            assert [each.result for each in tasks] == [{"said": text} for text in TEXTS]
            for task, text in zip(tasks, TEXTS, strict=True):
                told = [each.message for each in logs if each.task_id == task.id]
                assert {text, f"said: {text}"} <= set(told), text
            assert application.model_storage.node.get_by_name("one").attributes["said"] in TEXTS


@pytest.mark.fault(38, of="attributes", **EVERYWHERE)
def test_an_operation_gives_an_attribute_any_name_or_fails_in_one_line(
        cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for trial in cell.trials():
        with opened(trial, monkeypatch) as application:
            tasks, _ = run(application, TEXTS, "name_attribute")
            attributes = dict(application.model_storage.node.get_by_name("one").attributes)
            failed = [each.reason for each in tasks if each.state == "failed"]
            kept = [each.arguments["text"] for each in tasks if each.state == "success"]
        assert all(len(each.splitlines()) == 1 for each in failed), failed
        assert attributes == {"a": "x", **{text: text for text in kept}}
        assert set(kept) >= {NAMES[each] for each in ("hebrew", "emoji", "SQL", "percent", "up", "braces")}


@pytest.mark.fault(38, of="unstorable", **EVERYWHERE)
@pytest.mark.parametrize("kind", ["NUL", "lone"])
def test_what_json_cannot_hold_is_refused_in_one_line(
        cell: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for trial in cell.trials():
        with opened(trial, monkeypatch) as application:
            service = made(application)
            with pytest.raises(AriaError) as caught:
                application.runner(service_id=service.id, workflow_name="use_all",
                                   inputs={"texts": [NAMES[kind]], "operation": "use"})
            assert len(application.model_storage.execution.list()) == 0
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.fault(38, of="unstorable results", **EVERYWHERE)
def test_an_operation_that_makes_what_json_cannot_hold_fails_in_one_line(
        cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for trial in cell.trials():
        with opened(trial, monkeypatch) as application:
            tasks, logs = run(application, ["NUL", "lone", "emoji"], "use_kind")
            assert [each.state for each in tasks] == ["failed", "failed", "success"]
            assert [len(each.reason.splitlines()) for each in tasks[:2]] == [1, 1]
            told = [each.message for each in logs]
        assert {"a\N{REPLACEMENT CHARACTER}b", "?", NAMES["emoji"]} <= set(told), told


@pytest.mark.fault(38, of="logs", **EVERYWHERE)
def test_no_line_of_a_log_is_forged_and_no_terminal_commanded(
        cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for trial in cell.trials():
        with opened(trial, monkeypatch) as application:
            run(application, TEXTS, "use")
        printed = "".join(shown(*words) for words in (
            ("logs", "list", "1"), ("logs", "list", "1", "--json"), ("executions", "tasks", "1"),
            ("executions", "show", "1"), ("nodes", "show", "1")))
        assert "forged" in printed
        assert [line for line in printed.splitlines() if line.startswith((LINE, "forged"))] == []
        assert COMMANDING & set(printed) == set()


def shown(*words: str) -> str:
    result = CliRunner().invoke(aria, list(words))
    assert result.exit_code == 0, (words, result.output)
    return str(result.output)
