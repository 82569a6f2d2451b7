"""A host that runs scripts as operations."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from aria_core import Actor, Call, CallRef, Failed, Succeeded, kill_marked, run_call
from aria_core.testing.memory_channel import MemoryChannel

FUNCTION = "aria_plugins.operations.script:run_script_locally"
# The mark of an attempt is seen by every test process of this user, so each has its own.
REF = CallRef(os.getpid(), 12, 3)


class Host:
    """Runs scripts as operations of one node, as an executor does."""

    function = FUNCTION
    ref = REF

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        self.channel = MemoryChannel(
            nodes={1: {"name": "web", "type_name": "Web", "state": "creating", "host": 2,
                       "properties": {"port": 80, "tls": {"on": True}, "names": ["a", "b"],
                                      "my_key": "sugar"},
                       "attributes": {"address": "1.2.3.4", "nested": {"list": [1, {"deep": "x"}]}},
                       "capabilities": {"endpoint": {"type": "E", "properties": {"port": 443}}}},
                   2: {"name": "host", "attributes": {"ip": "10.0.0.1"}}},
            relationships={5: {"name": "uses", "source": 1, "target": 2, "properties": {"weight": 3}}},
            service={"name": "shop", "inputs": {"color": "blue"}},
            resources={"template.txt": b"port={{ port }}\n", "data.bin": b"\xff\xfe", "folder/a": b"A"})

    def run(self, script: str, process: dict[str, Any] | None = None, *, path: str = "scripts/run.sh",
            relationship: bool = False, **inputs: Any) -> Succeeded | Failed:
        self.channel.resources[path] = textwrap.dedent(script).lstrip("\n").encode("utf-8", "surrogateescape")
        actor = Actor("relationship", 5, "uses") if relationship else Actor("node", 1, "web")
        return run_call(self.call(path, process, actor, inputs), self.channel)

    def call(self, path: str, process: dict[str, Any] | None, actor: Actor, inputs: dict[str, Any]) -> Call:
        arguments = {"script_path": path, **({} if process is None else {"process": process}), **inputs}
        return Call(REF, FUNCTION, arguments, actor, name="the task", interface="Standard",
                    operation="create", workflow="install", service=1, service_name="shop", max_attempts=9)

    @property
    def left_behind(self) -> list[Path]:
        """What is left of temporary files, below the folder that holds all of ours."""
        files = (each for each in self.temporary.iterdir() if not each.is_dir())
        return [*self.temporary.glob("*/*"), *files]

    def out(self, script: str, process: dict[str, Any] | None = None, **keywords: Any) -> list[str]:
        """The lines a script printed; it must end well."""
        report = self.run(script, process, **keywords)
        assert isinstance(report, Succeeded), report
        assert not self.left_behind
        return [message for level, message in self.channel.messages if level == "INFO"]

    def error(self, script: str, process: dict[str, Any] | None = None, **keywords: Any) -> Failed:
        """How a script failed; it must fail."""
        report = self.run(script, process, **keywords)
        assert isinstance(report, Failed), report
        assert not self.left_behind
        return report

    @staticmethod
    def wait_until(condition: Callable[[], Any], seconds: float = 10) -> None:
        """Wait for something that must happen."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.01)

    @staticmethod
    def is_alive(pid: int) -> bool:
        """Whether a process runs."""
        try:
            return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    yield Host(tmp_path / "tmp")
    kill_marked(str(REF), 0)
