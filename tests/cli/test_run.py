"""``aria run``: from a file to a running service and back, and every way in which it can be refused."""

from __future__ import annotations

from pathlib import Path

import pytest


def nothing_is_stored(project) -> bool:
    return project.json("services", "list") == project.json("service-templates", "list") == []


def test_one_command_makes_a_service_and_prints_its_outputs(project):
    result = project("run", project.template)
    assert "[2/2] Standard:start@node:two succeeded" in result.stdout
    assert "greeting: hello world" in result.stdout
    assert result.stderr == ""
    assert {each["state"] for each in project.json("nodes", "list")} == {"started"}


def test_another_process_does_the_same_with_warm_workers(project):
    result = project.process("--set", "executor.use=process", "run", project.template, "--json")
    assert result.returncode == 0, result.stderr
    assert '"greeting": "hello world"' in result.stdout


def test_the_matching_uninstall_undoes_it_and_it_can_be_installed_again(project):
    project("run", project.template)
    project("run", project.template, "--workflow", "uninstall")
    assert {each["state"] for each in project.json("nodes", "list")} == {"deleted"}
    project("run", project.template)
    assert len(project.json("executions", "list")) == 3


def test_inputs_come_from_options_and_files_and_options_go_before(project):
    file = project.directory / "inputs.yaml"
    file.write_text("who: file\ncount: 3\n")
    project("run", project.template, "--inputs-file", file, "--input", "who=option")
    assert {each["name"]: each["value"] for each in project.json("services", "inputs", "hello")} == {
        "who": "option", "count": 3, "gate": ""}


def test_json_is_all_there_is_on_standard_output(project):
    shown = project.json("run", project.template)
    assert shown == {"execution": 1, "service": "hello", "state": "succeeded",
                     "outputs": {"greeting": "hello world"}}


def test_quiet_shows_the_outputs_only(project):
    assert project("-q", "run", project.template).stdout == "outputs:\n  greeting: hello world\n"


def test_a_dry_run_records_tasks_and_touches_no_node(project):
    project("run", project.template, "--dry")
    assert project.json("executions", "list")[0]["dry"] is True
    assert {each["state"] for each in project.json("executions", "tasks", 1)} == {"success"}
    assert {each["state"] for each in project.json("nodes", "list")} == {"initial"}


def test_a_failing_operation_is_named_and_the_exit_code_is_1(project):
    assert "greet.sh ended with 3" in project.error("run", project.template, "-i", "who=bad", code=1)
    assert project.json("executions", "list")[0]["state"] == "failed"


def test_services_of_one_template_share_it(project):
    project("run", project.template)
    project("run", project.template, "--service", "second")
    assert [each["services"] for each in project.json("service-templates", "list")] == [["hello", "second"]]


def test_the_same_inputs_may_be_given_again_and_others_are_refused(project):
    project("run", project.template, "-i", "count=2")
    project("run", project.template, "-i", "count=2")
    assert "another value of 'count'" in project.error("run", project.template, "-i", "count=3", code=2)


@pytest.mark.parametrize("change", ["template", "script"])
def test_a_changed_template_is_refused_and_told_how_to_go_on(project, change):
    project("run", project.template)
    if change == "script":
        project.script.write_text("#!/bin/sh\n")
    else:
        project.template.write_text(project.template.read_text().replace("default: world", "default: moon"))
    assert "was changed since" in project.error("run", project.template, code=2)
    assert "another name" in project.error("run", project.template, "--service", "second", code=2)
    project("executions", "start", "hello", "uninstall")
    project("services", "delete", "hello")
    project("run", project.template)


def test_a_comment_in_the_template_changes_nothing(project):
    project("run", project.template)
    project.template.write_text("# a comment\n" + project.template.read_text())
    project("run", project.template)


def test_a_template_beside_the_database_does_not_swallow_it(project):
    for file in (project.template, project.script):
        file.rename(project.directory / file.name)
    project("run", "hello.yaml")
    project("run", "hello.yaml", "-w", "uninstall")
    assert project.json("service-templates", "show", "hello")["files"] == ["greet.sh", "hello.yaml"]


def test_a_missing_file_is_refused(project):
    assert "nowhere.yaml" in project.error("run", "nowhere.yaml", code=2)


def test_yaml_that_is_none_and_yaml_without_a_version_are_told_with_their_place(project):
    (project.directory / "broken.yaml").write_text("a: [1\n")
    (project.directory / "bare.yml").write_text("a: 1\n")
    assert "broken.yaml:2:1: this is not valid YAML" in project.error("run", "broken.yaml", code=2)
    assert "bare.yml:1:1: the service template lacks" in project.error("run", "bare.yml", code=2)


def test_a_file_that_no_loader_knows_is_refused(project):
    Path("notes.txt").write_text("hello")
    assert "recognised by no loader" in project.error("run", "notes.txt", code=2)


def test_invalid_yaml_is_refused_with_its_place(project):
    project.template.write_text(project.template.read_text() + "\n  - ]\n")
    assert "hello.yaml:" in project.error("run", project.template, code=2)
    assert nothing_is_stored(project)


def test_an_unknown_type_is_refused_with_its_place(project):
    before, two, after = project.template.read_text().partition("two:")
    project.template.write_text(before + two + after.replace("type: Greeter", "type: Stranger"))
    assert "Stranger" in project.error("run", project.template, code=2)
    assert nothing_is_stored(project)


def test_a_missing_script_is_refused_before_anything_is_stored(project):
    project.script.unlink()
    assert "greet.sh" in project("run", project.template, code=2).stderr
    assert nothing_is_stored(project)


def test_a_dry_run_needs_no_script(project):
    project.script.unlink()
    assert "greet.sh" in project("run", project.template, "--dry").stderr


def test_an_undeclared_input_leaves_nothing_behind(project):
    assert "no input 'nope'" in project.error("run", project.template, "-i", "nope=1", code=2)
    assert nothing_is_stored(project)


def test_an_input_of_the_wrong_type_leaves_nothing_behind(project):
    assert "whole number" in project.error("run", project.template, "-i", "count=many", code=2)
    assert nothing_is_stored(project)


def test_an_input_that_is_no_pair_is_refused(project):
    assert "name=value" in project.error("run", project.template, "-i", "count", code=2)


@pytest.mark.parametrize("content", ["- a\n- b\n", "{", "1: 2"])
def test_an_inputs_file_without_a_map_is_refused(project, content):
    Path("inputs.yaml").write_text(content)
    assert "inputs.yaml" in project.error("run", project.template, "--inputs-file", "inputs.yaml", code=2)


def test_an_unknown_workflow_leaves_nothing_behind(project):
    assert "has no workflow 'nope'" in project.error("run", project.template, "-w", "nope", code=2)
    assert nothing_is_stored(project)


def test_an_undeclared_workflow_input_leaves_nothing_behind(project):
    assert "has no input" in project.error("run", project.template, "--workflow-input", "a=1", code=2)
    assert nothing_is_stored(project)


def test_an_unknown_executor_leaves_nothing_behind(project):
    assert "installed are" in project.error("run", project.template, "--executor", "nope", code=6)
    assert nothing_is_stored(project)


def test_an_unknown_loader_is_refused(project):
    assert "tosca" in project.error("run", project.template, "--loader", "nope", code=6)


def test_dry_and_another_executor_exclude_each_other(project):
    assert "--dry" in project.error("run", project.template, "--dry", "--executor", "thread", code=2)


def test_a_folder_too_large_to_be_a_templates_is_refused(project):
    crowd = project.template.parent / "crowd"
    crowd.mkdir()
    for number in range(2_001):
        (crowd / str(number)).touch()
    assert "a folder of its own" in project.error("run", project.template, code=2)
    assert nothing_is_stored(project)


def test_retries_follow_options(project):
    result = project("run", project.template, "-i", "who=bad", "--task-max-attempts", 3,
                     "--task-retry-interval", 0.01, code=1)
    assert "failed (attempt 2), will be retried" in result.stdout
    assert [each["attempts"] for each in project.json("executions", "tasks", 1)] == [3, 0]


def test_what_operations_write_cannot_command_the_terminal(project):
    project.script.write_text("#!/bin/sh\nctx logger info \"$(printf 'a\\033[31mb\\nc')\"\n"
                              "ctx node attributes greeting = \"$(printf 'x\\033]0;title\\007y')\"\n")
    result = project("run", project.template)
    assert "greeting: x]0;titley" in result.stdout
    log = project("logs", "list", 1).stdout
    assert "\x1b" not in result.stdout + log
    assert "a[31mb\n    c\n" in log
