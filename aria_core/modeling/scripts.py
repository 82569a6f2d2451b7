"""What can be said of a script's inputs and settings before it runs: they become its environment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from aria_core.modeling.specification import OperationSpec
from aria_core.modeling.ssh_settings import ssh_refusal
from aria_core.worker.process_settings import process_refusal

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def variable_refusal(what: str, name: str) -> str | None:
    """A sentence if `name` cannot name an environment variable; `what` it names begins it."""
    if _NAME.match(name):
        return None
    return (f"{what} {name!r} cannot be an environment variable; names are letters, digits and _, not "
            "beginning with a digit")


def script_problems(operation: OperationSpec) -> Iterator[tuple[str, str]]:
    """What is wrong with the inputs and settings of an operation that runs a script: (location, sentence)."""
    process = operation.process
    for name, value in process.items():
        if not _is_call(value) and (problem := process_refusal(name, value)):
            yield operation.location, problem
    for name, value in operation.ssh.items():
        if not _is_call(value) and (refusal := ssh_refusal(name, value)):
            yield operation.location, refusal
    variables = process.get("env", {})
    for name in variables if isinstance(variables, dict) and not _is_call(variables) else ():
        if problem := variable_refusal("the process setting env:", name):
            yield operation.location, problem
    if _may_be_evaluated(operation):
        return  # then its inputs are the entries of a map
    for name, declared in operation.inputs.items():
        if problem := variable_refusal("the input", name):
            yield declared.location or operation.location, problem


def _is_call(value: Any) -> bool:
    """Whether it is an expression, whose value is not known yet."""
    return isinstance(value, dict) and any(
        isinstance(key, str) and key.startswith("$") and key[1:2] != "$" for key in value)


def _may_be_evaluated(operation: OperationSpec) -> bool:
    """Whether Python may run the script itself: it does so with ``.py`` unless something says otherwise."""
    if operation.ssh:
        return False
    chosen = operation.process.get("eval_python")
    if chosen is not None:
        return chosen is not False
    return (operation.script or "").endswith(".py") and not any(operation.process.values())
