"""The judge sees what is wrong: ARIA with one fault of its own is condemned, ARIA as it is acquitted.

Each bug is seeded into the processes of real runners (``seeded/seeded_bugs.py``), which are killed and
resumed; the judge knows nothing of it and must name the promise that was broken.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aria_core.testing.crash import KILLED, SHORT, CrashSite
from aria_core.testing.crash_process import CrashProcess
from aria_core.testing.fault_points import Fault, plan_fault, reached
from aria_core.testing.traces import marked_processes

SEEDED = Path(__file__).parent / "seeded"
CONFIGURATION = """\
[executor]
use = "{executor}"
slots = 2
[model_storage]
use = "sql"
url = "{url}"
[resource_storage]
use = "file"
directory = "resources"
[workflow]
task_max_attempts = {most}
"""


class SeededSite(CrashSite):
    """A site whose runners have bugs."""

    bugs = ""

    def launch(self, *arguments: str) -> CrashProcess:
        from seeded_bugs import be_a_faulty_runner

        return self._begin(be_a_faulty_runner, (self.bugs, *arguments))


# --- what happens to a service while its runners are wrong

def installed(site: SeededSite) -> None:
    site.run("start")


def killed(site: SeededSite) -> None:
    """In the middle, and resumed."""
    plan_fault(site.directory, Fault("after-success", nth=3))
    assert site.run("start").code == KILLED
    site.run("resume")


def cancelled(site: SeededSite, seconds: float = 30.0) -> None:
    plan_fault(site.directory, Fault("after-end", nth=1000))
    site.let_operations_last(seconds)
    runner = site.launch("start")
    site.wait_until_reached("before-effect")
    site.run("cancel")
    runner.end()


def cancelled_between(site: SeededSite) -> None:
    """While short operations run, so that others would follow."""
    cancelled(site, 0.5)


def orphaned(site: SeededSite) -> None:
    """The runner dies, what it has started hangs, and another runner takes over."""
    plan_fault(site.directory, Fault("before-started", nth=1))
    site.let_operations_last(30.0)
    assert site.run("start").code == KILLED
    for pid in of_site(site):
        os.kill(pid, signal.SIGSTOP)
    site.let_operations_last(SHORT)
    site.run("resume")


def challenged(site: SeededSite) -> None:
    """Another runner takes over from one that works."""
    plan_fault(site.directory, Fault("after-end", nth=1000))
    site.let_operations_last(0.3)
    first = site.launch("start")
    site.wait_until_reached("before-effect")
    site.bugs += " owners_seem_gone"
    while "was just taken" in site.run("resume").complained:
        continue  # the first has committed something in between
    first.end()
    site.run("resume")


def begun_twice(site: SeededSite) -> None:
    plan_fault(site.directory, Fault("after-end", nth=1000))
    site.let_operations_last(30.0)
    first = site.launch("start")
    site.wait_until_reached("before-effect")
    second = site.launch("start")
    while second.is_running() and reached(site.directory).get("after-graph") != 2:
        time.sleep(0.01)
    site.let_operations_last(SHORT)
    first.end()
    second.end()


def of_site(site: CrashSite) -> list[int]:
    origins = site.judge.case().origins
    return [pid for pid, mark in marked_processes() if mark.partition("@")[2] in origins]


# --- the bugs

@dataclass(frozen=True)
class Seeded:
    """A bug, what must happen for it to do harm, and the promise it breaks."""

    bugs: str
    scene: Callable[[SeededSite], None]
    promise: str
    databases: tuple[str, ...] = ("sqlite",)
    executor: str = "process"
    most: int = 30
    """Attempts of a task."""


BOTH = ("sqlite", "postgresql")
BUGS = (
    Seeded("dispatch_before_commit", installed, "S1", BOTH),
    Seeded("attempts_not_counted", killed, "S1"),
    Seeded("everything_sent_twice", installed, "S1", executor="thread"),
    Seeded("success_without_running", installed, "S5"),
    Seeded("recovery_forgets_successes", killed, "S5", BOTH),
    Seeded("recovery_forgets_successes", killed, "transitions"),
    Seeded("dependents_wait_for_nobody", installed, "order"),
    Seeded("no_fence", challenged, "S2", BOTH, executor="thread"),
    Seeded("epoch_stays", killed, "S2"),
    Seeded("no_unique_index", begun_twice, "S3", BOTH),
    Seeded("takeover_kills_nothing no_keeper", orphaned, "S6", BOTH),
    Seeded("failures_not_counted", installed, "S7"),
    Seeded("attempts_without_end", installed, "S7", BOTH, most=1),
    Seeded("dispatch_after_cancel", cancelled_between, "S9", BOTH),
    Seeded("cancelled_while_operations_run", cancelled, "S9", BOTH),
    Seeded("end_while_tasks_run", cancelled, "transitions"),
    Seeded("node_states_not_written", installed, "S12", BOTH),
    Seeded("node_states_of_another", installed, "S12"),
    Seeded("commits_are_lost", killed, "S15", BOTH),
    Seeded("logs_of_another", installed, "S17"),
    Seeded("success_written_twice", installed, "transitions", BOTH),
    Seeded("calls_stay_claimed", installed, "S20", BOTH),
)
SCENES = {(each.scene, each.executor, each.most): each for each in BUGS}
"""One of each: without its bug, nothing is wrong."""
CLEAN = [(case, database) for case in SCENES.values() for database in case.databases]


@pytest.fixture
def make_site(request: pytest.FixtureRequest, tmp_path: Path,
              monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Seeded, str], SeededSite]]:
    monkeypatch.syspath_prepend(SEEDED)
    made: list[SeededSite] = []
    copies: list[str] = []

    def make(case: Seeded, database: str) -> SeededSite:
        url = f"sqlite:///{tmp_path}/aria.db" if database == "sqlite" else _copy(request, copies)
        text = CONFIGURATION.format(executor=case.executor, url=url, most=case.most)
        made.append(SeededSite(tmp_path, text, url))
        made[-1].prepare()
        return made[-1]

    yield make
    for site in made:
        for pid in of_site(site):
            os.kill(pid, signal.SIGKILL)
        site.close()
    for copy in copies:
        request.getfixturevalue("postgresql_databases").drop(copy)
    sys.modules.pop("seeded_bugs", None)


def _copy(request: pytest.FixtureRequest, copies: list[str]) -> str:
    databases: Any = request.getfixturevalue("postgresql_databases")
    copies.append(databases.create(request.getfixturevalue("postgresql_template")))
    return str(databases.url(copies[-1]))


def _id(case: Seeded, database: str) -> str:
    return f"{case.bugs.replace(' ', '+')}-{case.promise}-{database}"


@pytest.mark.parametrize(("case", "database"), [
    pytest.param(case, database, id=_id(case, database)) for case in BUGS for database in case.databases])
def test_the_judge_names_the_promise_that_a_bug_breaks(
        make_site: Callable[[Seeded, str], SeededSite], case: Seeded, database: str) -> None:
    site = make_site(case, database)
    site.bugs = case.bugs
    case.scene(site)
    violations = site.judge.violations()
    assert case.promise in {each.promise for each in violations}, (violations, said(site))


@pytest.mark.parametrize(("case", "database"), CLEAN, ids=[
    f"{case.scene.__name__}-{case.executor}-{case.most}-{database}" for case, database in CLEAN])
def test_without_a_bug_nothing_is_wrong(
        make_site: Callable[[Seeded, str], SeededSite], case: Seeded, database: str) -> None:
    site = make_site(case, database)
    case.scene(site)
    site.assert_promises_kept()


def said(site: CrashSite) -> str:
    return "\n".join(path.read_text()[-1500:] for path in sorted(site.directory.glob("err-*")))
