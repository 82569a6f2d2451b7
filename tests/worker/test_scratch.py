"""Temporary directories: private, named by their process, and gone after it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aria_core.worker import scratch
from aria_core.worker.scratch import scratch_directory, sweep

MAKE = "from aria_core.worker.scratch import scratch_directory as d; print(d('code'), flush=True); input()"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    short = Path(f"/tmp/s{os.getpid()}")
    short.mkdir(exist_ok=True)
    monkeypatch.setattr(scratch.tempfile, "gettempdir", lambda: str(short))
    monkeypatch.setenv("TMPDIR", str(short))
    return short


def test_only_this_user_may_enter() -> None:
    made = scratch_directory("code")
    assert stat.S_IMODE(made.stat().st_mode) == stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    made.rmdir()


def test_the_directory_of_a_killed_process_is_swept_and_that_of_a_living_one_stays() -> None:
    mine = scratch_directory("code")
    child = subprocess.Popen([sys.executable, "-c", MAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True)
    assert child.stdout is not None
    theirs = Path(child.stdout.readline().strip())
    (theirs / "file").write_text("x")
    sweep()
    assert theirs.is_dir()
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and not reaped: still in the table
    sweep()
    assert not theirs.exists()
    assert mine.is_dir()
    child.communicate()
    mine.rmdir()


def test_what_is_not_ours_is_left_alone() -> None:
    stranger = scratch_directory("code").parent / "something-else"
    stranger.mkdir(exist_ok=True)
    sweep()
    assert stranger.is_dir()


def test_a_folder_that_others_may_enter_is_refused(place: Path) -> None:
    base = scratch_directory("code").parent
    base.chmod(0o755)
    try:
        with pytest.raises(PermissionError, match="only this user may enter"):
            scratch_directory("code")
    finally:
        base.chmod(0o700)
