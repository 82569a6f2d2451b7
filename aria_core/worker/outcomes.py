"""How an operation says that this attempt is over before it is done.

They live here because workers raise and catch them with nothing but the standard library;
`aria_core.orchestrator.exceptions` offers them under the names of the manual.
"""

from __future__ import annotations


class TaskAbortException(RuntimeError):
    """Used internally when ``ctx.task.abort`` is called: the task fails for good."""


class TaskRetryException(RuntimeError):
    """Used internally when ``ctx.task.retry`` is called: the task is tried again.

    `retry_interval` is how many seconds to wait; None: what the task says.
    """

    def __init__(self, message: str, retry_interval: float | None = None) -> None:
        super().__init__(message)
        self.retry_interval = retry_interval
