"""What ``import aria_core`` gives to a plugin, in its own environment.

This very module is ``aria_core`` there: the worker runs it under that name when it starts, from the
files of the core that runs (`aria_core.worker.worker_process`). So it cannot be older or newer than the
runner, and nothing of ours is written into an environment. It needs the standard library only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_HOMES = {
    "TaskAbortException": "aria_core.worker.outcomes",
    "TaskRetryException": "aria_core.worker.outcomes",
    "ctx": "aria_core.worker.current",
    "operation": "aria_core.worker.decorators",
}
_THERE = ("worker", "exceptions")

__all__ = sorted(_HOMES)  # noqa: PLE0605 - a name is offered in one place


def _refusal(name: str) -> ImportError:
    return ImportError(
        f"a plugin cannot import {name}: of aria_core it has {', '.join(__all__)} and the package worker, "
        "because its operations run in an environment of their own", name=name)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'aria_core' has no attribute {name!r}")
    if name not in _HOMES:
        raise _refusal(f"aria_core.{name}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


class _Guard:
    """Says why what else lies beside our files is not to be had here."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
                  ) -> ModuleSpec | None:
        """None, so that others look; ``ImportError`` for what would not work in a plugin."""
        top, _, rest = name.partition(".")
        if top == "aria_core" and rest.partition(".")[0] not in _THERE:
            raise _refusal(name)
        return None


sys.meta_path.insert(0, _Guard())
