"""``aria config``: every setting and where it came from."""

from __future__ import annotations

import click

from . import options
from .printing import show_json, show_table, tell
from .program import Program, pass_program


@click.group(invoke_without_command=True)
@click.pass_context
def config(ctx: click.Context) -> None:
    """Show the configuration; without a further word, every value."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(show, as_json=False)


@config.command("show")
@options.as_json
@pass_program
def show(program: Program, as_json: bool) -> None:
    """Show every value and where it came from; secrets are masked."""
    rows = [{"name": each.name, "value": each.value, "source": each.source} for each in program.config.rows()]
    show_table(rows, ("name", "value", "source"), as_json)


@config.command("path")
@options.as_json
@pass_program
def path(program: Program, as_json: bool) -> None:
    """Show which files are read, the strongest last."""
    files = [str(each) for each in program.config.files]
    if as_json:
        show_json(files)
        return
    tell("\n".join(files) or "no aria.toml was found; everything has its default")
