"""Limits, pools and priorities on the command line."""

from __future__ import annotations

import signal

import pytest

LIMITED = """\
tosca_definitions_version: tosca_simple_yaml_1_3
imports: [aria-1.0]
topology_template:
  inputs: {gate: {type: string, default: ""}}
  node_templates:
    one: &node
      type: tosca.nodes.Root
      interfaces:
        Standard:
          create:
            implementation:
              primary: greet.sh
              dependencies: [aria.pool > database, aria.priority > 5]
            inputs: {who: you, gate: {get_input: gate}}
    two: *node
  policies:
  - careful: {type: aria.Concurrency, properties: {max_concurrency: 3}, targets: [two]}
"""


@pytest.fixture
def limited(project):
    project.template.write_text(LIMITED)
    return project


def limits(project, execution=1):
    shown = project.json("executions", "show", execution)
    return shown["max_concurrency"], shown["max_per_node"], shown["pools"]


def test_what_is_given_and_what_is_configured_is_shown(limited):
    with (limited.directory / "aria.toml").open("a") as file:
        file.write("max_per_node = 2\n[pools]\ndatabase = 1\nlicences = 4\n")
    limited("run", limited.template, "--max-concurrency", 3, "--pool", "licences=2", "--pool", "a=b=1")
    assert limits(limited) == (3, 2, {"database": 1, "licences": 2, "a=b": 1})
    assert {(each["priority"], each["pool"]) for each in limited.json("executions", "tasks", 1)} == {
        (5, "database")}
    table = limited("executions", "tasks", 1).stdout
    assert "PRIORITY" in table.upper() and "database" in table
    assert [limited.json("nodes", "show", each)["max_concurrency"] for each in ("one", "two")] == [None, 3]
    limited("executions", "start", "hello", "uninstall", "--max-per-node", -1)
    assert limits(limited, 2) == (None, None, {"database": 1, "licences": 4})
    assert "PRIORITY" not in limited("executions", "tasks", 2).stdout.upper()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_resume_keeps_limits_but_for_those_it_is_given(limited, number):
    running = limited.run_until_gate("--pool", "database=1", "--max-concurrency", 2)
    running.send_signal(number)
    if number == signal.SIGTERM:
        limited.open_gate()
    assert running.wait(60) in (143, -signal.SIGKILL)
    assert [each["attempts"] for each in limited.json("executions", "tasks", 1)] == [1, 0]
    assert limits(limited) == (2, None, {"database": 1})
    limited.open_gate()
    limited("executions", "resume", 1, "--max-concurrency", 7)
    assert limits(limited) == (7, None, {"database": 1})


def test_a_pool_that_nobody_gave_a_size_is_refused_and_named(limited):
    said = limited.error("run", limited.template, "--pool", "databse=1", code=2)
    assert "Standard:create@node:one runs in the pool 'database'" in said
    assert "those with a size: databse." in said
    assert limited.json("executions", "tasks", 1) == []


@pytest.mark.parametrize(("option", "said"), [
    (("--pool", "database"), "'database' is not like NAME=SIZE"),
    (("--pool", "database=many"), "'database=many' is not like NAME=SIZE"),
    (("--pool", "database=0"), "the size of the pool 'database' is 0; it is a whole number, at least 1"),
    (("--max-concurrency", 0), "max_concurrency is 0; it is a whole number, at least 1"),
    (("--max-per-node", "few"), "'few' is not a valid integer")])
def test_a_limit_that_is_none_is_refused_and_nothing_is_made(limited, option, said):
    assert said in limited("run", limited.template, *option, code=2).stderr
    assert limited.json("executions", "list") == []
    assert limited.json("services", "list") == []
