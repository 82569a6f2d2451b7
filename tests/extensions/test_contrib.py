"""The example under contrib/, built and installed as a stranger's distribution would be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "contrib" / "aria-executor-example"

LOOK = """
import json, sys
from aria_core import Application, Config
with Application(Config.of({"executor": {"use": "example", "slots": 3}})) as application:
    executor = application.executor()
    [row] = [each for each in application.extensions.examine() if each.name == "example"]
    print(json.dumps([type(executor).__name__, executor.slots, row.distribution, row.version, row.status]))
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which pip has installed the example; the build writes nothing into the repository."""
    directory = tmp_path_factory.mktemp("installed")
    source = directory / "source"
    source.mkdir()
    for each in ("pyproject.toml", "README.md", "aria_executor_example.py"):
        (source / each).write_bytes((EXAMPLE / each).read_bytes())
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--no-build-isolation",
            "--disable-pip-version-check",
            "--target",
            directory / "site",
            source,
        ],
        check=True,
    )
    return directory / "site"


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
    environment = {**os.environ, "PYTHONPATH": str(target)}
    contract = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path / 'base'}",
        EXAMPLE,
    ]
    done = subprocess.run(
        contract, env=environment, cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
