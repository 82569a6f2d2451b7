"""Operations that write down when they begin and end; standard library only, like any worker's code.

Each line of the file ``effects`` is ``<execution>/<task>/<attempt>[@<origin>] <what> <pid> <time>``, with
`what` ``begin``, ``end`` or, many times a second between them, ``runs``, and the time in seconds since the
epoch, and is written with one system call.
Of a process that is to stay when its operation has ended, ``serve`` says that it was started, and ``stop``,
by any attempt, that it is about to be ended.
Scripts may write the same lines: their ``$ARIA_ATTEMPT`` is the first word. How many seconds an operation
lasts stands in the file ``seconds``, so that a test can let it last until something has happened.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from aria_core.testing.fault_points import FaultPoints, append_line

EFFECTS = "effects"
SECONDS = "seconds"
"""The names of the files in the directory of a test."""
SAYS_EVERY = 0.05
"""Seconds after which an operation says again that it runs, so that it is seen if it should not."""


def note(ctx: Any, directory: str, what: str) -> None:
    """Write one line for the attempt of `ctx`."""
    own = f"{ctx.task.token}/{ctx.task.attempt}"
    marked = os.environ.get("ARIA_ATTEMPT", "")  # only in a process of its own
    mark = marked if marked.partition("@")[0] == own else own
    append_line(Path(directory, EFFECTS), f"{mark} {what} {os.getpid()} {time.time():.6f}")


def effect(ctx: Any, directory: str, times: float = 1.0) -> None:
    """Begin, log, last `times` as long as said, end."""
    points = FaultPoints(Path(directory))
    note(ctx, directory, "begin")
    ctx.logger.info("effect %s/%s", ctx.task.token, ctx.task.attempt)
    points.before("effect")
    _last(ctx, directory, times)
    note(ctx, directory, "end")
    points.after("effect")


def effect_at_second(ctx: Any, directory: str) -> None:
    """Like `effect`, but the first attempt that comes this far fails."""
    marker = Path(directory, f"failed-{ctx.task.token.replace('/', '-')}")
    if not marker.exists():
        note(ctx, directory, "begin")
        marker.touch()
        raise ValueError("the first time it fails")
    effect(ctx, directory)


def effect_in_attributes(ctx: Any, directory: str) -> None:
    """Like `effect`; commits one attribute early and leaves another."""
    ctx.node.attributes["early"] = ctx.task.attempt
    ctx.flush()
    effect(ctx, directory)
    ctx.node.attributes["late"] = ctx.task.attempt


def effect_of_any_length(ctx: Any, directory: str) -> None:
    """Like `effect`; one task in fifty lasts a hundred times as long as the others."""
    effect(ctx, directory, 100.0 if int(ctx.task.token.partition("/")[2]) % 50 == 0 else 1.0)


def failure(ctx: Any, directory: str) -> None:
    """Begin, and fail for good."""
    note(ctx, directory, "begin")
    ctx.task.abort("as told")


def _last(ctx: Any, directory: str, times: float) -> None:
    seconds, began = Path(directory, SECONDS), time.monotonic()
    says_next = began + SAYS_EVERY
    while (now := time.monotonic()) < began + times * float(seconds.read_text()):
        if ctx.task.cancelled:
            raise RuntimeError("cancelled")
        if now >= says_next:
            says_next = now + SAYS_EVERY
            note(ctx, directory, "runs")
        time.sleep(0.005)
