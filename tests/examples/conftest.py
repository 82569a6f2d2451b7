"""Examples as a person runs them: ``aria`` in processes of its own, and what is left when they have ended."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

SETTINGS = """
[executor]
use = "{executor}"
{slots}

[model_storage]
use = "sql"
url = "{url}"

[resource_storage]
use = "file"
directory = "resources"

[plugins]
directory = "plugins"
"""


class Project:
    """A folder with an ``aria.toml``, and a temporary folder that nobody else uses."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "tmp"
        self._home = folder / "home"
        self._folder = folder / "project"
        for each in (self.temporary, self._home, self._folder):
            each.mkdir()
        self._environment = {"HOME": str(self._home), "TMPDIR": str(self.temporary), "LANG": "C.UTF-8",
                             "PATH": os.environ["PATH"]}

    def configure(self, executor: str, url: str) -> None:
        """All that differs between two runs is written here."""
        slots = "" if executor == "dry" else "slots = 2"
        (self._folder / "aria.toml").write_text(SETTINGS.format(executor=executor, url=url, slots=slots))

    def aria(self, *words: str, code: int = 0) -> str:
        """Run a command to its end; what it printed."""
        done = subprocess.run([sys.executable, "-m", "aria_core", *words], env=self._environment,
                              cwd=self._folder, check=False, capture_output=True, text=True, timeout=100)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def run(self, example: str, *words: str) -> dict[str, Any]:
        """``aria run`` of an example; its outputs."""
        template = EXAMPLES / example / f"{example}.yaml"
        outputs: dict[str, Any] = json.loads(self.aria("run", str(template), "--json", *words))["outputs"]
        return outputs

    def look(self, *words: str) -> Any:
        """What a command prints with ``--json``."""
        return json.loads(self.aria(*words, "--json"))

    @property
    def nodes(self) -> dict[str, str]:
        """The states of all nodes."""
        return {each["name"]: each["state"] for each in self.look("nodes", "list")}

    def tasks(self, execution: int) -> list[tuple[str, str]]:
        """Name and state of the tasks of an execution."""
        return sorted((each["name"], each["state"])
                      for each in self.look("executions", "tasks", str(execution)))

    @property
    def processes(self) -> list[Sequence[str]]:
        """The command lines of all processes that were started here and still run."""
        return [each.cmdline() for each in psutil.process_iter() if self._is_ours(each)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (process.status() != psutil.STATUS_ZOMBIE
                    and process.environ().get("TMPDIR") == str(self.temporary))
        except psutil.Error:
            return False

    @property
    def left_behind(self) -> list[str]:
        """What is in the temporary folder and at home, but for the folder that all of ours go to."""
        ours = self.temporary / f"aria-{os.getuid()}"
        return [str(each) for folder in (self.temporary, self._home) for each in folder.rglob("*")
                if each != ours]

    def is_quiet(self) -> bool:
        """Whether nothing runs any more; a worker may need a moment to end."""
        deadline = time.monotonic() + 10
        while self.processes and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.processes


@pytest.fixture
def project() -> Iterator[Project]:
    """An empty project; whatever a failed test leaves running is ended."""
    folder = Path(tempfile.mkdtemp(prefix="aria-example-"))
    made = Project(folder)
    yield made
    for each in psutil.process_iter():
        if made._is_ours(each):
            each.kill()
    shutil.rmtree(folder)


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number: int = server.getsockname()[1]
        return number
