"""``aria nodes``: the parts of services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import options
from .printing import show_fields, show_table
from .program import Program, pass_program
from .shown import secrets_of, shown_parameters

if TYPE_CHECKING:
    from aria_core import Node


@click.group()
def nodes() -> None:
    """Look at nodes."""


@nodes.command("list")
@click.option("--service", metavar="NAME", help="Only nodes of this service.")
@options.as_json
@pass_program
def list_nodes(program: Program, service: str | None, as_json: bool) -> None:
    """List nodes and their states."""
    filters = {} if service is None else {"service_id": program.model.service.get_by_name(service).id}
    found = program.model.node.list(filters=filters, sort={"service_id": "asc", "name": "asc"})
    show_table([_row(each) for each in found], ("id", "service", "name", "type", "state"), as_json,
               nothing="there are no nodes")


def _row(node: Node) -> dict[str, Any]:
    return {"id": node.id, "service": node.service.name, "name": node.name, "type": node.type_name,
            "state": node.state}


@nodes.command("show")
@click.argument("node")
@click.option("--service", metavar="NAME", help="The service that has it, if NODE is a name.")
@options.as_json
@pass_program
def show(program: Program, node: str, service: str | None, as_json: bool) -> None:
    """Show a node, named or by its id: its properties, attributes and relationships."""
    row = _find(program, node, service)
    host = row.host
    show_fields({**_row(row), "host": host.name if host is not None else None,
                 "max_concurrency": row.max_concurrency,
                 "properties": shown_parameters(program, row.service, row.property_parameters),
                 "attributes": _attributes(program, row),
                 "capabilities": {name: each.get("type", "") for name, each in row.capabilities.items()},
                 "relationships": {f"{each.name}[{each.position}]": each.target_node.name
                                   for each in row.outbound_relationships}}, as_json)


def _attributes(program: Program, node: Node) -> dict[str, Any]:
    from aria_core import MASK

    values = {name: MASK if each.type_name == "secret" and each.value is not None else each.value
              for name, each in sorted(node.attribute_rows.items())}
    return dict(secrets_of(program, node.service).hide_in(values))


def _find(program: Program, node: str, service: str | None) -> Node:
    table = program.model.node
    if service is None:
        return table.get(int(node)) if node.isdecimal() else table.get_by_name(node)
    from aria_core import NotFoundError

    owner = program.model.service.get_by_name(service)
    found = table.list(filters={"service_id": owner.id, "name": node}).items
    if not found:
        names = ", ".join(sorted(owner.nodes)) or "none"
        raise NotFoundError(f"service {service!r} has no node {node!r}; its nodes are: {names}")
    return found[0]
