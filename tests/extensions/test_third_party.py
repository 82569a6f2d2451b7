"""Distributions of strangers, built and installed into a fresh environment, seen by the command line.

The environment sees ours through a ``.pth`` file, so that nothing is fetched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "third_party"

PROJECT = """
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build"

    [project]
    name = "{name}"
    version = "2.0"

    [project.entry-points."aria.executors"]
    {word} = "{module}"

    [tool.hatch.build.targets.wheel]
    include = ["{module}.py"]
"""


class Stranger:
    """A fresh environment in which a stranger's distributions are installed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = directory / "environment" / "bin" / "python"
        venv.create(directory / "environment", symlinks=True)
        [packages] = (directory / "environment" / "lib").glob("python*/site-packages")
        ours = sysconfig.get_paths()["purelib"]
        (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")

    def source(self, name: str, word: str, module: str, code: str) -> Path:
        """The source of a distribution with one executor."""
        folder = self.directory / name
        folder.mkdir()
        (folder / f"{module}.py").write_text(dedent(code))
        (folder / "pyproject.toml").write_text(dedent(PROJECT).format(name=name, word=word, module=module))
        return folder

    def install(self, *sources: Path) -> None:
        """Build the sources and install what comes of them."""
        pip = [sys.executable, "-m", "pip", "--python", self.python, "--disable-pip-version-check"]
        alone = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
        subprocess.run([*pip, "install", *alone, *sources], check=True)

    def aria(
        self, *arguments: str | Path, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``aria`` where nothing else of ARIA has run before."""
        home = self.directory / "home"
        environment = {"HOME": str(home), "PATH": os.defpath, "PYTHONWARNINGS": "error", **(settings or {})}
        command = [self.python, "-m", "aria_core", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Has the example of contrib/, one that cannot be imported, and one whose name the example has."""
    made = Stranger(tmp_path_factory.mktemp("stranger"))
    example = made.directory / "aria-executor-example"
    shutil.copytree(ROOT / "contrib" / "aria-executor-example", example)
    made.install(
        example,
        made.source("aria-broken", "broken", "aria_broken", "import no_such_module"),
        made.source("aria-one", "twin", "aria_one", "raise RuntimeError('imported before it was chosen')"),
        made.source("aria-two", "twin", "aria_two", "raise RuntimeError('imported before it was chosen')"),
        made.source("aria-usurper", "process", "aria_usurper", "raise RuntimeError('not to be imported')"),
    )
    return made


def rows(printed: str) -> dict[tuple[str, str], Any]:
    """What `aria extensions` says about executors, by distribution and name."""
    found = [each for each in json.loads(printed) if each["kind"] == "executor"]
    return {(each["distribution"], each["name"]): each for each in found}


def test_the_example_is_listed_with_its_distribution(stranger):
    listed = stranger.aria("extensions", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    row = rows(listed.stdout)["aria-executor-example", "example"]
    assert (row["version"], row["value"], row["status"]) == ("0.1.0", "aria_executor_example", "available")


def test_the_doctor_tells_the_broken_and_the_clashing_from_the_good(stranger):
    seen = stranger.aria("extensions", "doctor", "--json")
    assert seen.returncode == 6, seen.stderr
    found = rows(seen.stdout)
    assert found["aria-executor-example", "example"]["status"] == "available"
    assert found["aria-broken", "broken"]["status"] == "broken"
    assert "no_such_module" in found["aria-broken", "broken"]["problem"]
    assert found["aria-one", "twin"]["status"] == found["aria-two", "twin"]["status"] == "clashing"
    assert found["aria-core", "process"]["status"] == "available"


def test_configuration_alone_makes_a_workflow_run_with_the_example(stranger, tmp_path):
    settings = tmp_path / "aria.toml"
    settings.write_text('[executor]\nuse = "example"\nslots = 2\n')
    ran = stranger.aria("--config", settings, "run", HERE / "service.yaml", "--service", "with-example")
    assert ran.returncode == 0, ran.stderr
    outputs = stranger.aria("--config", settings, "services", "outputs", "with-example", "--json")
    assert "example_0" in outputs.stdout, outputs.stderr


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        ("broken", "the executor 'broken' of aria-broken 2.0 cannot be imported"),
        ("twin", "aria-one 2.0 and aria-two 2.0"),
        ("nobody", "example"),
    ],
)
def test_an_executor_that_cannot_be_used_is_one_sentence_and_leaves_nothing(stranger, use, sentence):
    ran = stranger.aria("run", HERE / "service.yaml", "--service", use, settings={"ARIA_EXECUTOR__USE": use})
    assert ran.returncode == 6
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert f'"{use}"' not in stranger.aria("services", "list", "--json").stdout


def test_a_name_of_ours_stays_ours(stranger):
    ran = stranger.aria("run", HERE / "service.yaml", "--service", "ours")
    assert ran.returncode == 0, ran.stderr
