"""Names nobody would choose: kept exactly, or refused in one line; and no view is deceived by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aria_core import (
    AriaError,
    ModelStorage,
    ResourceStorage,
    TemplateBuilder,
    create_service,
    store_template,
)
from aria_core.testing.names import COMMANDING, LINE, NAMES
from aria_plugins.cli.root import aria


def is_one_line(text: str) -> bool:
    return len(text.splitlines()) == 1 and len(text) < 1000


def kept(template: TemplateBuilder, model: ModelStorage, resource: ResourceStorage, name: str) -> Any:
    """The stored service, read anew."""
    row = store_template(model, resource, template.load())
    made = create_service(model, row, name, {})
    with model.read_session() as session:
        return session.get_one(type(made), made.id).to_dict(), [*model.node.list({"service_id": made.id})]


@pytest.mark.parametrize("place", ["template", "service", "node", "input", "property", "value"])
def test_a_name_comes_back_as_it_was_or_is_refused_in_one_line(
        model_storage: ModelStorage, resource_storage: ResourceStorage, place: str) -> None:
    refused = []
    for number, (kind, name) in enumerate(NAMES.items()):
        try:
            builder = TemplateBuilder(name if place == "template" else f"t{number}")
            if place == "input":
                builder.input(name, "string", default="x")
            given: dict[str, Any] = {"value": {"p": name}, "property": {name: "x"}}
            builder.node(name if place == "node" else "n", properties=given.get(place, {}))
            service, nodes = kept(builder, model_storage, resource_storage,
                                  name if place == "service" else f"s{number}")
        except AriaError as error:
            assert is_one_line(str(error)), (kind, str(error))
            refused.append(kind)
            continue
        stored = model_storage.service.get(service["id"])
        found = {"template": stored.service_template.name, "service": stored.name, "node": nodes[0].name,
                 "input": [*stored.inputs][:1], "property": [*nodes[0].properties][:1],
                 "value": nodes[0].properties.get("p")}[place]
        assert found in (name, [name]), kind
    assert {"NUL", "lone"} <= set(refused)
    assert {"hebrew", "emoji", "combining", "SQL", "percent", "shell"} & set(refused) == set()


@pytest.mark.parametrize("kind", NAMES)
def test_the_command_keeps_a_name_and_shows_it_without_its_commands(project: Any, kind: str) -> None:
    name = NAMES[kind]
    Path("inputs.json").write_text(json.dumps({"who": name}))
    project("service-templates", "store", project.template, "hello")
    words = ["services", "create", "--inputs-file", "inputs.json", "--", "hello", name]
    result = CliRunner().invoke(aria, words)
    printed = result.output
    if result.exit_code:
        assert result.exit_code == 2, printed
        assert is_one_line(result.stderr)
        assert project.json("services", "list") == []
    else:
        assert [each["name"] for each in project.json("services", "list")] == [name]
        inputs = json.loads(project("services", "inputs", "--json", "--", name).stdout)
        assert [each["value"] for each in inputs if each["name"] == "who"] == [name]
        for view in (("services", "list"), ("services", "show", "--", name), ("nodes", "list"),
                     ("services", "inputs", "--", name), ("service-templates", "show", "hello")):
            printed += project(*view).output
    assert [each for each in COMMANDING if each in printed] == []
    assert [line for line in printed.splitlines() if line.startswith((LINE, "forged"))] == []

