"""What a kill -9 leaves: ARIA's log of effects against its database.

``python -m benchmarks.kill9 chain 2000 --mode thread-sqlite-full`` runs the graph at full speed, kills the
runner somewhere in the middle, and waits until nothing of it is left. Then no task may have begun whose
dependencies are not stored as succeeded, and none more often than its row counts attempts. At the end the
execution is resumed: every task must have run.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

import aria_core
from aria_core import ModelStorage, Task, WorkflowRunner
from benchmarks.peers import common, run_aria

MODES = [each for each in run_aria.MODES if not each.startswith("graph")]
PATIENCE = 120.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kill-at", type=float, default=random.uniform(0.1, 0.6), metavar="PART",
                        help="which part of the tasks has begun at the kill; anything if left out")
    kill_at, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    given = common.setup(MODES)
    killed = run_and_kill(given, kill_at.kill_at)
    began = Counter(index for index, _ in common.effects() if index < given.n)
    with ExitStack() as stack:
        model, resource = run_aria.open_storages(given, stack)
        execution = model.execution.list(sort={"id": "desc"}).items[0]
        row = judge(given, began, {each.arguments["index"]: each for each in tasks(model, execution.id)})
        executor = run_aria.executor_of(given)
        runner = WorkflowRunner(model, resource, None, execution_id=execution.id, executor=executor)
        resumed = runner.execute() if execution.state != "succeeded" else "it had succeeded"
        executor.close(5.0)
    ran = {index for index, _ in common.effects()}
    row.update(killed=killed, resumed=str(resumed), never_ran=sum(1 for each in given.g if each not in ran))
    row["verified"] = killed and not (row["uncommitted"] or row["uncounted"] or row["never_ran"])
    common.emit(row)
    common.reap()


def run_and_kill(given: common.Given, part: float) -> bool:
    """Whether the runner was killed before its end."""
    command = [sys.executable, "-m", "benchmarks.peers.run_aria", given.shape, str(given.n), "--mode",
               given.mode]
    runner = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE
    wanted = max(part * given.n, 2 * common.WARM_UP) * common.RECORD.size
    log = Path(os.environ["PEER_LOG"])
    while log.exists() and log.stat().st_size < wanted and runner.poll() is None and time.monotonic() < until:
        time.sleep(0.0005)
    left = psutil.Process(runner.pid).children(recursive=True) if runner.poll() is None else []
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    _, alive = psutil.wait_procs(left, timeout=PATIENCE)
    assert not alive, alive
    return runner.returncode == -signal.SIGKILL


def tasks(model: ModelStorage, execution: int) -> list[Task]:
    """The rows of all operations."""
    return [each for each in model.task.iter(filters={"execution_id": execution}) if each.stub is None]


def judge(given: common.Given, began: Counter[int], rows: dict[int, Task]) -> dict[str, Any]:
    """Compare what has run with what is stored."""
    stored = {index for index, row in rows.items() if row.state == "success"}
    uncommitted = [index for index in began if not stored.issuperset(given.g[index])]
    uncounted = [index for index, times in began.items() if times > rows[index].attempts]
    return {
        "peer": "kill9", "version": aria_core.__version__, "mode": given.mode, "shape": given.shape,
        "n": given.n, "executed": len(began), "recorded": len(stored), "uncommitted": len(uncommitted),
        "uncounted": len(uncounted)}


if __name__ == "__main__":
    main()
