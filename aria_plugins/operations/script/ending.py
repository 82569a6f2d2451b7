"""How a script has ended: what it decided about its task, else its exit code."""

from __future__ import annotations

from aria_core import ContextServer, ProcessException
from aria_plugins.operations.script.output import ScriptOutput


def conclude(script_path: str, exit_code: int, output: ScriptOutput, server: ContextServer) -> None:
    """Log what has no end of line yet, and raise unless the script ended well.

    Its verdict counts, whatever the exit code (which is negative if a signal ended it).
    """
    output.finish()
    server.raise_verdict()
    if exit_code:
        raise ProcessException(script_path, output.stderr.tail, output.stdout.tail, exit_code)
