"""The contract of installers.

Derive from it in a module of tests and give two fixtures: ``installer``, and ``sample``, an
`InstallerSample` whose files lie in a directory of the test's own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aria_core.exceptions import AriaError
from aria_core.installer import INSTALLER_API, Installer, PluginInfo
from aria_core.orchestrator.exceptions import InvalidPluginError
from aria_core.testing.surroundings import contents, unchanged
from aria_core.worker.calls import Environment

ACCEPTED = INSTALLER_API, INSTALLER_API - 1

_CALL = "import importlib, sys; sys.path[:0] = sys.argv[2:]; module, name = sys.argv[1].split(':'); " \
        "print(getattr(importlib.import_module(module), name)(None))"
_LOOK = "import importlib.util as util, sys; sys.path[:0] = sys.argv[2:]; " \
        "print([each for each in sys.argv[1].split() if util.find_spec(each)])"
_OURS = "aria_core aria_plugins sqlalchemy pluggy msgspec"
"""What lies beside the core, and no plugin brings."""


@dataclass(frozen=True, slots=True)
class InstallerSample:
    """What an installer is tried on.

    `function` (``module:name``) is in the plugin and returns `result` when it is called with a context.
    `broken` are archives, each with a fault of its own that `inspect` must find; what stands in
    `foreign` is not for this installer.
    """

    archive: Path
    name: str
    version: str
    function: str
    result: str
    broken: Mapping[str, Path]
    foreign: Mapping[str, Path] = field(default_factory=dict)


class InstallerContract:
    """An installer recognises, inspects and installs; it leaves everything else alone."""

    def test_its_interface_is_one_this_core_accepts(self, installer: Installer) -> None:
        assert isinstance(installer, Installer)
        assert installer.api in ACCEPTED

    def test_its_archives_are_recognised(self, installer: Installer, sample: InstallerSample) -> None:
        assert installer.recognises(sample.archive) is True

    def test_nothing_else_is_recognised_and_looking_never_raises(
            self, installer: Installer, sample: InstallerSample, tmp_path: Path) -> None:
        for path in (*_strange_files(tmp_path / "strange", sample.archive.suffix), *sample.foreign.values()):
            assert installer.recognises(path) is False, path.name

    def test_looking_at_broken_archives_never_raises(
            self, installer: Installer, sample: InstallerSample) -> None:
        for path in sample.broken.values():
            assert isinstance(installer.recognises(path), bool)

    def test_inspecting_tells_what_the_archive_holds(
            self, installer: Installer, sample: InstallerSample) -> None:
        info = installer.inspect(sample.archive)
        assert isinstance(info, PluginInfo)
        assert (info.name, info.package_version) == (sample.name, sample.version)
        assert info.package_name
        assert info.archive_name

    def test_inspecting_changes_nothing(self, installer: Installer, sample: InstallerSample) -> None:
        with unchanged(sample.archive.parent, sample.function.partition(":")[0]):
            first = installer.inspect(sample.archive)
            assert installer.inspect(sample.archive) == first

    def test_every_fault_is_found_by_inspecting_and_has_a_sentence_of_its_own(
            self, installer: Installer, sample: InstallerSample) -> None:
        sentences: dict[str, str] = {}
        for fault, path in sample.broken.items():
            sentence = _refusal(installer, path).replace(str(path), "").replace(path.name, "")
            assert sentence not in sentences, f"{fault} and {sentences[sentence]} are told by the same words"
            sentences[sentence] = fault

    def test_a_refusal_names_the_archive_in_one_line(
            self, installer: Installer, sample: InstallerSample) -> None:
        for path in sample.broken.values():
            sentence = _refusal(installer, path)
            assert path.name in sentence
            assert "\n" not in sentence

    def test_an_archive_that_was_cut_off_is_refused_wherever_it_was_cut(
            self, installer: Installer, sample: InstallerSample, tmp_path: Path) -> None:
        data = sample.archive.read_bytes()
        for number in range(20):
            path = tmp_path / f"cut {number}{sample.archive.suffix}"
            path.write_bytes(data[:len(data) * number // 20])
            assert isinstance(installer.recognises(path), bool)
            _refusal(installer, path)

    def test_a_missing_archive_is_refused(self, installer: Installer, sample: InstallerSample) -> None:
        _refusal(installer, sample.archive.with_name(f"nowhere{sample.archive.suffix}"))

    def test_installing_fills_its_directory_and_no_other(
            self, installer: Installer, sample: InstallerSample, tmp_path: Path) -> None:
        with _installed(installer, sample, tmp_path) as (directory, environment):
            paths = [*environment.path, *environment.pythonpath, *filter(None, [environment.python])]
            assert all(Path(each).is_relative_to(directory) for each in paths)

    def test_installing_leaves_no_link_that_leads_out_of_the_directory(
            self, installer: Installer, sample: InstallerSample, tmp_path: Path) -> None:
        with _installed(installer, sample, tmp_path) as (directory, environment):
            interpreter = Path(environment.python) if environment.python else None
            for each in directory.rglob("*"):
                inside = each.resolve().is_relative_to(directory.resolve())
                assert inside or (interpreter is not None and each.parent == interpreter.parent), each

    def test_the_environment_bears_the_name_of_the_plugin(
            self, installer: Installer, sample: InstallerSample, tmp_path: Path) -> None:
        with _installed(installer, sample, tmp_path) as (_, environment):
            assert environment.plugin == sample.name

    def test_what_is_installed_can_be_called_by_way_of_its_environment(
            self, installer: Installer, sample: InstallerSample, tmp_path: Path) -> None:
        with _installed(installer, sample, tmp_path) as (_, environment):
            assert _call(environment, sample.function) == sample.result

    def test_what_is_installed_can_be_moved(
            self, installer: Installer, sample: InstallerSample, tmp_path: Path) -> None:
        with _installed(installer, sample, tmp_path) as (directory, environment):
            place = tmp_path / "moved"
            directory.rename(place)
            assert _call(_moved(environment, directory, place), sample.function) == sample.result

    def test_what_is_installed_beside_the_core_is_out_of_its_sight(
            self, installer: Installer, sample: InstallerSample, tmp_path: Path) -> None:
        with _installed(installer, sample, tmp_path) as (_, environment):
            assert _run(environment, _LOOK, _OURS) == "[]"

    def test_installing_leaves_this_process_as_it_is(
            self, installer: Installer, sample: InstallerSample, tmp_path: Path) -> None:
        with unchanged(sample.archive.parent, sample.function.partition(":")[0]), \
                _installed(installer, sample, tmp_path):
            return

    def test_broken_archives_are_not_installed_either(
            self, installer: Installer, sample: InstallerSample, tmp_path: Path) -> None:
        for number, path in enumerate(sample.broken.values()):
            directory = tmp_path / f"broken {number}"
            directory.mkdir()
            with pytest.raises(AriaError):
                installer.install(path, directory)


def _strange_files(place: Path, suffix: str) -> Iterator[Path]:
    """No file, a folder, and files of other kinds that are called like the installer's own."""
    place.mkdir()
    folder = place / f"folder{suffix}"
    folder.mkdir()
    yield place / f"missing{suffix}"
    yield folder
    for name, data in (("empty", b""), ("text", b"hello\n"), ("zeros", bytes(4096)),
                       ("program", b"\x7fELF" + bytes(range(256)) * 16)):
        path = place / f"{name}{suffix}"
        path.write_bytes(data)
        yield path


def _refusal(installer: Installer, path: Path) -> str:
    with pytest.raises(InvalidPluginError) as refused:
        installer.inspect(path)
    return str(refused.value)


@contextmanager
def _installed(installer: Installer, sample: InstallerSample, tmp_path: Path
               ) -> Iterator[tuple[Path, Environment]]:
    """Install into an empty directory; nothing beside it may change."""
    directory = tmp_path / "plugins" / "fresh"
    directory.mkdir(parents=True)
    before = contents(tmp_path, directory)
    environment = installer.install(sample.archive, directory)
    assert contents(tmp_path, directory) == before
    yield directory, environment


def _moved(environment: Environment, directory: Path, place: Path) -> Environment:
    def move(path: str) -> str:
        return str(place / Path(path).relative_to(directory))

    return Environment(environment.plugin, environment.python and move(environment.python),
                       tuple(map(move, environment.path)), tuple(map(move, environment.pythonpath)))


def _call(environment: Environment, function: str) -> str:
    return _run(environment, _CALL, function)


def _run(environment: Environment, program: str, argument: str) -> str:
    """As a worker runs it: by the plugin's interpreter, or by ours without what is installed beside it."""
    python = [environment.python, "-I"] if environment.python else [sys.executable, "-I", "-S"]
    paths = environment.pythonpath if environment.python is None else ()
    done = subprocess.run([*python, "-c", program, argument, *paths],  # nosec B603 # a test's own function
                          env={"PATH": os.pathsep.join([*environment.path, os.defpath])},
                          cwd=os.sep, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
