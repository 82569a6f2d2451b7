"""Executors are swapped in ``aria.toml`` and nowhere else: the same template, the same final states.

What one executor has begun, another resumes, also when the runner was killed in the middle.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from aria_core.testing.crash import GOES_ON, SHORT, CrashSite
from aria_core.testing.crash_process import wait_until
from aria_core.testing.worker_site import worker_sites

LOCAL, ON_BROKERS = ("thread", "process", "dry"), ("celery-valkey", "celery-rabbitmq")
ON_BOTH = [(executor, database) for executor in LOCAL for database in ("sqlite", "postgresql")]
EVERY_CELL = [*ON_BOTH, *((executor, "postgresql") for executor in ON_BROKERS)]
SWAPS = [("process", "thread", "sqlite"), ("thread", "process", "sqlite"),
         ("process", "celery-valkey", "postgresql"), ("celery-valkey", "process", "postgresql"),
         ("celery-rabbitmq", "celery-valkey", "postgresql"), ("celery-valkey", "thread", "postgresql"),
         ("thread", "celery-rabbitmq", "postgresql")]

PATIENCE = 60.0


class Swapped:
    """One directory with one service, and a worker on each broker that was chosen."""

    def __init__(self, directory: Path, url: str, broker_of: Callable[[str], Any], opened: ExitStack) -> None:
        self.directory, self._url = directory, url
        self._broker_of, self._opened = broker_of, opened
        self._queue = f"q{secrets.token_hex(4)}"
        self._there: set[str] = set()
        self.site = CrashSite(directory, self._configuration("process"), url)
        opened.callback(self.site.close)
        self.site.prepare()

    def choose(self, executor: str) -> None:
        """Have the next runner use this executor, by its section of ``aria.toml`` alone."""
        text = self._configuration(executor)
        if executor in ON_BROKERS and executor not in self._there:
            self._there.add(executor)
            host, = self._opened.enter_context(worker_sites([self.directory / executor], text))
            host.launch("--slots", "2")
        (self.directory / "aria.toml").write_text(text)

    def _configuration(self, executor: str) -> str:
        use, _, broker = executor.partition("-")
        keywords = {"use": use} if use == "dry" else {"use": use, "slots": 2}
        if broker:
            keywords = {"use": use, "broker": self._broker_of(broker).url, "queue": self._queue}
        lines = [f"{name} = {json.dumps(value)}" for name, value in keywords.items()]
        return "\n".join([
            "[executor]", *lines, "[model_storage]", 'use = "sql"', f'url = "{self._url}"',
            "[resource_storage]", 'use = "file"', f'directory = "{self.directory}/resources"',
            "shared = true", "[plugins]", 'directory = "plugins"', ""])

    def aria(self, *words: str) -> str:
        """What ``aria`` prints with these words; it must succeed."""
        named = {each: value for each, value in os.environ.items() if not each.startswith("ARIA_")}
        done = subprocess.run([sys.executable, "-m", "aria_core", *words], cwd=self.directory, env=named,
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def running(self) -> set[int]:
        """The tasks whose operation has begun, and has said since then that it lasts."""
        effects = self.site.judge.effects()
        ended = {each.task for each in effects if each.what == "end"}
        return {each.task for each in effects if each.what == "runs"} - ended

    def final_states(self) -> dict[str, Any]:
        """All that an execution leaves behind it in the database."""
        rows = self.site.judge.rows
        return {
            "execution": rows("SELECT state, dry FROM execution"),
            "tasks": rows("SELECT position, name, state, failures, lost FROM task ORDER BY position"),
            "nodes": rows("SELECT name, state FROM node ORDER BY name"),
            "attributes": rows("SELECT node.name AS node, attribute.name, value FROM attribute "
                               "JOIN node ON node.id = node_id ORDER BY 1, 2")}


@pytest.fixture
def swapped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Swapped]]:
    """Makes a directory and a service on a new database of the kind that is asked for."""
    with ExitStack() as opened:
        def make(database: str) -> Swapped:
            url = f"sqlite:///{tmp_path / 'aria.db'}"
            if database == "postgresql":
                databases = request.getfixturevalue("postgresql_databases")
                name = databases.create()
                opened.callback(databases.drop, name)
                url = databases.url(name)
            return Swapped(tmp_path, url, request.getfixturevalue, opened)

        yield make


@pytest.mark.parametrize(("executor", "database"), EVERY_CELL)
def test_the_same_template_ends_in_the_same_states(
        executor: str, database: str, swapped: Callable[[str], Swapped]) -> None:
    place = swapped(database)
    place.choose(executor)
    done = place.site.run("start")
    assert (done.code, done.said) == (0, "succeeded"), done.complained
    left = place.final_states()
    assert left["execution"] == [{"state": "succeeded", "dry": executor == "dry"}]
    assert {each["state"] for each in left["tasks"]} == {"success"}
    if executor == "dry":
        assert {each["state"] for each in left["nodes"]} == {"initial"}
        assert left["attributes"] == []
        return
    place.site.assert_promises_kept()
    assert [each["failures"] for each in left["tasks"] if "left" in each["name"] and each["failures"]] == [1]
    assert sum(each["lost"] for each in left["tasks"]) == 0
    assert {each["state"] for each in left["nodes"]} == {"started"}
    assert left["attributes"] == [{"node": "right", "name": "early", "value": "1"},
                                  {"node": "right", "name": "late", "value": "1"}]


TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  Greeter:
    derived_from: tosca.nodes.Root
    attributes: {said: {type: string}, counted: {type: integer}}
topology_template:
  inputs: {name: {type: string, default: world}}
  node_templates:
    greeter:
      type: Greeter
      interfaces:
        Standard:
          operations:
            create: {implementation: greet.sh, inputs: {name: {get_input: name}}}
            start: {implementation: "counting:count"}
  outputs:
    greeting: {value: {concat: [{get_attribute: [greeter, said]}, "!"]}}
    count: {value: {get_attribute: [greeter, counted]}}
"""
SCRIPT = '#!/bin/sh\nctx node attributes said = "hello $name"\n'
FUNCTION = "def count(ctx):\n    ctx.node.attributes['counted'] = 3\n"


@pytest.mark.parametrize(("executor", "database"), EVERY_CELL)
def test_a_script_and_outputs_are_the_same_on_the_command_line(
        executor: str, database: str, swapped: Callable[[str], Swapped]) -> None:
    place = swapped(database)
    place.choose(executor)
    folder = place.directory / "template"
    folder.mkdir()
    for name, text in (("greeter.yaml", TEMPLATE), ("greet.sh", SCRIPT), ("counting.py", FUNCTION)):
        (folder / name).write_text(text)
    (folder / "greet.sh").chmod(0o755)
    place.aria("run", "template/greeter.yaml", "-i", "name=you")
    told = json.loads(place.aria("services", "outputs", "greeter", "--json"))
    assert {each["name"]: each["value"] for each in told} == (
        {"greeting": None, "count": None} if executor == "dry" else {"greeting": "hello you!", "count": 3})


@pytest.mark.parametrize(("first", "then", "database"), SWAPS)
def test_what_one_has_begun_another_resumes(
        first: str, then: str, database: str, swapped: Callable[[str], Swapped]) -> None:
    place = swapped(database)
    site = place.site
    place.choose(first)
    runner = site.launch("start")
    wait_until(lambda: site.count("begin") >= 2, "two operations")
    site.let_operations_last(60.0)
    wait_until(place.running, "an operation that lasts")
    runner.kill()
    cut_off = place.running()
    site.assert_promises_kept(GOES_ON if first in ON_BROKERS else ())
    place.choose(then)
    resumed = site.launch("resume")
    wait_until(lambda: site.judge.rows("SELECT epoch FROM execution")[0]["epoch"] > 1, "another runner")
    site.let_operations_last(SHORT)
    assert resumed.end().said == "succeeded"
    site.assert_promises_kept()
    begun = Counter(each.task for each in site.judge.effects() if each.what == "begin")
    assert {begun[task] for task in cut_off} == ({1} if first in ON_BROKERS else {2})  # adopted, or run again
    left = place.final_states()
    assert {each["state"] for each in left["tasks"]} == {"success"}
    assert {each["state"] for each in left["nodes"]} == {"started"}
    assert {each["name"] for each in left["attributes"]} == {"early", "late"}
