"""Finding and ending what an attempt has started."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from aria_core.worker.processes import find_marked, find_session, kill_marked, kill_session

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")

READY = "import sys, time; sys.stdout.write('ready\\n'); sys.stdout.flush(); "


@pytest.fixture
def mark() -> Iterator[str]:
    mark = f"test/{secrets.token_hex(8)}"
    yield mark
    kill_marked(mark, 0)


def start(mark: str, program: str) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", READY + program], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "ARIA_ATTEMPT": mark}, start_new_session=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def end(child: subprocess.Popen[str]) -> int:
    with child:
        return child.wait(10)


def test_marked_processes_are_found_and_others_are_not(mark: str) -> None:
    child, other = start(mark, "time.sleep(300)"), start(f"{mark}0", "time.sleep(300)")
    assert find_marked(mark) == [child.pid]
    assert find_marked(mark, "ANOTHER") == []
    kill_marked(f"{mark}0", 0)
    assert (child.poll(), end(other)) == (None, -9)
    assert kill_marked(mark, 5)
    assert end(child) == -15
    assert find_marked(mark) == []


def test_a_process_may_end_by_itself_within_the_grace(mark: str) -> None:
    child = start(mark, "import signal; signal.signal(15, lambda *_: sys.exit(4)); "
                        "print('armed', flush=True); time.sleep(300)")
    assert child.stdout is not None
    child.stdout.readline()
    assert kill_marked(mark, 10)
    assert end(child) == 4


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(mark: str) -> None:
    child = start(mark, "import signal; signal.signal(15, signal.SIG_IGN); print('armed', flush=True); "
                        "time.sleep(300)")
    assert child.stdout is not None
    child.stdout.readline()
    begin = time.monotonic()
    assert kill_marked(mark, 0.3)
    assert time.monotonic() - begin < 3
    assert end(child) == -9


def test_a_stopped_process_is_killed(mark: str) -> None:
    child = start(mark, "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    assert kill_marked(mark, 0)
    assert end(child) == -9


def test_what_was_killed_has_ended(mark: str) -> None:
    for _ in range(20):
        child = start(mark, "much = bytearray(50_000_000); print('full', flush=True); time.sleep(300)")
        assert child.stdout is not None
        child.stdout.readline()
        assert kill_marked(mark, 0)
        state = Path(f"/proc/{child.pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
        assert state in b"ZX"
        end(child)


def test_daemons_and_whole_families_are_killed(mark: str) -> None:
    child = start(mark, "import subprocess\nfor _ in range(9): subprocess.Popen(['setsid', 'sleep', '9'])\n"
                        "print('armed', flush=True); time.sleep(300)")
    assert child.stdout is not None
    child.stdout.readline()
    deadline = time.monotonic() + 5
    while len(find_marked(mark)) < 10:  # one that is just becoming another program has no environment to read
        assert time.monotonic() < deadline
    assert kill_marked(mark, 0)
    end(child)
    assert find_marked(mark) == []


def test_a_session_is_ended_without_those_who_left_it(mark: str) -> None:
    child = start(mark, "import subprocess; subprocess.Popen(['sleep', '300']); "
                        "away = subprocess.Popen(['sleep', '300'], start_new_session=True); "
                        "print(away.pid, flush=True); time.sleep(300)")
    assert child.stdout is not None
    away = int(child.stdout.readline())
    assert len(find_session(child.pid)) == 2
    assert kill_session(child.pid, 1)
    end(child)
    assert find_session(child.pid) == []
    assert find_marked(mark) == [away]


def test_nothing_to_end_is_fine(mark: str) -> None:
    assert kill_marked(mark, 5)


EXECS_FOREVER = "#!/bin/sh\nprintf . >>\"$1\"\nexec \"$0\" \"$1\"\n"


def test_a_process_that_becomes_another_program_all_the_time_is_found_by_every_look(
        mark: str, tmp_path: Path) -> None:
    script, turns = tmp_path / "again", tmp_path / "turns"
    script.write_text(EXECS_FOREVER)
    script.chmod(0o700)
    with subprocess.Popen([script, turns], env={**os.environ, "ARIA_ATTEMPT": mark}) as child:
        try:
            while not turns.exists():
                time.sleep(0.001)
            before = turns.stat().st_size
            assert [find_marked(mark) for _ in range(200)] == [[child.pid]] * 200
            assert turns.stat().st_size > before + 20, "it did not change its program meanwhile"
        finally:
            child.kill()


def test_programs_without_an_environment_do_not_hold_up_a_look(mark: str) -> None:
    with ExitStack() as stack:
        bare = [stack.enter_context(subprocess.Popen(["/bin/sleep", "300"], env={})) for _ in range(20)]
        for each in bare:
            stack.callback(each.kill)
        begin = time.monotonic()
        assert [find_marked(mark) for _ in range(10)] == [[]] * 10
        assert time.monotonic() - begin < 5
