"""``aria plugins``: archives of operations that templates call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .printing import show_fields, show_table, tell
from .program import Program, pass_program

if TYPE_CHECKING:
    from aria_core import Plugin

_archive = click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group()
def plugins() -> None:
    """Install and look at plugins."""


@plugins.command("validate")
@_archive
@pass_program
def validate(program: Program, archive: Path) -> None:
    """Say whether ARCHIVE is a plugin; nothing is installed."""
    from aria_core import PluginManager

    PluginManager.validate_plugin(archive)
    tell(f"{archive} is a valid plugin")


@plugins.command("install")
@_archive
@pass_program
def install(program: Program, archive: Path) -> None:
    """Install the plugin in ARCHIVE."""
    plugin = program.application.plugin_manager.install(archive)
    tell(f"plugin {plugin.package_name} {plugin.package_version} was installed")


@plugins.command("list")
@options.as_json
@pass_program
def list_plugins(program: Program, as_json: bool) -> None:
    """List the installed plugins."""
    found = program.model.plugin.list(sort={"package_name": "asc", "package_version": "asc"})
    show_table([_row(each) for each in found],
               ("id", "name", "package_name", "package_version", "uploaded_at"), as_json,
               nothing="there are no plugins")


def _row(plugin: Plugin) -> dict[str, Any]:
    return {"id": plugin.id, "name": plugin.name, "package_name": plugin.package_name,
            "package_version": plugin.package_version, "uploaded_at": plugin.uploaded_at}


@plugins.command("show")
@click.argument("plugin")
@options.as_json
@pass_program
def show(program: Program, plugin: str, as_json: bool) -> None:
    """Show a plugin, named or by its id."""
    table = program.model.plugin
    row = table.get(int(plugin)) if plugin.isdecimal() else table.get_by_name(plugin)
    details = {key: value for key, value in row.to_dict().items() if key != "environment"}
    directory = program.application.plugin_manager.get_plugin_dir(row)
    show_fields({**details, "directory": directory}, as_json)
