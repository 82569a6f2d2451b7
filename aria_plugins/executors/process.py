"""Runs calls in warm worker processes of this host: the default executor."""

from __future__ import annotations

import os
from collections.abc import Iterable

from aria_core import Call, CallRef, ConfigurationError, Executor, Inbox, WorkerPool, hookimpl


class ProcessExecutor(Executor):
    """Runs each call in one of `slots` warm processes (None: as many as there are processors).

    A call of a plugin runs in a process of the plugin's own environment. Operations see an allow-list
    of the runner's environment variables; `environment` names more. A process is replaced after
    `recycle_after` calls.
    """

    can_terminate = True
    isolates_calls = True

    def __init__(self, slots: int | None = None, environment: tuple[str, ...] = (),
                 recycle_after: int = 10_000) -> None:
        if slots is not None and slots < 1:
            raise ConfigurationError(f"slots is {slots}; an executor has at least 1")
        self.slots: int = os.cpu_count() or 1 if slots is None else slots
        self._pool = WorkerPool(lambda: self.slots, environment, recycle_after)

    def open(self, report: Inbox) -> None:
        """Get ready; the first call starts the first process."""
        self._pool.open(report)

    def submit(self, call: Call) -> None:
        """Take a call over; ``RuntimeError`` after `close`."""
        self._pool.submit(call)

    def submit_all(self, calls: Iterable[Call]) -> list[tuple[CallRef, Exception]]:
        """Take over what one batch sends; all are refused after `close`."""
        return self._pool.submit_all(calls)

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """Take back what no process has begun."""
        return self._pool.withdraw(refs)

    def terminate(self, ref: CallRef, grace: float) -> bool:
        """End the call's process and whatever the attempt has started; its neighbours go on."""
        return self._pool.terminate(ref, grace)

    def close(self, grace: float) -> None:
        """End all processes; what still runs is terminated with `grace`."""
        self._pool.close(grace)


@hookimpl
def aria_executor() -> type[Executor]:
    """The class behind ``use = "process"``."""
    return ProcessExecutor
