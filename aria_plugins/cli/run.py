"""``aria run``: from a template to a running service in one command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .executions import workflow_types
from .inputs import read_inputs
from .program import Program, pass_program
from .running import chosen_executor, leave_to_queue, new_run
from .templates import change, input_types, load, store

if TYPE_CHECKING:
    from aria_core import LoadedTemplate, Service, ServiceTemplate


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for, beside the template."""

    service: str
    workflow: str
    given: Sequence[str]
    inputs_file: Path | None


@click.command()
@click.argument("template", type=click.Path(exists=True, path_type=Path))
@click.option("--workflow", "-w", default="install", show_default=True, metavar="NAME", help="What to run.")
@click.option("--service", "-s", metavar="NAME", help="The service's name; the template's, if not given.")
@options.inputs
@options.inputs_file
@click.option("--workflow-input", "workflow_given", multiple=True, metavar="NAME=VALUE",
              help="A value for an input of the workflow. May be repeated.")
@options.executor
@options.dry
@options.max_attempts
@options.retry_interval
@options.retry_budget
@options.limits
@options.queue
@options.loader
@options.as_json
@pass_program
def run(  # noqa: PLR0917 - click hands one argument for each option
        program: Program, /, template: Path, workflow: str, service: str | None,
        given: tuple[str, ...], inputs_file: Path | None, workflow_given: tuple[str, ...],
        executor: str | None, dry: bool, queue: bool, loader: str | None, as_json: bool,
        **settings: Any) -> int:
    """Make a service of TEMPLATE and run a workflow on it.

    The template and the service are stored under the template's name. If that service exists, the
    workflow runs on it as it is: 'aria run hello.yaml --workflow uninstall' undoes
    'aria run hello.yaml'. A template that was changed since is refused.
    """
    loaded = load(program, template, loader)
    if not dry:
        _check_files(loaded)
    wish = Wish(loaded.template.name if service is None else service, workflow, given, inputs_file)
    chosen = chosen_executor(program, executor, dry)
    with ExitStack() as undo:
        row = _service(program, loaded, wish, undo)
        inputs = read_inputs(workflow_given, None, workflow_types(row, workflow))
        wanted = {"service_id": row.id, "workflow_name": workflow, "inputs": inputs, **settings}
        if queue:
            code = leave_to_queue(program, as_json, executor, dry, **wanted)
            undo.pop_all()
            return code
        new = new_run(program, as_json, executor=chosen, **wanted)
        undo.pop_all()
    return new.carry_out()


def _check_files(loaded: LoadedTemplate) -> None:
    from aria_core import LoadError

    if loaded.missing:
        raise LoadError(loaded.missing)


def _service(program: Program, loaded: LoadedTemplate, wish: Wish, undo: ExitStack) -> Service:
    """The service to run on. What is made here is removed by `undo`: an error leaves nothing behind."""
    from aria_core import AlreadyExistsError

    for _ in ("template", "service"):
        with suppress(AlreadyExistsError):  # another process was quicker: now there is one to be found
            return _found_or_made(program, loaded, wish, undo)
    return _found_or_made(program, loaded, wish, undo)


def _found_or_made(program: Program, loaded: LoadedTemplate, wish: Wish, undo: ExitStack) -> Service:
    from aria_core import create_service, delete_service

    given = read_inputs(wish.given, wish.inputs_file, input_types(loaded.template))
    existing = program.model.service.list(filters={"name": wish.service}).items
    if existing:
        _check_existing(program, existing[0], loaded, given)
        return existing[0]
    stored = _stored(program, loaded, undo)
    service = create_service(program.model, stored, wish.service, given)
    undo.callback(_withdraw, delete_service, program, service, force=True)
    return service


def _stored(program: Program, loaded: LoadedTemplate, undo: ExitStack) -> ServiceTemplate:
    """The template as it is stored, now if need be."""
    from aria_core import InvalidInputError, delete_template

    name = loaded.template.name
    same_name = program.model.service_template.list(filters={"name": name}).items
    changed = change(program, same_name[0], loaded) if same_name else None
    if same_name and changed is None:
        return same_name[0]
    if same_name and same_name[0].services:
        services = ", ".join(each.name for each in same_name[0].services)
        raise InvalidInputError(
            f"the stored template {name!r} is not this one any more ({changed}) and has the services "
            f"{services}; delete these first, or store this one under another name with "
            f"'aria service-templates store FILE NAME'")
    if same_name:
        delete_template(program.model, program.resources, same_name[0])
    stored = store(program, loaded)
    undo.callback(_withdraw, delete_template, program, stored)
    return stored


def _withdraw(delete: Callable[..., None], program: Program, row: Any, **keywords: Any) -> None:
    """Delete what this call has made, unless somebody else has taken it into use meanwhile."""
    from aria_core import AriaError

    with suppress(AriaError):
        delete(program.model, program.resources, row, **keywords)


def _check_existing(program: Program, service: Service, loaded: LoadedTemplate,
                    given: dict[str, Any]) -> None:
    from aria_core import InvalidInputError

    stored = service.service_template
    if stored is None or stored.name != loaded.template.name:
        other = stored.name if stored is not None else "one that is gone"
        raise InvalidInputError(f"the service {service.name!r} was made of another template, {other!r}; "
                                "name another service with --service")
    changed = change(program, stored, loaded)
    if changed is not None:
        raise InvalidInputError(
            f"the template was changed since the service {service.name!r} was made of it ({changed}): run "
            f"workflows on the service as it is with 'aria executions start {service.name} WORKFLOW', or "
            f"uninstall it so, delete it with 'aria services delete {service.name}' and run this again")
    _check_same_inputs(loaded, service, given)


def _check_same_inputs(loaded: LoadedTemplate, service: Service, given: dict[str, Any]) -> None:
    """Inputs belong to the making of a service; giving the same ones again does no harm."""
    from aria_core import InvalidInputError, check_inputs

    declared = loaded.template.inputs
    kept = {name: each.value for name, each in service.input_parameters.items()}
    asked = check_inputs(declared, {**kept, **given}, f"service template {loaded.template.name!r}")
    other = [name for name in given if asked[name] != kept.get(name)]
    if other:
        raise InvalidInputError(
            f"the service {service.name!r} was made with another value of {', '.join(map(repr, other))}; "
            "inputs are given when a service is made: leave them out, or name another service with --service")
