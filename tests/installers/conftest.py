"""A real project, and what the tool wagon makes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aria_plugins.installers.wagon import WagonInstaller

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "demo-plugin"
version = "0.3"
dependencies = ["aria-core>=0.1", "demo-helper>=2"]

[project.scripts]
demo-tool = "demo_plugin.operations:tool"
"""
HELPER = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "demo-helper"
version = "2.0"
"""


def write_project(place: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def make_wheels(source: Path, wheels: Path) -> Path:
    """Build a project, offline, into a folder of wheels."""
    command = [sys.executable, "-m", "pip", "--isolated", "wheel", str(source), "--quiet", "--no-deps",
               "--no-index", "--no-build-isolation", "--disable-pip-version-check", "-w", str(wheels)]
    subprocess.run(command, check=True, env={**os.environ, "PIP_CONFIG_FILE": os.devnull}, timeout=110)
    return wheels


@pytest.fixture(scope="session")
def project_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of a plugin, with ``pyproject.toml`` alone."""
    return write_project(tmp_path_factory.mktemp("project") / "demo", {
        "pyproject.toml": PROJECT, "demo_plugin/__init__.py": "",
        "demo_plugin/operations.py":
            "import demo_helper\n\ndef tool():\n    print(demo_helper.shout('from the program'))\n"})


@pytest.fixture(scope="session")
def project_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of what that plugin needs."""
    place = tmp_path_factory.mktemp("helper")
    helper = write_project(place / "source", {
        "pyproject.toml": HELPER, "demo_helper/__init__.py": "def shout(text):\n    return text.upper()\n"})
    return make_wheels(helper, place / "wheels")


@pytest.fixture(scope="session")
def wagons(project_source: Path, project_wheels: Path, tmp_path_factory: pytest.TempPathFactory
           ) -> dict[str, Path]:
    """The plugin as a wagon in both formats, made by wagon 1.0.3."""
    place = tmp_path_factory.mktemp("wagons")
    return {form: WagonInstaller().pack(project_source, place / form, form, project_wheels)
            for form in ("zip", "tar.gz")}
