"""Who has an execution, as its row says, and whether they can still be there."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aria_core.worker.processes import is_alive, started_at

TAKES_OVER_AFTER = 15.0
"""Seconds a challenger must see the same beat before it takes over."""
LOOKS_EVERY = 0.25
"""Seconds between two looks at an execution's row."""


def this_process() -> dict[str, Any]:
    """The identity of this process as an owner: boot, pid namespace, pid, start time, host."""
    pid = os.getpid()
    return {"boot": _boot(), "namespace": _namespace(), "pid": pid, "started": started_at(pid),
            "host": platform.node()}


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def is_gone(owner: Mapping[str, Any] | None) -> bool | None:
    """Whether an owner's process is gone; None if that cannot be told from here."""
    if owner is None:
        return True
    if (owner.get("boot"), owner.get("namespace")) != (_boot(), _namespace()):
        return None
    return not is_alive(int(owner["pid"]), owner.get("started"))


def describe_owner(owner: Mapping[str, Any] | None) -> str:
    """An owner for people."""
    if owner is None:
        return "nobody"
    name = f"{owner['name']}, " if owner.get("name") else ""
    return f"{name}process {owner.get('pid')} on {owner.get('host')}"
