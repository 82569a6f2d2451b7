"""What killed runs leave in the temporary directory: never more than one of them, and gone after the next."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

KILLS = 100 if os.environ.get("LONG_TESTS") else 6
CONFIGURATION = """
[model_storage]
use = "sql"
url = "sqlite:///aria.db"
[resource_storage]
use = "file"
directory = "resources"
[executor]
use = "process"
slots = 3
"""
OPERATION = "{implementation: wait.sh, inputs: {gate: {get_input: gate}}}"
TEMPLATE = f"""
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  inputs: {{gate: {{type: string}}}}
  node_templates:
    one: {{type: tosca.nodes.Root, interfaces: {{Standard: {{operations: {{create: {OPERATION}}}}}}}}}
    two: {{type: tosca.nodes.Root, interfaces: {{Standard: {{operations: {{create: {OPERATION}}}}}}}}}
    three: {{type: tosca.nodes.Root, interfaces: {{Standard: {{operations: {{create: {OPERATION}}}}}}}}}
"""
SCRIPT = """
ctx node attributes here = yes
touch "$gate.$$"
until [ -e "$gate" ]; do sleep 0.05; done
"""
ONE_RUNS_WORTH = 8
"""A folder for the template's code, one for the channel, one for each slot's script and its channel."""

HOLDER = """
import sys
from pathlib import Path
from aria_core import Config
from aria_core.storage.sql import SqlModelStorage
from aria_plugins.cli.folder import own_files
in_memory = SqlModelStorage("sqlite://")
in_memory.open()
with own_files(Path(sys.argv[1]), Config.load()) as copy:
    assert copy != Path(sys.argv[1])
    print("ready", flush=True)
    input()
"""


class Place:
    """A folder with a template, a temporary directory of its own, and runs that are killed."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder, self.temporary = folder, temporary
        for name, text in (("aria.toml", CONFIGURATION), ("t.yaml", TEMPLATE), ("wait.sh", SCRIPT),
                           ("code.py", "")):
            (folder / name).write_text(text)
        self._environment = {"HOME": str(folder), "TMPDIR": str(temporary), "PATH": os.environ["PATH"]}

    @property
    def left(self) -> set[str]:
        """Whatever lies in the temporary directory, beside the one folder that holds all of ours."""
        ours = self.temporary / f"aria-{os.getuid()}"
        inside = {each.name for each in ours.iterdir()} if ours.exists() else set()
        return inside | {each.name for each in self.temporary.iterdir() if each != ours}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, *words], cwd=self.folder, env=self._environment, text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, number: int) -> subprocess.Popen[str]:
        gate = self.folder / f"gate{number}"
        return self.start("-m", "aria_core", "run", "t.yaml", "--service", f"s{number}",
                          "--task-retry-interval", "0.1", "--input", f"gate={gate}")

    def scripts(self, number: int) -> list[int]:
        """The processes of the scripts that have begun."""
        return [int(each.suffix[1:]) for each in self.folder.glob(f"gate{number}.*")]

    def begun(self, number: int) -> int:
        """How many scripts of a run have begun."""
        return len([*self.folder.glob(f"gate{number}.*")])


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    temporary = Path(f"/tmp/left{os.getpid()}")  # a short path: it has room for sockets
    temporary.mkdir(mode=0o700)
    (tmp_path / "folder").mkdir()
    yield Place(tmp_path / "folder", temporary)
    subprocess.run(["rm", "-rf", str(temporary)], check=True)


def none_lives(place: Place) -> bool:
    """Whether the makers of all that is left are gone: keepers end theirs a moment after the runner."""
    pids = [name.split("-")[2] for name in place.left if name.count("-") >= 3]
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="who has ended is seen in /proc")
@pytest.mark.timeout(1200 if KILLS > 50 else 180)
def test_killed_runs_leave_no_more_than_one_of_them_and_the_next_tidies_up(place: Place) -> None:
    dice, before, most = random.Random(3), set[str](), 0
    for number in range(KILLS):
        runner, wanted = place.run(number), dice.randint(1, 3)
        wait_until(lambda number=number, wanted=wanted: place.begun(number) >= wanted)
        time.sleep(dice.uniform(0, 0.1))
        kill(runner)
        wait_until(lambda: none_lives(place))
        assert place.left & before == set()
        before, most = place.left, max(most, len(place.left))
        assert len(before) <= ONE_RUNS_WORTH, before
    assert most, "nothing was ever left: the kills came too late to say anything"
    last = place.run(KILLS)
    (place.folder / f"gate{KILLS}").touch()
    said, _ = last.communicate(timeout=60)
    assert last.returncode == 0, said
    assert place.left == set()


@pytest.mark.skipif(sys.platform != "linux", reason="who has ended is seen in /proc")
def test_what_was_left_before_a_run_began_is_removed_by_the_next(place: Place) -> None:
    holder = place.start("-c", HOLDER, str(place.folder))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    kill(holder)
    assert len(place.left) == 2
    (place.folder / "gate0").touch()
    said, _ = place.run(0).communicate(timeout=60)
    assert place.left == set(), said


@pytest.mark.skipif(sys.platform != "linux", reason="who has ended is seen in /proc")
def test_what_the_scripts_of_a_killed_worker_leave_is_removed_by_the_next_run(place: Place) -> None:
    first = place.run(0)
    wait_until(lambda: place.begun(0) == 3)
    script = place.scripts(0)[0]
    worker = psutil.Process(script).parent()
    assert worker is not None
    worker.kill()
    wait_until(lambda: not psutil.pid_exists(script))
    (place.folder / "gate0").touch()
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 0, said
    assert {name.split("-")[2] for name in place.left} == {str(worker.pid)}
    (place.folder / "gate1").touch()
    said, _ = place.run(1).communicate(timeout=60)
    assert place.left == set(), said
