"""Says that every call succeeded and runs none."""

from __future__ import annotations

from aria_core import Call, Executor, Inbox, Started, Succeeded, hookimpl


class DryExecutor(Executor):
    """Shows what a workflow would do: tasks pass through their states, nothing happens."""

    runs_operations = False
    slots = None

    def __init__(self) -> None:
        self._is_closed = False

    def open(self, report: Inbox) -> None:
        """Keep where to report."""
        self._report = report

    def submit(self, call: Call) -> None:
        """Report that the call began and succeeded; ``RuntimeError`` after `close`."""
        if self._is_closed:
            raise RuntimeError("the executor is closed, it takes no more calls")
        self._report(Started(call.ref, "dry"))
        self._report(Succeeded(call.ref))

    def close(self, grace: float) -> None:
        """Take no more calls."""
        self._is_closed = True


@hookimpl
def aria_executor() -> type[Executor]:
    """The class behind ``use = "dry"``."""
    return DryExecutor
