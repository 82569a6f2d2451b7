"""The ``process`` settings of a script operation, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aria_plugins.operations.script.errors import ScriptSettingsError


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """The ``process`` settings of a script operation."""

    cwd: str | None = None
    env: Mapping[str, Any] = field(default_factory=dict)
    args: Sequence[Any] = ()
    command_prefix: str | Sequence[str] = ()
    eval_python: bool | None = None

    @property
    def of_a_process(self) -> tuple[str, ...]:
        """Which of the settings that only a process of the script's own can have are given."""
        names = ("cwd", "env", "args", "command_prefix")
        return tuple(name for name in names if getattr(self, name))


_EXPECTED: Mapping[str, tuple[tuple[type, ...], str]] = {
    "cwd": ((str,), "a directory"),
    "env": ((dict,), "a map of variables"),
    "args": ((list, tuple), "a list"),
    "command_prefix": ((str, list, tuple), "a command or a list of words"),
    "eval_python": ((bool,), "true or false"),
}


def process_settings(given: Mapping[str, Any] | None) -> ProcessSettings:
    """Check settings; ``ScriptSettingsError`` names one that is unknown or has the wrong type."""
    known: dict[str, Any] = {}
    for name, value in (given or {}).items():
        if name not in _EXPECTED:
            known_names = ", ".join(_EXPECTED)
            raise ScriptSettingsError(f"there is no process setting {name!r}; there are {known_names}")
        kinds, expected = _EXPECTED[name]
        if value is None:
            continue
        if not isinstance(value, kinds):
            raise ScriptSettingsError(f"the process setting {name} is {value!r}; it takes {expected}")
        known[name] = value
    return ProcessSettings(**known)
