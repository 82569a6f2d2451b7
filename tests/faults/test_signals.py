"""Cases 33 and 34: signals at any moment, terminals that go away, readers that have read enough."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from aria_core.testing.crash import SHORT
from aria_core.testing.crash_process import Ended
from aria_core.testing.script_service import OPERATIONS, ScriptService, SpawnedCommand, script_service

SECONDS = 0.15
"""How long an operation lasts."""
MARGIN = 10.0
"""Seconds that a busy machine may take for what is done at once."""
HEARD_WITHIN = 3.0
"""Seconds after a signal in which a runner on a loaded machine may still begin something."""
ENDLESS = 60.0
ON_THE_TERMINAL = ("setsid", "--ctty")
IGNORING_HANGUPS = (*ON_THE_TERMINAL, "sh", "-c", 'trap "" HUP; exec "$@"', "sh")


def wait_until_obeying(process: SpawnedCommand) -> None:
    """Until a process has its handlers for signals: until then the interpreter is starting."""
    status = Path(f"/proc/{process.pid}/status")
    while process.is_running():
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.002)


def wait_until_begun(trial: Any, service: ScriptService, process: SpawnedCommand) -> None:
    """Any moment of a run: while the runner starts, after some operations have begun, when all have."""
    operations = trial.random.randint(0, OPERATIONS["install"])
    wait_until_obeying(process)
    if operations:
        service.wait_until_begun(operations)
    time.sleep(trial.random.uniform(0, SECONDS if operations else 0.5))


def check_interrupted(service: ScriptService, number: int, done: Ended) -> None:
    """The code tells the signal, or that it came too late; nothing runs, nothing was lost."""
    assert "Traceback" not in done.complained, done.complained
    came_too_late = service.state() == "succeeded" and done.code in (0, -number)
    assert done.code == 128 + number or came_too_late, done
    assert service.state() in ("none", "pending", "started", "cancelled", "succeeded")
    service.site.assert_promises_kept()
    for task in service.site.judge.case().tasks.values():
        assert task["state"] in ("pending", "success"), task
        assert (task["failures"], task["lost"]) == (0, 0), task


def check_nothing_sent_since(service: ScriptService, at: float) -> None:
    sent = [each.at for each in service.site.judge.case().of_kind("task") if each.after == "sent"]
    assert all(each < at + HEARD_WITHIN for each in sent), [each - at for each in sent]


def check_resumable(service: ScriptService) -> None:
    """It is resumed to its end, or begun if it is not there."""
    service.site.let_operations_last(SHORT)
    latest = service.latest()
    begin = latest is None or latest["state"] == "cancelled"
    done = service.command(*(service.words("install") if begin else ("executions", "resume", "1")))
    assert (done.code, service.state()) == (0, "succeeded"), done
    service.site.assert_promises_kept()


def interrupt(trial: Any, service: ScriptService, number: int) -> str:
    """The first signal: what runs ends by itself, within the grace, and nothing else begins."""
    service.site.let_operations_last(SECONDS)
    process = service.launch(*service.words("install"))
    wait_until_begun(trial, service, process)
    at = time.time()
    process.send(number)
    done = process.end(SECONDS + MARGIN)
    check_interrupted(service, number, done)
    check_nothing_sent_since(service, at)
    case = service.site.judge.case()
    assert all(case.ended[task] for task in case.begun), "an operation was ended"
    return "late" if done.code == 0 else "once"


def interrupt_twice(trial: Any, service: ScriptService, number: int) -> str:
    """The second signal: what runs is ended."""
    service.site.let_operations_last(SECONDS)
    process = service.launch(*service.words("install"))
    service.wait_until_begun(trial.random.randint(1, OPERATIONS["install"] - 1))
    service.site.let_operations_last(ENDLESS)
    time.sleep(trial.random.uniform(0, 2 * SECONDS))
    process.send(number)
    process.ends_within(trial.random.uniform(0.01, 0.5))
    process.send(number)
    check_interrupted(service, number, process.end(MARGIN))
    return "twice"


@pytest.mark.timeout(300)
@pytest.mark.fault(33, executors=["thread", "process"], databases=["sqlite", "postgresql"], small=2, long=100)
def test_signals_stop_the_runner(cell: Any) -> None:
    began = time.monotonic()
    for trial in cell.trials():
        with trial.site(prepared=False) as site, script_service(site, spawned=True) as service:
            number = trial.random.choice([signal.SIGINT, signal.SIGTERM])
            how = interrupt if trial.seed % 2 else interrupt_twice
            trial.tally[f"{how(trial, service, number)} {number.name}"] += 1
            check_resumable(service)
    seen = ", ".join(f"{count} {what}" for what, count in sorted(cell.tally.items()))
    cell.note(f"{seen}, {time.monotonic() - began:.0f} s")


def hang_up(trial: Any, service: ScriptService) -> None:
    """SIGHUP alone, as a shell sends it to its jobs: like the other signals."""
    interrupt(trial, service, signal.SIGHUP)


def leave_terminal(trial: Any, service: ScriptService, prefix: tuple[str, ...]) -> SpawnedCommand:
    """Install on a terminal that goes away when operations run."""
    service.site.let_operations_last(SECONDS)
    ours, theirs = pty.openpty()
    process = service.spawn(*service.words("install"), prefix=prefix, stdin=theirs, stdout=theirs)
    os.close(theirs)
    wait_until_begun(trial, service, process)
    os.close(ours)
    return process


def close_terminal(trial: Any, service: ScriptService) -> None:
    """The terminal goes away: the kernel sends SIGHUP, and nothing can be shown any more."""
    process = leave_terminal(trial, service, ON_THE_TERMINAL)
    check_interrupted(service, signal.SIGHUP, process.end(SECONDS + MARGIN))


def ignore_hangups(trial: Any, service: ScriptService) -> None:
    """Where SIGHUP is ignored, the workflow goes on without its terminal."""
    process = leave_terminal(trial, service, IGNORING_HANGUPS)
    done = process.end()
    assert (done.code, done.complained, service.state()) == (0, "", "succeeded"), done


def read_one_line(trial: Any, service: ScriptService) -> None:
    """``| head -1``: the workflow goes on when nobody reads its progress."""
    service.site.let_operations_last(SHORT)
    read, write = os.pipe()
    process = service.spawn(*service.words("install"), stdout=write)
    os.close(write)
    head = subprocess.run(["head", "-1"], stdin=read, capture_output=True, check=True, timeout=60)
    os.close(read)
    done = process.end()
    assert b"install" in head.stdout
    assert (done.code, done.complained, service.state()) == (0, "", "succeeded"), done


WAYS = (hang_up, close_terminal, read_one_line, ignore_hangups)


@pytest.mark.timeout(300)
@pytest.mark.fault(34, executors=["process"], databases=["sqlite"], small=len(WAYS), long=20 * len(WAYS))
def test_terminals_and_readers_that_go_away(cell: Any) -> None:
    began = time.monotonic()
    for trial in cell.trials():
        with trial.site(prepared=False) as site, script_service(site, spawned=True) as service:
            way = WAYS[trial.seed % len(WAYS)]
            way(trial, service)
            trial.tally[way.__name__.replace("_", " ")] += 1
            check_resumable(service)
    seen = ", ".join(f"{count} {what}" for what, count in sorted(cell.tally.items()))
    cell.note(f"{seen}, {time.monotonic() - began:.0f} s")
