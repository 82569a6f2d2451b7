"""``aria logs``: what operations, workflow functions and the engine wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from . import options
from .executions import LOOKS_EVERY
from .printing import clean, iso, one_line, show_json, show_json_line, tell
from .program import Program, pass_program

if TYPE_CHECKING:
    from aria_core import Log

_LEVELS = ("debug", "info", "warning", "error", "critical")
_PAGE = 1000


@click.group()
def logs() -> None:
    """Look at the logs of executions."""


@logs.command("list")
@click.argument("execution", type=int)
@click.option("--task", type=int, metavar="ID", help="Only lines of this task.")
@click.option("--level", type=click.Choice(_LEVELS, case_sensitive=False), default="debug",
              help="Only lines of this level and above.")
@click.option("--follow", "-f", is_flag=True, help="Wait for more lines until the execution ends.")
@options.as_json
@pass_program
def list_logs(  # noqa: PLR0917 - click hands one argument for each option
        program: Program, execution: int, task: int | None, level: str, follow: bool,
        as_json: bool) -> None:
    """Print the log lines of an execution, in order; with --json and --follow one object a line."""
    row = program.model.execution.get(execution)
    filters: dict[str, Any] = {"execution_id": row.id}
    if task is not None:
        filters["task_id"] = program.model.task.get(task).id
    accepted = _LEVELS[_LEVELS.index(level):]
    lines = (each for each in _lines(program, row.id, filters, follow)
             if each.level.lower() in accepted or each.level.lower() not in _LEVELS)
    _show(lines, follow, as_json)


def _show(lines: Iterator[Log], follow: bool, as_json: bool) -> None:
    if as_json and not follow:
        show_json([_row(each) for each in lines])
        return
    for each in lines:
        if as_json:
            show_json_line(_row(each))
        else:
            _print(each)


def _lines(program: Program, execution: int, filters: Mapping[str, Any], follow: bool) -> Iterator[Log]:
    last = 0
    while True:
        over = not follow or _is_over(program, execution)  # looked up before the lines: none is missed
        page = program.model.log.list(filters={**filters, "id": {"gt": last}}, sort={"id": "asc"},
                                      pagination={"size": _PAGE}).items
        yield from page
        if page:
            last = page[-1].id
        elif over:
            return
        else:
            time.sleep(LOOKS_EVERY)


def _is_over(program: Program, execution: int) -> bool:
    """Whether nobody will write any more: it ended, or its runner is gone."""
    from aria_core import is_gone

    seen = program.model.ledger.pulse(execution)
    return seen.state not in ("pending", "started", "cancelling") or is_gone(seen.owner) is True


def _row(log: Log) -> dict[str, Any]:
    return {"id": log.id, "created_at": log.created_at, "level": log.level.lower(), "task": log.task_id,
            "task_name": log.task.name if log.task is not None else None, "attempt": log.attempt,
            "message": log.message, "traceback": log.traceback}


def _print(log: Log) -> None:
    """One line for each entry; what follows in a message is indented, so that it cannot pass for another."""
    who = f" {one_line(log.task.name)}:" if log.task is not None else ""
    head, *rest = clean(log.message).split("\n")
    tell(f"{iso(log.created_at)} {one_line(log.level).lower():8}{who} {head}")
    for line in [*rest, *clean(log.traceback or "").splitlines()]:
        tell(f"    {line}")
