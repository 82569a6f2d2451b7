"""Prints reference/command-line.md, from the commands themselves.

A test compares the two; this brings the page up to date::

    python docs/command_line.py >docs/reference/command-line.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from aria_plugins.cli.root import WORDS, aria

HEAD = """\
# Command line

Options of `aria` itself stand before the command's word: `aria --config other.toml run hello.yaml`.
Everything that prints a table prints JSON with `--json`. The [exit codes](errors.md#exit-codes) tell how it
went. Distributions can add commands ([how](../how-to/extensions.md#add-a-command)).

This page is made from the commands by `docs/command_line.py`.
"""


def commands(context: click.Context) -> Iterator[click.Context]:
    """Our commands below a group, in the order of its help, each with its context."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in WORDS if context.parent is None else group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            below = click.Context(command, context, name, help_option_names=["-h", "--help"])
            yield below
            yield from commands(below)


def sections(context: click.Context) -> Iterator[str]:
    """What the page says of one command."""
    command = context.command
    depth = context.command_path.count(" ") + 2
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"{'#' * depth} {context.command_path}\n"
    yield f"```text\n{context.command_path} {usage}\n```\n"
    text = (command.help or "").replace("\b\n", "").strip()
    yield "\n".join(line.strip() for line in text.splitlines()) + "\n"
    rows = [found for each in command.get_params(context) if isinstance(each, click.Option)
            and "--help" not in each.opts and (found := each.get_help_record(context))]
    if rows:
        yield "| option | |\n|---|---|"
        yield "".join(f"| `{option}` | {_cell(said)} |\n" for option, said in rows)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def page() -> str:
    """The whole page."""
    root = click.Context(aria, None, "aria")
    parts = [HEAD, *sections(root)]
    for each in commands(root):
        parts += sections(each)
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
