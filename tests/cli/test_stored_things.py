"""``aria service-templates``, ``services``, ``nodes``, ``workflows``, ``plugins`` and ``reset``."""

from __future__ import annotations

from pathlib import Path

import pytest

from aria_core import Application, Config, TemplateBuilder, create_service, store_template
from aria_core.modeling.builder import parameter


@pytest.fixture
def installed(project):
    project("run", project.template)
    return project


def test_templates_are_stored_listed_shown_and_deleted(project):
    project("service-templates", "store", project.template, "greeting")
    assert "greeting" in project("service-templates", "list").stdout
    shown = project.json("service-templates", "show", "greeting")
    assert shown["nodes"] == {"one": "Greeter", "two": "Greeter"}
    assert shown["inputs"] == {"who": "string", "count": "integer", "gate": "string"}
    assert shown["files"] == ["greet.sh", "hello.yaml"]
    project("service-templates", "delete", "greeting")
    assert project("service-templates", "list").stdout == "there are no service templates\n"


def test_a_template_is_stored_once_under_a_name(project):
    project("service-templates", "store", project.template)
    assert "hello" in project.error("service-templates", "store", project.template, code=2)


def test_a_template_with_services_is_not_deleted(installed):
    assert "delete them first" in installed.error("service-templates", "delete", "hello", code=2)


def test_the_inputs_of_a_template_are_told_with_their_defaults(project):
    project("service-templates", "store", project.template)
    assert project.json("service-templates", "inputs", "hello")[0] == {
        "name": "who", "type": "string", "required": False, "default": "world",
        "description": "whom to greet"}


def test_services_are_shown_with_nodes_and_executions(installed):
    shown = installed.json("services", "show", "hello")
    assert shown["nodes"] == {"one": "started", "two": "started"}
    assert shown["executions"] == {"1": "install, succeeded"}
    assert "2 started" in installed("services", "list", "--template", "hello").stdout


def test_a_service_with_living_nodes_is_deleted_by_force_only(installed):
    assert "still has" in installed.error("services", "delete", "hello", code=2)
    result = installed("services", "delete", "hello", "--force")
    assert "was not ended: one, two" in result.stderr
    assert installed.json("nodes", "list") == []
    assert len(installed.json("service-templates", "list")) == 1


def test_a_service_that_was_uninstalled_is_deleted(installed):
    installed("executions", "start", "hello", "uninstall")
    installed("services", "delete", "hello")
    assert installed.json("executions", "list") == []


def test_a_service_name_is_taken_once(installed):
    assert "hello" in installed.error("services", "create", "hello", "hello", code=2)


def test_outputs_of_a_service_are_those_of_now(installed):
    assert installed.json("services", "outputs", "hello") == [
        {"name": "greeting", "type": "any", "value": "hello world", "description": ""}]


def test_a_node_is_shown_with_what_operations_left(installed):
    shown = installed.json("nodes", "show", "one", "--service", "hello")
    assert shown["attributes"]["greeting"] == "hello world"
    assert shown["relationships"] == {}
    assert installed.json("nodes", "show", shown["id"])["name"] == "one"
    assert installed.json("nodes", "show", "two")["relationships"] == {"dependency[0]": "one"}


def test_an_unknown_node_is_told_with_those_there_are(installed):
    assert "one, two" in installed.error("nodes", "show", "three", "--service", "hello", code=2)


def test_workflows_are_listed_and_shown_with_their_inputs(installed):
    names = [each["name"] for each in installed.json("workflows", "list", "--service", "hello")]
    assert {"install", "uninstall", "start", "stop", "execute_operation"} <= set(names)
    shown = installed.json("workflows", "show", "hello", "execute_operation")
    assert shown["inputs"]["run_by_dependency_order"] is True
    assert "has no workflow" in installed.error("workflows", "show", "hello", "nope", code=2)


def test_secrets_are_masked_wherever_they_would_be_shown(project):
    template = TemplateBuilder("vault")
    template.input("password", "secret", default="swordfish")
    template.output("password", "swordfish", "string", secret=True)
    template.node("box", properties={"password": parameter("swordfish", "string", secret=True)})
    with Application(Config.load()) as application:
        model, resources = application.model_storage, application.resource_storage
        create_service(model, store_template(model, resources, template.load()), "vault")
    for words in (("services", "inputs", "vault"), ("services", "outputs", "vault"), ("nodes", "show", "box"),
                  ("services", "show", "vault"), ("service-templates", "inputs", "vault"),
                  ("service-templates", "show", "vault"), ("run", project.template)):
        for form in ((), ("--json",)):
            assert "swordfish" not in project(*words, *form).output
    assert project.json("nodes", "show", "box")["properties"]["password"] == "***"


def test_tables_of_nothing_say_so(project):
    for word, sentence in (("services", "there are no services"), ("nodes", "there are no nodes"),
                           ("executions", "there are no executions"), ("plugins", "there are no plugins")):
        assert project(word, "list").stdout == f"{sentence}\n"
        assert project.json(word, "list") == []


def test_a_template_is_validated_without_being_stored(project):
    assert project("service-templates", "validate", project.template).stdout == (
        f"{project.template} is a valid service template: hello\n")
    project.template.with_name("ops.py").write_text("def greet(ctx, who: str): ...\n")
    project.template.write_text(project.template.read_text().replace(
        "start: {implementation: greet.sh, inputs: {who: two}}",
        "start: {implementation: ops:greet, inputs: {whom: two, who: 2}}"))
    told = project("service-templates", "validate", project.template, code=2).stderr.splitlines()
    assert [each.partition("ops:greet ")[2] for each in told] == [
        "(ops.py:1) does not know 'whom'; did you mean 'who'? it takes who",
        "(ops.py:1) takes str for 'who', not 2"]
    assert project.json("service-templates", "list") == []


def test_what_is_no_plugin_is_refused(project):
    Path("plugin.wgn").write_text("no archive")
    assert "plugin.wgn" in project.error("plugins", "validate", "plugin.wgn", code=2)
    assert "plugin.wgn" in project.error("plugins", "install", "plugin.wgn", code=2)
    assert "nobody" in project.error("plugins", "show", "nobody", code=2)


def test_reset_lists_what_it_removes_and_removes_it(installed):
    assert "--yes" in installed.error("reset", code=2)
    told = installed("reset", "--yes").stdout
    assert "1 services" in told
    assert "hello/one, hello/two" in told
    assert installed.json("services", "list") == []
    assert not list(installed.directory.glob("resources/service_template/*"))
    installed("run", installed.template)
