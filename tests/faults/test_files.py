"""Cases 22, 23, 24, 44, 45: files that may not be written, are moved, are damaged, or are half written."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aria_core.testing.crash import CrashSite
from aria_core.testing.crash_process import Ended, wait_until
from aria_core.testing.effects import EFFECTS
from aria_core.testing.judge import read_effects
from aria_core.testing.other_user import give_away, run_as_other
from aria_core.testing.strace import read_trace, under_strace
from aria_plugins.storage.file import FileStorage

pytestmark = pytest.mark.timeout(600)

EXIT_CODES = {0, 1, 2, 3, 4, 5, 6, 7, 130, 143}
BEAT = 5.0
FILE = "aria.db"
LOST_LOGS = "could not be stored"
"""What a runner says besides of log lines that it had not stored yet."""


def install(trial: Any, home: Path) -> CrashSite:
    """A site with an installed service, whose database nobody has open."""
    home.mkdir()
    url = f"sqlite:///{home / FILE}"
    site = CrashSite(home, trial.configuration.replace(trial.url, url), url)
    site.prepare()
    assert site.run("start").said == "succeeded"
    site.judge.close()
    return site


# --- 22: files that may not be written

def nothing_is_there(home: Path) -> None:
    for each in home.glob(f"{FILE}*"):
        each.unlink()
    home.chmod(0o555)


def all_is_read_only(home: Path) -> None:
    (home / FILE).chmod(0o444)
    home.chmod(0o555)


def the_file_is_read_only(home: Path) -> None:
    (home / FILE).chmod(0o444)


def resources_are_read_only(home: Path) -> None:
    for each in (home / "resources").rglob("*"):
        each.chmod(0o555 if each.is_dir() else 0o444)
    (home / "resources").chmod(0o555)


READ_ONLY = (nothing_is_there, all_is_read_only, the_file_is_read_only, resources_are_read_only)
WRITES = ("service-templates", "store", "template.yaml")
READS = (("services", "list"), ("executions", "show", "1"), ("logs", "list", "1"))
TEMPLATE = "tosca_definitions_version: tosca_simple_yaml_1_3\ntopology_template: {}\n"


@pytest.mark.fault(22, executors=["process"], databases=["sqlite"], small=len(READ_ONLY), long=len(READ_ONLY))
def test_files_may_not_be_written(cell: Any) -> None:
    codes: Counter[int] = Counter()
    site = None
    for trial in cell.trials():
        site = site or install(trial, cell.directory / "home")
        (site.directory / "template.yaml").write_text(TEMPLATE)
        with elsewhere(site.directory) as home:
            READ_ONLY[trial.seed - 1](home)
            commands = [("--quiet", *words) for words in ((*WRITES, f"template-{trial.seed}"), *READS)]
            for words, done in zip(commands, run_as_other(home, site.directory, commands), strict=True):
                assert done.code in ({2, 5} if "store" in words else {0, 5}), (words, done)
                assert len(done.complained.splitlines()) == int(done.code != 0), (words, done)
                assert "unexpected error" not in done.complained
                codes[done.code] += 1
    cell.note(counted(codes))


@contextmanager
def elsewhere(directory: Path) -> Iterator[Path]:
    """A copy that belongs to another user, outside of pytest's directories, where only its own may go."""
    with tempfile.TemporaryDirectory(prefix="aria-read-only-") as made:
        home = Path(made, "home")
        shutil.copytree(directory, home)
        configuration = home / "aria.toml"
        configuration.write_text(configuration.read_text().replace(str(directory), str(home)))
        Path(made).chmod(0o755)
        give_away(home)
        yield home
        for each in (home, *home.rglob("*")):
            each.chmod(0o700)


def counted(codes: Counter[int]) -> str:
    return ", ".join(f"exit {code}: {count}" for code, count in sorted(codes.items()))


# --- 23: the file is taken away

def move(file: Path) -> None:
    file.rename(file.with_name("old.db"))


def unlink(file: Path) -> None:
    file.unlink()


def replace(file: Path) -> None:
    shutil.copy(file, file.with_name("copy.db"))
    file.with_name("copy.db").replace(file)


def remove_wal(file: Path) -> None:
    file.with_name(f"{file.name}-wal").unlink()


@pytest.mark.fault(23, executors=["process"], databases=["sqlite"], small=4, long=40)
def test_the_file_is_taken_away(cell: Any) -> None:
    slowest = 0.0
    for trial in cell.trials():
        take_away: Callable[[Path], None] = (move, unlink, replace, remove_wal)[trial.seed % 4]
        file = trial.directory / FILE
        with trial.site() as site:
            os.link(file, kept := file.with_name("kept.db"))
            site.let_operations_last(0.3)
            runner = site.launch("start")
            most = trial.random.randint(3, 12)
            wait_until(lambda most=most: len(read_effects(site.directory / EFFECTS)) > most, "effects")
            site.judge.close()  # nobody but the runner has the database open
            began = time.monotonic()
            take_away(file)
            done = runner.end()
            took = time.monotonic() - began
            slowest = max(slowest, took)
            assert done.code == 5, done
            sentence, = [each for each in done.complained.splitlines() if LOST_LOGS not in each]
            assert "was moved, removed or replaced" in sentence
            assert took < BEAT + 5, f"{take_away.__name__}: noticed after {took:.1f} s"
            kept.replace(file)
            site.assert_promises_kept()
            site.let_operations_last(0.03)
            assert site.resume() == "succeeded"
            site.assert_promises_kept()
    cell.note(f"ended after {slowest:.1f} s at most")


# --- 24: the file is damaged

COMMANDS = (
    ("services", "list"), ("services", "show", "crash"), ("executions", "list"), ("executions", "show", "1"),
    ("nodes", "list", "--service", "crash"), ("logs", "list", "1"), ("executions", "resume", "1"),
    ("executions", "start", "crash", "uninstall"), ("services", "delete", "crash", "--force"))
FLIPPED, SCHEMA = 100, 60 * 1024
"""How many bytes, and how many at the beginning hold the definitions of tables."""


@pytest.mark.fault(24, executors=["process"], databases=["sqlite"], small=6, long=100)
def test_bytes_of_the_database_are_flipped(cell: Any) -> None:
    codes: Counter[int] = Counter()
    site = None
    for trial in cell.trials():
        if site is None:
            site = install(trial, cell.directory / "home")
            file = site.directory / FILE
            whole = file.read_bytes()
        # Without its tables' definitions nothing works: every other time they stay whole.
        damaged = flip(whole, SCHEMA if trial.seed % 2 else 0, trial.random)
        for words in trial.random.sample(COMMANDS, 3):
            for ending in ("-wal", "-shm"):
                file.with_name(FILE + ending).unlink(missing_ok=True)
            file.write_bytes(damaged)
            done = site.launch_command("--quiet", *words).end()
            assert_told(done, words)
            codes[done.code] += 1
    cell.note(counted(codes))


def assert_told(done: Ended, words: tuple[str, ...]) -> None:
    """It ended in order; a runner may have said before that log lines are lost."""
    lines = [each for each in done.complained.splitlines() if LOST_LOGS not in each]
    assert done.code in EXIT_CODES, (words, done)
    assert len(lines) <= 1, (words, done)
    assert done.code == 0 or lines, (words, done)
    assert "unexpected error" not in done.complained, (words, done)


def flip(data: bytes, first: int, numbers: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(FLIPPED):
        changed[numbers.randrange(first, len(changed))] ^= numbers.randrange(1, 256)
    return bytes(changed)


# --- 44, 45: files of the resource storage

SIZE = 3_000_000
WRITER = """
import sys
from pathlib import Path
from aria_plugins.storage.file import FileStorage
storage = FileStorage(Path(sys.argv[1]))
storage.open()
print("open", flush=True)
for number in range(int(sys.argv[2])):
    storage.put("a/b", bytes([number % 251]) * int(sys.argv[3]))
    print("put", flush=True)
"""


def parts(directory: Path) -> list[Path]:
    return [*(directory / ".parts").iterdir()]


@pytest.mark.fault(44, executors=["none"], databases=["sqlite"], small=20, long=200)
def test_an_upload_is_killed(cell: Any) -> None:
    left = 0
    for trial in cell.trials():
        storage = FileStorage(trial.directory / "files")
        storage.open()
        storage.put("a/b", bytes(SIZE))
        command = [sys.executable, "-c", WRITER, str(trial.directory / "files"), "1000000", str(SIZE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "open\n"
            time.sleep(trial.random.random() * 0.05)  # a moment of its life
            writer.kill()
        read = storage.read("a/b")
        assert (len(read), len(set(read))) == (SIZE, 1), "it is torn"
        left += len(parts(trial.directory / "files"))
        storage.open()
        assert not parts(trial.directory / "files")
    cell.note(f"{left} parts were left and swept")


@pytest.mark.fault(45, executors=["none"], databases=["sqlite"], small=1, long=5,
                   of="a file is on the disk before it has its name, and its name before anybody is told")
def test_a_file_is_on_the_disk_before_it_has_its_name(cell: Any) -> None:
    for trial in cell.trials():
        trace, puts = trial.directory / "trace", 3
        seen = "trace=write,fsync,fdatasync,rename,renameat,renameat2"
        done = under_strace(["-y", "-o", str(trace), "-e", seen],
                            ["-c", WRITER, str(trial.directory / "files"), str(puts), "10000"])
        assert done.said.split() == ["open", *["put"] * puts], done
        calls = [each for each in read_trace(trace) if "files" in each.rest or '"put' in each.rest]
        order = "".join(letter_of(each) for each in calls)
        assert order.endswith("WSRFP" * puts), order


def letter_of(call: Any) -> str:
    """Write and synchronise the part, rename it, synchronise its folder, tell."""
    if call.name.startswith("rename"):
        return "R"
    if call.name == "write":
        return "P" if '"put' in call.rest else "W"
    return "S" if "/.parts/" in call.file else "F"
