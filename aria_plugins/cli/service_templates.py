"""``aria service-templates``: descriptions of services."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .archives import create_archive
from .graph import as_format, of_template
from .graph import show as show_graph
from .printing import say, show_fields, show_json, show_table, tell
from .program import Program, pass_program
from .templates import imported, load, stored_or_file
from .templates import store as store_loaded
from .validation import INVALID, validate

if TYPE_CHECKING:
    from aria_core import ParameterSpec, ServiceTemplate


@click.group("service-templates")
def service_templates() -> None:
    """Validate, store, look at and delete service templates."""


@service_templates.command("store")
@click.argument("template", type=click.Path(exists=True, path_type=Path))
@click.argument("name", required=False)
@options.loader
@pass_program
def store(program: Program, template: Path, name: str | None, loader: str | None) -> None:
    """Store the file TEMPLATE under NAME, or under the name that it has."""
    row = store_loaded(program, load(program, template, loader, name))
    tell(f"service template {row.name} was stored; 'aria services create {row.name} NAME' makes a service")


service_templates.add_command(validate)
service_templates.add_command(create_archive)


@service_templates.command("list")
@options.as_json
@pass_program
def list_templates(program: Program, as_json: bool) -> None:
    """List the stored templates."""
    found = program.model.service_template.list(sort={"name": "asc"})
    show_table([_row(each) for each in found], ("name", "services", "description", "created_at"), as_json,
               nothing="there are no service templates")


def _row(template: ServiceTemplate) -> dict[str, Any]:
    return {"id": template.id, "name": template.name, "description": template.description,
            "main_file": template.main_file, "services": [each.name for each in template.services],
            "created_at": template.created_at}


@service_templates.command("show")
@click.argument("name")
@options.loader
@options.as_json
@pass_program
def show(program: Program, name: str, loader: str | None, as_json: bool) -> None:
    """Show a template: its inputs, nodes, workflows and outputs; NAME is that of a stored one, or a file.

    Of a stored one its services and files are shown, too.
    """
    spec = stored_or_file(program, name, loader)
    rows = program.model.service_template.list(filters={"name": name}).items
    stored = _row(rows[0]) if rows else {"name": spec.name, "description": spec.description}
    files = {"files": program.resources.service_template.list(rows[0].id)} if rows else {}
    show_fields({**stored, "nodes": {each.name: each.type for each in spec.nodes.values()},
                 "inputs": {key: each.type for key, each in spec.inputs.items()},
                 "outputs": {key: each.description for key, each in spec.outputs.items()},
                 "workflows": {key: each.function or "in steps" for key, each in spec.workflows.items()},
                 **files}, as_json)


@service_templates.command("inputs")
@click.argument("name")
@options.loader
@options.as_json
@pass_program
def inputs(program: Program, name: str, loader: str | None, as_json: bool) -> None:
    """Show which inputs services of a template take; NAME is that of a stored one, or a file."""
    from aria_core import MASK

    spec = stored_or_file(program, name, loader)
    rows = [{"name": key, "type": each.type, "required": each.required and each.value is None,
             "default": MASK if each.value is not None and is_secret(each) else each.value,
             "description": each.description} for key, each in spec.inputs.items()]
    show_table(rows, ("name", "type", "required", "default", "description"), as_json,
               nothing=f"service template {name} has no inputs")


@service_templates.command("import-check")
@click.argument("template", type=click.Path(exists=True, path_type=Path))
@options.loader
@options.as_json
@pass_program
def import_check(program: Program, template: Path, loader: str | None, as_json: bool) -> int:
    """Show what the file TEMPLATE imports, and what those files import, as a tree.

    What is missing, in a loop or wrong in one of the files is told, and the exit code is 2 then.
    """
    files, problems = imported(program, template, loader)
    if as_json:
        show_json({"files": [each._asdict() for each in files], "problems": problems})
    else:
        for each in files:
            prefix = f", prefix {each.prefix}" if each.prefix else ""
            tell(f"{'  ' * each.depth}{each.name} ({each.version}{prefix})")
        for sentence in problems:
            say(sentence)
    return INVALID if problems else 0


@service_templates.command("graph")
@click.argument("name")
@options.loader
@as_format
@pass_program
def graph(program: Program, name: str, loader: str | None, shape: str) -> None:
    """Draw which node templates require which; NAME is that of a stored template, or a file."""
    show_graph(of_template(stored_or_file(program, name, loader)), shape)


def is_secret(declared: ParameterSpec) -> bool:
    """Whether its values are never shown."""
    return declared.secret or declared.type == "secret"


@service_templates.command("delete")
@click.argument("name")
@pass_program
def delete(program: Program, name: str) -> None:
    """Delete a template of which there are no services."""
    from aria_core import delete_template

    delete_template(program.model, program.resources, program.model.service_template.get_by_name(name))
    tell(f"service template {name} was deleted")
