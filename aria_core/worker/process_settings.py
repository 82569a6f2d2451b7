"""The ``process`` settings of scripts: what there is, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

PROCESS_SETTINGS: Mapping[str, tuple[tuple[type, ...], str]] = MappingProxyType({
    "cwd": ((str,), "a directory"),
    "env": ((dict,), "a map of variables"),
    "args": ((list, tuple), "a list"),
    "command_prefix": ((str, list, tuple), "a command or a list of words"),
    "eval_python": ((bool,), "true or false"),
})
"""Name -> the types of its values, and what it takes in words."""


def process_refusal(name: str, value: Any) -> str | None:
    """A sentence if there is no such setting or it does not take this value; null is taken by all."""
    if name not in PROCESS_SETTINGS:
        return f"there is no process setting {name!r}; there are {', '.join(PROCESS_SETTINGS)}"
    kinds, takes = PROCESS_SETTINGS[name]
    if value is None or isinstance(value, kinds):
        return None
    return f"the process setting {name} is {value!r}; it takes {takes}"
