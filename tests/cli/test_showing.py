"""What reaches the screen: cleaned text, tables, progress on a terminal; and which files are stored."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest

from aria_core import Config, InvalidInputError
from aria_plugins.cli.folder import own_files
from aria_plugins.cli.inputs import read_inputs
from aria_plugins.cli.printing import clean, one_line, show_fields, show_table
from aria_plugins.cli.progress import Lines


def on_a_terminal(project, *words: object, answer: bytes = b"") -> tuple[int, str]:
    """The exit code of ``aria`` on a terminal, and what it wrote there."""
    terminal, inner = pty.openpty()
    running = subprocess.Popen([sys.executable, "-m", "aria_core", *map(str, words)], cwd=project.directory,
                               stdin=inner, stdout=inner, stderr=inner, start_new_session=True)
    os.close(inner)
    os.write(terminal, answer)
    written = b""
    while chunk := _read(terminal):
        written += chunk
    os.close(terminal)
    return running.wait(60), written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so when the other end is closed
        return b""


@pytest.mark.parametrize("character", [
    "\x1b", "\x00", "\x07", "\x08", "\r", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f", "\u061c",
    "\u2028", "\ud800"])
def test_characters_that_command_or_deceive_a_terminal_are_dropped(character):
    assert clean(f"a{character}b") == "ab"
    assert one_line(f"a{character}\nb") == "a b"


def test_ordinary_text_stays_as_it_is():
    assert clean("żółw\tÅ 漢字 🙂\nnext") == "żółw\tÅ 漢字 🙂\nnext"


def test_a_table_for_programs_cuts_nothing_and_json_has_every_key(capsys):
    rows = [{"name": "x" * 300, "when": datetime(2026, 1, 2, tzinfo=UTC), "secret_of_json": {"a": [1, None]}}]
    show_table(rows, ("name", "when"), as_json=False)
    assert capsys.readouterr().out.splitlines()[1] == "x" * 300 + "  2026-01-02T00:00:00.000+00:00"
    show_table(rows, ("name", "when"), as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"name": "x" * 300, "when": "2026-01-02T00:00:00.000+00:00", "secret_of_json": {"a": [1, None]}}]


def test_fields_are_shown_with_maps_below_them(capsys):
    show_fields({"name": "a", "nothing": None, "map": {"x\x1b": [1]}, "empty": {}}, as_json=False)
    assert capsys.readouterr().out == "name: a\nnothing: \nmap:\n  x: [1]\nempty: none\n"


def test_a_terminal_shows_a_bar_and_what_happened(project):
    code, written = on_a_terminal(project, "run", project.template)
    assert code == 0
    assert "━" in written
    assert "[2/2] Standard:start@node:two succeeded" in written
    assert written.endswith("outputs:\r\n  greeting: hello world\r\n")


def test_a_terminal_shows_tables_in_colours(project):
    project("run", project.template)
    code, written = on_a_terminal(project, "nodes", "list")
    assert code == 0
    assert "\x1b[36mstarted" in written


def test_reset_asks_on_a_terminal_and_takes_no_for_an_answer(project):
    project("run", project.template)
    code, written = on_a_terminal(project, "reset", answer=b"n\n")
    assert code == 130
    assert "Remove all of it? [y/N]" in written
    assert len(project.json("services", "list")) == 1
    assert on_a_terminal(project, "reset", answer=b"y\n")[0] == 0
    assert project.json("services", "list") == []


class Broken(StringIO):
    """A stream whose reader is gone."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        raise BrokenPipeError


def test_lines_fall_silent_when_nobody_reads_them():
    stream = Broken()
    lines = Lines(stream)
    lines.line("one", "")
    lines.line("two", "")
    assert stream.writes == 1


def test_text_is_read_as_json_only_where_no_type_is_declared():
    given = ["a=1", "b=1", "c=[1, 2", "d==", "e="]
    assert read_inputs(given, None, {"a": "string"}) == {"a": "1", "b": 1, "c": "[1, 2", "d": "=", "e": ""}


def test_an_empty_inputs_file_holds_no_inputs(tmp_path):
    (tmp_path / "empty.yaml").touch()
    assert read_inputs([], tmp_path / "empty.yaml", {}) == {}


def stored(folder: Path, config: Config) -> list[str]:
    with own_files(folder, config) as directory:
        return sorted(str(each.relative_to(directory)) for each in directory.rglob("*") if not each.is_dir())


def test_a_folder_of_its_own_is_stored_as_it_is(tmp_path):
    (tmp_path / "a.yaml").touch()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "b.sh").touch(mode=0o755)
    with own_files(tmp_path, Config.of()) as directory:
        assert directory == tmp_path


def test_what_is_hidden_or_belongs_to_aria_is_left_out(tmp_path):
    for name in ("a.yaml", "aria.toml", "aria.db", "aria.db-wal", ".env", "resources/1/x", "plugins/p/y",
                 "__pycache__/z.pyc", ".git/config", "scripts/b.sh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch(mode=0o755)
    config = Config.of({"model_storage": {"url": f"sqlite:///{tmp_path}/aria.db"},
                        "resource_storage": {"directory": str(tmp_path / "resources")},
                        "plugins": {"directory": str(tmp_path / "plugins")}})
    assert stored(tmp_path, config) == ["a.yaml", "scripts/b.sh"]
    with own_files(tmp_path, config) as directory:
        assert os.access(directory / "scripts" / "b.sh", os.X_OK)
    assert not directory.exists()


def test_links_stay_links(tmp_path):
    (tmp_path / ".hidden").touch()
    (tmp_path / "a.yaml").touch()
    (tmp_path / "link").symlink_to("a.yaml")
    with own_files(tmp_path, Config.of()) as directory:
        assert (directory / "link").readlink() == Path("a.yaml")


def test_a_folder_of_too_many_bytes_is_refused(tmp_path):
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(300 * 2**20)
    with pytest.raises(InvalidInputError, match="a folder of its own"), own_files(tmp_path, Config.of()):
        pass
