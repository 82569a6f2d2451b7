"""What ARIA's workers import: the standard library and the task body."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.peers import common

NEEDS = ("PEER_LOG",)
"""What the operations read from the environment of the runner."""


def touch(ctx: Any, index: int, sleep: float) -> None:
    """The body that all peers have."""
    common.touch(index, sleep)


def touch_elsewhere(ctx: Any, index: int, sleep: float, log: str) -> None:
    """The same on a worker that has nothing of the runner's environment."""
    os.environ["PEER_LOG"] = log
    common.touch(index, sleep)


def meet(ctx: Any, directory: str, count: int) -> None:
    """Return once `count` of these run at the same time: every thread or process has begun then."""
    folder = Path(directory)
    (folder / f"met-{ctx.task.token.replace('/', '-')}").touch()
    until = time.monotonic() + 60
    while len(list(folder.glob("met-*"))) < count:
        if time.monotonic() > until:
            raise TimeoutError(f"{count} calls were not run at once within a minute")
        time.sleep(0.005)
