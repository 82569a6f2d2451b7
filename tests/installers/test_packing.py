"""Making wagons of projects, offline, with the tool wagon."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.version import Version

from aria_core import ExtensionBrokenError, InvalidInputError, InvalidPluginError
from aria_core.testing.surroundings import contents
from aria_core.testing.wagons import make_zip
from aria_plugins.installers import wagon
from aria_plugins.installers.wagon import WagonInstaller, packing

from .conftest import PROJECT, write_project


def test_a_wagon_of_either_format_installs_and_runs(wagons: dict[str, Path], tmp_path: Path) -> None:
    for form, archive in wagons.items():
        place = tmp_path / form
        place.mkdir()
        environment = WagonInstaller().install(archive, place)
        done = subprocess.run([Path(environment.path[0]) / "demo-tool"], capture_output=True, text=True,
                              check=True)
        assert done.stdout == "FROM THE PROGRAM\n"


def test_it_holds_what_the_project_needs_but_not_aria_and_tells_nothing_of_where_it_was_made(
        wagons: dict[str, Path], project_source: Path) -> None:
    with ZipFile(wagons["zip"]) as archive:
        files = {Path(each).name: archive.read(each) for each in archive.namelist()}
    assert sorted(files) == ["demo_helper-2.0-py2.py3-none-any.whl", "demo_plugin-0.3-py2.py3-none-any.whl",
                             "package.json"]
    manifest = json.loads(files["package.json"])
    assert (manifest["package_name"], manifest["package_version"]) == ("demo-plugin", "0.3")
    assert (manifest["package_source"], manifest["created_by_wagon_version"]) == (".", "1.0.3")
    assert manifest["supported_python_versions"] == ["py311", "py312", "py313"]
    for name, data in files.items():
        with ZipFile(io.BytesIO(data if name.endswith(".whl") else make_zip({name: data}))) as packed:
            for each in packed.namelist():
                assert str(project_source).encode() not in packed.read(each)


def test_the_source_is_left_as_it_is(project_source: Path, project_wheels: Path, tmp_path: Path) -> None:
    before = contents(project_source)
    archive = WagonInstaller().pack(project_source, tmp_path / "deep" / "out", None, project_wheels)
    assert contents(project_source) == before
    assert list((tmp_path / "deep" / "out").iterdir()) == [archive]
    assert WagonInstaller().inspect(archive).name == "demo-plugin"


SETUPTOOLS = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "Old.Plugin"
dynamic = ["version"]

[tool.setuptools]
py-modules = ["old_plugin"]

[tool.setuptools.dynamic]
version = {attr = "old_plugin.__version__"}
"""


def test_a_version_may_be_computed_and_a_name_is_as_its_author_writes_it(tmp_path: Path) -> None:
    source = write_project(tmp_path / "old", {
        "pyproject.toml": SETUPTOOLS, "old_plugin.py": "__version__ = '1.0.post4'\n"})
    (tmp_path / "nothing").mkdir()
    archive = WagonInstaller().pack(source, tmp_path, "zip", tmp_path / "nothing")
    info = WagonInstaller().inspect(archive)
    assert (info.package_name, Version(info.package_version)) == ("Old.Plugin", Version("1.0.post4"))


def test_what_cannot_be_packed_is_told_in_a_sentence(
        project_source: Path, project_wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    wrong = write_project(tmp_path / "wrong", {"pyproject.toml": PROJECT.replace("name =", "nom =")})
    for source, form, wheels, words in (
            (tmp_path / "nothing", None, None, "is no Python project: it has neither pyproject.toml nor"),
            (project_source, "rar", project_wheels, "wagons have no format 'rar'; they are tar.gz or zip"),
            (project_source, None, tmp_path / "nothing", "No matching distribution found for demo-helper>=2"),
            (wrong, None, project_wheels, f"no wagon can be made of {wrong}: ")):
        with pytest.raises(InvalidInputError) as refused:
            WagonInstaller().pack(source, tmp_path / "out", form, wheels)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_without_the_extra_the_error_says_how_to_get_it(
        project_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "find_spec", lambda name: None)
    with pytest.raises(ExtensionBrokenError, match=r"pip install 'aria-core\[wagon\]' brings it"):
        WagonInstaller().pack(project_source, tmp_path / "out")


def test_on_a_python_that_plugins_are_not_made_for_the_installer_says_so(
        wagons: dict[str, Path], project_source: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wagon, "PYTHONS", ((3, 1), (3, 2)))
    words = rf"wagons are installed on Python 3\.1 to 3\.2, and this is Python {sys.version_info.major}\."
    asked: list[Any] = [lambda: WagonInstaller().inspect(wagons["zip"]),
                        lambda: WagonInstaller().install(wagons["zip"], tmp_path),
                        lambda: WagonInstaller().pack(project_source, tmp_path)]
    for ask in asked:
        with pytest.raises(ExtensionBrokenError, match=words):
            ask()


def test_a_wagon_that_would_not_install_is_not_given(tmp_path: Path) -> None:
    source = write_project(tmp_path / "source", {
        "pyproject.toml": SETUPTOOLS.replace("[tool.", "scripts = {python = 'old_plugin:x'}\n\n[tool.", 1),
        "old_plugin.py": "__version__ = '1'\n"})
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InvalidPluginError, match="has a program 'python', of which no file can be made"):
        WagonInstaller().pack(source, tmp_path / "out", None, tmp_path / "nothing")
    assert not (tmp_path / "out").exists()
