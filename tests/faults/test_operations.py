"""Cases 11 to 14: operations that kill themselves, leave, hang, and start daemons.

The thread executor has no cell of 11 and 12; `test_matrix.py` says why.
"""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from typing import Any

import pytest

from aria_core.modeling.builder import call, script
from aria_core.modeling.expressions import get_input
from aria_core.modeling.specification import OperationSpec
from aria_core.orchestrator.surroundings import TERMINATE_GRACE
from aria_core.testing.bench import is_alive
from aria_core.testing.crash import CrashSite
from aria_core.testing.crash_process import CrashProcess, wait_until
from aria_core.testing.traces import read_effects

ALL_EXECUTORS, ALL_DATABASES = ["thread", "process"], ["sqlite", "postgresql"]
EFFECT = "aria_core.testing.effects:effect"
DIRECTORY = {"directory": get_input("directory")}
TIMEOUT = 1.0
MOST_LOST = 3


# --- 11 and 12: operations that end their own process

@pytest.mark.fault(11, executors=["process"], databases=ALL_DATABASES, small=1, long=50)
def test_an_operation_that_kills_itself_is_lost(cell: Any) -> None:
    latencies = [each for trial in cell.trials() for each in deaths_of(trial, "kill", "killed by SIGKILL")]
    note_latencies(cell, latencies)


@pytest.mark.fault(12, executors=["process"], databases=ALL_DATABASES, small=1, long=50)
def test_an_operation_that_leaves_with_0_has_not_succeeded(cell: Any) -> None:
    latencies = [each for trial in cell.trials() for each in deaths_of(trial, "leave", "exited with code 0")]
    note_latencies(cell, latencies)


def note_latencies(cell: Any, latencies: list[float]) -> None:
    if latencies:
        cell.note(f"noticed after {min(latencies):.2f} to {max(latencies):.2f} s")


def deaths_of(trial: Any, how: str, told: str) -> list[float]:
    """Seconds until each death of an operation was stored; judges everything else."""
    others = {f"quick-{number}": call(EFFECT, inputs=DIRECTORY) for number in range(3)}
    operations = {
        "victim": call("harm:die", how=how, max_attempts=10, retry_interval=0.05, inputs=DIRECTORY),
        "neighbour": call("harm:outlive", inputs=DIRECTORY), **others}
    with trial.site(operations=operations, slots=3) as site:
        runner = site.launch("start")
        wait_until(lambda: site.count("end") == len(others), "the other operations")
        (site.directory / "others").touch()
        ended = runner.end()
        assert (ended.code, "Traceback" in ended.complained) == (1, False), ended.complained
        site.assert_promises_kept()
        tasks = site.tasks()
        victim = tasks.pop("victim")
        assert (victim["state"], victim["attempts"], victim["lost"], victim["failures"]) == (
            "failed", MOST_LOST, MOST_LOST, 0)
        assert told in victim["reason"]
        begun = [each.task for each in read_effects(site.directory / "effects") if each.what == "begin"]
        assert begun.count(victim["id"]) == MOST_LOST
        assert {name: (task["state"], task["attempts"]) for name, task in tasks.items()} == dict.fromkeys(
            ["neighbour", *others], ("success", 1))
        return latencies_of(site, victim["id"])


def latencies_of(site: CrashSite, victim: int) -> list[float]:
    deaths = [float(line) for line in (site.directory / "deaths").read_text().splitlines()]
    noticed = [move.at for move in site.judge.history()
               if (move.kind, move.row) == ("task", victim) and move.after in ("retrying", "failed")]
    latencies = [noted - died for died, noted in zip(deaths, noticed, strict=True)]
    assert max(latencies) <= 1.0, latencies
    return latencies


# --- 13 and 14: what hangs, and what is left behind

class Family:
    """The processes that each attempt has started, as it wrote them down."""

    def __init__(self, site: CrashSite) -> None:
        self._file = site.directory / "family"

    def of_attempts(self) -> dict[tuple[int, int], list[int]]:
        """The pids by task and attempt."""
        pids = defaultdict(list)
        for line in self._file.read_text().splitlines():
            mark, pid = line.split()
            _, task, attempt = map(int, mark.split("/"))
            pids[task, attempt].append(int(pid))
        return dict(pids)

    def survivors(self) -> dict[tuple[int, int], int]:
        """How many live of each attempt of which any does."""
        alive = {key: sum(map(is_alive, pids)) for key, pids in self.of_attempts().items()}
        return {key: number for key, number in alive.items() if number}

    def end(self) -> None:
        """End those that live."""
        for pid in (each for pids in self.of_attempts().values() for each in pids if is_alive(each)):
            os.kill(pid, signal.SIGKILL)


def both_kinds(cell: Any, function: str, how: str, **settings: Any) -> dict[str, OperationSpec]:
    """A script that harms, and besides a function if it has a process of its own."""
    made = {f"{how}-script": script("family.sh", how=how, inputs=DIRECTORY, **settings)}
    if cell.executor == "process":
        made[f"{how}-function"] = call(f"harm:{function}", inputs=DIRECTORY, **settings)
    return made


@pytest.mark.fault(13, executors=ALL_EXECUTORS, databases=ALL_DATABASES, small=1, long=20)
def test_what_hangs_is_ended_with_all_that_it_has_started(cell: Any) -> None:
    for trial in cell.trials():
        operations = both_kinds(cell, "hang", "hang", timeout=TIMEOUT, max_attempts=1)
        with trial.site(operations=operations) as site:
            ended = site.run("start")
            assert (ended.code, "Traceback" in ended.complained) == (1, False), ended.complained
            family = Family(site)
            assert family.survivors() == {}
            site.assert_promises_kept()
            tasks = site.tasks()
            assert tasks.keys() == operations.keys()
            assert {(task["state"], task["attempts"], task["reason"]) for task in tasks.values()} == {
                ("failed", 1, f"timed out after {TIMEOUT:g} s")}
            assert all(len(pids) == 5 for pids in family.of_attempts().values())
            lasted = seconds_until(site, "failed")
            assert max(lasted) <= TIMEOUT + TERMINATE_GRACE + 1.0
            cell.note(f"ended after {max(lasted):.2f} s")


def seconds_until(site: CrashSite, state: str) -> list[float]:
    """How long after it began each operation was stored in this state."""
    moves = [move for move in site.judge.history() if (move.kind, move.after) == ("task", state)]
    stored = {move.row: move.at for move in moves}
    return [stored[each.task] - each.at for each in read_effects(site.directory / "effects")
            if each.what == "begin"]


@pytest.mark.fault(14, executors=ALL_EXECUTORS, databases=ALL_DATABASES, small=1, long=50)
def test_daemons_of_attempts_that_did_not_succeed_are_gone_and_all_others_stay(cell: Any) -> None:
    for trial in cell.trials():
        operations = {**both_kinds(cell, "fail_at_first", "fail", max_attempts=2, retry_interval=0.0),
                      **both_kinds(cell, "last_for_ever", "last")}
        with trial.site(operations=operations, slots=len(operations)) as site:
            family = Family(site)
            try:
                cancel_and_judge(site, site.launch("start"), family, len(operations) // 2)
            finally:
                family.end()


def cancel_and_judge(site: CrashSite, runner: CrashProcess, family: Family, half: int) -> None:
    wait_until(lambda: (site.count("begin"), site.count("end")) == (3 * half, half), "all to begin")
    assert site.run("cancel").code == 0
    ended = runner.end()
    assert "Traceback" not in ended.complained, ended.complained
    site.assert_promises_kept()
    tasks = site.tasks()
    assert {task["state"] for name, task in tasks.items() if name.startswith("fail")} == {"success"}
    assert {task["state"] for name, task in tasks.items() if name.startswith("last")} == {"pending"}
    succeeded = {(task["id"], 2) for task in tasks.values() if task["state"] == "success"}
    assert set(family.survivors()) == succeeded
    assert set(family.survivors().values()) == {4}, "all but the operation's own process"
