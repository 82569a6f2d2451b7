"""The page about executors whose calls survive the runner, as it stands there, with `aria worker`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aria_core import SqlModelStorage
from aria_core.testing.bench import is_alive
from aria_core.testing.sent_calls import wait_until

PAGE = Path(__file__).parents[2] / "docs/how-to/surviving-executor.md"
TEMPLATE = """
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  node_templates:
    one:
      type: tosca.nodes.Root
      interfaces:
        Standard:
          operations:
            create: {script}
"""
WAITS = """#!/bin/sh
nohup sleep 1000 >/dev/null 2>&1 &
echo "$$ $!" >>"{folder}/pids"
while [ ! -e "{folder}/gate" ]; do sleep 0.05; done
"""

Aria = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the page."""
    blocks = re.findall(r"```\w+\n# ([\w.]+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [name for name, _ in blocks] == ["spool.py", "aria.toml"]
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    (tmp_path / "one.yaml").write_text(TEMPLATE.format(script="create.sh"))
    (tmp_path / "create.sh").write_text(WAITS.format(folder=tmp_path))
    return tmp_path


@pytest.fixture
def aria(folder: Path) -> Iterator[Aria]:
    """Starts ``aria`` in that folder."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "aria_core", *words], cwd=folder, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(folder)})
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    (folder / "gate").touch()


def attempts_in(folder: Path) -> list[list[int]]:
    """The pids of each attempt that has begun."""
    file = folder / "pids"
    return [[int(each) for each in line.split()] for line in file.read_text().splitlines()] \
        if file.exists() else []


def end(process: subprocess.Popen[str], code: int) -> str:
    output, _ = process.communicate(timeout=90)
    assert process.returncode == code, output
    return output


def test_operations_run_in_a_worker_that_stops_gracefully(folder: Path, aria: Aria) -> None:
    worker = aria("worker", "--slots", "2")
    run = aria("run", "one.yaml")
    wait_until(lambda: bool(attempts_in(folder)))
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    (folder / "gate").touch()
    assert "execution 1 succeeded" in end(run, 0)
    end(worker, 0)
    [[_, server]] = attempts_in(folder)
    assert is_alive(server)  # what a committed success has left running belongs to the service
    os.kill(server, signal.SIGKILL)


def test_a_runner_that_is_killed_leaves_the_call_to_the_next(folder: Path, aria: Aria) -> None:
    aria("worker", "--slots", "2")
    run = aria("run", "one.yaml")
    wait_until(lambda: bool(attempts_in(folder)))
    run.kill()
    run.wait()
    resumed = aria("executions", "resume", "1")
    time.sleep(1.0)
    (folder / "gate").touch()
    assert "execution 1 succeeded" in end(resumed, 0)
    [[_, server]] = attempts_in(folder)
    os.kill(server, signal.SIGKILL)


def test_a_worker_that_is_killed_leaves_nothing_and_another_does_its_work(folder: Path, aria: Aria) -> None:
    worker = aria("worker", "--slots", "2")
    run = aria("run", "one.yaml", "--task-max-attempts", "3", "--task-retry-interval", "0")
    wait_until(lambda: bool(attempts_in(folder)))
    worker.kill()
    wait_until(lambda: not any(map(is_alive, attempts_in(folder)[0])))
    aria("worker", "--slots", "2")
    wait_until(lambda: len(attempts_in(folder)) == 2, 60)
    (folder / "gate").touch()
    assert "execution 1 succeeded" in end(run, 0)
    os.kill(attempts_in(folder)[1][1], signal.SIGKILL)


def test_a_second_signal_ends_what_runs_and_costs_the_task_nothing(folder: Path, aria: Aria) -> None:
    worker = aria("worker", "--slots", "2")
    run = aria("run", "one.yaml", "--task-max-attempts", "1")
    wait_until(lambda: bool(attempts_in(folder)))
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    worker.send_signal(signal.SIGTERM)
    end(worker, 0)
    assert not any(map(is_alive, attempts_in(folder)[0]))
    aria("worker", "--slots", "2")
    wait_until(lambda: len(attempts_in(folder)) == 2, 60)
    (folder / "gate").touch()
    assert "execution 1 succeeded" in end(run, 0)
    os.kill(attempts_in(folder)[1][1], signal.SIGKILL)
    with SqlModelStorage(f"sqlite:///{folder / 'aria.db'}") as storage:
        [task] = [each for each in storage.task if each.attempts]
        assert (task.attempts, task.failures, task.lost, task.interruptions) == (2, 0, 0, 1)


def test_an_executor_without_workers_says_so(folder: Path, aria: Aria) -> None:
    worker = aria("worker", "--executor", "thread")
    assert "has no workers of its own" in end(worker, 1)
