"""The plugin manager: what is installed, what is refused, and how a plugin's code is reached."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aria_core import (
    Environment,
    Installer,
    InvalidInputError,
    InvalidPluginError,
    ModelStorage,
    NotFoundError,
    Plugin,
    PluginAlreadyExistsError,
    PluginInfo,
    PluginManager,
    SqlModelStorage,
    StorageUnavailableError,
)
from aria_core.testing.wagons import (
    LIBRARY,
    PROGRAMS,
    make_manifest,
    make_wagon,
    make_wheel,
    make_zip,
    write_wagon,
)


@pytest.fixture
def model(tmp_path: Path) -> Iterator[ModelStorage]:
    with SqlModelStorage(f"sqlite:///{tmp_path / 'aria.db'}") as storage:
        yield storage


@pytest.fixture
def plugins_dir(tmp_path: Path) -> Path:
    return tmp_path / "plugins"


@pytest.fixture
def manager(model: ModelStorage, plugins_dir: Path) -> PluginManager:
    return PluginManager(model, plugins_dir)


class Writes(Installer):
    """Takes any file, says what it is told to, writes one module; fails if `error` is given."""

    def __init__(self, name: str = "quick", version: str = "1", error: Exception | None = None) -> None:
        self.info = PluginInfo(name, name, version, "quick.archive")
        self.error = error

    def recognises(self, path: Path) -> bool:
        return True

    def inspect(self, path: Path) -> PluginInfo:
        return self.info

    def install(self, path: Path, directory: Path) -> Environment:
        assert list(directory.iterdir()) == []
        (directory / "code").mkdir()
        (directory / "code" / "module.py").write_text("")
        if self.error is not None:
            raise self.error
        return Environment(self.info.name, pythonpath=(str(directory / "code"),))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(b"anything")
    return path


def leftovers(plugins_dir: Path) -> list[str]:
    """What lies in the directory besides its lock."""
    if not plugins_dir.exists():
        return []
    return sorted(each.name for each in plugins_dir.iterdir() if each.name != ".lock")


def test_installing_a_wagon_stores_a_row_and_fills_a_directory(
        manager: PluginManager, model: ModelStorage, plugins_dir: Path, tmp_path: Path) -> None:
    system = {"distribution": "debian", "distribution_release": "bookworm", "distribution_version": "12"}
    path = write_wagon(tmp_path / "greeter.wgn", make_wagon(
        build_server_os_properties=system, supported_platform="linux_x86_64", package_source="./greeter"))
    installed = manager.install(path)
    row = model.plugin.get(installed.id)
    assert (row.name, row.package_name, row.package_version) == ("greeter", "greeter", "1.0")
    assert {name: getattr(row, name) for name in system} == system
    assert (row.archive_name, row.package_source) == ("greeter-1.0-py311-none-any.wgn", "./greeter")
    assert (row.supported_platform, row.supported_py_versions) == ("linux_x86_64", ["py311"])
    assert (row.wheels, row.installer) == (["greeter-1.0-py3-none-any.whl"], "WagonInstaller")
    assert row.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert leftovers(plugins_dir) == ["greeter-1.0"]
    assert manager.get_plugin_dir(row) == str(plugins_dir / "greeter-1.0")
    assert (plugins_dir / "greeter-1.0" / LIBRARY / "greeter.py").is_file()


def test_an_archive_with_the_right_hash_is_installed(
        manager: PluginManager, tmp_path: Path) -> None:
    path = write_wagon(tmp_path / "greeter.wgn")
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    plugin = manager.install(path, sha256=f"sha256:{right.upper()}")
    assert plugin.sha256 == right


def test_an_archive_with_another_hash_is_refused_before_anybody_looks_into_it(
        manager: PluginManager, plugins_dir: Path, archive: Path) -> None:
    class Looks(Writes):
        def inspect(self, path: Path) -> PluginInfo:
            raise AssertionError("it was looked into")

    manager.use_installers([Looks()])
    words = r"is not the one that was asked for: its SHA-256 is \w+, not 0"
    with pytest.raises(InvalidPluginError, match=words):
        manager.install(archive, sha256="0" * 64)
    assert leftovers(plugins_dir) == []


@pytest.mark.parametrize("pin", ["", "0" * 63, "0" * 65, "g" * 64, "md5:" + "0" * 64])
def test_what_is_no_hash_is_refused(manager: PluginManager, archive: Path, pin: str) -> None:
    with pytest.raises(InvalidInputError, match="is no SHA-256; that is 64 of the characters 0-9 a-f"):
        manager.install(archive, sha256=pin)


def test_where_a_hash_is_required_none_is_told_to_whoever_has_none(
        model: ModelStorage, plugins_dir: Path, tmp_path: Path) -> None:
    manager = PluginManager(model, plugins_dir, require_pin=True)
    path = write_wagon(tmp_path / "greeter.wgn")
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InvalidPluginError, match="give the one that its publisher tells") as refused:
        manager.install(path)
    assert right not in str(refused.value)
    assert manager.install(path, right).sha256 == right


def test_what_was_hashed_is_what_is_installed(
        manager: PluginManager, plugins_dir: Path, archive: Path) -> None:
    class Copies(Writes):
        def inspect(self, path: Path) -> PluginInfo:
            archive.write_bytes(b"changed meanwhile")
            return self.info

        def install(self, path: Path, directory: Path) -> Environment:
            (directory / path.name).write_bytes(path.read_bytes())
            return Environment(self.info.name, pythonpath=(str(directory),))

    manager.use_installers([Copies()])
    plugin = manager.install(archive)
    assert plugin.sha256 == hashlib.sha256(b"anything").hexdigest()
    assert (plugins_dir / "quick-1" / "archive").read_bytes() == b"anything"


def test_a_folder_of_plugins_that_cannot_be_written_is_told_in_a_sentence(
        model: ModelStorage, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    manager = PluginManager(model, tmp_path / "file" / "plugins")
    manager.use_installers([Writes()])
    with pytest.raises(StorageUnavailableError, match=r"the folder of plugins .* cannot be written: Not"):
        manager.install(archive)


def test_the_same_version_is_not_installed_twice(
        manager: PluginManager, model: ModelStorage, tmp_path: Path) -> None:
    path = write_wagon(tmp_path / "greeter.wgn")
    manager.install(path)
    with pytest.raises(PluginAlreadyExistsError, match=r"plugin greeter, version 1\.0, is installed already"):
        manager.install(path)
    assert len(model.plugin.list()) == 1


def test_another_version_is_installed_beside_the_first(
        manager: PluginManager, model: ModelStorage, plugins_dir: Path, archive: Path) -> None:
    for version in ("1", "2"):
        manager.use_installers([Writes(version=version)])
        manager.install(archive)
    assert leftovers(plugins_dir) == ["quick-1", "quick-2"]
    assert sorted(row.package_version for row in model.plugin.iter()) == ["1", "2"]


def test_two_plugins_never_share_a_directory(
        manager: PluginManager, plugins_dir: Path, archive: Path) -> None:
    manager.use_installers([Writes("a-1", "0")])
    manager.install(archive)
    manager.use_installers([Writes("a", "1-0")])
    with pytest.raises(PluginAlreadyExistsError, match="plugin a-1, version 0, is installed already in "):
        manager.install(archive)
    assert (plugins_dir / "a-1-0" / "code" / "module.py").is_file()


@pytest.mark.parametrize("error", [InvalidPluginError("no"), OSError("full"), KeyboardInterrupt()])
def test_a_failed_install_leaves_nothing(
        manager: PluginManager, model: ModelStorage, plugins_dir: Path, archive: Path,
        error: Exception) -> None:
    manager.use_installers([Writes(error=error)])
    with pytest.raises(type(error)):
        manager.install(archive)
    assert leftovers(plugins_dir) == []
    assert len(model.plugin.list()) == 0


def test_a_row_that_cannot_be_stored_leaves_no_files(
        model: ModelStorage, plugins_dir: Path, archive: Path) -> None:
    manager = PluginManager(model, plugins_dir)
    manager.use_installers([Writes()])
    plugin = Plugin(name="quick", package_name="quick", package_version="1", archive_name="x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model.plugin), "iter", lambda self, *_: iter(()))  # as if both had looked at once
        model.plugin.put(plugin)
        with pytest.raises(Exception, match="quick"):
            manager.install(archive)
    assert leftovers(plugins_dir) == []


def test_what_a_killed_install_has_left_is_removed_by_the_next(
        manager: PluginManager, plugins_dir: Path, archive: Path) -> None:
    for name in (".installing-abc", "quick-1"):
        (plugins_dir / name).mkdir(parents=True)
        (plugins_dir / name / "half").write_text("")
    manager.use_installers([Writes()])
    manager.install(archive)
    assert leftovers(plugins_dir) == ["quick-1"]
    assert not (plugins_dir / "quick-1" / "half").exists()
    assert (plugins_dir / "quick-1" / "code").is_dir()


def test_of_many_installs_at_once_one_succeeds(
        manager: PluginManager, model: ModelStorage, plugins_dir: Path, archive: Path) -> None:
    manager.use_installers([Writes()])
    barrier = threading.Barrier(4)

    def install(_: int) -> bool:
        barrier.wait()
        try:
            return bool(manager.install(archive).id)
        except PluginAlreadyExistsError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(install, range(4))) == [False, False, False, True]
    assert leftovers(plugins_dir) == ["quick-1"]
    assert len(model.plugin.list()) == 1


@pytest.mark.parametrize(("name", "version"), [
    ("../up", "1"), ("a/b", "1"), ("", "1"), (".hidden", "1"), ("a\0", "1"), ("a", "1/.."), ("a", ""),
    ("x" * 129, "1"), ("a", "1" * 65), ("é", "1"), ("a\n", "1")])
def test_an_archive_has_no_say_about_where_it_goes(
        manager: PluginManager, plugins_dir: Path, archive: Path, name: str, version: str) -> None:
    manager.use_installers([Writes(name, version)])
    with pytest.raises(InvalidPluginError, match="of which no directory can be made; it takes"):
        manager.install(archive)
    assert leftovers(plugins_dir) == []


def broken(directory: Path) -> dict[str, Path]:
    entries = make_wagon()
    manifest = "greeter/package.json"
    whole = make_zip(entries)
    empty = make_wagon(wheels=[make_wheel("greeter")])
    files = {
        "is no plugin archive; a plugin is a wagon": b"hello",
        "is cut off, or something else stands before its first entry": whole[:-60],
        "cannot be read whole: BadZipFile": whole[:60],
        "has no package.json in its top folder": make_zip({"greeter/wheels/x": b""}),
        "has a package.json that is not JSON": make_zip({**entries, manifest: b"{'a': 1}"}),
        "has no wheels": make_zip({manifest: str(make_manifest("greeter", "1.0", [])).replace(
            "'", '"').replace("None", "null").encode()}),
        "but has no such file in wheels": make_zip({manifest: empty[manifest]}),
    }
    paths = {"there is no plugin archive": directory / "missing.wgn"}
    for number, (sentence, data) in enumerate(files.items()):
        paths[sentence] = directory / f"{number}.wgn"
        paths[sentence].write_bytes(data)
    return paths


def test_broken_archives_are_refused_by_validation_and_by_install_in_the_same_words(
        manager: PluginManager, model: ModelStorage, plugins_dir: Path, tmp_path: Path) -> None:
    for sentence, path in broken(tmp_path).items():
        with pytest.raises(InvalidPluginError) as by_validation:
            PluginManager.validate_plugin(path)
        with pytest.raises(InvalidPluginError) as by_install:
            manager.install(str(path))
        assert sentence in str(by_validation.value) == str(by_install.value)
        assert path.name in str(by_install.value)
    assert leftovers(plugins_dir) == []
    assert len(model.plugin.list()) == 0


def test_a_directory_is_no_plugin(tmp_path: Path) -> None:
    with pytest.raises(InvalidPluginError, match="there is no plugin archive"):
        PluginManager.validate_plugin(tmp_path)


def test_valid_archives_of_both_formats_pass_and_nothing_happens(tmp_path: Path) -> None:
    for name in ("a.wgn", "b.zip", "c.tar.gz", "d.tar.wgn"):
        PluginManager.validate_plugin(str(write_wagon(tmp_path / name)))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.wgn", "b.zip", "c.tar.gz", "d.tar.wgn"]


@pytest.fixture
def plugin(manager: PluginManager, tmp_path: Path) -> Plugin:
    return manager.install(write_wagon(tmp_path / "greeter.wgn"))


def test_loading_appends_the_paths_of_the_plugin(
        manager: PluginManager, plugin: Plugin, plugins_dir: Path) -> None:
    library, programs = plugins_dir / "greeter-1.0" / LIBRARY, plugins_dir / "greeter-1.0" / PROGRAMS
    env = {"PATH": "/bin", "PYTHONPATH": "/mine", "OTHER": "x"}
    manager.load_plugin(plugin, env)
    assert env == {"PATH": f"/bin{os.pathsep}{programs}", "PYTHONPATH": f"/mine{os.pathsep}{library}",
                   "OTHER": "x"}


def test_loading_into_an_empty_environment_fills_it_and_leaves_ours_alone(
        manager: PluginManager, plugin: Plugin, plugins_dir: Path) -> None:
    before = dict(os.environ)
    env: dict[str, str] = {}
    manager.load_plugin(plugin, env)
    library, programs = plugins_dir / "greeter-1.0" / LIBRARY, plugins_dir / "greeter-1.0" / PROGRAMS
    assert env == {"PATH": str(programs), "PYTHONPATH": str(library)}
    assert dict(os.environ) == before


def test_an_empty_variable_gets_no_empty_entry(manager: PluginManager, plugin: Plugin) -> None:
    env = {"PATH": "", "PYTHONPATH": ""}
    manager.load_plugin(plugin, env)
    assert "" not in [*env["PATH"].split(os.pathsep), *env["PYTHONPATH"].split(os.pathsep)]


def test_loading_without_an_environment_changes_that_of_this_process(
        manager: PluginManager, plugin: Plugin, plugins_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    manager.load_plugin(plugin)
    library, programs = plugins_dir / "greeter-1.0" / LIBRARY, plugins_dir / "greeter-1.0" / PROGRAMS
    assert os.environ["PATH"] == f"/bin{os.pathsep}{programs}"
    assert os.environ["PYTHONPATH"] == str(library)
    monkeypatch.delenv("PYTHONPATH")


def test_the_environment_of_a_plugin_has_absolute_paths_that_exist(
        model: ModelStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manager = PluginManager(model, "here")
    environment = manager.environment(manager.install(write_wagon(tmp_path / "greeter.wgn")))
    home = tmp_path / "here" / "greeter-1.0"
    assert (environment.plugin, environment.python) == ("greeter", str(home / PROGRAMS / "python"))
    assert (environment.path, environment.pythonpath) == ((str(home / PROGRAMS),), (str(home / LIBRARY),))
    assert (home / PROGRAMS / "python").exists()
    assert (home / LIBRARY / "greeter.py").is_file()


def test_a_plugin_whose_files_are_gone_says_so(
        manager: PluginManager, plugin: Plugin, plugins_dir: Path) -> None:
    (plugins_dir / "greeter-1.0").rename(plugins_dir / "elsewhere")
    words = r"the files of plugin greeter 1\.0 are gone from .*; install it again"
    for ask in (manager.environment, lambda plugin: manager.load_plugin(plugin, {})):
        with pytest.raises(NotFoundError, match=words):
            ask(plugin)


def test_each_service_has_its_own_working_directory_for_a_plugin(
        manager: PluginManager, plugin: Plugin, plugins_dir: Path) -> None:
    assert manager.workdir(7, plugin) == plugins_dir / "work" / "7" / "greeter"
    assert manager.workdir(8, plugin) != manager.workdir(7, plugin)
    assert not manager.workdir(7, plugin).exists()


def test_of_several_installers_the_first_that_recognises_is_asked(
        manager: PluginManager, model: ModelStorage, archive: Path) -> None:
    class Refuses(Writes):
        def recognises(self, path: Path) -> bool:
            return False

    manager.use_installers([Refuses("no"), Writes("yes"), Writes("late")])
    assert manager.install(archive).installer == "Writes"
    assert [row.name for row in model.plugin.iter()] == ["yes"]
