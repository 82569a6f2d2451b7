"""What goes wrong with scripts."""

from __future__ import annotations

import signal

from aria_core import InvalidInputError

_SHOWN_LINES = 10


class ScriptSettingsError(InvalidInputError):
    """A script cannot be started as the template asks; another attempt would meet the same."""


class ProcessError(RuntimeError):
    """A script did not end well.

    `exit_code` is negative if a signal ended it; `stdout` and `stderr` are the ends of what it printed.
    The message holds the last lines of standard error.
    """

    def __init__(self, script: str, exit_code: int, stdout: str, stderr: str) -> None:
        self.script = script
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr
        told = "\n".join(stderr.splitlines()[-_SHOWN_LINES:])
        super().__init__(f"{script} {_ending(exit_code)}{f': {told}' if told else ''}")


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"
