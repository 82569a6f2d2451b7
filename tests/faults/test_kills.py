"""Cases 1, 2 and 10: kill -9 at any moment, over real scripts, by the command line itself."""

from __future__ import annotations

import os
import signal
import time
from itertools import cycle
from typing import Any

import pytest

from aria_core.testing.crash import KILLED, SHORT
from aria_core.testing.crash_process import CrashProcess
from aria_core.testing.fault_points import signal_tree
from aria_core.testing.judge import ENDED
from aria_core.testing.script_service import (
    OPERATIONS,
    PHASES,
    WITH_UNFINISHED_TASKS,
    ScriptService,
    SpawnedCommand,
    phase,
    script_service,
)

LONG = os.environ.get("ARIA_FAULTS") == "long"
KILLS = 10 if LONG else 4
"""How many a trial has."""
GOALS = (("install", "one"), ("uninstall", "one"), ("install", "one"), ("install", "two"),
         ("uninstall", "two"))
SECONDS = 0.1
"""How long an operation lasts: long enough for the start of a runner to be a small part of a run."""
KILLED_AFTER_THE_END = 0.25
"""The share of runners with nothing left to do that are killed all the same."""
CANCELLED = 7
"""The exit code of a runner whose execution was cancelled."""
UNSTORED = ("S6 unstored",)
"""What only a resume can tell from a success: the operation had ended, and nobody was left to store that."""
LEFT_UNTIL_RESUMED = ("S6", *UNSTORED)
"""What only a resume can end: after the tree has died, what has left it; without workers, all scripts."""


class Campaign:
    """Kills runners of one site, each at a random moment, and has the judge look after each."""

    def __init__(self, trial: Any, service: ScriptService, everything: bool) -> None:
        self._trial = trial
        self._service = service
        self._everything = everything
        self._besides = LEFT_UNTIL_RESUMED if everything or trial.cell.executor == "thread" else UNSTORED
        self._goals = cycle(GOALS)
        self._claimed_after = self._operation_takes = 0.0

    def carry_out(self, kills: int) -> None:
        """Measure how long an execution takes that nobody interrupts, then interrupt others."""
        self._reach("install", "clean", 0)
        while kills:
            kills -= self._reach(*next(self._goals), kills)

    def _reach(self, workflow: str, service: str, kills: int) -> int:
        """Kill and resume one execution until it ends; how many kills that took, `kills` at most."""
        executions = len(self._service.site.judge.case().executions)
        goal = words = self._service.words(workflow, service)
        struck = 0
        while True:
            known, launched = len(self._service.site.judge.case().history), time.time()
            runner = self._service.launch(*words)
            if (struck == kills or runner.ends_within(self._moment(workflow)) or self._is_missed(known)
                    or not self._kill(runner, known)):
                break
            struck += 1
            words = self._next(goal, executions)
        done = runner.end()
        assert done.code == 0, (words, done)
        self._service.site.assert_promises_kept()
        if not struck:
            self._measure(workflow, launched, known)
        return struck

    def _moment(self, workflow: str) -> float:
        """How long to wait before a kill: as good as any while an execution runs."""
        return float(self._trial.random.uniform(
            self._claimed_after, self._claimed_after + OPERATIONS[workflow] * self._operation_takes))

    def _measure(self, workflow: str, launched: float, known: int) -> None:
        """Learn from a run that nobody interrupted, each time: the machine may be busier than it was."""
        moments = [each.at for each in self._service.site.judge.case().history[known:]
                   if each.kind == "execution"]
        self._claimed_after = moments[0] - launched
        self._operation_takes = (moments[-1] - moments[0]) / OPERATIONS[workflow]

    def _is_missed(self, known: int) -> bool:
        """Whether its execution has ended already; some are killed then, too."""
        case = self._service.site.judge.case()
        has_ended = len(case.history) > known and case.executions[max(case.executions)]["state"] in ENDED
        return has_ended and self._trial.random.random() > KILLED_AFTER_THE_END

    def _kill(self, runner: CrashProcess | SpawnedCommand, known: int) -> bool:
        """Kill it and judge; False if it had ended."""
        at = time.time()
        signal_tree(runner.pid) if self._everything else runner.send(signal.SIGKILL)
        done = runner.end()
        assert "Traceback" not in done.complained, done.complained
        if done.code != KILLED:
            return False
        self._service.site.assert_promises_kept(self._besides)
        self._trial.tally[phase(self._service.site.judge.case(), known, at)] += 1
        return True

    def _next(self, goal: tuple[str, ...], executions: int) -> tuple[str, ...]:
        """Resume what has begun; what has no graph may as well be begun again."""
        found = self._service.site.judge.case().executions
        if len(found) == executions:
            return goal
        latest = max(found)
        if found[latest]["state"] == "pending" and self._trial.random.random() < 0.5:
            return goal
        return "executions", "resume", str(latest)


def kill_at_any_moment(cell: Any, everything: bool = False, spawned: bool = False) -> None:
    began = time.monotonic()
    for trial in cell.trials():
        with trial.site(prepared=False) as site, script_service(site, spawned) as service:
            site.let_operations_last(SECONDS)
            Campaign(trial, service, everything).carry_out(KILLS)
    total, hits = cell.tally.total(), sum(cell.tally[each] for each in WITH_UNFINISHED_TASKS)
    shares = ", ".join(f"{each} {cell.tally[each] / total:.0%}" for each in PHASES if cell.tally[each])
    cell.note(f"{total} kills in {time.monotonic() - began:.0f} s, {hits / total:.0%} while tasks were "
              f"unfinished ({shares})")
    assert hits >= 0.9 * total or not LONG


@pytest.mark.timeout(300)
@pytest.mark.fault(1, executors=["process"], databases=["sqlite", "postgresql"], small=1, long=25)
def test_the_runner_is_killed(cell: Any) -> None:
    kill_at_any_moment(cell)


@pytest.mark.timeout(300)
@pytest.mark.fault(1, executors=["thread"], databases=["sqlite", "postgresql"], small=1, long=5)
def test_the_runner_is_killed_with_its_threads(cell: Any) -> None:
    kill_at_any_moment(cell)


@pytest.mark.timeout(300)
@pytest.mark.fault(1, executors=["process"], databases=["sqlite"], small=1, long=2, of="spawned")
def test_the_command_itself_is_killed(cell: Any) -> None:
    kill_at_any_moment(cell, spawned=True)


@pytest.mark.timeout(300)
@pytest.mark.fault(2, executors=["process"], databases=["sqlite", "postgresql"], small=1, long=25)
def test_all_its_processes_are_killed(cell: Any) -> None:
    kill_at_any_moment(cell, everything=True)


@pytest.mark.timeout(300)
@pytest.mark.fault(2, executors=["thread"], databases=["sqlite", "postgresql"], small=1, long=5)
def test_the_runner_and_its_scripts_are_killed(cell: Any) -> None:
    kill_at_any_moment(cell, everything=True)


@pytest.mark.timeout(300)
@pytest.mark.fault(10, executors=["thread", "process"], databases=["sqlite", "postgresql"], small=2, long=100)
def test_killed_while_cancelling(cell: Any) -> None:
    began = time.monotonic()
    for trial in cell.trials():
        with trial.site(prepared=False) as site, script_service(site) as service:
            kill_while_cancelling(trial, service)
    total, hits = cell.tally.total(), cell.tally["cancelling"]
    cell.note(f"{hits} of {total} kills before the runner had ended, {(time.monotonic() - began):.0f} s")
    assert hits >= 0.8 * total or not LONG


def kill_while_cancelling(trial: Any, service: ScriptService) -> None:
    service.site.let_operations_last(0.4)
    runner = service.launch(*service.words("install"))
    service.wait_until_begun(trial.random.randint(1, 4))
    service.site.let_operations_last(30)  # what begins now is there to be cut off
    request = service.launch("executions", "cancel", "1", "--no-wait")
    service.wait_until("cancelling")
    time.sleep(trial.random.uniform(0, 0.1))
    signal_tree(runner.pid) if trial.random.random() < 0.5 else runner.send(signal.SIGKILL)
    code = runner.end().code
    trial.tally["cancelling" if code == KILLED else "after the end"] += 1
    assert code in (KILLED, CANCELLED)
    assert request.end().code == 0  # which ends it, if it sees that the runner is gone
    service.site.assert_promises_kept(LEFT_UNTIL_RESUMED)
    finish_the_cancel(trial, service)
    service.site.let_operations_last(SHORT)
    assert service.command("executions", "resume", "1").code == 0
    service.site.assert_promises_kept()


def finish_the_cancel(trial: Any, service: ScriptService) -> None:
    if service.state() != "cancelled":
        word, code = trial.random.choice([("resume", CANCELLED), ("cancel", 0)])
        done = service.command("executions", word, "1")
        assert done.code == code, (word, done)
    assert service.state() == "cancelled"
    service.site.assert_promises_kept()
