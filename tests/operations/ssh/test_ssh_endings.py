"""Nothing is left running on the other host but what a script that ended well has left there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aria_core import Failed, Succeeded, run_call
from aria_core.testing.hostile import ECHO, HOSTILE, as_inputs, echoed
from aria_plugins.operations.ssh.remote import DIRECTORY, MARK, READY, watch_command

TOOLS = ("mktemp", "grep", "sleep", "cat", "head", "tail", "wc", "mkdir", "chmod", "rm", "rmdir", "tr")
"""What the programs there use besides sh."""

DAEMONS = """
    setsid sleep 1001 >/dev/null 2>&1 &
    echo $! >>{pids}
    nohup sh -c 'sleep 1002; true' >/dev/null 2>&1 &
    echo $! >>{pids}
    sleep 1003 &
    echo $! >>{pids}
    echo $$ >>{pids}
    touch {pids}.done
"""


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


def started(remote: Any, pids: Path) -> list[int]:
    """The processes of `DAEMONS`, once all of them run."""
    remote.wait_until(lambda: pids.with_name("pids.done").exists())
    return [int(each) for each in pids.read_text().split()]


def check_gone(remote: Any, running: list[int], seconds: float = 20) -> None:
    remote.wait_until(lambda: all(map(remote.is_gone, running)) and not remote.directories(), seconds)


def in_thread(remote: Any, script: str, **keywords: Any) -> tuple[threading.Thread, list[Any]]:
    reports: list[Any] = []
    thread = threading.Thread(target=lambda: reports.append(remote.run(script, **keywords)))
    thread.start()
    return thread, reports


def test_what_a_failed_script_has_started_is_ended(remote: Any, pids: Path) -> None:
    report = remote.error(DAEMONS.format(pids=pids) + "exit 5")
    assert "ended with 5" in report.error
    check_gone(remote, started(remote, pids), 0.5)


def test_what_a_script_that_decided_has_started_is_ended(remote: Any, pids: Path) -> None:
    assert remote.error(DAEMONS.format(pids=pids) + "ctx task retry").retry
    check_gone(remote, started(remote, pids), 0.5)


def test_what_ignores_sigterm_is_killed(remote: Any, pids: Path) -> None:
    stubborn = f"trap \"\" TERM; echo $$ >>{pids}; touch {pids}.done; sleep 1000; sleep 1000"
    remote.error(f"setsid sh -c '{stubborn}' & while [ ! -e {pids}.done ]; do sleep 0.05; done; exit 1")
    check_gone(remote, started(remote, pids), 0.5)


def test_a_server_that_a_script_leaves_stays(remote: Any, pids: Path) -> None:
    report = remote.run(f"setsid sleep 1000 >/dev/null 2>&1 & echo $! >{pids}")
    assert isinstance(report, Succeeded), report
    pid = int(pids.read_text())
    assert not remote.is_gone(pid)
    remote.check_clean()
    os.kill(pid, signal.SIGKILL)


def test_a_server_that_holds_the_output_stays_and_is_told_about(remote: Any, pids: Path) -> None:
    remote.out(f"sleep 1000 & echo $! >{pids}; echo done")
    assert "left a process running that holds its output" in remote.channel.messages[-1][1]
    assert not remote.is_gone(int(pids.read_text()))
    os.kill(int(pids.read_text()), signal.SIGKILL)


def test_what_runs_when_the_connection_breaks_is_ended(remote: Any, own_server: Any, pids: Path) -> None:
    remote.settings.update(own_server.settings)
    thread, reports = in_thread(remote, DAEMONS.format(pids=pids) + "sleep 1000")
    running = started(remote, pids)
    own_server.cut()
    thread.join(30)
    [report] = reports
    assert isinstance(report, Failed) and report.retry is None
    assert report.error == f"SshError: the connection to {own_server.place} broke"
    check_gone(remote, running)


def test_a_broken_connection_is_opened_anew(remote: Any, own_server: Any) -> None:
    remote.settings.update(own_server.settings)
    assert remote.out("echo one") == ["one"]
    own_server.cut()
    assert remote.out("echo two") == ["two"]
    own_server.stop()
    own_server.start()
    assert remote.out("echo three") == ["three"]
    assert own_server.connections == 3


def test_a_host_that_is_not_there_is_one_sentence(remote: Any, own_server: Any) -> None:
    remote.settings.update(own_server.settings)
    own_server.stop()
    report = remote.error("true")
    assert report.error == f"SshError: {own_server.place} cannot be reached: Connection refused"
    assert report.retry is None


def test_a_host_that_never_answers_is_waited_for_only_so_long(remote: Any, own_server: Any) -> None:
    remote.settings.update(own_server.settings)
    own_server.freeze()
    report = remote.error("true", ssh={"connect_timeout": 1})
    assert report.error == f"SshError: {own_server.place} did not answer within 1 seconds"


PROGRAM = """
import sys
from aria_core import Call, run_call
from aria_core.testing.memory_channel import MemoryChannel
channel = MemoryChannel(nodes={1: {"name": "web"}}, resources={"run.sh": open(sys.argv[2], "rb").read()})
run_call(Call.decode(open(sys.argv[1], "rb").read()), channel)
"""


def test_what_runs_when_the_worker_is_killed_is_ended(remote: Any, pids: Path, tmp_path: Path) -> None:
    call = remote.script_call(DAEMONS.format(pids=pids) + "sleep 1000", None, "run.sh", {}, {})
    (tmp_path / "call").write_bytes(call.encode())
    (tmp_path / "script").write_bytes(remote.channel.resources["run.sh"])
    worker = subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path / "call", tmp_path / "script"])
    running = started(remote, pids)
    assert remote.directories()
    worker.kill()
    worker.wait()
    check_gone(remote, running, 10)


def test_what_runs_when_it_is_wanted_to_end_is_ended(remote: Any, pids: Path) -> None:
    cancelled = threading.Event()
    call = remote.script_call(DAEMONS.format(pids=pids) + "sleep 1000", None, "run.sh", {}, {})
    reports: list[Any] = []
    thread = threading.Thread(target=lambda: reports.append(run_call(call, remote.channel, cancelled)))
    thread.start()
    running = started(remote, pids)
    cancelled.set()
    thread.join(30)
    assert isinstance(reports[0], Failed)
    check_gone(remote, running, 0.5)


def test_an_attempt_whose_watch_was_killed_is_cleaned_up_all_the_same(remote: Any, pids: Path) -> None:
    script = DAEMONS.format(pids=pids) + """
        for each in /proc/[0-9]*; do
            tr '\\0' '\\n' <$each/cmdline 2>/dev/null | grep -qx "$ARIA_SSH_DIRECTORY" || continue
            grep -qs 'ARIA_SSH_DIRECTORY' $each/environ || kill -KILL ${each#/proc/}
        done
        exit 1
    """
    remote.error(script)
    check_gone(remote, started(remote, pids), 0.5)


def test_what_runs_when_nobody_is_heard_any_more_is_ended(server: Any, tmp_path: Path, remote: Any) -> None:
    """As when the network fails and nobody is told: the watch's standard input stays open, and silent."""
    place = remote.settings["directory"]
    watch = subprocess.Popen(["sh", "-c", watch_command(place, [], silence=4)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
    assert watch.stdin is not None and watch.stdout is not None
    [directory] = [line.removeprefix(DIRECTORY).strip() for line in iter(watch.stdout.readline, f"{READY}\n")
                   if line.startswith(DIRECTORY)]
    running = subprocess.Popen(["sleep", "1000"], env={MARK: directory}, start_new_session=True)
    for number in range(8):
        print(f"beat {number}", file=watch.stdin, flush=True)
        time.sleep(1)
    assert running.poll() is None and Path(directory).is_dir()
    remote.wait_until(lambda: running.poll() is not None)
    remote.wait_until(lambda: watch.poll() is not None and not remote.directories())
    watch.stdin.close()
    watch.stdout.close()


def test_a_grep_that_knows_no_zeros_finds_what_runs_all_the_same(
        remote: Any, own_server: Any, pids: Path) -> None:
    place = own_server.directory / "bin"
    place.mkdir()
    (place / "grep").write_text(
        f'#!/bin/sh\ncase "$1" in *z*) exit 2 ;; esac\nexec {shutil.which("grep")} "$@"\n')
    (place / "grep").chmod(0o755)
    own_server.stop()
    own_server.start(SetEnv=f"HOME={own_server.directory} PATH={place}:{os.environ['PATH']}")
    remote.settings.update(own_server.settings)
    remote.error(DAEMONS.format(pids=pids) + "exit 5")
    check_gone(remote, started(remote, pids), 0.5)


@pytest.mark.parametrize("shell", ["bash", "busybox"])
def test_other_shells_do_the_same(
        remote: Any, own_server: Any, tmp_path: Path, pids: Path, shell: str) -> None:
    """The programs are sh's, which is another one elsewhere."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell} on this machine")
    place = Path(tempfile.mkdtemp(prefix="aria-shell-", dir="/tmp"))
    for name in ["sh", *(TOOLS if shell == "busybox" else [])]:
        (place / name).symlink_to(found)
    own_server.stop()
    own_server.start(SetEnv=f"HOME={own_server.directory} PATH={place}:{os.environ['PATH']}")
    remote.settings.update(own_server.settings)
    texts = HOSTILE[::5]
    lines = remote.out(ECHO.replace("/bin/sh", f"{place}/sh"), {"args": texts}, **as_inputs(texts))
    assert echoed(lines) == (list(texts), as_inputs(texts))
    assert "no directory there" in remote.error("true", {"cwd": "/no/where"}).error
    remote.error(DAEMONS.format(pids=pids) + "exit 5")
    check_gone(remote, started(remote, pids), 0.5)
    shutil.rmtree(place)
