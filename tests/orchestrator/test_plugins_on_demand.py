"""Archives of plugins in the resource storage, and hosts that install them when they need them.

A host is a directory of plugins here; the hosts share a database and a resource storage.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aria_core import (
    AlreadyExistsError,
    Environment,
    Installer,
    InvalidPluginError,
    ModelStorage,
    NotFoundError,
    Plugin,
    PluginAlreadyExistsError,
    PluginInfo,
    PluginManager,
    ResourceStorage,
    SqlModelStorage,
    StorageUnavailableError,
)
from aria_core.testing.wagons import LIBRARY, make_wagon, make_wheel, write_wagon
from aria_plugins.storage.file import FileStorage

Host = Callable[[str], PluginManager]


@pytest.fixture
def host(model_storage: ModelStorage, resource_storage: ResourceStorage, tmp_path: Path) -> Host:
    """Call with a name: the plugin manager of the host that is called so."""
    return lambda name: PluginManager(model_storage, tmp_path / name, resources=resource_storage)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_wagon(tmp_path / "greeter.wgn")


class Counts(Installer):
    """Takes any file, notes that it was called, and takes its time."""

    def __init__(self, notes: Path, version: str = "1", seconds: float = 0.2) -> None:
        self.notes = notes
        self.version = version
        self.seconds = seconds

    def recognises(self, path: Path) -> bool:
        return True

    def inspect(self, path: Path) -> PluginInfo:
        return PluginInfo("quick", "quick", self.version, path.name)

    def install(self, path: Path, directory: Path) -> Environment:
        with self.notes.open("a") as notes:
            notes.write(f"{path.name}\n")
        shutil.copy(path, directory / "first")
        time.sleep(self.seconds)
        shutil.copy(path, directory / "last")
        return Environment("quick", pythonpath=(str(directory),))


def there(environment: Environment) -> dict[str, bytes]:
    """The files of an environment made by `Counts`."""
    home = Path(environment.pythonpath[0])
    return {each.name: each.read_bytes() for each in home.iterdir() if not each.name.startswith(".")}


def leftovers(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir() if each.name != ".lock")


def kept(resources: ResourceStorage) -> dict[str, bytes]:
    return {key: resources.read(key) for key in resources.list("plugin")}


def test_the_archive_is_kept_as_it_was_installed_and_goes_with_the_plugin(
        host: Host, resource_storage: ResourceStorage, archive: Path) -> None:
    plugin = host("one").install(archive)
    assert plugin.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert resource_storage.plugin.read(plugin.sha256) == archive.read_bytes()
    assert list(kept(resource_storage)) == [f"plugin/{plugin.sha256}/greeter.wgn"]
    host("one").uninstall(plugin)
    assert kept(resource_storage) == {}


def test_another_host_installs_a_plugin_when_it_needs_it(host: Host, archive: Path, tmp_path: Path) -> None:
    plugin = host("one").install(archive)
    environment = host("two").environment(plugin)
    assert environment.archive == plugin.sha256
    assert (tmp_path / "two" / "greeter-1.0" / LIBRARY / "greeter.py").is_file()
    done = subprocess.run([str(environment.python), "-c", "import greeter; print(greeter.greet(None))"],
                          capture_output=True, text=True, check=True)
    assert done.stdout == "hello world\n"
    assert leftovers(tmp_path / "two") == ["greeter-1.0"]


def test_a_host_that_requires_a_hash_takes_that_of_the_row(
        host: Host, model_storage: ModelStorage, resource_storage: ResourceStorage, archive: Path,
        tmp_path: Path) -> None:
    plugin = host("one").install(archive)
    strict = PluginManager(model_storage, tmp_path / "two", require_pin=True, resources=resource_storage)
    assert strict.environment(plugin).archive == plugin.sha256


def test_an_archive_that_was_changed_is_refused_and_leaves_nothing(
        host: Host, resource_storage: ResourceStorage, archive: Path, tmp_path: Path) -> None:
    one = host("one")
    plugin = one.install(archive)
    evil = write_wagon(tmp_path / "evil.wgn", make_wagon(package_source="evil"))
    resource_storage.put(f"plugin/{plugin.sha256}/greeter.wgn", evil.read_bytes())
    wrong = hashlib.sha256(evil.read_bytes()).hexdigest()
    words = rf"archive of plugin greeter 1\.0 .* was changed: its SHA-256 is {wrong}, not {plugin.sha256}"
    with pytest.raises(InvalidPluginError, match=words):
        host("two").environment(plugin)
    assert leftovers(tmp_path / "two") == []
    assert one.environment(plugin).archive == plugin.sha256  # what is installed stays usable
    assert one.install(archive).id == plugin.id
    assert host("two").environment(plugin).archive == plugin.sha256


def test_an_archive_that_is_not_kept_is_told_with_what_to_do(
        host: Host, model_storage: ModelStorage, resource_storage: ResourceStorage, archive: Path,
        tmp_path: Path) -> None:
    older = PluginManager(model_storage, tmp_path / "one")
    plugin = older.install(archive)
    with pytest.raises(NotFoundError, match=r"not in the resource storage, .*; install it again, with 'aria"):
        host("two").environment(plugin)
    assert leftovers(tmp_path / "two") == []
    assert host("one").install(archive).id == plugin.id  # it is there, but its archive is not: that is kept
    assert list(kept(resource_storage).values()) == [archive.read_bytes()]
    assert host("two").environment(plugin).archive == plugin.sha256
    with pytest.raises(PluginAlreadyExistsError):
        host("one").install(archive)


def test_what_older_versions_have_installed_is_used_as_it_is(
        host: Host, archive: Path, tmp_path: Path) -> None:
    plugin = host("one").install(archive)
    (tmp_path / "one" / "greeter-1.0" / ".aria-plugin.json").unlink()
    plugin.environment = {"python": "venv/bin/mine", "path": [], "pythonpath": []}
    assert host("one").environment(plugin).python == str(tmp_path / "one" / "greeter-1.0" / "venv/bin/mine")


def test_files_of_another_archive_of_that_version_are_replaced(host: Host, tmp_path: Path) -> None:
    def install(source: str) -> Plugin:
        wheel = make_wheel("greeter", files={"greeter.py": source})
        return host("one").install(write_wagon(tmp_path / "g.wgn", make_wagon(wheels=[wheel])))

    first = install("WORDS = 'first'\n")
    module = tmp_path / "two" / "greeter-1.0" / LIBRARY / "greeter.py"
    host("two").environment(first)
    host("one").uninstall(first)  # two does not hear of it
    second = install("WORDS = 'second'\n")
    assert "first" in module.read_text()
    host("two").environment(second)
    assert "second" in module.read_text()
    assert leftovers(tmp_path / "two") == ["greeter-1.0"]


def test_a_name_in_the_storage_has_no_say_about_where_an_archive_goes(
        host: Host, resource_storage: ResourceStorage, archive: Path, tmp_path: Path) -> None:
    plugin = host("one").install(archive)
    resource_storage.plugin.delete(plugin.sha256)
    resource_storage.put(f"plugin/{plugin.sha256}/deep/greeter.wgn", archive.read_bytes())
    with pytest.raises(NotFoundError, match="is not in the resource storage"):
        host("two").environment(plugin)


def test_many_threads_install_once(host: Host, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(b"bytes")
    notes, managers = tmp_path / "notes", [host("one"), host("two"), host("two")]
    for manager in managers:
        manager.use_installers([Counts(notes)])
    plugin = managers[0].install(tmp_path / "archive")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: there(managers[1 + number % 2].environment(plugin)), range(8)))
    assert found == [{"first": b"bytes", "last": b"bytes"}] * 8
    assert notes.read_text().splitlines() == ["archive"] * 2  # one for each host


def test_two_hosts_that_install_the_same_archive_at_once_leave_one_row_that_works_on_both(
        host: Host, model_storage: ModelStorage, resource_storage: ResourceStorage, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(b"bytes")
    hosts = [host(f"host-{number}") for number in range(4)]

    def install(manager: PluginManager) -> bool:
        manager.use_installers([Counts(tmp_path / "notes")])
        try:
            return bool(manager.install(tmp_path / "archive").id)
        except (PluginAlreadyExistsError, AlreadyExistsError):
            return False

    with ThreadPoolExecutor(4) as pool:
        assert any(pool.map(install, hosts))
    (row,) = model_storage.plugin.list()
    assert [there(each.environment(row)) for each in hosts] == [{"first": b"bytes", "last": b"bytes"}] * 4
    assert list(kept(resource_storage).values()) == [b"bytes"]


def test_a_storage_that_cannot_take_the_archive_stops_the_install(
        model_storage: ModelStorage, archive: Path, tmp_path: Path) -> None:
    resources = FileStorage(tmp_path / "gone")
    resources.open()
    shutil.rmtree(tmp_path / "gone")
    manager = PluginManager(model_storage, tmp_path / "one", resources=resources)
    with pytest.raises(StorageUnavailableError, match="is gone"):
        manager.install(archive)
    assert (leftovers(tmp_path / "one"), len(model_storage.plugin.list())) == ([], 0)


def test_a_storage_that_is_away_is_told_and_asked_again_by_the_next(
        model_storage: ModelStorage, archive: Path, tmp_path: Path) -> None:
    place, away = tmp_path / "resources", tmp_path / "away"
    with FileStorage(place) as resources:
        plugin = PluginManager(model_storage, tmp_path / "one", resources=resources).install(archive)
        place.rename(away)
        two = PluginManager(model_storage, tmp_path / "two", resources=resources)
        with pytest.raises(StorageUnavailableError, match="is gone"):
            two.environment(plugin)
        assert leftovers(tmp_path / "two") == []
        away.rename(place)
        assert two.environment(plugin).archive == plugin.sha256


# --- processes

NEEDS = """
import json, sys
from pathlib import Path
from aria_core import PluginManager, SqlModelStorage
from aria_plugins.storage.file import FileStorage
sys.path.insert(0, sys.argv[1])
from test_plugins_on_demand import Counts, there

place, seconds = Path(sys.argv[2]), float(sys.argv[3])
model, resources = SqlModelStorage(f"sqlite:///{place / 'aria.db'}"), FileStorage(place / "resources")
with model, resources:
    manager = PluginManager(model, place / "two", resources=resources)
    manager.use_installers([Counts(place / "notes", seconds=seconds)])
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(sorted(there(manager.environment(model.plugin.get_by_name("quick"))))), flush=True)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A database and a resource storage with a plugin that another host has installed."""
    (tmp_path / "archive").write_bytes(b"bytes")
    with SqlModelStorage(f"sqlite:///{tmp_path / 'aria.db'}") as model, \
            FileStorage(tmp_path / "resources") as resources:
        manager = PluginManager(model, tmp_path / "one", resources=resources)
        manager.use_installers([Counts(tmp_path / "elsewhere", seconds=0)])
        manager.install(tmp_path / "archive")
    return tmp_path


def needs(place: Path, seconds: float) -> subprocess.Popen[str]:
    """A process on the host two that is about to need the plugin."""
    process = subprocess.Popen(
        [sys.executable, "-c", NEEDS, str(Path(__file__).parent), str(place), str(seconds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def end(process: subprocess.Popen[str]) -> list[str]:
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return list(json.loads(told))


def test_many_processes_install_once(place: Path) -> None:
    processes = [needs(place, 0.5) for _ in range(3)]
    for each in processes:
        go(each)
    assert [end(each) for each in processes] == [["first", "last"]] * 3
    assert (place / "notes").read_text() == "archive\n"


def test_an_install_on_demand_that_is_killed_is_done_or_not(place: Path) -> None:
    killed, waits = needs(place, 600), needs(place, 0)
    go(killed)
    until(lambda: (place / "notes").exists() and any((place / "two").glob(".installing-*/code/first")))
    go(waits)
    assert not (place / "two" / "quick-1").exists()
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert end(waits) == ["first", "last"]
    assert leftovers(place / "two") == ["quick-1"]
    assert (place / "notes").read_text() == "archive\n" * 2


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
