"""What the page about plugins shows, from the project to uninstalling, as it stands there."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "plugins.md"
CONFIGURATION = """\
[model_storage]
use = "sql"
url = "sqlite:///aria.db"
[resource_storage]
use = "file"
directory = "resources"
[plugins]
directory = "plugins"
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_project_on_the_page_is_packed_installed_run_and_uninstalled(tmp_path: Path) -> None:
    for language in ("toml", "python", "yaml"):
        for text in blocks(language):
            if named := re.match(r"# ([\w-]+\.\w+)\n", text):
                (tmp_path / named[1]).write_text(text)
    pinned = next(text for text in blocks("toml") if "require_pin" in text).removeprefix("[plugins]\n")
    (tmp_path / "aria.toml").write_text(CONFIGURATION + pinned)
    (tmp_path / "wheelhouse").mkdir()
    commands = [line.removeprefix("$ ") for text in blocks("console") for line in text.splitlines()]
    archive, greeting, said = tmp_path / "greetings.wgn", tmp_path / "greeting", ""
    for command in commands:
        if not command.startswith("aria ") or command.endswith("--output made"):
            continue  # that would ask an index
        for shown, real in ((re.search(r"[0-9a-f]{64}", command), hash_of(archive)),
                            (re.search("/tmp/greeting", command), str(greeting))):
            command = command.replace(shown[0], real) if shown else command  # noqa: PLW2901
        if "uninstall" in command and "==" not in command:
            assert aria(tmp_path, "plugins uninstall greetings", code=2)
            aria(tmp_path, "services delete service --force")
        said += aria(tmp_path, command.removeprefix("aria "), code=2 if "==" in command else 0)
        for made in tmp_path.glob("made/*.wgn"):
            made.rename(archive)
    assert greeting.read_text() == "good morning"
    assert "plugin greetings 1.0 was installed" in said
    assert "plugin greetings 1.0 was uninstalled" in said


def hash_of(archive: Path) -> str:
    return hashlib.sha256(archive.read_bytes()).hexdigest() if archive.exists() else ""


def aria(folder: Path, words: str, code: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", "aria_core", *shlex.split(words)], cwd=folder, timeout=120,
                          capture_output=True, text=True, check=False)
    assert done.returncode == code, (words, done.stderr)
    return done.stdout + done.stderr
