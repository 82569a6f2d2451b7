"""Case 32: dates that jump by an hour, while a runner works and between two runners."""

from __future__ import annotations

from typing import Any

import pytest

from aria_core.testing.crash import KILLED, SHORT, CrashSite
from aria_core.testing.crash_process import CrashProcess
from aria_core.testing.crash_runner import RETRY_INTERVAL
from aria_core.testing.effects import EFFECTS
from aria_core.testing.fault_points import Fault, plan_fault
from aria_core.testing.traces import read_effects

HOUR = 3600.0
ON_ALL = {"executors": ["process"], "databases": ["sqlite", "postgresql"]}


def dates(site: CrashSite) -> dict[str, str]:
    """When the execution was made, started and ended, as it was stored."""
    row = site.judge.rows("SELECT created_at, started_at, ended_at FROM execution")[0]
    return {name: str(value) for name, value in row.items()}


@pytest.mark.fault(32, **ON_ALL, small=1, long=100)
def test_the_date_jumps_while_a_runner_works(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site() as site:
            site.set_clock(0)
            site.let_operations_last(2 * SHORT)
            runner = site.launch("start")
            site.wait_until_reached("before-effect")
            jumps = jump_until_it_ends(trial, site, runner)
            done = runner.end()
            assert done.code == 0, done
            assert done.said == "succeeded"
            site.assert_promises_kept()
    cell.note(f"{jumps} jumps in the last run")


def jump_until_it_ends(trial: Any, site: CrashSite, runner: CrashProcess) -> int:
    jumps = 0
    while runner.is_running():
        site.set_clock(trial.random.choice((-HOUR, 0, HOUR)))
        jumps += 1
        runner.ends_within(trial.random.uniform(0, 0.2))
    return jumps


@pytest.mark.fault(32, **ON_ALL, small=2, long=100, of="resumed")
def test_a_runner_resumes_in_another_time(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site() as site:
            earlier, later = (HOUR, 0.0) if trial.seed % 2 else (0.0, HOUR)
            site.set_clock(earlier)
            plan_fault(site.directory, Fault("after-sent", "everything", nth=trial.random.randint(2, 9)))
            assert site.run("start").code == KILLED
            site.set_clock(later)
            assert site.resume() == "succeeded"
            site.assert_promises_kept()
            stored = dates(site)
            assert (stored["ended_at"] < stored["started_at"]) == (later < earlier), "the date was right"


@pytest.mark.fault(32, **ON_ALL, small=2, long=20, of="retries")
def test_a_retry_waits_for_its_interval_at_most_whatever_the_date(cell: Any) -> None:
    waited = []
    for trial in cell.trials():
        with trial.site() as site:
            site.set_clock(HOUR if trial.seed % 2 else -HOUR)
            plan_fault(site.directory, Fault("after-retrying", "everything"))
            done = site.run("start", "--workflow", "execute_operation", "--input", "interface_name=Test",
                            "--input", "operation_name=try")
            assert done.code == KILLED
            site.set_clock(0)
            assert site.resume() == "succeeded"
            site.assert_promises_kept()
            first, second = (each.at for each in read_effects(site.directory / EFFECTS)
                             if each.what == "begin")
            waited.append(second - first)
            assert waited[-1] < RETRY_INTERVAL + 10, "resumed, it waited for the date"
    cell.note(f"waited {', '.join(f'{each:.1f}' for each in waited[-2:])} s of {RETRY_INTERVAL:.0f}")
