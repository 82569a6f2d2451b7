"""Case 48: no file descriptors or processes left, and no room for the program's log."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aria_core.modeling.builder import call
from aria_core.modeling.expressions import get_input
from aria_core.testing.crash import SHORT, CrashSite
from aria_core.testing.crash_process import CrashProcess, wait_until

SLOTS = 24
"""More than the limits allow."""
SHORTAGE = 1.5
"""Seconds that it lasts."""
OPERATIONS = {f"node-{number}": call("aria_core.testing.effects:effect",
                                     inputs={"directory": get_input("directory")}) for number in range(30)}


def judge_all_done(site: CrashSite) -> None:
    """Every task was done by its first attempt: nothing failed and nothing was lost."""
    site.assert_promises_kept()
    rows = [(task["state"], task["attempts"], task["lost"]) for task in site.tasks().values()]
    assert rows == [("success", 1, 0)] * len(OPERATIONS)


def check_delayed(cell: Any, site: CrashSite, runner: CrashProcess, end_shortage: Callable[[], object]
                  ) -> None:
    """Some operations begin in the shortage, the others after it; all are done."""
    wait_until(lambda: site.count("begin") or not runner.is_running(), "an operation to begin")
    time.sleep(SHORTAGE)
    begun = site.count("begin")
    assert runner.is_running(), runner.end().complained
    assert begun < SLOTS, "that was no shortage"
    end_shortage()
    wait_until(lambda: site.count("begin") == SLOTS, "as many operations as there are slots")
    site.let_operations_last(SHORT)
    ended = runner.end()
    assert (ended.code, ended.complained) == (0, "")
    judge_all_done(site)
    cell.note(f"{begun} of {SLOTS} slots in the shortage, all after it")


@pytest.mark.fault(48, executors=["process"], databases=["sqlite", "postgresql"], of="descriptors",
                   small=1, long=20)
def test_a_shortage_of_descriptors_delays_and_loses_nothing(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site(operations=OPERATIONS, slots=SLOTS) as site:
            site.let_operations_last(60)
            runner = site.launch("start", "--plain")
            runner.limit(resource.RLIMIT_NOFILE, 64)
            check_delayed(cell, site, runner, partial(runner.limit, resource.RLIMIT_NOFILE, 1024))


MOST_PROCESSES = 120
"""That the user of a test may have: enough for all slots."""
CROWD = 95, 104
"""So many of them somebody else has in the shortage: now a worker cannot be started, now it cannot fork."""
FIRST_USER = 1_000_000_000


@pytest.fixture
def user() -> Iterator[int]:
    """A user whom nobody else is."""
    if os.geteuid() != 0:
        pytest.skip("needs root: only root's processes can become another user's")
    number = FIRST_USER + os.getpid()
    yield number
    shutil.rmtree(Path(tempfile.gettempdir(), f"aria-{number}"), ignore_errors=True)


@pytest.mark.fault(48, executors=["process"], databases=["sqlite"], of="processes", small=1, long=20)
def test_a_shortage_of_processes_delays_and_loses_nothing(cell: Any, user: int) -> None:
    for trial in cell.trials():
        with trial.site(operations=OPERATIONS, slots=SLOTS) as site:
            site.let_operations_last(60)
            crowd = site.launch_crowd(user, trial.random.randint(*CROWD))
            runner = site.launch("start", "--plain", f"--user={user}", f"--processes={MOST_PROCESSES}")
            check_delayed(cell, site, runner, crowd.kill)


TEMPLATE = """
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  node_templates:
    server:
      type: tosca.nodes.Root
      interfaces: {Standard: {operations: {create: say.sh}}}
"""


@pytest.mark.fault(48, executors=["process"], databases=["sqlite"], of="log", small=1, long=5)
def test_a_log_file_without_room_loses_lines_and_nothing_else(cell: Any) -> None:
    for trial in cell.trials():
        home = trial.directory
        (home / "template").mkdir()  # by itself: files of a template are no links to elsewhere
        (home / "aria.log").symlink_to("/dev/full")  # every write says ENOSPC
        logging = '[logging]\nlevel = "debug"\nfile = "aria.log"\n'
        for name, text in (("aria.toml", trial.configuration + logging), ("template/server.yaml", TEMPLATE),
                           ("template/say.sh", "echo something")):
            (home / name).write_text(text)
        with subprocess.Popen([sys.executable, "-m", "aria_core", "run", "template/server.yaml"], cwd=home,
                              text=True, env={"HOME": str(home), "TMPDIR": str(home),
                                              "PATH": os.environ["PATH"]}, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as program:
            _, complained = program.communicate(timeout=60)
        assert program.returncode == 0, complained
        assert "Traceback" not in complained
        assert complained.count("aria.log cannot be written: No space left on device") == 1, complained
