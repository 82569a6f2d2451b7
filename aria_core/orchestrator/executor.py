"""What an executor promises, and the two things it is handed: calls and a way to report."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Protocol, Self

from aria_core.orchestrator.exceptions import InvalidWorkflowRunnerParams
from aria_core.worker.calls import Call, CallRef, Report

EXECUTOR_API = 1
POLL_INTERVAL = 5.0
CLOSE_GRACE = 5.0
"""Seconds that running calls have when a ``with`` block ends."""


class Inbox(Protocol):
    """Where an executor's reports go and where running calls ask their questions.

    All of it may be used from any thread. Calling it never blocks and never raises.
    """

    def __call__(self, report: Report) -> None:
        """Take one report."""

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        """Answer what the running call `ref` asks (`aria_core.worker.channel` lists the verbs).

        Blocks while it reads; raises what the asking operation is to be told.
        """

    def look(self) -> None:
        """Say that the storage may know something new of the execution's calls, or that `slots` changed.

        For executors whose calls run elsewhere and are reported through the storage; a hint that may be
        lost, doubled or wrong. Never blocks, never raises.
        """


class Executor(ABC):
    """Says where calls run. Made without I/O. Knows no storage, no order, no retries.

    Used from one engine thread. For every submitted call it gives at most one ``Started`` and exactly
    one final report, in this order; calls that were withdrawn give none.

    One that survives its runner reports nothing: what it is given is an outline (no arguments, and of a
    plugin the name alone) that says where to send a message with the call's ref. A worker claims the call
    in the storage and leaves its report there; the executor may then say `Inbox.look`. A message may be lost
    or doubled at no harm, and a call that nobody claims is submitted again. So it raises only for a call that
    it can never send.
    """

    api: ClassVar[int] = EXECUTOR_API
    can_terminate: ClassVar[bool] = False
    """`terminate` ends a running call and its children."""
    isolates_calls: ClassVar[bool] = False
    """Calls run outside the runner's process, and one that ends its process harms no other."""
    survives_runner: ClassVar[bool] = False
    """Calls outlive the runner: only their refs leave, the worker claims them."""
    poll_interval: float = POLL_INTERVAL
    """Seconds until the storage is looked into without a hint, if calls survive the runner."""
    runs_operations: ClassVar[bool] = True
    """False: nothing happens (dry); neither nodes nor attributes are touched."""
    needs_reach: ClassVar[Literal["process", "host", "network"]] = "process"
    """From where the storages must be reachable for calls to run."""
    name: str | None = None
    """The word it was chosen by; stored with its executions, for people. None: made by hand."""
    lent_to: int | None = None
    """The execution it serves now; see `lent`."""
    slots: int | None = 1
    """How many calls run at once; read before each dispatch, may change. None: no bound."""

    @abstractmethod
    def open(self, report: Inbox) -> None:
        """Get ready to run calls and keep `report`, before anything else.

        Called again by the next runner that is handed this executor, when nothing of the former one
        runs any more: what is warm stays warm, and reports go to the new place.
        """

    @abstractmethod
    def submit(self, call: Call) -> None:
        """Take the call over and return at once. Raising means: surely not started."""

    def submit_all(self, calls: Iterable[Call]) -> list[tuple[CallRef, Exception]]:
        """Take over, in this order, what one batch sends; the calls that were refused, and why.

        Raising means: surely none of them was started. This submits one after the other; it is to be
        replaced in an executor to which many calls at once are less work.
        """
        refused: list[tuple[CallRef, Exception]] = []
        for call in calls:
            try:
                self.submit(call)
            except Exception as error:  # noqa: BLE001 - an extension may raise anything, and it concerns one call
                refused.append((call.ref, error))
        return refused

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """Take back the calls that have not begun; atomic against their beginning."""
        return frozenset()

    def terminate(self, ref: CallRef, grace: float) -> bool:
        """End a running call: ask, and after `grace` seconds force. True: a final report follows."""
        return False

    def running(self) -> frozenset[CallRef]:
        """The calls that run in this very process, where nothing can end them; also after `close`.

        What runs elsewhere need not be named: it is found by its mark.
        """
        return frozenset()

    @abstractmethod
    def close(self, grace: float) -> None:
        """End what can be ended within `grace` seconds. Afterwards no report. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(CLOSE_GRACE)


_LENDING = threading.Lock()  # guards `lent_to` of every executor


@contextmanager
def lent(executor: Executor, execution: int) -> Iterator[None]:
    """Let one execution have the executor; ``InvalidWorkflowRunnerParams`` while another has it."""
    with _LENDING:
        if executor.lent_to is not None:
            raise InvalidWorkflowRunnerParams(
                f"this executor is at work for execution {executor.lent_to}; runners that work at the same "
                "time need an executor each")
        executor.lent_to = execution
    try:
        yield
    finally:
        executor.lent_to = None
