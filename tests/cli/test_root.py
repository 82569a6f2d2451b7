"""``aria`` itself: help, options, strangers' commands, and how every error ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

from aria_core.extensions import Extensions
from aria_plugins.cli.root import WORDS

HEAVY = {"sqlalchemy", "networkx", "rich", "msgspec", "jinja2", "pluggy", "stevedore", "yaml", "blinker",
         "celery", "strange"}

WATCHED = """
import sys
from importlib import metadata
scans = []
original = metadata.entry_points
metadata.entry_points = lambda *a, **k: scans.append(1) or original(*a, **k)
from aria_plugins.cli.root import aria
try:
    aria(sys.argv[1:], prog_name="aria")
finally:
    import json
    print(json.dumps([sorted({each.partition(".")[0] for each in sys.modules}), len(scans)]), file=sys.stderr)
"""


def watched(project, *words, path="") -> tuple[str, set[str], int]:
    """What ``aria`` prints, the packages it has imported, and how often it scanned."""
    result = subprocess.run([sys.executable, "-c", WATCHED, *words], cwd=project.directory, text=True,
                            check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(path)})
    modules, scans = json.loads(result.stderr.splitlines()[-1])
    return result.stdout, set(modules), scans


@pytest.fixture
def strange(tmp_path, monkeypatch):
    """Installs a distribution with a command, whose module has this source."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def install(word: str, source: str, *, requires: str = "", distribution: str = "strange-things") -> Path:
        (site / "strange.py").write_text(source)
        info = site / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n{requires}\n")
        (info / "entry_points.txt").write_text(f"[aria.commands]\n{word} = strange:command\n")
        return site

    yield install
    sys.modules.pop("strange", None)


GREET = """
import click

@click.command()
@click.pass_obj
def command(program):
    click.echo("greetings from " + program.config.use("executor"))
"""


def test_help_lists_every_word_that_ships_with_what_it_does(project):
    text = project("--help").stdout
    for word, sentence in WORDS.items():
        assert word in text
        assert sentence[:30] in text


def test_every_word_is_an_entry_point_of_ours_and_a_command_of_that_name():
    points = distribution("aria-core").entry_points.select(group="aria.commands")
    assert {each.name for each in points} == set(WORDS)
    assert all(each.load().name == each.name for each in points)


def test_every_word_and_every_part_of_it_has_help(project):
    for point in distribution("aria-core").entry_points.select(group="aria.commands"):
        command = point.load()
        for part in ("", *getattr(command, "commands", ())):
            assert "Usage: " in project(point.name, *part.split(), "--help").stdout


def test_help_imports_nothing_heavy_and_no_stranger(project, strange):
    text, modules, scans = watched(project, "--help", path=strange("greet", GREET))
    assert modules & HEAVY == set()
    assert scans == 1
    assert "greet  from strange-things 1.5" in text


def test_version_scans_nothing(project):
    text, modules, scans = watched(project, "--version")
    assert (text, scans) == (f"aria {version('aria-core')}\n", 0)
    assert modules & HEAVY == set()


def test_a_strangers_command_runs_and_gets_the_program(project, strange):
    strange("greet", GREET)
    assert project("greet").stdout == "greetings from thread\n"


@pytest.mark.parametrize("source", ["import nowhere", "raise SystemExit(3)", "command = 5", "other = 1", "("])
def test_a_broken_command_is_one_sentence_and_6(project, strange, source):
    strange("greet", source)
    assert "strange-things 1.5" in project.error("greet", code=6)
    project("--help")


def test_a_command_for_another_release_is_refused_before_it_is_imported(project, strange):
    strange("greet", "raise AssertionError", requires="Requires-Dist: aria-core>=99")
    assert "aria-core>=99" in project.error("greet", code=6)


def test_our_words_are_ours_whoever_else_has_them(project, strange):
    strange("nodes", "raise AssertionError")
    project("nodes", "list")
    assert "reserved" in project("extensions", "list").stdout


def test_an_unknown_word_is_told_with_those_there_are(project):
    assert "service-templates" in project.error("frobnicate", code=2)
    assert "frobnicate" in project.error("services", "frobnicate", code=2)
    assert "--frobnicate" in project.error("run", "--frobnicate", code=2)


def test_python_m_aria_core_is_the_same_command(project):
    result = project.process("--version")
    assert (result.returncode, result.stdout) == (0, f"aria {version('aria-core')}\n")
    result = project.process("services", "show", "nobody")
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1


def test_windows_is_refused_in_one_sentence(project):
    for module in ("aria_core.__main__", "aria_plugins.cli"):
        code = f"import sys; from {module} import main; sys.platform = 'win32'; main()"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert result.returncode == 1
        assert result.stderr.startswith("aria: Windows is not supported")
        assert len(result.stderr.splitlines()) == 1


def test_no_word_at_all_shows_the_help(project):
    assert "Commands:" in project(code=2).stderr


def test_an_unexpected_error_says_how_to_see_where_it_comes_from(project, strange):
    strange("greet", "import click\n@click.command()\ndef command():\n    1 / 0\n")
    assert "--debug" in project.error("greet", code=1)
    shown = project.process("--debug", "services", "show", "nobody").stderr
    assert "Traceback" in shown
    assert shown.splitlines()[-1].startswith("aria: ")
    with_variable = project.process("services", "show", "nobody", env={**os.environ, "ARIA_DEBUG": "1"})
    assert "Traceback" in with_variable.stderr


def test_nobody_reading_the_output_is_no_error(project):
    reader, writer = os.pipe()
    os.close(reader)
    running = subprocess.run([sys.executable, "-m", "aria_core", "extensions", "list"], cwd=project.directory,
                             stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (running.returncode, running.stderr) == (0, b"")


def test_output_that_cannot_be_written_is_one_sentence(project):
    with Path("/dev/full").open("w") as full:
        running = subprocess.run([sys.executable, "-m", "aria_core", "config", "show"], cwd=project.directory,
                                 stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert running.returncode == 1
    assert len(running.stderr.splitlines()) == 1


def test_a_missing_configuration_file_is_refused(project):
    assert "nowhere.toml" in project.error("--config", "nowhere.toml", "services", "list", code=2)


def test_the_configuration_is_shown_with_its_sources_and_without_secrets(project):
    rows = {each["name"]: each for each in project.json(
        "--set", "model_storage.url=postgresql://me:swordfish@host/db", "-v", "config", "show")}
    assert rows["model_storage.url"] == {
        "name": "model_storage.url", "value": "postgresql://me:***@host/db",
        "source": "flag model_storage.url"}
    assert rows["logging.level"]["value"] == "info"
    assert rows["executor.slots"]["source"].endswith("aria.toml")
    assert "slots" in project("config").stdout
    assert project.json("config", "path") == [str(project.directory / "aria.toml")]


@pytest.mark.parametrize(("setting", "told"), [
    ("executor.slotz=2", "slotz"), ("executor.slots=many", "slots"), ("nowhere.key=1", "nowhere"),
    ("workflow.task_max_attempts=0", "task_max_attempts"), ("logging.level=loud", "debug"),
    ("slots=2", "executor")])
def test_a_wrong_setting_is_one_sentence(project, setting, told):
    assert told in project.error("--set", setting, "run", project.template, code=2)


def test_an_unknown_extension_in_the_configuration_is_one_sentence(project):
    assert "installed are" in project.error("--set", "model_storage.use=nope", "services", "list", code=6)


@pytest.mark.parametrize("url", ["postgresql://me:swordfish@127.0.0.1:1/db", "sqlite:////dev/null/at/all.db"])
def test_an_unreachable_database_is_5_and_keeps_its_password(project, url):
    told = project.error("--set", f"model_storage.url={url}", "run", project.template, code=5)
    assert "swordfish" not in told


def test_extensions_are_listed_without_importing_them_and_examined_by_the_doctor(project, strange):
    strange("greet", "raise RuntimeError('no')")
    listed = {(each["kind"], each["name"]): each["status"] for each in project.json("extensions", "list")}
    assert listed["command", "greet"] == listed["executor", "process"] == "available"
    assert len(listed) == len(Extensions().rows())
    found = json.loads(project("extensions", "doctor", "--json", code=6).stdout)
    assert [each["problem"] for each in found if each["name"] == "greet"] != [""]
    assert {each["name"] for each in found if each["kind"] == "configured"} == {
        "model_storage", "resource_storage", "executor"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_printed(project, shell):
    assert "_ARIA_COMPLETE" in project("completion", shell).stdout


def test_words_are_completed_without_importing_them(project, strange):
    strange("serve", "raise AssertionError")
    result = project(env={"_ARIA_COMPLETE": "bash_complete", "COMP_WORDS": "aria ser", "COMP_CWORD": "1"})
    assert result.stdout.split() == ["plain,service-templates", "plain,services", "plain,serve"]
    result = project(env={"_ARIA_COMPLETE": "bash_complete", "COMP_WORDS": "aria nodes ", "COMP_CWORD": "2"})
    assert result.stdout.split() == ["plain,list", "plain,show"]
