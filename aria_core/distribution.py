"""Our own distribution: its name, and which of its extras brings a module that is missing."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

OURS = "aria-core"

_FOR_OURSELVES = ("test", "bench")
"""Extras that nobody needs to use ARIA."""
_EXTRA = re.compile(r"""(?P<name>[A-Za-z0-9._-]+).*;.*extra\s*==\s*["'](?P<extra>[^"']+)["']""")


def normal(name: str) -> str:
    """A distribution's or extension's name as compared: ``_`` and ``.`` count as ``-``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def explain(error: BaseException) -> str:
    """What went wrong while something was imported, and how to get what is missing."""
    if isinstance(error, SystemExit):
        return f"it ends the program ({error.code})"
    extra = extra_of(error.name) if isinstance(error, ImportError) and error.name else None
    if extra is not None:
        return f"{error}; it comes with: pip install '{OURS}[{extra}]'"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def extra_of(module: str) -> str | None:
    """The extra of ours that brings this module; None if it is not one of them."""
    wanted = normal(module.partition(".")[0])
    try:
        requirements = requires(OURS) or []
    except PackageNotFoundError:
        return None
    for match in filter(None, map(_EXTRA.match, requirements)):
        if normal(match["name"]) == wanted and match["extra"] not in _FOR_OURSELVES:
            return match["extra"]
    return None
