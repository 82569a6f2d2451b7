"""``aria service-templates validate``: what is wrong with files, for people and for editors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .printing import say, show_json, tell
from .program import Program, pass_program
from .templates import load_silently

if TYPE_CHECKING:
    from aria_core import LoadedTemplate

INVALID = 2
"""The exit code when a file is no valid template, as of every wrong input."""
_LOCATED = re.compile(r"(?P<file>.+?):(?P<line>\d+):(?P<column>\d+): (?P<message>.*)", re.DOTALL)


@click.command("validate")
@click.argument("templates", nargs=-1, required=True, metavar="FILE...",
                type=click.Path(exists=True, path_type=Path))
@options.loader
@options.as_json
@pass_program
def validate(program: Program, templates: tuple[Path, ...], loader: str | None, as_json: bool) -> int:
    """Say whether each FILE could be stored; if not, all that is wrong with it, and where.

    A warning stops nothing. With --json each file is an object with `file`, `valid`, `name`, and `problems`:
    objects with `file`, `line`, `column` (from 1; null where there is none), `severity` (error or warning)
    and `message`.
    """
    found = [_examined(program, each, loader) for each in templates]
    if as_json:
        show_json(found)
    else:
        for each in found:
            _show(each)
    return 0 if all(each["valid"] for each in found) else INVALID


def _examined(program: Program, template: Path, loader: str | None) -> dict[str, Any]:
    from aria_core import InvalidInputError, LoadError, check_template

    loaded: LoadedTemplate | None = None
    errors: Sequence[str] = ()
    try:
        loaded = load_silently(program, template, loader)
        check_template(loaded.template)
    except LoadError as error:
        errors = error.problems
    except InvalidInputError as error:
        errors = str(error).splitlines()
    problems = [*_problems(errors, "error", template),
                *_problems(loaded.warnings if loaded is not None else (), "warning", template)]
    return {"file": str(template), "valid": not errors, "name": loaded.template.name if loaded else None,
            "problems": problems}


def _problems(sentences: Sequence[str], severity: str, template: Path) -> Iterator[dict[str, Any]]:
    for each in sentences:
        match = _LOCATED.fullmatch(each)
        if match is None:
            yield {"file": str(template), "line": None, "column": None, "severity": severity, "message": each}
        else:
            yield {"file": match["file"], "line": int(match["line"]), "column": int(match["column"]),
                   "severity": severity, "message": match["message"]}


def _show(examined: dict[str, Any]) -> None:
    for each in examined["problems"]:
        place = "" if each["line"] is None else f"{each['file']}:{each['line']}:{each['column']}: "
        say(f"{'warning: ' if each['severity'] == 'warning' else ''}{place}{each['message']}")
    if examined["valid"]:
        tell(f"{examined['file']} is a valid service template: {examined['name']}")
