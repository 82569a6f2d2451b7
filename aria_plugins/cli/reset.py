"""``aria reset``: back to nothing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from .printing import tell
from .program import Program, pass_program

_TABLES = {"service_template": "service templates", "service": "services", "execution": "executions",
           "plugin": "plugins"}


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_program
def reset(program: Program, yes: bool) -> None:
    """Remove all templates, services, executions, logs, plugins and their files.

    What services stand for is not ended: uninstall them first.
    """
    _refuse_running(program)
    for line in _what(program):
        tell(line)
    if not yes:
        _ask()
    plugins = [Path(program.application.plugin_manager.get_plugin_dir(each)) for each in program.model.plugin]
    for entry in (*plugins, program.config.plugins.directory / "work"):
        shutil.rmtree(entry, ignore_errors=True)
    program.resources.delete("")
    program.model.drop()
    tell("everything was removed")


def _refuse_running(program: Program) -> None:
    from aria_core import ActiveExecutionsError, describe_owner, is_gone

    for each in program.model.execution.list(filters={"state": ["pending", "started", "cancelling"]}):
        if not is_gone(each.owner):
            raise ActiveExecutionsError(
                f"execution {each.id} of service {each.service.name!r} is being run by "
                f"{describe_owner(each.owner)}; cancel it before you reset")


def _what(program: Program) -> list[str]:
    lines = [f"This removes, from {_place(program)}:"]
    for table, title in _TABLES.items():
        count = getattr(program.model, table).list(pagination={"size": 0}).metadata["total"]
        lines.append(f"  {count} {title}")
    files = sum(1 for _ in program.resources.list(""))
    lines.append(f"  {files} files of templates, services and plugins")
    at_rest = ["initial", "deleted"]
    alive = [each for each in program.model.node if each.state not in at_rest]
    names = ", ".join(f"{each.service.name}/{each.name}" for each in alive)
    return [*lines, f"Still alive, and not ended by this: {names}"] if alive else lines


def _place(program: Program) -> str:
    rows = {each.name: each.value for each in program.config.rows()}
    return str(rows.get("model_storage.url", rows["model_storage.use"]))


def _ask() -> None:
    from aria_core import InvalidInputError

    if not sys.stdin.isatty():
        raise InvalidInputError("there is nobody to ask whether to remove this; --yes says so beforehand")
    click.confirm("Remove all of it?", abort=True)
