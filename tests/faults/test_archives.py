"""Cases 40 to 43: archives of plugins that are damaged, hostile or bombs; installs that are killed."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from aria_core import InvalidPluginError, PluginManager, SqlModelStorage
from aria_core.testing.surroundings import contents
from aria_core.testing.wagons import make_tar, make_wagon, make_wheel, make_zip, write_wagon

pytestmark = pytest.mark.timeout(600)

MIB = 1 << 20
NONE: dict[str, Any] = {"executors": ["none"], "databases": ["sqlite"]}


class Place:
    """A plugin manager, in whose folder an archive that is refused must leave nothing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plugins = directory / "plugins"
        (directory / "database").mkdir()
        self.model = SqlModelStorage(f"sqlite:///{directory / 'database' / 'aria.db'}")
        self.manager = PluginManager(self.model, self.plugins)

    def __enter__(self) -> Place:
        self.model.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.model.close()

    def refuse(self, archive: Path) -> str:
        """Have it refused by validation and by install, in the same sentence."""
        with pytest.raises(InvalidPluginError) as by_validation:
            PluginManager.validate_plugin(archive)
        with pytest.raises(InvalidPluginError) as by_install:
            self.manager.install(archive)
        assert str(by_install.value) == str(by_validation.value)
        assert "\n" not in str(by_install.value)
        assert {each.name for each in self.plugins.rglob("*")} <= {".lock"}
        assert len(self.model.plugin.list()) == 0
        return str(by_install.value)


def large_wagon(chance: random.Random) -> dict[str, bytes]:
    """A wagon of some tens of kilobytes that do not shrink."""
    names = [f"part_{number}.py" for number in range(8)]
    files = {name: repr(chance.randbytes(1500)) for name in names}
    return make_wagon("greeter", wheels=[make_wheel("greeter", files=files), make_wheel("helper")])


# --- 40: damaged archives

@pytest.mark.parametrize("form", ["zip", "tar.gz"])
@pytest.mark.fault(40, **NONE, small=1, long=20, of="cut")
def test_a_wagon_that_was_cut_off_is_refused_wherever_it_was_cut(cell: Any, form: str) -> None:
    for trial in cell.trials():
        whole = write_wagon(trial.directory / f"whole.{form}", large_wagon(trial.random)).read_bytes()
        step, cut = 100 if cell.is_long else 1000, trial.directory / "cut.wgn"
        with Place(trial.directory) as place:
            for length in range(0, len(whole), step):
                cut.write_bytes(whole[:length])
                place.refuse(cut)
        cell.note(f"{len(whole)} bytes, every {step}")


def bend(data: bytes, chance: random.Random) -> bytes:
    """Change a byte or a number, cut something out, put something in, or repeat the end."""
    at, length = chance.randrange(len(data)), chance.randint(1, 64)
    return chance.choice((
        data[:at] + chance.randbytes(1) + data[at + 1:], data[:at] + chance.randbytes(4) + data[at + 4:],
        data[:at] + data[at + length:], data[:at] + chance.randbytes(length) + data[at:], data + data[at:]))


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
@pytest.mark.fault(40, **NONE, small=300, long=100_000, of="bent")
def test_a_wagon_with_bent_bytes_is_refused_or_whole(cell: Any, form: str) -> None:
    for trial in cell.trials():
        path = write_wagon(trial.directory / f"bent.{form}")
        data = path.read_bytes()
        for _ in range(trial.random.randint(1, 4)):
            data = bend(data, trial.random)
        path = path.with_suffix(".wgn")
        path.write_bytes(data)
        try:
            PluginManager.validate_plugin(path)
            trial.tally["valid"] += 1
        except InvalidPluginError as error:
            assert "\n" not in str(error)
            trial.tally["refused"] += 1
    assert cell.tally["refused"] > cell.tally["valid"]
    cell.note(f"{cell.tally['refused']} refused")


# --- 41: archives that lead out

def zip_with(*entries: tuple[str, bytes, int], good: Mapping[str, bytes] | None = None) -> bytes:
    """A wagon's zip with further entries: name, content and file mode."""
    file = io.BytesIO()
    with ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in (make_wagon() if good is None else good).items():
            archive.writestr(name, data)
        for name, data, mode in entries:
            info = ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return file.getvalue()


def tar_with(*heads: tuple[str, bytes, str]) -> bytes:
    """A wagon's tar.gz with further entries: name, type and where a link leads."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in make_wagon().items():
            head = tarfile.TarInfo(name)
            head.size = len(data)
            archive.addfile(head, io.BytesIO(data))
        for name, kind, link in heads:
            head = tarfile.TarInfo(name)
            head.type, head.linkname = kind, link
            archive.addfile(head)
    return file.getvalue()


def wheel_with(name: str, mode: int = 0) -> bytes:
    """A wagon whose wheel has an entry more."""
    file, wheel = make_wheel("greeter")
    with ZipFile(io.BytesIO(wheel)) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    return make_zip(make_wagon(wheels=[(file, zip_with((name, b"x", mode), good=files))]))


FILE, LINK = tarfile.REGTYPE, tarfile.SYMTYPE
OUT = "greeter/../../../evil"

HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "zip, path out": lambda _: zip_with((OUT, b"x", 0)),
    "zip, absolute": lambda out: zip_with((f"{out}/evil", b"x", 0)),
    "zip, backslashes": lambda _: zip_with(("greeter\\..\\..\\evil", b"x", 0)),
    "zip, drive": lambda _: zip_with(("C:/evil", b"x", 0)),
    "zip, null byte": lambda _: zip_with(("greeter/evil?.py", b"x", 0)).replace(b"evil?.py", b"evil\0.py"),
    "zip, symbolic link and a file behind it": lambda out: zip_with(
        ("greeter/wheels/l", str(out).encode(), stat.S_IFLNK | 0o777), ("greeter/wheels/l/evil", b"x", 0)),
    "zip, device": lambda _: zip_with(("greeter/wheels/d", b"", stat.S_IFCHR | 0o666)),
    "zip, twice": lambda _: zip_with(("greeter/package.json", b"{}", 0)),
    "zip, two cases": lambda _: zip_with(("greeter/PACKAGE.json", b"{}", 0)),
    "zip, two spellings of a letter": lambda _: zip_with(
        ("greeter/files/\u00e9", b"", 0), ("greeter/files/e\u0301", b"", 0)),
    "zip, file and folder": lambda _: zip_with(("greeter/package.json/evil", b"x", 0)),
    "zip, beside the folder": lambda _: zip_with(("evil", b"x", 0)),
    "tar, path out": lambda _: tar_with((OUT, FILE, "")),
    "tar, absolute": lambda out: tar_with((f"{out}/evil", FILE, "")),
    "tar, symbolic link and a file behind it": lambda out: tar_with(
        ("greeter/wheels/l", LINK, str(out)), ("greeter/wheels/l/evil", FILE, "")),
    "tar, hard link": lambda out: tar_with(("greeter/wheels/h", tarfile.LNKTYPE, f"{out}/kept")),
    "tar, character device": lambda _: tar_with(("greeter/wheels/d", tarfile.CHRTYPE, "")),
    "tar, block device": lambda _: tar_with(("greeter/wheels/d", tarfile.BLKTYPE, "")),
    "tar, pipe": lambda _: tar_with(("greeter/wheels/p", tarfile.FIFOTYPE, "")),
    "tar, twice": lambda _: tar_with(("greeter/package.json", FILE, "")),
    "tar, two cases": lambda _: tar_with(("GREETER/package.json", FILE, "")),
    "wheel, path out": lambda _: wheel_with("../../../../evil"),
    "wheel, symbolic link": lambda _: wheel_with("greeter_link", stat.S_IFLNK | 0o777),
    "wheel, interpreter": lambda _: wheel_with("greeter-1.0.data/data/bin/python3"),
}


@pytest.mark.fault(41, **NONE, small=len(HOSTILE), long=len(HOSTILE))
def test_a_hostile_archive_is_refused_and_nothing_is_written_anywhere(cell: Any) -> None:
    for trial in cell.trials():
        make = list(HOSTILE.values())[trial.seed - 1]
        out = trial.directory / "out"
        out.mkdir()
        (out / "kept").write_text("as it was")
        archive = trial.directory / "hostile.wgn"
        archive.write_bytes(make(out))
        before = contents(out), archive.read_bytes()
        with Place(trial.directory) as place:
            place.refuse(archive)
        assert (contents(out), archive.read_bytes()) == before
        assert not list(trial.directory.parent.rglob("evil*"))
        assert {each.name for each in trial.directory.iterdir()} <= {
            "out", "hostile.wgn", "database", "plugins"}
    cell.note(f"{len(HOSTILE)} archives")


# --- 42: bombs

MEASURED = """
import json, re, sys, time
from pathlib import Path
from aria_core import InvalidPluginError, PluginManager, SqlModelStorage

def figure(file, name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self", file).read_text())[1])

with SqlModelStorage("sqlite:///aria.db") as model:
    manager = PluginManager(model, "plugins")
    before, began = figure("io", "wchar"), time.monotonic()
    try:
        manager.install(sys.argv[1])
        told = ""
    except InvalidPluginError as error:
        told = str(error)
    print(json.dumps({"told": told, "written": figure("io", "wchar") - before, "peak": figure(
        "status", "VmHWM") * 1024, "seconds": time.monotonic() - began}))
"""


def packed(entries: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def wheel_bomb(data: bytes, name: str = "zeros") -> dict[str, bytes]:
    """A wagon whose wheel unpacks to much."""
    file, wheel = make_wheel("greeter")
    with ZipFile(io.BytesIO(wheel)) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    return make_wagon(wheels=[(file, packed({**files, name: data}))])


def overlapping() -> bytes:
    """A zip in which a hundred entries share the data of one."""
    data = packed({**make_wagon(), "greeter/files/0": bytes(10 * MIB)})
    end = data.rindex(b"PK\x05\x06")
    start = struct.unpack("<I", data[end + 16:end + 20])[0]
    last = data[data.rindex(b"PK\x01\x02"):end]
    more = [last.replace(b"files/0", f"files/{chr(letter)}".encode()) for letter in range(0x41, 0x5B)]
    directory = data[start:end] + b"".join(more)
    number = struct.unpack("<H", data[end + 10:end + 12])[0] + len(more)
    tail = struct.pack("<HHHHIIH", 0, 0, number, number, len(directory), start, 0)
    return data[:start] + directory + b"PK\x05\x06" + tail


def lying() -> bytes:
    """A zip that says of 200 MB that they are ten bytes."""
    data = bytearray(packed({**make_wagon(), "greeter/files/zeros": bytes(200 * MIB)}))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.rindex(mark) + offset
        data[at:at + 4] = struct.pack("<I", 10)
    return bytes(data)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip, ratio 1000": (lambda: packed({**make_wagon(), "greeter/files/zeros": bytes(200 * MIB)}),
                        "unpacks to more"),
    "tar.gz, ratio 1000": (lambda: make_tar({**make_wagon(), "greeter/files/zeros": bytes(200 * MIB)}),
                           "unpacks to more"),
    "tar.gz, behind its end": (lambda: make_tar(make_wagon()) + gzip.compress(bytes(200 * MIB)),
                               "unpacks to more"),
    "a wheel that is one": (lambda: make_zip(wheel_bomb(bytes(200 * MIB))), "unpacks to more"),
    "a wheel that is one, in a zip that shrinks it": (lambda: packed(wheel_bomb(bytes(200 * MIB))),
                                                      "unpacks to more"),
    "entry points that are one": (
        lambda: packed(wheel_bomb(bytes(200 * MIB), "greeter-1.0.dist-info/entry_points.txt")),
        "has a entry_points.txt of more than 4194304 bytes"),
    "package.json that is one": (lambda: packed({"greeter/package.json": b" " * (200 * MIB)}),
                                 "of more than 1048576 bytes"),
    "entries that overlap": (overlapping, "reaches into what stands behind it"),
    "sizes that lie": (lying, "cannot be read whole"),
    "too many entries": (
        lambda: packed({**make_wagon(), **{f"greeter/files/{each}": b"" for each in range(11_000)}}),
        "has more than 10000 entries"),
}


@pytest.mark.fault(42, **NONE, small=len(BOMBS), long=len(BOMBS))
def test_a_bomb_does_not_go_off(cell: Any) -> None:
    most: dict[str, float] = {"written": 0, "seconds": 0, "peak": 0}
    for trial in cell.trials():
        name = list(BOMBS)[trial.seed - 1]
        make, words = BOMBS[name]
        archive = trial.directory / "bomb.wgn"
        archive.write_bytes(make())
        size = archive.stat().st_size
        done = subprocess.run([sys.executable, "-c", MEASURED, archive], cwd=trial.directory, check=True,
                              capture_output=True, text=True, timeout=120)
        seen = json.loads(done.stdout)
        assert words in seen["told"], (name, seen)
        assert seen["written"] <= max(16 * MIB, 200 * size) + size + MIB, (name, seen)
        assert seen["seconds"] <= 5, (name, seen)
        assert seen["peak"] <= 100 * MIB, (name, seen)
        assert [each.name for each in (trial.directory / "plugins").iterdir()] == [".lock"]
        most = {each: max(value, seen[each]) for each, value in most.items()}
    cell.note(f"{len(BOMBS)} bombs: at most {most['written'] / MIB:.1f} MB written, {most['seconds']:.1f} s, "
              f"{most['peak'] / MIB:.0f} MB of memory")


# --- 43: installs that are killed

SERVES = """
import json, sys, time
from aria_core import PluginManager, SqlModelStorage

with SqlModelStorage("sqlite:///aria.db") as model:
    manager = PluginManager(model, "plugins")
    print(json.dumps({"there": len(model.plugin.list())}), flush=True)
    for word in sys.stdin:
        began = time.monotonic()
        if word.strip() == "install":
            manager.install("greeter.wgn")
        else:
            manager.uninstall(model.plugin.get_by_name("greeter"))
        seconds = time.monotonic() - began
        print(json.dumps({"there": len(model.plugin.list()), "seconds": seconds}), flush=True)
"""


class Home:
    """A folder in which processes install and uninstall one plugin."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plugins = directory / "plugins"
        parts = [f"part_{number}" for number in range(200)]
        files = {f"greeter/{part}.py": "X = 1\n" * 200 for part in parts}
        files["greeter/__init__.py"] = "".join(f"from greeter import {part}\n" for part in parts)
        write_wagon(directory / "greeter.wgn", make_wagon(
            "greeter", wheels=[make_wheel("greeter", files=files), make_wheel("helper")]))

    @contextmanager
    def process(self) -> Iterator[tuple[subprocess.Popen[str], bool]]:
        """One that waits for words, and whether it sees the plugin."""
        with subprocess.Popen([sys.executable, "-c", SERVES], cwd=self.directory, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as one:
            try:
                yield one, bool(answer(one)["there"])
            finally:
                one.kill()

    def whole(self) -> bool:
        """Whether the plugin is installed; if so, all of it can be imported."""
        with self.process() as (_, there):
            if there:
                (python,) = self.plugins.glob("greeter-1.0/venv/bin/python")
                subprocess.run([python, "-I", "-c", "import greeter, helper"], check=True, timeout=60)
            return there

    def do(self, word: str) -> float:
        """Have it done by one process; the seconds it took."""
        with self.process() as (one, _):
            tell(one, word)
            return float(answer(one)["seconds"])


def tell(one: subprocess.Popen[str], word: str) -> None:
    assert one.stdin is not None
    one.stdin.write(f"{word}\n")
    one.stdin.flush()


def answer(one: subprocess.Popen[str]) -> dict[str, Any]:
    assert one.stdout is not None
    said: dict[str, Any] = json.loads(one.stdout.readline())
    return said


@pytest.mark.fault(43, **NONE, small=4, long=50)
def test_an_install_and_an_uninstall_that_are_killed_are_done_or_not(cell: Any) -> None:
    for trial in cell.trials():
        home = Home(trial.directory)
        longest = {word: home.do(word) for word in ("install", "uninstall")}
        for word, wanted in (("install", True), ("uninstall", False)):
            with home.process() as (one, _):
                tell(one, word)
                time.sleep(trial.random.uniform(0, 1.2 * longest[word]))
                # half of the time what it started, uv or pip, lives on
                (os.killpg if trial.seed % 2 else os.kill)(one.pid, signal.SIGKILL)
            done = home.whole() is wanted
            trial.tally[f"{word}s {'done' if done else 'undone'}"] += 1
            if not done:
                home.do(word)
                assert home.whole() is wanted
        wait_until_tidy(home)
    cell.note(", ".join(f"{count} {what}" for what, count in sorted(cell.tally.items())))


def wait_until_tidy(home: Home) -> None:
    """What a killed install had started may write on for a moment; the next one removes that."""
    end = time.monotonic() + 60
    while [each.name for each in home.plugins.iterdir()] != [".lock"]:
        assert time.monotonic() < end, list(home.plugins.iterdir())
        for word in ("install", "uninstall"):
            home.do(word)
