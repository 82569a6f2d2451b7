"""How a script is started: its process settings, its command, its environment."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aria_plugins.operations.script.errors import ScriptSettingsError

INHERITED = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"})
"""What a script's environment takes over, besides ``LC_*``."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LONGEST = 128 * 1024  # what Linux lets one entry of an environment have
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_FIRST_LINE = 256


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """The ``process`` settings of a script operation."""

    cwd: str | None = None
    env: Mapping[str, Any] = field(default_factory=dict)
    args: Sequence[Any] = ()
    command_prefix: str | Sequence[str] = ()
    eval_python: bool = False


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


def command(script: Path, settings: ProcessSettings) -> list[str]:
    """The words that start the script: prefix, interpreter, script, arguments."""
    words = _prefix(settings.command_prefix) or _interpreter(script)
    return [*words, str(script), *(_text("an argument", each) for each in settings.args)]


def _prefix(given: str | Sequence[str]) -> list[str]:
    try:
        words = shlex.split(given) if isinstance(given, str) else given
    except ValueError as error:
        raise ScriptSettingsError(f"the process setting command_prefix is {given!r}: {error}") from error
    return [_text("the process setting command_prefix", each) for each in words]


def _interpreter(script: Path) -> list[str]:
    """What the first line says; so it also works where files in the temporary folder may not be executed."""
    with script.open("rb") as file:
        start = file.read(_FIRST_LINE)
    if start.startswith(b"#!"):
        words = start[2:].partition(b"\n")[0].strip().split(None, 1)
        return [os.fsdecode(each) for each in words] or ["/bin/sh"]
    if script.suffix == ".py":
        return [sys.executable]
    return [] if b"\0" in start else ["/bin/sh"]


def environment(inputs: Mapping[str, Any], settings: ProcessSettings, own: Mapping[str, str],
                path: str) -> dict[str, str]:
    """The whole environment: what is inherited, inputs, settings, ours; `path` comes first on PATH.

    Raises ``ScriptSettingsError`` for a name or value that an environment cannot carry.
    """
    found = {name: value for name, value in os.environ.items()
             if name in INHERITED or name.startswith("LC_")}
    for kind, values in (("the input", inputs), ("the process setting env:", settings.env)):
        found.update(dict(_entry(kind, name, value) for name, value in values.items()))
    found["PATH"] = f"{path}{os.pathsep}{found.get('PATH') or _DEFAULT_PATH}"
    return {**found, **own}


def _entry(kind: str, name: str, value: Any) -> tuple[str, str]:
    if not _NAME.match(name):
        raise ScriptSettingsError(f"{kind} {name!r} cannot be an environment variable; names are letters, "
                                  "digits and _, not beginning with a digit")
    text = _text(f"{kind} {name}", value)
    size = len(text.encode())
    if len(name) + size + 2 > _LONGEST:
        raise ScriptSettingsError(f"{kind} {name} has {size} bytes; an environment variable has room for "
                                  "128 KiB, so pass a file instead")
    return name, text


def _text(what: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    if "\0" in text:
        raise ScriptSettingsError(f"{what} contains a NUL, which no program can be given")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ScriptSettingsError(
            f"{what} contains a lone surrogate, which no program can be given") from error
    return text
