"""What an executor promises, and the two things it is handed: calls and a way to report."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from aria_core.exceptions import AriaError
from aria_core.orchestrator.exceptions import InvalidWorkflowRunnerParams
from aria_core.worker.calls import Call, CallRef, Report

if TYPE_CHECKING:
    from aria_core.orchestrator.remote_worker import RemoteWorker

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


@dataclass(frozen=True, slots=True)
class Station:
    """What a worker is to be, as ``aria worker`` was told, and what it needs for that."""

    make_worker: Callable[[int, Callable[[int], None]], RemoteWorker]
    """A new worker, not yet open, from its slots and whom to wake: see `RemoteWorker`."""
    slots: int
    queues: tuple[str, ...] = ()
    """The queues to serve; none: the usual one."""
    name: str | None = None
    """What the worker is called, for people."""
    grace: float = 30.0
    """Seconds that running operations have when it is told to stop."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set by the first signal: take no more, let what runs end within the grace."""
    hurry: threading.Event = field(default_factory=threading.Event)
    """Set by the second signal: end what runs."""


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
    """False: nothing happens (dry); neither nodes nor attributes are touched.

    Where an argument has no value, since nothing set it, the call comes without arguments.
    """
    needs_reach: ClassVar[Literal["process", "host", "network"]] = "process"
    """From where the storages must be reachable for calls to run."""
    name: str | None = None
    """The word it was chosen by; stored with its executions, for people. None: made by hand."""
    lent_to: int | None = None
    """The execution it serves now; see `lent`."""
    origin: str = ""
    """What tells the calls of that execution from those that another database numbers alike, also calls that
    a former runner has sent; set before `open`."""
    slots: int | None = 1
    """How many calls run at once; read before each dispatch, may change. None: no bound."""
    has_queues: bool = False
    """Calls wait in queues (`queue_of`), each of which has slots of its own (`slots_of`)."""

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

    def queue_of(self, call: Call) -> str:
        """The queue that an outlined call waits in; asked if the executor `has_queues`, before `open`."""
        return ""

    def slots_of(self, queue: str) -> int:
        """How many calls of a queue run at once, as `slots` says of all; 0: nobody serves it now."""
        return self.slots or 0

    def running(self) -> frozenset[CallRef]:
        """The calls that run in this very process, where nothing can end them; also after `close`.

        What runs elsewhere need not be named: it is found by its mark.
        """
        return frozenset()

    def serve(self, station: Station) -> None:
        """Be a worker of this executor, on whatever host, until told to stop; `aria worker` calls it.

        For executors whose calls survive the runner: take refs from where `submit` sends them, and have a
        `RemoteWorker` of the station run them. Blocks; it need not be open. Returns when ``station.stop`` is
        set, or by signals of its own; then no call of it runs any more.
        """
        raise AriaError(f"the executor {self.name or type(self).__name__} has no workers of its own: its "
                        "calls run where their runner does")

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
        executor.lent_to, executor.origin = None, ""
