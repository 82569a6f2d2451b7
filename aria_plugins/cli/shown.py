"""Parts of rows as people may see them: without secrets, and saying what a state does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .program import Program

if TYPE_CHECKING:
    from aria_core import Execution, Parameter, Service

ACTIVE = ("pending", "started", "cancelling")
"""The states of an execution that is not over."""


def shown_state(execution: Execution) -> str:
    """The state for people: an execution that nobody runs any more says so."""
    from aria_core import is_gone

    if execution.state in ACTIVE and is_gone(execution.owner):
        return f"{execution.state} (no runner)"
    return execution.state


def shown_parameters(parameters: Any) -> dict[str, Any]:
    """The values of declared parameters by name, secret ones masked."""
    return {name: masked(each, each.value) for name, each in sorted(parameters.items())}


def masked(declared: Parameter, value: Any) -> Any:
    """`value` as it may be shown."""
    from aria_core import MASK

    return MASK if declared.secret and value is not None else value


def parameter_row(declared: Parameter, value: Any) -> dict[str, Any]:
    """A declared value as a line of a table."""
    return {"name": declared.name, "type": declared.type_name, "value": masked(declared, value),
            "description": declared.description}


def shown_outputs(program: Program, service: Service) -> dict[str, Any]:
    """The outputs of a service by name, secret ones masked."""
    from aria_core import outputs

    declared = service.output_parameters
    return {name: masked(declared[name], value) for name, value in outputs(program.model, service).items()}
