"""``aria service-templates``: descriptions of services."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .printing import show_fields, show_table, tell
from .program import Program, pass_program
from .templates import load
from .templates import store as store_loaded

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


@service_templates.command("validate")
@click.argument("template", type=click.Path(exists=True, path_type=Path))
@options.loader
@pass_program
def validate(program: Program, template: Path, loader: str | None) -> None:
    """Say whether the file TEMPLATE could be stored; if not, all that is wrong with it, and where."""
    from aria_core import check_template

    loaded = load(program, template, loader)
    check_template(loaded.template)
    tell(f"{template} is a valid service template: {loaded.template.name}")


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
@options.as_json
@pass_program
def show(program: Program, name: str, as_json: bool) -> None:
    """Show a template: its inputs, nodes, workflows, outputs and files."""
    from aria_core import template_spec

    row = program.model.service_template.get_by_name(name)
    spec, _ = template_spec(program.model, row)
    show_fields({**_row(row), "nodes": {each.name: each.type for each in spec.nodes.values()},
                 "inputs": {key: each.type for key, each in spec.inputs.items()},
                 "outputs": {key: each.description for key, each in spec.outputs.items()},
                 "workflows": {key: each.function for key, each in spec.workflows.items()},
                 "files": program.resources.service_template.list(row.id)}, as_json)


@service_templates.command("inputs")
@click.argument("name")
@options.as_json
@pass_program
def inputs(program: Program, name: str, as_json: bool) -> None:
    """Show which inputs services of a template take."""
    from aria_core import MASK, template_spec

    spec, _ = template_spec(program.model, program.model.service_template.get_by_name(name))
    rows = [{"name": key, "type": each.type, "required": each.required and each.value is None,
             "default": MASK if each.value is not None and is_secret(each) else each.value,
             "description": each.description} for key, each in spec.inputs.items()]
    show_table(rows, ("name", "type", "required", "default", "description"), as_json,
               nothing=f"service template {name} has no inputs")


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
