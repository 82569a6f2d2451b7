"""``aria services``: instances of templates."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .graph import as_format, of_service
from .graph import show as show_graph
from .inputs import read_inputs
from .printing import say, show_fields, show_table, tell
from .program import Program, pass_program
from .shown import parameter_row, shown_outputs, shown_parameters, shown_state
from .templates import input_types

if TYPE_CHECKING:
    from aria_core import Service


@click.group()
def services() -> None:
    """Create, look at and delete services."""


@services.command("create")
@click.argument("template")
@click.argument("name")
@options.inputs
@options.inputs_file
@pass_program
def create(program: Program, template: str, name: str, given: tuple[str, ...],
           inputs_file: Path | None) -> None:
    """Make the service NAME of the stored TEMPLATE; nothing is run."""
    from aria_core import create_service, template_spec

    row = program.model.service_template.get_by_name(template)
    types = input_types(template_spec(program.model, row)[0])
    service = create_service(program.model, row, name, read_inputs(given, inputs_file, types))
    tell(f"service {service.name} was created; 'aria executions start {service.name} install' installs it")


@services.command("list")
@click.option("--template", metavar="NAME", help="Only services of this template.")
@options.as_json
@pass_program
def list_services(program: Program, template: str | None, as_json: bool) -> None:
    """List services."""
    filters = {}
    if template is not None:
        filters["service_template_id"] = program.model.service_template.get_by_name(template).id
    found = program.model.service.list(filters=filters, sort={"name": "asc"})
    show_table([_row(each) for each in found], ("name", "template", "nodes", "created_at"), as_json,
               nothing="there are no services")


def _row(service: Service) -> dict[str, Any]:
    template = service.service_template
    return {"id": service.id, "name": service.name, "template": template.name if template else None,
            "nodes": _node_states(service), "created_at": service.created_at}


def _node_states(service: Service) -> str:
    states = Counter(each.state for each in service.nodes.values())
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))


@services.command("show")
@click.argument("name")
@options.as_json
@pass_program
def show(program: Program, name: str, as_json: bool) -> None:
    """Show a service: its inputs, nodes and executions."""
    service = program.model.service.get_by_name(name)
    nodes = sorted(service.nodes.values(), key=lambda each: each.name)
    show_fields({**_row(service), "description": service.description,
                 "inputs": shown_parameters(program, service, service.input_parameters),
                 "nodes": {each.name: each.state for each in nodes},
                 "executions": {str(each.id): f"{each.workflow_name}, {shown_state(each)}"
                                for each in service.executions}}, as_json)


@services.command("inputs")
@click.argument("name")
@options.as_json
@pass_program
def inputs(program: Program, name: str, as_json: bool) -> None:
    """Show the inputs a service was created with."""
    rows = [parameter_row(each, each.value)
            for _, each in sorted(program.model.service.get_by_name(name).input_parameters.items())]
    show_table(rows, ("name", "type", "value", "description"), as_json,
               nothing=f"service {name} has no inputs")


@services.command("outputs")
@click.argument("name")
@options.as_json
@pass_program
def outputs(program: Program, name: str, as_json: bool) -> None:
    """Show the outputs of a service as they are now."""
    service = program.model.service.get_by_name(name)
    values = shown_outputs(program, service)
    rows = [{**parameter_row(each, None), "value": values[key]}
            for key, each in sorted(service.output_parameters.items())]
    show_table(rows, ("name", "value", "description"), as_json, nothing=f"service {name} has no outputs")


@services.command("graph")
@click.argument("name")
@as_format
@pass_program
def graph(program: Program, name: str, shape: str) -> None:
    """Draw which nodes of a service require which, and in which states they are."""
    show_graph(of_service(program.model.service.get_by_name(name)), shape)


@services.command("delete")
@click.argument("name")
@click.option("--force", "-f", is_flag=True,
              help="Even if nodes are alive: forget what they stand for, without ending it.")
@pass_program
def delete(program: Program, name: str, force: bool) -> None:
    """Delete a service with its executions and logs; its template stays."""
    from aria_core import delete_service

    service = program.model.service.get_by_name(name)
    alive = [key for key, node in service.nodes.items() if node.state not in ("initial", "deleted")]
    delete_service(program.model, program.resources, service, force=force)
    if alive:
        say(f"what these nodes stand for was not ended: {', '.join(sorted(alive))}")
    tell(f"service {name} was deleted")
