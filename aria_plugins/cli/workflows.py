"""``aria workflows``: what can be run on a service."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from . import options
from .printing import show_fields, show_table
from .program import Program, pass_program
from .shown import shown_parameters

if TYPE_CHECKING:
    from aria_core import Service


@click.group()
def workflows() -> None:
    """Look at workflows."""


@workflows.command("list")
@click.option("--service", metavar="NAME", help="Also those of this service's own.")
@options.as_json
@pass_program
def list_workflows(program: Program, service: str | None, as_json: bool) -> None:
    """List the built-in workflows, and those of a service."""
    row = None if service is None else program.model.service.get_by_name(service)
    show_table(list(_workflows(program, row).values()), ("name", "origin", "inputs", "description"), as_json)


@workflows.command("show")
@click.argument("service")
@click.argument("workflow")
@options.as_json
@pass_program
def show(program: Program, service: str, workflow: str, as_json: bool) -> None:
    """Show a workflow of a service: its inputs with their defaults, and its function."""
    from aria_core import UndeclaredWorkflowError

    row = program.model.service.get_by_name(service)
    known = _workflows(program, row)
    if workflow not in known:
        raise UndeclaredWorkflowError(
            f"service {service!r} has no workflow {workflow!r}; it has: {', '.join(known)}")
    own = row.workflows.get(workflow)
    inputs = (dict(_defaults(workflow)) if own is None
              else shown_parameters(program, row, own.input_parameters))
    show_fields({**known[workflow], "inputs": inputs}, as_json)


def _workflows(program: Program, service: Service | None) -> dict[str, dict[str, Any]]:
    """Every workflow by name; a service's own hides those of extensions, these a built-in one."""
    from aria_core import BUILTIN_WORKFLOWS

    rows = {name: _row(name, "built in", list(_defaults(name)), _first_sentence(each),
                       f"{each.__module__}:{each.__name__}") for name, each in BUILTIN_WORKFLOWS.items()}
    for name, spec in program.application.hooks.workflows().items():
        rows[name] = _row(name, "extension", sorted(spec.inputs), "", spec.function)
    for name, own in sorted((service.workflows if service is not None else {}).items()):
        rows[name] = _row(name, "template", sorted(own.input_parameters), "",
                          own.function or "in steps")
    return rows


def _row(name: str, origin: str, inputs: list[str], description: str, function: str | None) -> dict[str, Any]:
    return {"name": name, "origin": origin, "inputs": inputs, "description": description,
            "function": function}


def _defaults(name: str) -> Mapping[str, Any]:
    from aria_core import BUILTIN_WORKFLOWS

    if name not in BUILTIN_WORKFLOWS:
        return {}
    parameters = inspect.signature(inspect.unwrap(BUILTIN_WORKFLOWS[name])).parameters
    return {key: None if each.default is each.empty else each.default
            for key, each in parameters.items() if key not in ("ctx", "graph")}


def _first_sentence(function: Any) -> str:
    return (inspect.getdoc(function) or "").split("\n", maxsplit=1)[0]
