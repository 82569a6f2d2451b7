"""What happens during an execution, told to whoever listens.

The seed's ten signals (blinker) and the hook ``aria_event`` get the same frozen value, sent after the
change is committed, in order, from one thread of the runner's process::

    @on_failure_task_signal.connect
    def page_somebody(event: TaskEvent, **_: object) -> None: ...

A receiver that raises disturbs nobody; after five failures in a row it is not called any more.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import blinker

from aria_core.orchestrator.threads import begin_thread

EVENT_VERSION = 1
MAX_WAITING = 10_000
MAX_FAILURES = 5

sent_task_signal = blinker.Signal("sent_task_signal")
start_task_signal = blinker.Signal("start_task_signal")
on_success_task_signal = blinker.Signal("success_task_signal")
on_failure_task_signal = blinker.Signal("failure_task_signal")

start_workflow_signal = blinker.Signal("start_workflow_signal")
on_cancelling_workflow_signal = blinker.Signal("on_cancelling_workflow_signal")
on_cancelled_workflow_signal = blinker.Signal("on_cancelled_workflow_signal")
on_success_workflow_signal = blinker.Signal("on_success_workflow_signal")
on_failure_workflow_signal = blinker.Signal("on_failure_workflow_signal")
on_resume_workflow_signal = blinker.Signal("on_resume_workflow_signal")

TaskEventKind: TypeAlias = Literal["sent", "started", "succeeded", "retrying", "failed"]
WorkflowEventKind: TypeAlias = Literal["started", "resumed", "cancelling", "cancelled", "succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Something happened to a task. `error` and `traceback` stand with ``retrying`` and ``failed``."""

    kind: TaskEventKind
    execution: int
    task: int
    name: str
    attempt: int
    at: datetime
    error: str | None = None
    traceback: str | None = None
    v: int = EVENT_VERSION


@dataclass(frozen=True, slots=True)
class WorkflowEvent:
    """Something happened to an execution. `retry_failed` stands with ``resumed``."""

    kind: WorkflowEventKind
    execution: int
    workflow: str
    service: int
    at: datetime
    error: str | None = None
    retry_failed: bool = False
    v: int = EVENT_VERSION


Event: TypeAlias = TaskEvent | WorkflowEvent
Listener: TypeAlias = Callable[[Event], None]

SIGNALS: Mapping[tuple[type, str], blinker.Signal] = MappingProxyType({
    (TaskEvent, "sent"): sent_task_signal,
    (TaskEvent, "started"): start_task_signal,
    (TaskEvent, "succeeded"): on_success_task_signal,
    (TaskEvent, "failed"): on_failure_task_signal,
    (WorkflowEvent, "started"): start_workflow_signal,
    (WorkflowEvent, "resumed"): on_resume_workflow_signal,
    (WorkflowEvent, "cancelling"): on_cancelling_workflow_signal,
    (WorkflowEvent, "cancelled"): on_cancelled_workflow_signal,
    (WorkflowEvent, "succeeded"): on_success_workflow_signal,
    (WorkflowEvent, "failed"): on_failure_workflow_signal,
})
"""Which signal carries which event. A task that will be retried sends none, as in the seed."""

_log = logging.getLogger("aria.events")


class Emitter:
    """Delivers the events of one runner, in order, from one thread that never holds the engine up.

    The queue is bounded: when receivers are slower than the engine, the oldest event is dropped and
    counted in `dropped`.
    """

    def __init__(self, listeners: tuple[Listener, ...] = ()) -> None:
        self.dropped = 0
        self._listeners = listeners
        self._waiting: deque[Event] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._failures: dict[int, int] = {}

    @property
    def somebody_listens(self) -> bool:
        """Whether any event would reach anybody."""
        return bool(self._listeners) or any(signal.receivers for signal in SIGNALS.values())

    def emit(self, event: Event) -> None:
        """Queue an event; costs next to nothing when nobody listens."""
        if not self.somebody_listens:
            return
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(event)
            self._changed.notify()
            self._begin()

    def close(self, timeout: float = 10.0) -> None:
        """Deliver what waits, at most `timeout` seconds long, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            if self._waiting:
                self._begin()
        if self._thread is not None:
            self._thread.join(timeout)
        if self.dropped:
            _log.warning("%d events were dropped because receivers were too slow", self.dropped)

    def _begin(self) -> None:
        if self._thread is None:  # the system may have had none until now
            self._thread = begin_thread(self._run, "aria-events")

    def _run(self) -> None:
        while (event := self._next()) is not None:
            self._deliver(event)

    def _next(self) -> Event | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._waiting.popleft() if self._waiting else None

    def _deliver(self, event: Event) -> None:
        signal = SIGNALS.get((type(event), event.kind))
        if signal is not None:
            for receiver in signal.receivers_for(event):
                self._call(receiver, event)
        for listener in self._listeners:
            self._call(listener, event)

    def _call(self, receiver: Callable[..., Any], event: Event) -> None:
        key = _identity(receiver)
        if self._failures.get(key, 0) >= MAX_FAILURES:
            return
        try:
            receiver(event)
        except BaseException:  # noqa: BLE001 - somebody else's code; sys.exit would silence all others
            self._failures[key] = self._failures.get(key, 0) + 1
            _log.warning("%r failed on %s", receiver, event, exc_info=True)
            if self._failures[key] == MAX_FAILURES:
                _log.warning("%r failed %d times in a row and is not called any more", receiver, MAX_FAILURES)
        else:
            self._failures.pop(key, None)


def _identity(receiver: Callable[..., Any]) -> int:
    """What tells receivers apart: they need not be hashable, and a bound method is made anew each time."""
    owner = getattr(receiver, "__self__", None)
    return hash((id(owner), id(getattr(receiver, "__func__", None)))) if owner is not None else id(receiver)
