"""The retry budget is in the database: runners killed in the middle of retries spend one budget together."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from aria_core.exceptions import ExecutionFailedError

BUDGET = 10
MOST_IN_A_BURST = 4
"""Failed attempts: two that are waited for, and what fits into the time until the kill."""
STEPS = [{"label": "a", "do": "fail_first", "arguments": {"times": 9999}, "max_attempts": -1,
          "retry_interval": 0.2}]
RUNNER = """
    import json, sys
    from pathlib import Path
    from aria_core.modeling.retries import ExecutionRetries
    from aria_core.orchestrator.surroundings import NoHooks
    from aria_core.orchestrator.workflow_runner import HookedRunner
    from aria_core.storage.sql import SqlModelStorage
    from aria_plugins.executors.process import ProcessExecutor
    from aria_plugins.storage.file import FileStorage

    url, resources, arguments, budget = sys.argv[1:]
    model, files = SqlModelStorage(url), FileStorage(directory=Path(resources))
    model.open(); files.open()
    with ProcessExecutor(slots=2) as executor:
        HookedRunner(NoHooks(), ExecutionRetries(budget=int(budget)), model, files, None,
                     executor=executor, **json.loads(arguments)).execute()
"""


class Bursts:
    """Runners in processes of their own, each killed at a moment that nobody chose."""

    def __init__(self, lab: Any, url: str, seed: int) -> None:
        self.lab, self._url = lab, url
        self._random = random.Random(seed)
        self._script = lab.directory / "runner.py"
        self._script.write_text(textwrap.dedent(RUNNER))

    def failed_attempts(self) -> int:
        """The failed attempts that are stored, one by one."""
        return len(self.lab.model.attempt.list(filters={"outcome": "failed"}))

    def run_and_kill(self, arguments: dict[str, Any]) -> None:
        """Let a runner fail once or twice more, and kill it a little later, whatever it does then."""
        wanted = self.failed_attempts() + self._random.choice([1, 2])
        with subprocess.Popen([sys.executable, str(self._script), self._url, str(self._resources),
                               json.dumps(arguments), str(BUDGET)]) as process:
            deadline = time.monotonic() + 60
            while self.failed_attempts() < wanted and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(self._random.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)

    @property
    def _resources(self) -> Path:
        return Path(self.lab.directory / "resources")


@pytest.mark.parametrize("executor", ["process"], indirect=True)
def test_killed_runners_never_fail_more_attempts_than_the_budget_of_their_execution(
        lab: Any, model_storage_url: str) -> None:
    bursts = Bursts(lab, model_storage_url, seed=1)
    bursts.run_and_kill({"service_id": lab.service.id, "workflow_name": "plan", "inputs": {"steps": STEPS}})
    execution, kills = lab.model.execution.list(filters={"service_id": lab.service.id}).items[0].id, 1
    while bursts.failed_attempts() < BUDGET - MOST_IN_A_BURST:
        row = lab.model.execution.get(execution)
        assert (row.state, row.retry_budget, row.failed_attempts) == (
            "started", BUDGET, bursts.failed_attempts())
        bursts.run_and_kill({"execution_id": execution})
        kills += 1
    with pytest.raises(ExecutionFailedError, match=f"spent its retry budget of {BUDGET} failed attempts"):
        lab.runner(execution_id=execution).execute()
    row, task = lab.model.execution.get(execution), lab.tasks(execution)["a"]
    assert row.failed_attempts == bursts.failed_attempts() == task.failures == BUDGET
    assert BUDGET <= len(lab.effects) <= task.attempts <= BUDGET + kills  # what a kill cut off costs nothing
    assert task.interruptions <= kills
