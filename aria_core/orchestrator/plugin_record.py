"""What lies beside the files of an installed plugin and says what they are.

Hosts may have different Pythons and install other archives meanwhile, so the row cannot tell of all of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

_NAME = ".aria-plugin.json"


class PluginRecord(NamedTuple):
    """The SHA-256 of the archive, and how its code is reached, relative to the plugin's directory."""

    archive: str
    environment: dict[str, Any]

    def write(self, directory: Path) -> None:
        """Put it beside the files."""
        (directory / _NAME).write_text(json.dumps({"v": 1, **self._asdict()}), encoding="utf-8")


def read_record(directory: Path) -> PluginRecord | None:
    """The record of a directory; None without one, as in those that older versions have made."""
    try:
        stored = json.loads((directory / _NAME).read_text(encoding="utf-8"))
        return PluginRecord(stored["archive"], stored["environment"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return PluginRecord("", {})  # whatever it is, it is not what was asked for
