"""``aria plugins``: archives of operations that templates call."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .printing import show_fields, show_table, tell
from .program import Program, pass_program

if TYPE_CHECKING:
    from aria_core import Plugin

_archive = click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_plugin = click.argument("plugin")


@click.group()
def plugins() -> None:
    """Make, install and look at plugins."""


@plugins.command("create")
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--output", "-o", type=click.Path(file_okay=False, path_type=Path), default=Path(),
              metavar="DIR", help="Where to put the archive; the current folder, if not given.")
@click.option("--format", "form", metavar="NAME", help="A format of the installer, e.g. tar.gz or zip.")
@click.option("--wheels", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
              help="Ask no index: take all that is needed from the wheels in this folder.")
@click.option("--installer", default="wagon", show_default=True, metavar="NAME",
              help="The installer for which to make it.")
@pass_program
def create(  # noqa: PLR0917 - click hands one argument for each option
        program: Program, source: Path, output: Path, form: str | None, wheels: Path | None,
        installer: str) -> None:
    """Make a plugin of the Python project in the folder SOURCE.

    The archive holds its wheel and those of all it needs. Publish the SHA-256 that is told beside it.
    """
    path = program.application.installers.named(installer).pack(source, output, form, wheels)
    with path.open("rb") as file:
        tell(f"{path} was made; its SHA-256 is {hashlib.file_digest(file, 'sha256').hexdigest()}")


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
@click.option("--sha256", metavar="HASH", help="Install it only if this is the SHA-256 of ARCHIVE.")
@pass_program
def install(program: Program, archive: Path, sha256: str | None) -> None:
    """Install the plugin in ARCHIVE."""
    plugin = program.application.plugin_manager.install(archive, sha256)
    tell(f"plugin {plugin.package_name} {plugin.package_version} was installed")


@plugins.command("uninstall")
@_plugin
@pass_program
def uninstall(program: Program, plugin: str) -> None:
    """Remove a plugin that no service needs.

    PLUGIN is its name, NAME==VERSION or its id.
    """
    row = _find(program, plugin)
    program.application.plugin_manager.uninstall(row)
    tell(f"plugin {row.package_name} {row.package_version} was uninstalled")


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
@_plugin
@options.as_json
@pass_program
def show(program: Program, plugin: str, as_json: bool) -> None:
    """Show a plugin and who needs it.

    PLUGIN is its name, NAME==VERSION or its id.
    """
    row, manager = _find(program, plugin), program.application.plugin_manager
    details = {key: value for key, value in row.to_dict().items() if key != "environment"}
    show_fields({**details, "directory": manager.get_plugin_dir(row), "needed_by": manager.users(row)},
                as_json)


def _find(program: Program, word: str) -> Plugin:
    """The plugin that a word on the command line means."""
    from aria_core import InvalidInputError, NotFoundError

    table = program.model.plugin
    if word.isdecimal():
        return table.get(int(word))
    name, _equals, version = word.partition("==")
    found = [each for each in table.list(filters={"name": name}, sort={"id": "asc"})
             if version in ("", each.package_version)]
    if not found:
        raise NotFoundError(f"there is no plugin {word!r}; 'aria plugins list' shows those there are")
    if len(found) > 1:
        there = ", ".join(f"{each.name}=={each.package_version}" for each in found)
        raise InvalidInputError(f"there are several plugins {name!r}: {there}; say which")
    return found[0]
