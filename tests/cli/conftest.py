"""A project in a folder of its own, and ``aria`` called in this process or in another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aria_plugins.cli.root import aria

CONFIGURATION = """
    [executor]
    use = "thread"
    slots = 2
    [model_storage]
    use = "sql"
    url = "sqlite:///aria.db"
    [resource_storage]
    use = "file"
    directory = "resources"
    [plugins]
    directory = "plugins"
    [workflow]
    task_max_attempts = 1
    task_retry_interval = 0
"""

TEMPLATE = """
    tosca_definitions_version: tosca_simple_yaml_1_3
    description: says hello
    node_types:
      Greeter:
        derived_from: tosca.nodes.Root
        attributes:
          greeting: {type: string}
    topology_template:
      inputs:
        who: {type: string, default: world, description: whom to greet}
        count: {type: integer, default: 1}
        gate: {type: string, default: ""}
      node_templates:
        one:
          type: Greeter
          interfaces:
            Standard:
              operations:
                create:
                  implementation: greet.sh
                  inputs: {who: {get_input: who}, gate: {get_input: gate}}
                delete: greet.sh
        two:
          type: Greeter
          requirements: [{dependency: one}]
          interfaces:
            Standard:
              operations:
                start: {implementation: greet.sh, inputs: {who: two}}
      outputs:
        greeting: {value: {get_attribute: [one, greeting]}}
"""

SCRIPT = """\
#!/bin/sh
ctx logger info "hello $who"
if [ -n "$gate" ]; then
    touch "$gate.waiting"
    while [ ! -e "$gate" ]; do sleep 0.05; done
fi
[ "$who" = bad ] && exit 3
ctx node attributes greeting = "hello $who"
"""


class Aria:
    """Calls ``aria`` in the folder `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.template = directory / "template" / "hello.yaml"
        self.script = self.template.with_name("greet.sh")
        self.gate = directory / "gate"
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: object, code: int = 0, **options: Any) -> Result:
        """In this process; the exit code must be `code`, and an error must be one sentence."""
        result = CliRunner().invoke(aria, [str(each) for each in arguments], **options)
        assert result.exit_code == code, (arguments, result.output, result.exception)
        assert "Traceback" not in result.stderr
        return result

    def error(self, *arguments: object, code: int, **options: Any) -> str:
        """The one sentence that tells an error."""
        lines = self(*arguments, code=code, **options).stderr.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("aria: ")
        return lines[0]

    def json(self, *arguments: object) -> Any:
        """What ``--json`` prints."""
        return json.loads(self(*arguments, "--json").stdout)

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """In another process, which goes on."""
        started = subprocess.Popen(
            [sys.executable, "-m", "aria_core", *map(str, arguments)], cwd=self.directory, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=_hear_signals,  # noqa: PLW1509 - it takes no lock
            **options)
        self._started.append(started)
        return started

    @staticmethod
    def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never came true"
            time.sleep(0.02)

    def end_all(self) -> None:
        """Let go of every process that a failed test has left."""
        self.open_gate()
        for each in self._started:
            each.kill()
            for stream in (each.stdout, each.stderr):
                stream.close()
            each.wait()

    def process(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """In another process, to its end."""
        return subprocess.run([sys.executable, "-m", "aria_core", *map(str, arguments)], cwd=self.directory,
                              text=True, capture_output=True, timeout=60, check=False, **options)

    def run_until_gate(self, *arguments: object) -> subprocess.Popen[str]:
        """``aria run`` in another process, which waits in an operation until the gate is opened."""
        running = self.start("run", self.template, "--input", f"gate={self.gate}", *arguments)
        self.wait_for(Path(f"{self.gate}.waiting").exists)
        return running

    def open_gate(self) -> None:
        """Let the waiting operation go on."""
        self.gate.touch()


def _hear_signals() -> None:
    """Under `nohup` programs ignore SIGHUP, in the background of a script SIGINT: whoever they start, too."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aria]:
    for name in [name for name in os.environ if name.startswith("ARIA_")]:
        monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    project = Aria(tmp_path)
    (tmp_path / "aria.toml").write_text(dedent(CONFIGURATION))
    project.template.parent.mkdir()
    project.template.write_text(dedent(TEMPLATE))
    project.script.write_text(SCRIPT)
    project.script.chmod(0o755)
    yield project
    project.end_all()
