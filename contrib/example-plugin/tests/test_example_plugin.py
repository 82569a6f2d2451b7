"""The plugin is packed, installed and called by its template, as a user would do it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1]
CONFIGURATION = """\
[executor]
use = "{executor}"
slots = 2
[model_storage]
use = "sql"
url = "sqlite:///aria.db"
[resource_storage]
use = "file"
directory = "resources"
[plugins]
directory = "plugins"
require_pin = true
"""


class Home:
    """A folder in which ``aria`` is called."""

    def __init__(self, directory: Path, executor: str) -> None:
        self.directory = directory
        (directory / "aria.toml").write_text(CONFIGURATION.format(executor=executor))

    def __call__(self, *words: object, code: int = 0) -> str:
        done = subprocess.run([sys.executable, "-m", "aria_core", *map(str, words)], cwd=self.directory,
                              capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin, packed without asking any index."""
    place = tmp_path_factory.mktemp("packed")
    (place / "nothing").mkdir()
    Home(place, "thread")("plugins", "create", SOURCE, "--output", "out", "--wheels", "nothing")
    (made,) = (place / "out").iterdir()
    return made


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_its_template_runs_from_install_to_uninstall(archive: Path, tmp_path: Path, executor: str) -> None:
    aria, file = Home(tmp_path, executor), tmp_path / "somewhere" / "greeting"
    aria("plugins", "install", archive, "--sha256", hashlib.sha256(archive.read_bytes()).hexdigest())
    aria("run", SOURCE / "template" / "service.yaml", "--service", "example", "--input", f"path={file}")
    assert file.read_text() == "hello world"
    (output,) = json.loads(aria("services", "outputs", "example", "--json"))
    assert output["value"] == hashlib.sha256(b"hello world").hexdigest()
    assert "service 'example'" in aria("plugins", "uninstall", "example-plugin", code=2)
    aria("executions", "start", "example", "uninstall")
    assert not file.exists()
    aria("services", "delete", "example")
    aria("plugins", "uninstall", "example-plugin")
    assert json.loads(aria("plugins", "list", "--json")) == []


def test_a_relative_path_is_refused_in_a_sentence(archive: Path, tmp_path: Path) -> None:
    aria = Home(tmp_path, "process")
    aria("plugins", "install", archive, "--sha256", hashlib.sha256(archive.read_bytes()).hexdigest())
    told = aria("run", SOURCE / "template" / "service.yaml", "--input", "path=greeting", code=1)
    assert "greeting is no absolute path" in told
