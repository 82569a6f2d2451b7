"""What the README and the documentation show is run, parsed or compared: nothing in them is only believed."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from aria_core.config import Config
from aria_core.extensions import Extensions
from aria_core.extensions.kinds import EXECUTORS, MODEL_STORAGES, RESOURCE_STORAGES
from aria_core.extensions.scan import WORDS
from aria_plugins.cli.root import aria

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted(ROOT.glob("docs/tutorial/*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")),
         *sorted(ROOT.glob("examples/**/*.md")), *sorted(ROOT.glob("contrib/*/README.md"))]
OURS = ("executor", EXECUTORS), ("model_storage", MODEL_STORAGES), ("resource_storage", RESOURCE_STORAGES)
ELSEWHERE = ("pip", "pytest", "git", "export")
"""Commands of the tutorials that are not run."""


@dataclass(frozen=True)
class Block:
    """A block of code."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block is, if its first line says so."""
        named = re.match(r"# ([\w-]+\.(?:py|sh|toml|yaml))\n", self.text)
        return named[1] if named else None


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page in these languages, or all."""
    found = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", page.read_text())
    return [Block(*each) for each in found if not languages or each[0] in languages]


def pages_with(*languages: str) -> pytest.MarkDecorator:
    found = [each for each in PAGES if blocks(each, *languages)]
    return pytest.mark.parametrize("page", found, ids=[str(each.relative_to(ROOT)) for each in found])


def python(folder: Path, *words: str) -> str:
    """What Python prints, run in `folder` with every warning an error."""
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(folder),
                   "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-W", "error", *words], cwd=folder, env=environment, check=False,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pages_with("python")
def test_python_runs_as_it_is_written(page, tmp_path):
    for each in blocks(page, "python"):
        if each.file is None:
            python(tmp_path, "-c", each.text)
        else:
            (tmp_path / each.file).write_text(each.text)
            python(tmp_path, "-c", f"import {each.file.removesuffix('.py')}")


@pages_with("toml")
def test_settings_are_accepted_and_entry_points_belong_to_groups_of_ours(page, tmp_path):
    for each in blocks(page, "toml"):
        tables = tomllib.loads(each.text)
        if "project" in tables:
            groups = tables["project"].get("entry-points", {})  # a plugin has none
            assert set(groups) <= set(WORDS)
            continue
        (tmp_path / "aria.toml").write_text(each.text)
        config = Config.load(tmp_path / "aria.toml", environ={})
        for section, kind in OURS:
            if config.use(section) in ("process", "thread", "dry", "sql", "file"):
                Extensions(environ={}).make(kind, config.use(section), config.keywords(section), section)


def commands(page: Path) -> Iterator[list[str]]:
    """The words after ``aria`` of every command on a page, in blocks and between backticks."""
    lines = [line.removeprefix("$ ") for block in blocks(page, "console") for line in block.text.splitlines()
             if line.startswith("$ ")]
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text())
    lines += [each.replace("\n", " ") for each in re.findall(r"`(aria [^`]+)`", text) if "…" not in each]
    for line in lines:
        for part in line.split("&&"):
            words = shlex.split(part)
            names = [Path(each).name for each in words]
            if "aria" in names:
                yield words[names.index("aria") + 1:]


def parse(words: list[str]) -> None:
    """Parse a command as click does, and run nothing; raises what is wrong with it."""
    context = aria.make_context("aria", list(words))
    with context:
        while isinstance(group := context.command, click.Group):
            rest = [*context._protected_args, *context.args]
            if not rest:
                return
            name, command, rest = group.resolve_command(context, rest)
            context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=[str(each.relative_to(ROOT)) for each in PAGES])
def test_commands_exist_and_take_these_options(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for words in commands(page):
        try:
            parse(words)
        except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):  # prose that only names it
            assert len(words) <= 2, words
        except click.exceptions.Exit as end:  # --help and its like
            assert end.exit_code == 0, words
        except click.BadParameter as error:  # a file that a reader would have
            assert "does not exist" in str(error), (words, error)


def test_a_command_that_does_not_exist_would_be_noticed():
    for words in (["rum"], ["run", "--no-such-option"], ["executions", "resume", "one"]):
        with pytest.raises(click.UsageError):
            parse(words)


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(page, tmp_path):
    for each in blocks(page):
        if each.file is not None:
            (tmp_path / each.file).write_text(each.text)
        elif each.language == "console":
            _follow(each.text, tmp_path)


def _follow(text: str, folder: Path) -> None:
    """Run the commands of a block; the lines below each must be what it prints, in this order."""
    for part in re.split(r"(?m)^\$ ", text)[1:]:
        command, *shown = part.splitlines()
        if command.split()[0] in ELSEWHERE:
            continue
        printed = _run(command, folder, fails=any(each.startswith("aria: ") for each in shown))
        for line in shown:
            pattern = re.escape(" ".join(line.split())).replace(r"\.\.\.", ".*")
            assert any(re.match(pattern, each) for each in printed), (command, line, list(printed))


def _run(command: str, folder: Path, *, fails: bool) -> Iterator[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder / "home"), "LANG": "C.UTF-8"}
    done = subprocess.run(["/bin/sh", "-c", command], cwd=folder, env=environment, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.returncode != 0) == fails, (command, done.stdout)
    return iter([" ".join(line.split()) for line in done.stdout.splitlines()])


def test_the_readme_shows_the_files_that_are_there():
    shown = {each.text for each in blocks(ROOT / "README.md", "python")}
    files = {"greetings.py": "examples/library/greetings.py",
             "aria_executor_example.py": "contrib/aria-executor-example/aria_executor_example.py"}
    expected = {f"# {name}\n{(ROOT / path).read_text()}" for name, path in files.items()}
    assert shown == expected | {(ROOT / "examples/library/ten_lines.py").read_text()}


def test_the_library_use_in_the_readme_is_ten_lines_and_works(tmp_path):
    _, program, _ = sorted(blocks(ROOT / "README.md", "python"), key=lambda each: each.file or "b")
    lines = program.text.split("\n\n")[-1].strip().splitlines()
    assert len(lines) == 10
    (tmp_path / "greetings.py").write_bytes((ROOT / "examples/library/greetings.py").read_bytes())
    assert python(tmp_path, "-c", program.text) == "Hello, moon! The sun is up.\n"


def test_the_page_of_the_command_line_is_made_from_the_commands():
    spec = importlib.util.spec_from_file_location("command_line", ROOT / "docs" / "command_line.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page() == (ROOT / "docs/reference/command-line.md").read_text(), (
        "python docs/command_line.py >docs/reference/command-line.md brings it up to date")
