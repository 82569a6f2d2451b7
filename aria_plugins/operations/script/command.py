"""What runs a script, as its settings, its first line or its name say; the host is not looked at here."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from aria_plugins.operations.script.errors import ScriptSettingsError
from aria_plugins.operations.script.settings import ProcessSettings
from aria_plugins.operations.script.text import as_text

_ENV = frozenset({b"/usr/bin/env", b"/bin/env"})
_PLAIN_WORDS = re.compile(rb"[\w./+-]+(?:[ \t]+[\w./+-]+)*")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The first of `programs` that the host has, with `arguments` before the script.

    Without programs the script is one itself.
    """

    programs: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    def command(self, program: str | None, script: str, settings: ProcessSettings) -> list[str]:
        """The words that start the script with the program that was found (None: itself)."""
        before = [] if program is None else [program, *self.arguments]
        return [*before, script, *(as_text("an argument", each) for each in settings.args)]

    def missing(self) -> ScriptSettingsError:
        """What to raise on a host that has none of the programs."""
        return ScriptSettingsError(f"there is no {' or '.join(self.programs)} to run it with")


def interpreter(name: str, start: bytes, settings: ProcessSettings, python: str = "python3") -> Interpreter:
    """What runs the script called `name` that begins with `start`.

    That is ``command_prefix``, or what the first line says, or what fits the name: `python` for ``.py``,
    PowerShell for ``.ps1``, sh for the rest; a binary is run as it is.
    """
    if words := _prefix(settings.command_prefix):
        return Interpreter((words[0],), tuple(words[1:]))
    if start.startswith(b"#!"):
        return _of_first_line(start[2:].partition(b"\n")[0].strip())
    if name.endswith(".py"):
        return Interpreter((python,))
    if name.lower().endswith(".ps1"):
        return Interpreter(("pwsh", "powershell"), ("-NoProfile", "-NonInteractive", "-File"))
    return Interpreter() if b"\0" in start else Interpreter(("/bin/sh",))


def _prefix(given: str | Sequence[str]) -> list[str]:
    try:
        words = shlex.split(given) if isinstance(given, str) else given
    except ValueError as error:
        raise ScriptSettingsError(f"the process setting command_prefix is {given!r}: {error}") from error
    return [as_text("the process setting command_prefix", each) for each in words]


def _of_first_line(line: bytes) -> Interpreter:
    """As the kernel reads it; so it also works where files in the temporary folder may not be executed."""
    words = line.split(None, 1)
    if len(words) == 2 and words[0] in _ENV:
        words = _after_env(words[1]) or words
    first, *others = map(os.fsdecode, words or [b"/bin/sh"])
    return Interpreter((first,), tuple(others))


def _after_env(rest: bytes) -> list[bytes] | None:
    """The words ``env`` would run, if it did nothing else: so what is missing is found before."""
    split = rest.startswith(b"-S")
    plain = rest[2:].strip() if split else rest
    words = plain.split() if _PLAIN_WORDS.fullmatch(plain) and not plain.startswith(b"-") else []
    return words if words and (split or len(words) == 1) else None
