"""Parts of rows as people may see them: without secrets, and saying what a state does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .program import Program

if TYPE_CHECKING:
    from aria_core import Execution, Parameter, SecretValues, Service

ACTIVE = ("pending", "started", "cancelling")
"""The states of an execution that is not over."""


def shown_state(execution: Execution) -> str:
    """The state for people: an execution that nobody runs any more says so."""
    from aria_core import is_gone

    if execution.state in ACTIVE and execution.queued and execution.owner is None:
        return f"{execution.state} (queued)"
    if execution.state in ACTIVE and is_gone(execution.owner):
        return f"{execution.state} (no runner)"
    return execution.state


def secrets_of(program: Program, service: Service | None) -> SecretValues:
    """What must not be shown of a service, wherever it stands."""
    from aria_core import secret_values

    return secret_values(program.model, service.id if service is not None else 0)


def shown_parameters(program: Program, service: Service, parameters: Any) -> dict[str, Any]:
    """The values of declared parameters by name, without secrets."""
    values = {name: masked(each, each.value) for name, each in sorted(parameters.items())}
    return dict(secrets_of(program, service).hide_in(values))


def masked(declared: Parameter, value: Any) -> Any:
    """`value` as it may be shown."""
    from aria_core import MASK

    return MASK if declared.secret and value is not None else value


def parameter_row(declared: Parameter, value: Any) -> dict[str, Any]:
    """A declared value as a line of a table."""
    return {"name": declared.name, "type": declared.type_name, "value": masked(declared, value),
            "description": declared.description}


def shown_outputs(program: Program, service: Service) -> dict[str, Any]:
    """The outputs of a service by name, without secrets."""
    from aria_core import outputs

    declared, values = service.output_parameters, outputs(program.model, service)
    secrets = secrets_of(program, service)
    secrets.add(*(value for name, value in values.items() if declared[name].secret))
    return {name: secrets.hide_in(masked(declared[name], value)) for name, value in values.items()}
