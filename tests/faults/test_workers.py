"""Cases 1, 29 and 31 where calls run elsewhere: whoever is killed, an effect happens once per attempt.

Messages are files (`aria_core.testing.mail`), workers are processes of their own, ended with the runner's.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest

from aria_core.testing.crash import GOES_ON, KILLED, SHORT, CrashSite
from aria_core.testing.crash_process import CrashProcess, wait_until

ON_MAIL: dict[str, Any] = {"executors": ["mail"], "databases": ["sqlite", "postgresql"]}


def worker_of(site: CrashSite) -> CrashProcess:
    """A worker that is there."""
    known = len(list((site.directory / "mail" / "workers").glob("*")))
    worker = site.launch_command("worker", "--slots", "2")
    wait_until(lambda: len(list((site.directory / "mail" / "workers").glob("*"))) > known
               or not worker.is_running(), "a worker")
    assert worker.is_running(), worker.end()
    return worker


def first_operation(site: CrashSite) -> dict[str, Any]:
    """The row of the operation that everything waits for."""
    return site.judge.rows("SELECT * FROM task WHERE stub IS NULL ORDER BY position LIMIT 1")[0]


@pytest.mark.fault(1, small=2, long=50, **ON_MAIL)
@pytest.mark.timeout(300)
def test_what_runs_elsewhere_is_adopted_by_the_next_runner_whatever_its_executor(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site() as site:
            worker = worker_of(site)
            site.let_operations_last(30.0)
            runner = site.launch("start")
            site.wait_until_reached("before-effect")
            wait_until(lambda site=site: first_operation(site)["state"] == "started", "a begin")
            runner.send(signal.SIGKILL)
            assert runner.end().code == KILLED
            site.assert_promises_kept(GOES_ON)
            if trial.seed % 2:
                text = trial.configuration.replace("aria_core.testing.mail:MailExecutor", "process")
                (site.directory / "aria.toml").write_text(text.replace('directory = "mail"\n', ""))
            site.let_operations_last(SHORT)
            assert site.resume() == "succeeded"
            site.assert_promises_kept()
            first = first_operation(site)
            assert (first["attempts"], first["interruptions"]) == (1, 0)
            assert worker.is_running()


@pytest.mark.fault(29, small=1, long=20, executors=["mail"], databases=["postgresql"])
@pytest.mark.timeout(300)
def test_what_a_killed_worker_had_is_done_by_another(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site() as site:
            workers = [worker_of(site), worker_of(site)]
            site.let_operations_last(30.0)
            runner = site.launch("start")
            site.wait_until_reached("before-effect")
            [claimed] = site.judge.rows("SELECT location FROM claimed_call")
            [doomed] = [each for each in workers if claimed["location"].endswith(f":{each.pid}")]
            doomed.send(signal.SIGKILL)
            site.let_operations_last(SHORT)
            done = runner.end()
            assert (done.code, done.said) == (0, "succeeded"), done
            site.assert_promises_kept()
            first = first_operation(site)
            assert (first["attempts"], first["lost"]) == (2, 1)


@pytest.mark.fault(31, small=1, long=10, **ON_MAIL)
@pytest.mark.timeout(120)
def test_of_many_messages_about_a_call_one_begins_it(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site(copies=20) as site:
            worker_of(site)
            worker_of(site)
            assert site.run("start").said == "succeeded"
            wait_until(lambda site=site: not list((site.directory / "mail" / "calls").iterdir()), "the rest")
            site.assert_promises_kept()
            cell.note(f"{20 * site.count('begin')} messages, {site.count('begin')} begins")
