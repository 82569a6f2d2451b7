"""Everything that is printed. What templates and operations wrote cannot command the terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import click

Row: TypeAlias = Mapping[str, Any]
"""One line of a table: key (as in JSON) -> value."""

# C0 and C1 controls but tab and newline, lone surrogates, and what reorders or hides text
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` without characters that command or deceive a terminal; lines stay lines."""
    return _CONTROL.sub("", text)


def one_line(text: str) -> str:
    """`text`, cleaned, on one line."""
    return " ".join(clean(text).split("\n")).replace("\t", " ")


def say(sentence: str) -> None:
    """Tell the person something on standard error."""
    try:
        click.echo(f"aria: {clean(sentence)}", err=True)
    except OSError:
        return  # nobody is there to be told


def tell(line: str = "") -> None:
    """Print a line of the answer."""
    click.echo(clean(line))


def shown(value: Any) -> str:
    """A value for a table or a list of fields."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return iso(value) or ""
    if isinstance(value, (dict, list, tuple)):
        return one_line(_json(value))
    return one_line(str(value))


def iso(moment: Any) -> str | None:
    """A moment as JSON has it; None if there is none."""
    return None if moment is None else str(moment.isoformat(timespec="milliseconds"))


def show_json(value: Any) -> None:
    """Print a value as JSON; characters beyond ASCII are escaped."""
    click.echo(_json(value, indent=2))


def show_json_line(value: Any) -> None:
    """Print a value as JSON on a line of its own."""
    click.echo(_json(value))


def _json(value: Any, indent: int | None = None) -> str:
    import json

    return json.dumps(value, indent=indent, default=_plain)


def _plain(value: Any) -> Any:
    return iso(value) if isinstance(value, datetime) else str(value)


def show_table(rows: Sequence[Row], columns: Sequence[str], as_json: bool, nothing: str = "none") -> None:
    """Print rows: all their keys as JSON, or `columns` as a table; `nothing` if there are no rows."""
    if as_json:
        show_json(list(rows))
    elif not rows:
        tell(nothing)
    elif sys.stdout.isatty():
        _show_rich_table(rows, columns)
    else:
        _show_plain_table(rows, columns)


def _show_plain_table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    """A table for programs: nothing is cut, whatever the width."""
    lines = [[_title(each) for each in columns], *([shown(row[each]) for each in columns] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _show_rich_table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, header_style="bold")
    for each in columns:
        table.add_column(_title(each), overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(row[each]), _STYLES.get(shown(row[each]), "")) for each in columns))
    Console().print(table)


def _title(key: str) -> str:
    return key.replace("_", " ")


_STYLES = {"succeeded": "green", "success": "green", "failed": "red", "error": "red", "broken": "red",
           "started": "cyan", "cancelled": "yellow", "retrying": "yellow", "started (no runner)": "yellow"}


def show_fields(row: Row, as_json: bool) -> None:
    """Print one thing: its keys and values, one to a line; maps below their key."""
    if as_json:
        show_json(row)
        return
    for key, value in row.items():
        if isinstance(value, Mapping):
            tell(f"{_title(key)}:" + ("" if value else " none"))
            for name, each in value.items():
                tell(f"  {one_line(str(name))}: {shown(each)}")
        else:
            tell(f"{_title(key)}: {shown(value)}")
