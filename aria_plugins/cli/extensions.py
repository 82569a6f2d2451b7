"""``aria extensions``: what is installed beside the core, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import options
from .printing import show_table
from .program import Program, pass_program

if TYPE_CHECKING:
    from aria_core import ExtensionRow

_COLUMNS = ("kind", "name", "distribution", "version", "status", "problem")


@click.group()
def extensions() -> None:
    """Look at extensions."""


@extensions.command("list")
@options.as_json
@pass_program
def list_extensions(program: Program, as_json: bool) -> None:
    """List what is installed; nothing of it is imported."""
    show_table([_row(each) for each in program.extensions.rows()], _COLUMNS, as_json)


@extensions.command("doctor")
@options.as_json
@pass_program
def doctor(program: Program, as_json: bool) -> int:
    """Import every extension, open the storages, and tell what is wrong; exits with 6 if anything is."""
    rows = [_row(each) for each in program.extensions.examine()]
    rows += _configured(program)
    show_table(rows, _COLUMNS, as_json)
    return 6 if any(row["status"] in ("broken", "incompatible", "clashing") for row in rows) else 0


def _row(extension: ExtensionRow) -> dict[str, Any]:
    return {"kind": extension.kind, "name": extension.name, "distribution": extension.distribution,
            "version": extension.version, "value": extension.value, "status": extension.status,
            "problem": extension.problem}


def _configured(program: Program) -> list[dict[str, Any]]:
    """Whether the parts that configuration chooses can be made, and what hook extensions find."""
    rows = [_part(program, section) for section in ("model_storage", "resource_storage", "executor")]
    problems = program.application.problems()
    return rows + [_line("check", each.extension, each.sentence) for each in problems]


def _part(program: Program, section: str) -> dict[str, Any]:
    from aria_core import AriaError

    try:
        part = getattr(program.application, section)
        if section == "executor":
            part()
    except AriaError as error:
        return _line("configured", section, str(error))
    return _line("configured", section, "")


def _line(kind: str, name: str, problem: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "distribution": "", "version": "", "value": "",
            "status": "broken" if problem else "available", "problem": problem}
