"""The ``process`` settings of a script operation, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aria_core import process_refusal
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


def process_settings(given: Mapping[str, Any] | None) -> ProcessSettings:
    """Check settings; ``ScriptSettingsError`` names one that is unknown or has the wrong type."""
    found = {name: value for name, value in (given or {}).items() if value is not None}
    for name in given or ():
        if refusal := process_refusal(name, found.get(name)):
            raise ScriptSettingsError(refusal)
    return ProcessSettings(**found)
