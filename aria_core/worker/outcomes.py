"""How an operation says that this attempt is over before it is done, and how scripts end badly.

They live here because workers raise and catch them with nothing but the standard library;
`aria_core.orchestrator.exceptions` offers them under the names of the manual.
"""

from __future__ import annotations

import signal

from aria_core.worker.calls import Failed, Lost

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


class PluginOperationError(RuntimeError):
    """What ended the operation of a plugin, for the wrappers around it (`aria_wrap_operation`).

    The exception itself cannot leave the plugin's environment. Its text is ``ClassName: message``;
    `classes` are the names of its class and of that one's bases, nearest first, `traceback` is its
    traceback as text. After ``ctx.task.retry`` it is a ``TaskRetryException``, too, and after
    ``ctx.task.abort`` a ``TaskAbortException``. If the plugin's worker vanished `is_lost` is True, the
    text says how, and the attempt is lost whatever a wrapper makes of it.
    """

    def __init__(self, report: Failed | Lost) -> None:
        failed = report if isinstance(report, Failed) else None
        super().__init__(report.error if isinstance(report, Failed) else report.detail or report.reason)
        self.report = report
        self.is_lost = failed is None
        self.classes = failed.classes if failed else ()
        self.traceback = failed.traceback if failed else ""
        self.retry = failed.retry if failed else None
        self.retry_interval = failed.after if failed else None


class _PluginRetry(PluginOperationError, TaskRetryException):
    """A plugin's operation asked for another attempt."""


class _PluginAbort(PluginOperationError, TaskAbortException):
    """A plugin's operation ended its task."""


def plugin_error(report: Failed | Lost) -> PluginOperationError:
    """The exception that stands for what a plugin's worker reported."""
    kinds = {True: _PluginRetry, False: _PluginAbort, None: PluginOperationError}
    return kinds[report.retry if isinstance(report, Failed) else None](report)
