"""Each test of the installer contract fails for an installer that breaks what it promises."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile, ZipFile, is_zipfile

import pytest

from aria_core import AriaError, Environment, Installer, InvalidPluginError, PluginInfo
from aria_core.testing.installer import InstallerContract, InstallerSample
from aria_core.testing.wagons import LIBRARY, PROGRAMS, make_zip

CODE = "def greet(ctx):\n    return 'hello'\n"
SAMPLE = {"plugin.json": '{"name": "doubled", "version": "1"}', "doubled_code.py": CODE}


class Good(Installer):
    """Zips with a ``plugin.json`` and Python modules: the simplest installer that keeps the contract."""

    def recognises(self, path: Path) -> bool:
        try:
            with ZipFile(path) as archive:
                return "plugin.json" in archive.namelist()
        except (OSError, BadZipFile):
            return False

    def inspect(self, path: Path) -> PluginInfo:
        try:
            with ZipFile(path) as archive:
                self.check(archive, path)
                said = json.loads(archive.read("plugin.json"))
            return PluginInfo(said["name"], said["name"], said["version"], path.name)
        except (OSError, BadZipFile, ValueError, KeyError) as error:
            raise self.refused(path, f"cannot be read: {error}") from error

    def install(self, path: Path, directory: Path) -> Environment:
        info = self.inspect(path)
        (directory / "code").mkdir()
        with ZipFile(path) as archive:
            for name in archive.namelist():
                (directory / "code" / name).write_bytes(archive.read(name))
        return Environment(info.name, pythonpath=(str(directory / "code"),))

    def check(self, archive: ZipFile, path: Path) -> None:
        broken = archive.testzip()
        if broken is not None:
            raise self.refused(path, f"holds {broken}, which is damaged")

    def refused(self, path: Path, why: str) -> Exception:
        return InvalidPluginError(f"{path} {why}")


class OfTheFuture(Good):
    api = 9


class NoInstaller:
    api = 1


class RecognisesNothing(Good):
    def recognises(self, path: Path) -> bool:
        return False


class RecognisesEverything(Good):
    def recognises(self, path: Path) -> bool:
        return True


class RecognisesByEnding(Good):
    def recognises(self, path: Path) -> bool:
        return path.suffix == ".plugin"


class RecognisesAnyZip(Good):
    def recognises(self, path: Path) -> bool:
        return path.is_file() and is_zipfile(path)


class RaisesWhenItLooks(Good):
    def recognises(self, path: Path) -> bool:
        with ZipFile(path) as archive:
            return bool(json.loads(archive.read("plugin.json")))


class TellsAnotherName(Good):
    def inspect(self, path: Path) -> PluginInfo:
        return replace(super().inspect(path), name=path.stem)


class TellsNoArchive(Good):
    def inspect(self, path: Path) -> PluginInfo:
        return replace(super().inspect(path), archive_name="")


class ExtractsToInspect(Good):
    def inspect(self, path: Path) -> PluginInfo:
        info = super().inspect(path)
        path.with_suffix(".extracted").write_text("")
        return info


class ImportsToInspect(Good):
    def inspect(self, path: Path) -> PluginInfo:
        info = super().inspect(path)
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(path))
            importlib.import_module("doubled_code")
        return info


class NeverSaysTheSame(Good):
    count = 0

    def inspect(self, path: Path) -> PluginInfo:
        self.count += 1
        return replace(super().inspect(path), package_source=str(self.count))


class FindsFaultsLate(Good):
    def check(self, archive: ZipFile, path: Path) -> None:
        return None


class SaysTheSameOfEverything(Good):
    def refused(self, path: Path, why: str) -> Exception:
        return InvalidPluginError(f"{path} is invalid")

    def inspect(self, path: Path) -> PluginInfo:
        try:
            return super().inspect(path)
        except AriaError:
            raise self.refused(path, "") from None


class DoesNotNameTheArchive(Good):
    def refused(self, path: Path, why: str) -> Exception:
        return InvalidPluginError(why)


class TellsMuch(Good):
    def refused(self, path: Path, why: str) -> Exception:
        return InvalidPluginError(f"{path}\n{why}")


class RaisesWhatItGets(Good):
    def refused(self, path: Path, why: str) -> Exception:
        return ValueError(why)


class BelievesInHalves(Good):
    """Takes what can be read of an archive for the whole."""

    def inspect(self, path: Path) -> PluginInfo:
        try:
            return super().inspect(path)
        except AriaError:
            if path.is_file() and not path.parent.name.startswith("broken"):
                return PluginInfo("doubled", "doubled", "1", path.name)
            raise


class InventsMissingArchives(Good):
    def inspect(self, path: Path) -> PluginInfo:
        return super().inspect(path) if path.exists() else PluginInfo("doubled", "doubled", "1", path.name)


class InstallsBeside(Good):
    def install(self, path: Path, directory: Path) -> Environment:
        (directory.parent / "cache").write_text("")
        return super().install(path, directory)


class PointsElsewhere(Good):
    def install(self, path: Path, directory: Path) -> Environment:
        return replace(super().install(path, directory), path=(tempfile.gettempdir(),))


class LinksOut(Good):
    def install(self, path: Path, directory: Path) -> Environment:
        (directory / "link").symlink_to("/etc")
        return super().install(path, directory)


class ForgetsTheName(Good):
    def install(self, path: Path, directory: Path) -> Environment:
        return replace(super().install(path, directory), plugin="")


class ForgetsThePath(Good):
    def install(self, path: Path, directory: Path) -> Environment:
        return replace(super().install(path, directory), pythonpath=(str(directory),))


class CannotBeMoved(Good):
    """Leaves a module that knows where it was."""

    def install(self, path: Path, directory: Path) -> Environment:
        environment = super().install(path, directory)
        module = directory / "code" / "doubled_code.py"
        (directory / "code" / "real.py").write_text(module.read_text())
        module.write_text(f"import sys; sys.path = [{str(directory / 'code')!r}]; from real import greet\n")
        return environment


class SeesOurs(Good):
    """Makes an environment of its own that has what lies beside the core."""

    def install(self, path: Path, directory: Path) -> Environment:
        environment = super().install(path, directory)
        venv.create(directory / "venv", symlinks=True)
        (directory / LIBRARY / "more.pth").write_text("\n".join([*environment.pythonpath, *sys.path]))
        return replace(environment, python=str(directory / PROGRAMS / "python"))


class ChangesThePath(Good):
    def install(self, path: Path, directory: Path) -> Environment:
        environment = super().install(path, directory)
        sys.path.extend(environment.pythonpath)
        return environment


class ChangesTheVariables(Good):
    def install(self, path: Path, directory: Path) -> Environment:
        environment = super().install(path, directory)
        os.environ["PYTHONPATH"] = environment.pythonpath[0]
        return environment


class WalksAway(Good):
    def install(self, path: Path, directory: Path) -> Environment:
        environment = super().install(path, directory)
        os.chdir(directory)
        return environment


class InstallsAnything(Good):
    def install(self, path: Path, directory: Path) -> Environment:
        try:
            return super().install(path, directory)
        except AriaError:
            return Environment("doubled")


DOUBLES: dict[str, tuple[type, ...]] = {
    "test_its_interface_is_one_this_core_accepts": (OfTheFuture, NoInstaller),
    "test_its_archives_are_recognised": (RecognisesNothing,),
    "test_nothing_else_is_recognised_and_looking_never_raises": (
        RecognisesEverything, RecognisesByEnding, RecognisesAnyZip, RaisesWhenItLooks),
    "test_looking_at_broken_archives_never_raises": (RaisesWhenItLooks,),
    "test_inspecting_tells_what_the_archive_holds": (TellsAnotherName, TellsNoArchive),
    "test_inspecting_changes_nothing": (ExtractsToInspect, ImportsToInspect, NeverSaysTheSame),
    "test_every_fault_is_found_by_inspecting_and_has_a_sentence_of_its_own": (
        FindsFaultsLate, SaysTheSameOfEverything),
    "test_a_refusal_names_the_archive_in_one_line": (DoesNotNameTheArchive, TellsMuch, RaisesWhatItGets),
    "test_an_archive_that_was_cut_off_is_refused_wherever_it_was_cut": (BelievesInHalves, RaisesWhatItGets),
    "test_a_missing_archive_is_refused": (InventsMissingArchives, RaisesWhatItGets),
    "test_installing_fills_its_directory_and_no_other": (InstallsBeside, PointsElsewhere),
    "test_installing_leaves_no_link_that_leads_out_of_the_directory": (LinksOut,),
    "test_the_environment_bears_the_name_of_the_plugin": (ForgetsTheName,),
    "test_what_is_installed_can_be_called_by_way_of_its_environment": (ForgetsThePath,),
    "test_what_is_installed_can_be_moved": (CannotBeMoved,),
    "test_what_is_installed_beside_the_core_is_out_of_its_sight": (SeesOurs,),
    "test_installing_leaves_this_process_as_it_is": (ChangesThePath, ChangesTheVariables, WalksAway),
    "test_broken_archives_are_not_installed_either": (InstallsAnything,),
}

CONTRACT_TESTS = sorted(name for name in vars(InstallerContract) if name.startswith("test_"))


@pytest.fixture
def sample(tmp_path: Path) -> InstallerSample:
    def write(name: str, data: bytes) -> Path:
        path = tmp_path / "broken-samples" / name if "broken" in name else tmp_path / "samples" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return path

    whole = make_zip(SAMPLE)
    broken = {
        "damaged": write("broken-1.plugin", whole.replace(b"hello", b"hullo")),
        "no description": write("broken-2.plugin", make_zip({"code.py": CODE})),
        "no JSON": write("broken-3.plugin", make_zip({**SAMPLE, "plugin.json": "{"})),
        "no name": write("broken-4.plugin", make_zip({**SAMPLE, "plugin.json": "{}"})),
    }
    return InstallerSample(write("good.plugin", whole), "doubled", "1", "doubled_code:greet", "hello", broken,
                           {"zip": write("other.zip", make_zip({"file": "x"}))})


def test_every_test_of_the_contract_has_a_double() -> None:
    assert sorted(DOUBLES) == CONTRACT_TESTS


@pytest.mark.parametrize("name", CONTRACT_TESTS)
def test_the_simplest_installer_keeps_the_contract(
        name: str, sample: InstallerSample, tmp_path: Path, contract_fails: Callable[..., bool]) -> None:
    assert not contract_fails(InstallerContract, name, installer=Good(), sample=sample, tmp_path=tmp_path)


@pytest.mark.parametrize(
    ("name", "double"), [(name, double) for name in CONTRACT_TESTS for double in DOUBLES.get(name, ())])
def test_the_contract_notices(
        name: str, double: type, sample: InstallerSample, tmp_path: Path, contract_fails: Callable[..., bool],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.chdir(tmp_path)
    noticed = contract_fails(InstallerContract, name, installer=double(), sample=sample, tmp_path=tmp_path)
    sys.modules.pop("doubled_code", None)
    assert noticed, f"{name} passes for {double.__name__}"
