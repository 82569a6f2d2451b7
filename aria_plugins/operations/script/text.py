"""Values as text that a program can be given."""

from __future__ import annotations

import json
from typing import Any

from aria_plugins.operations.script.errors import ScriptSettingsError


def as_text(what: str, value: Any) -> str:
    """Text as it is, everything else as JSON; ``ScriptSettingsError`` for what cannot be passed."""
    text = value if isinstance(value, str) else json.dumps(value)
    if "\0" in text:
        raise ScriptSettingsError(f"{what} contains a NUL, which no program can be given")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ScriptSettingsError(
            f"{what} contains a lone surrogate, which no program can be given") from error
    return text
