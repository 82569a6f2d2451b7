"""Passwords of broker, database and object store on runners and workers: seen by nobody who need not."""

from __future__ import annotations

import base64
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from aria_core import Application, Config, TemplateBuilder, call, create_service, script, store_template
from aria_core.testing.bench import OPERATIONS
from aria_core.testing.link import Link, linked
from aria_core.testing.object_server import ObjectServer
from aria_core.testing.sent_calls import wait_until
from aria_core.testing.wagons import make_wagon, make_wheel, write_wagon
from aria_core.testing.worker_hosts import Hosts

A_MINUTE = 60.0
DATABASE, LIBPQ = "data/base-canary", "libpq-canary"
TELLS = """#!/bin/sh
env >"$told"
while [ ! -e "$gate" ]; do sleep 0.05; done
"""
PLUGIN = "import os\n\ndef tell(ctx):\n    return dict(os.environ)\n"
SHOWN = (("config",), ("config", "show", "--json"), ("executions", "active"))


class Keys:
    """What nobody is to see, and whoever needs it has: from files, or from the environment."""

    def __init__(self, link: Link, objects: ObjectServer, broker: Any) -> None:
        self.database = make_url(link.through).set(password=DATABASE).render_as_string(hide_password=False)
        self.objects = objects.keywords(secrets.token_hex(4))
        self.broker = broker.url
        plain = ("base-canary", LIBPQ, broker.password, self.objects["secret_key"])
        self.hidden = [*plain, *(base64.b64encode(each.encode()).decode().rstrip("=") for each in plain)]

    def hosts(self, *, in_files: bool) -> Hosts:
        """Where everybody has them."""
        queue = f"aria-{secrets.token_hex(4)}"
        if in_files:
            hosts = Hosts(self.database, self.objects, self.broker, queue)
        else:
            hosts = Hosts("postgresql://aria@db.example.org/aria", {**self.objects, "secret_key": "unknown"},
                          "redis://broker.example.org/0", queue)
            hosts.variables |= {
                "ARIA_MODEL_STORAGE__URL": self.database, "ARIA_EXECUTOR__BROKER": self.broker,
                "ARIA_RESOURCE_STORAGE__SECRET_KEY": self.objects["secret_key"]}
        hosts.variables |= {"PGPASSWORD": LIBPQ, "AWS_SECRET_ACCESS_KEY": self.objects["secret_key"],
                            "ARIA_LOGGING__LEVEL": "debug"}
        return hosts

    def found_in(self, *texts: str) -> list[str]:
        return [each for each in self.hidden for text in texts if each in text]


@pytest.fixture(params=[("valkey", False), ("rabbitmq", True)], ids=["valkey-environment", "rabbitmq-files"])
def site(request: pytest.FixtureRequest, object_server: ObjectServer) -> Iterator[tuple[Keys, Hosts, Link]]:
    name, in_files = request.param
    databases = request.getfixturevalue("postgresql_databases")
    database = databases.create(request.getfixturevalue("postgresql_template"))
    with linked(databases.url(database)) as link:
        keys = Keys(link, object_server, request.getfixturevalue(name))
        hosts = keys.hosts(in_files=in_files)
        yield keys, hosts, link
        link.heal()
        hosts.close()
    databases.drop(database)


def opened(hosts: Hosts, directory: Path) -> Application:
    return Application(Config.load(directory=directory, environ=hosts.variables))


def add_service(keys: Keys, hosts: Hosts, directory: Path) -> tuple[Path, Path]:
    """Operations of each kind that tell what they see; what the script writes, and what it waits for."""
    told, gate = hosts.shared / "told", hosts.shared / "gate"
    (directory / "tell.sh").write_text(TELLS)
    builder = TemplateBuilder("telling")
    builder.plugin("teller")
    builder.node("one", operations={"create": f"{OPERATIONS}:environment",
                                    "configure": call("teller:tell", plugin="teller"),
                                    "start": script("tell.sh", told=str(told), gate=str(gate))})
    (directory / "aria.toml").write_text((hosts.runner / "aria.toml").read_text())
    with opened(hosts, directory) as application:
        application.plugin_manager.install(write_wagon(directory / "teller.wgn", make_wagon(
            "teller", wheels=[make_wheel("teller", files={"teller.py": PLUGIN})])))
        template = store_template(application.model_storage, application.resource_storage,
                                  builder.load(directory))
        create_service(application.model_storage, template, "telling")
    return told, gate


def read(process: Path, name: str) -> str:
    try:
        return (process / name).read_text(errors="replace")
    except OSError:  # it has ended
        return ""


def test_no_password_is_seen_by_operations_nor_among_processes_nor_in_what_is_told(
        site: tuple[Keys, Hosts, Link], tmp_path: Path) -> None:
    keys, hosts, link = site
    told, gate = add_service(keys, hosts, tmp_path)
    worker = hosts.worker(2)
    runner = hosts.aria("executions", "start", "telling", "install")
    wait_until(told.exists, A_MINUTE)
    processes = [each for each in Path("/proc").iterdir() if each.name.isdigit()]
    assert keys.found_in(*(read(each, "cmdline") for each in processes)) == []
    marked = [text for text in (read(each, "environ") for each in processes) if "ARIA_ATTEMPT=1/" in text]
    assert marked != []
    assert keys.found_in(*marked) == []
    gate.touch()
    said, _ = runner.communicate(timeout=A_MINUTE)
    assert runner.returncode == 0, said
    assert "PATH=" in told.read_text()
    with opened(hosts, tmp_path) as application:
        results = [str(each.result) for each in application.model_storage.task]
    assert sum("PATH" in each for each in results) == 2
    assert keys.found_in(told.read_text(), *results) == []

    commands = [hosts.aria(*words) for words in SHOWN]
    outputs = [each.communicate(timeout=A_MINUTE)[0] for each in commands]
    assert [each.returncode for each in commands] == [0, 0, 0], outputs
    assert "***" in outputs[0]
    link.refuse()
    failing = hosts.aria("executions", "list")
    complained, _ = failing.communicate(timeout=A_MINUTE)
    assert failing.returncode == 5, complained
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30.0) == 0  # it has nothing to report, so it needs no database to end
    for each in (said, hosts.logs()):
        assert " debug " in each  # they had a chance to say too much
    assert keys.found_in(said, *outputs, complained, hosts.logs()) == []
