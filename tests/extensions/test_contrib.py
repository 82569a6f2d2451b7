"""What lies under contrib/, built and installed as a stranger's distributions would be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONTRIB = Path(__file__).parents[2] / "contrib"
EXAMPLE = CONTRIB / "aria-executor-example"
WHEELS = CONTRIB / "aria-installer-wheel"

LOOK = """
import json, sys
from aria_core import Application, Config
with Application(Config.of({"executor": {"use": "example", "slots": 3}})) as application:
    executor = application.executor()
    [row] = [each for each in application.extensions.examine() if each.name == "example"]
    print(json.dumps([type(executor).__name__, executor.slots, row.distribution, row.version, row.status]))
"""


def install(distribution: Path, directory: Path) -> Path:
    """A directory into which pip has installed it; the build writes nothing into the repository."""
    source = directory / "source"
    shutil.copytree(distribution, source, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
               "--no-build-isolation", "--disable-pip-version-check", "--target", directory / "site", source]
    subprocess.run(command, check=True)
    return directory / "site"


def run_tests(distribution: Path, place: Path, site: Path | None = None) -> None:
    """Run the tests of a distribution, as its author would."""
    path = {} if site is None else {"PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
               f"--basetemp={place / 'base'}", distribution]
    done = subprocess.run(command, env={**os.environ, **path}, cwd=place, check=False, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of an executor, installed."""
    return install(EXAMPLE, tmp_path_factory.mktemp("installed"))


def test_the_example_fits_thirty_lines_and_imports_only_public_names():
    lines = (EXAMPLE / "aria_executor_example.py").read_text().splitlines()
    assert len(lines) <= 30
    assert [each for each in lines if "aria_core" in each] == [
        "from aria_core import Call, Executor, FutureExecutor, hookimpl, run_encoded"
    ]


def test_the_installed_example_is_found_and_made_with_its_settings(target, tmp_path):
    environment = {"PYTHONPATH": str(target), "HOME": str(tmp_path), "PATH": ""}
    printed = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, check=True, capture_output=True, text=True
    )
    assert json.loads(printed.stdout) == ["ExampleExecutor", 3, "aria-executor-example", "0.1.0", "available"]


def test_the_installed_example_keeps_the_contract_of_executors(target, tmp_path):
    run_tests(EXAMPLE, tmp_path, target)


def test_the_installed_installer_imports_only_public_names_and_keeps_its_contract(tmp_path):
    lines = (WHEELS / "aria_installer_wheel.py").read_text().splitlines()
    assert len([each for each in lines if "aria_core" in each]) == 1
    run_tests(WHEELS, tmp_path, install(WHEELS, tmp_path / "installed"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_example_of_a_plugin_is_packed_installed_and_run(tmp_path):
    run_tests(CONTRIB / "example-plugin", tmp_path)
