"""The program's log: a record is a line, whatever its message holds."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from aria_core.config import LoggingSettings
from aria_core.exceptions import ConfigurationError
from aria_core.logs import escaped, logging_as

LOG = logging.getLogger("aria.test")
NASTY = "one\r\n2026-01-01 error forged \x1b[31m\x9b \u202e \u2028 end"


def written(path: Path, form: str, *, level: str = "info") -> list[str]:
    with logging_as(LoggingSettings(level, form, path)):
        LOG.info("said %s", NASTY)
        LOG.debug("not said")
        try:
            raise ValueError(NASTY)
        except ValueError:
            LOG.exception("it failed")
    return path.read_text("utf-8").split("\n")


def test_text_has_one_line_for_a_record_and_indented_lines_for_a_traceback(tmp_path):
    first, second, *trace, end = written(tmp_path / "log", "text")
    assert first.endswith(" info aria.test: said " + escaped(NASTY))
    assert second.endswith(" error aria.test: it failed")
    assert len(trace) > 2
    assert all(each.startswith("    ") for each in trace)
    assert end == ""


def test_control_characters_are_spelled_out(tmp_path):
    assert escaped(NASTY) == r"one\r\n2026-01-01 error forged \x1b[31m\x9b \u202e \u2028 end"
    text = "\n".join(written(tmp_path / "log", "text"))
    assert not set(text) & set("\r\x1b\x9b\u202e\u2028")


def test_json_has_one_object_for_a_record(tmp_path):
    first, second, end = written(tmp_path / "log", "json")
    assert json.loads(first)["message"] == f"said {NASTY}"
    assert {key: json.loads(second)[key] for key in ("level", "logger", "message")} == {
        "level": "error",
        "logger": "aria.test",
        "message": "it failed",
    }
    assert json.loads(second)["traceback"].endswith(NASTY)
    assert end == ""


def test_the_level_holds_and_is_given_back(tmp_path):
    before = logging.getLogger().level, list(logging.getLogger().handlers)
    lines = written(tmp_path / "log", "text", level="error")
    assert "said" not in lines[0]
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before


def test_the_file_is_for_its_owner_only_and_grows(tmp_path):
    count = len(written(tmp_path / "log", "text"))
    assert len(written(tmp_path / "log", "text")) > count
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_without_a_file_it_goes_to_standard_error(capsys):
    with logging_as(LoggingSettings("warning")):
        LOG.warning("hello")
    assert capsys.readouterr().err.endswith(" warning aria.test: hello\n")


@pytest.mark.parametrize("name", ["no/such/folder/log", "."])
def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path, name):
    with (
        pytest.raises(ConfigurationError, match=r"\[logging\] file .* cannot be written"),
        logging_as(LoggingSettings(file=tmp_path / name)),
    ):
        pass


def test_a_file_without_room_is_told_once_and_goes_on_when_there_is_room(tmp_path, capsys):
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    with logging_as(LoggingSettings("info", "text", path)):
        LOG.info("lost")
        LOG.info("lost as well")
        path.unlink()
        path.touch()
        LOG.info("kept")
    assert capsys.readouterr().err == (
        f"aria: the log {path} cannot be written: No space left on device; lines are lost until it can\n")
    (line,) = path.read_text().splitlines()
    assert line.endswith("aria.test: kept")
