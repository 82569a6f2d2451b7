"""How an operation says that this attempt is over before it is done, and how scripts end badly.

They live here because workers raise and catch them with nothing but the standard library;
`aria_core.orchestrator.exceptions` offers them under the names of the manual.
"""

from __future__ import annotations

import signal

_MOST_CLASSES = 50
_SHOWN_LINES = 10


class TaskAbortException(RuntimeError):
    """Used internally when ``ctx.task.abort`` is called: the task fails for good."""


class TaskRetryException(RuntimeError):
    """Used internally when ``ctx.task.retry`` is called: the task is tried again.

    `retry_interval` is how many seconds to wait; None: what the task says.
    """

    def __init__(self, message: str, retry_interval: float | None = None) -> None:
        super().__init__(message)
        self.retry_interval = retry_interval


class ProcessException(RuntimeError):
    """A script or command did not end well.

    `return_code` is negative if a signal ended it; `stdout` and `stderr` are the ends of what it printed.
    The message holds the last lines of standard error.
    """

    def __init__(self, command: str, stderr: str | None = None, stdout: str | None = None,
                 return_code: int | None = None) -> None:
        self.command = command
        self.stderr = stderr
        self.stdout = stdout
        self.return_code = return_code
        told = "\n".join((stderr or "").splitlines()[-_SHOWN_LINES:])
        super().__init__(f"{command} {_ending(return_code)}{f': {told}' if told else ''}")

    @property
    def exit_code(self) -> int | None:
        """The same as `return_code`."""
        return self.return_code

    @property
    def explanation(self) -> str:
        """All of it, for people."""
        return (f'Command "{self.command}" {_ending(self.return_code)}\n'
                f"error: {self.stderr or ''}\noutput: {self.stdout or ''}")


def _ending(code: int | None) -> str:
    if code is None:
        return "did not end well"
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def class_name(kind: type) -> str:
    """``package.module.Class``; what is built in has no module."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def class_names(error: BaseException) -> tuple[str, ...]:
    """The class of an error and all classes it comes from, nearest first: what rules of retries look at."""
    return tuple(class_name(kind) for kind in type(error).__mro__[:_MOST_CLASSES] if kind is not object)
