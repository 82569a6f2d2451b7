"""Cases 5 and 7 to 9: runners that stand still and go on, and processes that want the same at one moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from aria_core.modeling.builder import TemplateBuilder, call
from aria_core.modeling.expressions import get_input
from aria_core.modeling.specification import LoadedTemplate
from aria_core.testing.crash import KILLED, SHORT, CrashSite
from aria_core.testing.crash_process import PATIENCE, CrashProcess, Ended, wait_until
from aria_core.testing.crash_runner import SERVICE
from aria_core.testing.fault_points import reached
from aria_core.testing.meeting import Meeting

LONG = os.environ.get("ARIA_FAULTS") == "long"
CODE = Path(__file__).parent / "service"
ALL_EXECUTORS, ALL_DATABASES = ["thread", "process"], ["sqlite", "postgresql"]
SLOTS = 2
EIGHT = 8
LONG_ENOUGH = 600.0
"""Seconds that operations last while somebody is to have an execution."""


def execution_states(site: CrashSite) -> list[str]:
    """Every state that executions of the site came into, in order."""
    return [change.after for change in site.judge.history()
            if change.kind == "execution" and change.after != change.before]


# --- 5: a runner that stands still for longer than its lease

FROZEN_WITHIN = 2.5
"""Seconds after the start of its work within which a runner is stopped; it has work for 3."""
TABLES = ("execution", "task", "node", "attempt", "parameter")


@pytest.mark.fault(5, executors=ALL_EXECUTORS, databases=ALL_DATABASES, small=1, long=20)
@pytest.mark.timeout(400)
def test_a_runner_that_stood_still_is_fenced(cell: Any) -> None:
    stale, seconds, moments = [], [], Counter[str]()
    for trial in cell.trials():
        with trial.site() as site:
            frozen = FrozenRunner(trial, site)
            frozen.let_another_take_over()
            moments[frozen.go_on()] += 1
            stale.append(frozen.stale_begins())
            seconds.append(frozen.seconds_until_taken)
    if stale:
        cell.note(f"taken over after {min(seconds):.1f} to {max(seconds):.1f} s, {sum(stale)} stale effects, "
                  f"at most {max(stale)}, gone on {dict(moments)}")


class FrozenRunner:
    """A runner that is stopped while it works, another that takes over, and what the first does then."""

    def __init__(self, trial: Any, site: CrashSite) -> None:
        self._random = trial.random
        self._site = site
        site.let_operations_last(0.3)
        self._old = site.launch("start")
        site.wait_until_reached("after-graph")
        time.sleep(self._random.uniform(0, FROZEN_WITHIN))
        self._old.send(signal.SIGSTOP)
        self._stopped_at = time.time()

    def let_another_take_over(self) -> None:
        """Resume in another process; one that the old one locks out of the database tries again."""
        for _ in range(10):
            self._new = self._site.launch("resume")
            wait_until(lambda: self._has_taken_over() or not self._new.is_running(), "the takeover")
            if self._has_taken_over():
                return
            ended = self._new.end()
            assert (ended.code, "Traceback" in ended.complained) == (5, False), ended
            self._move_on()
        raise AssertionError(f"the stopped runner always held a lock: {ended.complained}")

    def _has_taken_over(self) -> bool:
        return "after-takeover" in reached(self._site.directory)

    def _move_on(self) -> None:
        """It stands inside a transaction (case 6): let it leave that one."""
        self._old.send(signal.SIGCONT)
        time.sleep(self._random.uniform(0.001, 0.05))
        self._old.send(signal.SIGSTOP)
        self._stopped_at = time.time()

    def go_on(self) -> str:
        """Have the old one go on while the new one works, or when that has ended; when it was."""
        if self._random.random() < 0.5:
            time.sleep(self._random.uniform(0, FROZEN_WITHIN))
            self._end_old()
            self._end_new()
            return "meanwhile"
        self._end_new()
        before = self._rows()
        self._end_old()
        assert self._rows() == before
        return "afterwards"

    def _end_old(self) -> None:
        assert self._old.is_running()
        self._old.send(signal.SIGCONT)
        ended = self._old.end()
        assert (ended.code, "Traceback" in ended.complained) == (4, False), ended
        assert ended.complained.startswith("FencedError: execution 1 was taken over"), ended

    def _end_new(self) -> None:
        ended = self._new.end()
        assert (ended.code, ended.said) == (0, "succeeded"), ended

    def _rows(self) -> dict[str, list[dict[str, Any]]]:
        return {table: self._site.judge.rows(f"SELECT * FROM {table} ORDER BY id")
                for table in TABLES}

    @property
    def _taken(self) -> Any:
        return next(change for change in self._site.judge.history()
                    if change.kind == "execution" and change.first == 2)

    @property
    def seconds_until_taken(self) -> float:
        """How long it took the other one to believe that the stopped one is gone."""
        return float(self._taken.at - self._stopped_at)

    def stale_begins(self) -> int:
        """How many operations the old one began after it had lost the execution; judges everything else."""
        taken = self._taken
        given_up = {(move.row, move.first) for move in self._site.judge.history()
                    if (move.kind, move.after) == ("task", "sent") and move.number < taken.number}
        stale = {(each.task, each.attempt) for each in self._site.judge.effects()
                 if each.what == "begin" and each.at > taken.at} & given_up
        assert len(stale) <= 2 * SLOTS, stale
        self._site.assert_promises_kept(spare=stale)
        return len(stale)


# --- 7 and 8: eight at a time

@pytest.mark.fault(7, executors=["process"], databases=ALL_DATABASES, small=3, long=50)
@pytest.mark.timeout(300)
def test_one_of_eight_resumes_gets_the_execution(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site() as site:
            kill_the_runner(trial, site)
            one_of_eight(trial, site, "resume", "before-takeover")
            found = site.judge.rows("SELECT epoch, state FROM execution")
            assert found == [{"epoch": 2, "state": "succeeded"}]


def kill_the_runner(trial: Any, site: CrashSite) -> None:
    runner = site.launch("start")
    wanted = trial.random.randint(1, EIGHT)
    wait_until(lambda: site.count("begin") >= wanted, f"{wanted} operations")
    runner.send(signal.SIGKILL)
    assert runner.end().code == KILLED


@pytest.mark.fault(8, executors=["process"], databases=ALL_DATABASES, small=3, long=50)
@pytest.mark.timeout(300)
def test_one_of_eight_starts_gets_the_service(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site() as site:
            one_of_eight(trial, site, "start", "before-claim")
            assert execution_states(site) == ["pending", "started", "succeeded"]


def one_of_eight(trial: Any, site: CrashSite, what: str, point: str) -> None:
    """Eight at once, most often all just before they claim: seven are refused, the last ends its work."""
    site.let_operations_last(LONG_ENOUGH)
    if trial.random.random() < 0.25:
        runners = [site.launch(what) for _ in range(EIGHT)]
    else:
        with Meeting(site.directory, point) as meeting:
            runners = [site.launch(what) for _ in range(EIGHT)]
            meeting.wait_for(EIGHT)
    owner, refused = the_last_of(runners)
    for each in refused:
        assert (each.code, each.complained.count("\n")) == (3, 1), each
    site.let_operations_last(SHORT)
    done = owner.end()
    assert (done.code, done.said, done.complained) == (0, "succeeded", "")
    site.assert_promises_kept()


def the_last_of(runners: list[CrashProcess]) -> tuple[CrashProcess, list[Ended]]:
    """Wait until one is left; that one, and how the others ended."""
    wait_until(lambda: sum(each.is_running() for each in runners) <= 1, "the end of all but one")
    assert sum(each.is_running() for each in runners) == 1, [each.end() for each in runners]
    owner = next(each for each in runners if each.is_running())
    return owner, [each.end() for each in runners if each is not owner]


@pytest.mark.fault(8, executors=["process"], databases=ALL_DATABASES, small=1, long=10, of="commands")
@pytest.mark.timeout(300)
def test_one_of_eight_commands_gets_the_service(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site() as site, commands(site) as start:
            site.let_operations_last(LONG_ENOUGH)
            words = ("executions", "start", SERVICE, "install")
            running = [start(*words) for _ in range(EIGHT)]
            wait_until(lambda those=running: sum(each.poll() is None for each in those) <= 1, "the refusals",
                       2 * PATIENCE)
            site.let_operations_last(SHORT)
            said = [each.communicate(timeout=60)[1] for each in running]
            assert sorted(each.returncode for each in running) == [0, *[3] * (EIGHT - 1)], said
            assert not any("Traceback" in each for each in said), said
            assert execution_states(site) == ["pending", "started", "succeeded"]
            site.assert_promises_kept()


@contextmanager
def commands(site: CrashSite) -> Iterator[Any]:
    """A function that starts the command ``aria`` in the site's directory; ended at the end of the block."""
    with ExitStack() as stack:
        def start(*words: str) -> subprocess.Popen[str]:
            process = stack.enter_context(subprocess.Popen(
                [sys.executable, "-m", "aria_core", *words], cwd=site.directory, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
            stack.callback(process.kill)
            return process

        yield start


# --- 9: cancel against finish

LAST = 0.1
"""Seconds before its expected end in which a run is cancelled."""


@pytest.mark.fault(9, executors=ALL_EXECUTORS, databases=ALL_DATABASES, small=8, long=200)
@pytest.mark.timeout(300)
def test_a_cancel_meets_the_end(cell: Any) -> None:
    lasts, outcomes = 0.0, Counter[str]()
    for trial in cell.trials():
        with trial.site() as site:
            lasts = lasts or seconds_of_a_run(site)
            race = CancelledRun(site)
            race.cancel_after(lasts - trial.random.uniform(0, LAST))
            outcomes[race.outcome()] += 1
            lasts = race.lasted or lasts
    cell.note(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    assert outcomes.total() < 100 or len(outcomes) > 1, "one of the two always came first: they never met"


def seconds_of_a_run(site: CrashSite) -> float:
    """How long a run takes that nobody cancels, from when its first operation may end."""
    run = CancelledRun(site, cancels=False)
    run.cancel_after(0)
    assert run.outcome() == "finished"
    assert run.lasted is not None
    return run.lasted


class CancelledRun:
    """A runner whose operations wait, another process that is about to cancel, and how it ends."""

    def __init__(self, site: CrashSite, cancels: bool = True) -> None:
        self._site = site
        self._cancels = cancels
        self._known = len(site.judge.history())
        self._begun = site.count("begin")
        site.let_operations_last(LONG_ENOUGH)
        self._runner = site.launch("start")

    def cancel_after(self, seconds: float) -> None:
        """Let the operations go on, and cancel so much later."""
        wait_until(lambda: self._site.count("begin") > self._begun, "an operation")
        with Meeting(self._site.directory, "before-cancel-request") as meeting:
            if self._cancels:
                self._canceller = self._site.launch("cancel")
                meeting.wait_for(1)
            self._site.let_operations_last(SHORT)
            self._released = time.time()
            time.sleep(max(0.0, seconds))
        self._ended = self._runner.end()

    def outcome(self) -> str:
        """Who came first, once everybody was told the truth and all promises were kept."""
        self._site.assert_promises_kept()
        states = [change.after for change in self._changes]
        final = states[-1]
        assert (self._ended.code, self._ended.said, self._ended.complained) == (0, final, "")
        if not self._cancels:
            return "finished"
        told = self._canceller.end()
        assert (told.code, told.complained) == (0, ""), told
        if "cancelling" not in states:
            assert (final, told.said) == ("succeeded", "succeeded")
            return "finished"
        assert final in ("cancelled", "succeeded")
        assert told.said in states[states.index("cancelling"):]
        return "cancelled" if final == "cancelled" else "finished while cancelling"

    @property
    def lasted(self) -> float | None:
        """Seconds from the release of the operations to the success of the execution, if it came to that."""
        last = self._changes[-1]
        return float(last.at) - self._released if last.after == "succeeded" else None

    @property
    def _changes(self) -> list[Any]:
        return [change for change in self._site.judge.history()[self._known:] if change.kind == "execution"]


# --- 9: how soon a cancel is noticed by what runs

CROWD = 3_000
IN_TIME = 1.0 if LONG else 3.0


@pytest.mark.fault(9, executors=ALL_EXECUTORS, databases=ALL_DATABASES, small=3, long=30, of="latency")
@pytest.mark.timeout(300)
def test_a_running_operation_notices_a_cancel_within_a_second(cell: Any) -> None:
    latencies = []
    for trial in cell.trials():
        with trial.site(prepared=False, slots=4) as site, commands(site) as start:
            site.offer(crowd())
            runner = start("executions", "start", SERVICE, "crowd")
            wait_until((site.directory / "lasting").exists, "the operation that lasts")
            latencies.append(seconds_until_noticed(site, trial.random.uniform(0.1, 0.6)))
            said = runner.communicate(timeout=60)  # it tells of more than a pipe holds
            assert runner.returncode == 7, said
            assert site.judge.rows("SELECT 1 FROM task WHERE state = 'pending'"), "it had nothing to do"
            site.assert_promises_kept()
    if latencies:
        cell.note(f"noticed after p50 {median(latencies):.2f} s, max {max(latencies):.2f} s")
        assert max(latencies) <= IN_TIME, latencies


def crowd() -> LoadedTemplate:
    builder = TemplateBuilder("crowd")
    builder.input("directory", "string")
    operations = {name: call(f"crowd:{name}", inputs={"directory": get_input("directory")})
                  for name in ("last", "tick")}
    builder.node("one", interfaces={"Crowd": operations})
    builder.workflow("crowd", "crowd:crowd", inputs={"count": CROWD})
    return builder.load(CODE)


def seconds_until_noticed(site: CrashSite, pause: float) -> float:
    """Cancel from another process; seconds from its call until the operation that lasts has seen it."""
    noticed = site.directory / "noticed"
    with Meeting(site.directory, "before-cancel-request") as meeting:
        canceller = site.launch("cancel")
        meeting.wait_for(1)
        (site.directory / "go").touch()
        time.sleep(pause)
        assert not noticed.exists()
        asked = meeting.end()
    assert canceller.end().code == 0
    wait_until(lambda: noticed.exists() and noticed.read_text().endswith("\n"), "the operation to notice")
    return float(noticed.read_text()) - asked
