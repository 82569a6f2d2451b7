"""A script's environment: what its inputs and settings say, wherever it runs, and what this host adds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from aria_plugins.operations.script.errors import ScriptSettingsError
from aria_plugins.operations.script.settings import ProcessSettings
from aria_plugins.operations.script.text import as_text

INHERITED = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"})
"""What the environment of a script on this host takes over, besides ``LC_*``."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LONGEST = 128 * 1024  # what Linux lets one entry of an environment have
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def entries(inputs: Mapping[str, Any], settings: ProcessSettings) -> dict[str, str]:
    """Inputs and the setting ``env``, which wins, as variables.

    Raises ``ScriptSettingsError`` for a name or value that no environment can carry.
    """
    found = (("the input", inputs), ("the process setting env:", settings.env))
    return dict(_entry(kind, name, value) for kind, values in found for name, value in values.items())


def environment(given: Mapping[str, str], own: Mapping[str, str], bin_directory: str) -> dict[str, str]:
    """The whole environment on this host: what is inherited, given and ours; `bin_directory` leads PATH."""
    inherited = {name: value for name, value in os.environ.items()
                 if name in INHERITED or name.startswith("LC_")}
    found = {**inherited, **given}
    found["PATH"] = f"{bin_directory}{os.pathsep}{found.get('PATH') or _DEFAULT_PATH}"
    return {**found, **own}


def _entry(kind: str, name: str, value: Any) -> tuple[str, str]:
    if not _NAME.match(name):
        raise ScriptSettingsError(f"{kind} {name!r} cannot be an environment variable; names are letters, "
                                  "digits and _, not beginning with a digit")
    text = as_text(f"{kind} {name}", value)
    size = len(text.encode())
    if len(name) + size + 2 > _LONGEST:
        raise ScriptSettingsError(f"{kind} {name} has {size} bytes; an environment variable has room for "
                                  "128 KiB, so pass a file instead")
    return name, text
