"""What the page about several hosts shows: each host is a folder with a home and processes of its own."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aria_core.testing.brokers import Broker

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "scale-out.md"
TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  node_templates:
    one:
      type: tosca.nodes.Root
      interfaces:
        Standard:
          operations: {create: wait.sh}
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"))


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(blocks("ini")[0])
    return parser["Service"]


class Host:
    """A folder with the page's configuration, in which only what all hosts share is the same."""

    def __init__(self, directory: Path, url: str, shared: Path) -> None:
        self.directory = directory
        directory.mkdir()
        text = blocks("toml")[0]
        for shown, real in (("postgresql://aria@db.example.org/aria", url), ("/srv/aria/resources", shared),
                            ("/var/lib/aria/plugins", directory / "plugins")):
            assert shown in text
            text = text.replace(shown, str(real))
        (directory / "aria.toml").write_text(text)
        self._started: list[subprocess.Popen[str]] = []

    def _options(self) -> dict[str, object]:
        named = {each: value for each, value in os.environ.items() if not each.startswith("ARIA_")}
        return {"cwd": self.directory, "text": True, "env": {**named, "HOME": str(self.directory)}}

    def aria(self, *words: str) -> str:
        """What a command prints that must succeed."""
        done = subprocess.run([sys.executable, "-m", "aria_core", *words], capture_output=True, timeout=60,
                              check=False, **self._options())  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def serve(self) -> subprocess.Popen[str]:
        """What the unit starts, until it serves."""
        _, *words = shlex.split(unit()["ExecStart"])
        runner: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", "aria_core", *words], stdout=subprocess.PIPE,
            **self._options())  # type: ignore[call-overload]
        self._started.append(runner)
        assert runner.stdout is not None
        assert "serving" in runner.stdout.readline()
        return runner

    def work(self) -> subprocess.Popen[str]:
        """What the unit of the worker starts."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(blocks("ini")[1])
        _, *words = shlex.split(parser["Service"]["ExecStart"])
        worker: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", "aria_core", *words], **self._options())  # type: ignore[call-overload]
        self._started.append(worker)
        return worker

    def end(self) -> None:
        for each in self._started:
            each.kill()
            each.communicate()


@pytest.fixture
def hosts(tmp_path: Path, postgresql_url: str) -> Iterator[list[Host]]:
    made = [Host(tmp_path / name, postgresql_url, tmp_path / "shared") for name in ("laptop", "a", "b")]
    yield made
    for each in made:
        each.end()


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.timeout(240)
def test_an_execution_queued_on_a_laptop_goes_from_one_host_to_another(
        hosts: list[Host], tmp_path: Path) -> None:
    laptop, first_host, second_host = hosts
    go = tmp_path / "go"
    (laptop.directory / "hello.yaml").write_text(TEMPLATE)
    script = laptop.directory / "wait.sh"
    script.write_text(f"#!/bin/sh\necho $$ >>{tmp_path}/began\nwhile [ ! -e {go} ]; do sleep 0.05; done\n")
    script.chmod(0o755)
    queue, look = [shlex.split(line.removeprefix("$ aria ")) for text in blocks("console")
                   for line in text.splitlines() if line.startswith("$ aria ")]
    laptop.aria(*queue)
    shutil.rmtree(laptop.directory / "plugins", ignore_errors=True)

    first = first_host.serve()
    wait_until((tmp_path / "began").exists)
    [row] = json.loads(laptop.aria(*look, "--json"))
    assert row["runner"].startswith(f"process {first.pid} on ")
    second = second_host.serve()
    first.send_signal(signal.SIGTERM)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    wait_until(lambda: json.loads(laptop.aria(*look, "--json"))[0]["runner"] == row["runner"].replace(
        str(first.pid), str(second.pid)))
    go.touch()
    wait_until(lambda: json.loads(laptop.aria("executions", "list", "--json"))[0]["state"] == "succeeded")
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0


def test_the_unit_gives_the_runner_time_and_leaves_what_services_run() -> None:
    service = unit()
    words = shlex.split(service["ExecStart"])
    grace = float(words[words.index("--grace") + 1])
    assert float(service["TimeoutStopSec"]) > grace + 10
    assert service["KillMode"] == "process"
    configured = tomllib.loads(blocks("toml")[0])
    assert configured["resource_storage"]["directory"] in service["ReadWritePaths"].split()
    assert configured["plugins"]["directory"].startswith(f"/var/lib/{service['StateDirectory']}/")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize(("number", "name"), [(0, "aria-runner.service"), (1, "aria-worker.service")])
def test_systemd_understands_the_units(number: int, name: str, tmp_path: Path) -> None:
    text = blocks("ini")[number].replace("/usr/local/bin/aria", sys.executable).replace("User=aria\n", "")
    (tmp_path / name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
                          capture_output=True, text=True, timeout=60, check=False)
    complaints = [line for line in done.stderr.splitlines() if name in line]
    assert complaints == [], done.stderr


# --- workers elsewhere

def test_with_two_lines_more_operations_run_on_workers(
        tmp_path: Path, postgresql_url: str, valkey: Broker) -> None:
    """The runner's host and the worker's share nothing but the database, the files and the broker."""
    two_lines, queues = blocks("toml")[1:]
    assert set(tomllib.loads(two_lines)["executor"]) == {"use", "broker"}
    assert {each.partition(":")[0] for each in tomllib.loads(queues)["executor"]["queues"]} == {
        "operation", "type", "plugin"}
    shared = tmp_path / "shared"
    laptop, elsewhere = (Host(tmp_path / name, postgresql_url, shared) for name in ("one", "two"))
    for each in (laptop, elsewhere):
        text = two_lines.replace("redis://broker.example.org:6379/0", valkey.url)
        file = each.directory / "aria.toml"
        file.write_text(f'{file.read_text()}{text}queue = "{tmp_path.name}"\n')
    (laptop.directory / "hello.yaml").write_text(TEMPLATE)
    script = laptop.directory / "wait.sh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    script.chmod(0o755)
    worker = elsewhere.work()
    try:
        laptop.aria("run", "hello.yaml")
    finally:
        worker.send_signal(signal.SIGTERM)
    assert (tmp_path / "ran").exists()
    [execution] = json.loads(laptop.aria("executions", "list", "--json"))
    assert execution["state"] == "succeeded"
    assert worker.wait(60) == 0


def test_the_unit_of_the_worker_gives_operations_time() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(blocks("ini")[1])
    service = parser["Service"]
    words = shlex.split(service["ExecStart"])
    assert words[1] == "worker"
    assert float(service["TimeoutStopSec"]) > float(words[words.index("--grace") + 1]) + 20
