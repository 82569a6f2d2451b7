"""How an operation says that this attempt is over before it is done.

They live here because workers raise and catch them with nothing but the standard library;
`aria_core.orchestrator.exceptions` offers them under the names of the manual.
"""

from __future__ import annotations

_MOST_CLASSES = 50


class TaskAbortException(RuntimeError):
    """Used internally when ``ctx.task.abort`` is called: the task fails for good."""


class TaskRetryException(RuntimeError):
    """Used internally when ``ctx.task.retry`` is called: the task is tried again.

    `retry_interval` is how many seconds to wait; None: what the task says.
    """

    def __init__(self, message: str, retry_interval: float | None = None) -> None:
        super().__init__(message)
        self.retry_interval = retry_interval


def class_name(kind: type) -> str:
    """``package.module.Class``; what is built in has no module."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def class_names(error: BaseException) -> tuple[str, ...]:
    """The class of an error and all classes it comes from, nearest first: what rules of retries look at."""
    return tuple(class_name(kind) for kind in type(error).__mro__[:_MOST_CLASSES] if kind is not object)
