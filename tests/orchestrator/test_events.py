"""Events: the ten signals, who hears what, and what a bad receiver can do."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from aria_core.orchestrator import events
from aria_core.orchestrator.events import Emitter, TaskEvent, WorkflowEvent

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def task_event(kind: Any, task: int = 1) -> TaskEvent:
    return TaskEvent(kind, 1, task, "a task", 1, NOW)


def test_the_ten_signals_have_their_names() -> None:
    assert {name for name in vars(events) if name.endswith("_signal")} == {
        "sent_task_signal", "start_task_signal", "on_success_task_signal", "on_failure_task_signal",
        "start_workflow_signal", "on_cancelling_workflow_signal", "on_cancelled_workflow_signal",
        "on_success_workflow_signal", "on_failure_workflow_signal", "on_resume_workflow_signal"}


@pytest.mark.parametrize(("event", "signal"), [
    (task_event("sent"), events.sent_task_signal), (task_event("started"), events.start_task_signal),
    (task_event("succeeded"), events.on_success_task_signal),
    (task_event("failed"), events.on_failure_task_signal),
    (WorkflowEvent("started", 1, "install", 1, NOW), events.start_workflow_signal),
    (WorkflowEvent("cancelling", 1, "install", 1, NOW), events.on_cancelling_workflow_signal),
    (WorkflowEvent("cancelled", 1, "install", 1, NOW), events.on_cancelled_workflow_signal),
    (WorkflowEvent("succeeded", 1, "install", 1, NOW), events.on_success_workflow_signal),
    (WorkflowEvent("failed", 1, "install", 1, NOW, error="x"), events.on_failure_workflow_signal),
    (WorkflowEvent("resumed", 1, "install", 1, NOW, retry_failed=True), events.on_resume_workflow_signal)])
def test_signal_and_listener_get_the_same_value(event: Any, signal: Any) -> None:
    heard: list[Any] = []

    def hear(sender: Any, **_: object) -> None:
        heard.append(sender)

    with signal.connected_to(hear):
        deliver([event], heard.append)
    assert [each is event for each in heard] == [True, True]


def test_events_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        task_event("sent").kind = "failed"  # type: ignore[misc]


def test_a_task_that_will_be_retried_reaches_listeners_and_no_signal() -> None:
    heard: list[Any] = []
    with events.on_failure_task_signal.connected_to(lambda *_: heard.append("signal")):
        deliver([task_event("retrying")], lambda event: heard.append(event.kind))
    assert heard == ["retrying"]


def test_events_come_in_order_from_one_thread_that_is_not_the_senders() -> None:
    heard: list[tuple[int, int]] = []
    sent = [task_event("sent", task) for task in range(500)]
    deliver(sent, lambda event: heard.append((event.task, threading.get_ident())))
    assert [task for task, _ in heard] == list(range(500))
    assert len({thread for _, thread in heard}) == 1
    assert heard[0][1] != threading.get_ident()


def test_a_receiver_that_raises_disturbs_nobody_and_is_left_alone_after_five_times(
        caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Any] = []
    calls: list[Any] = []

    def broken(event: Any) -> None:
        calls.append(event)
        raise RuntimeError("broken receiver")

    with caplog.at_level(logging.WARNING, "aria.events"):
        deliver([task_event("sent", task) for task in range(8)], broken, heard.append)
    assert len(heard) == 8
    assert len(calls) == 5
    assert "is not called any more" in caplog.text


def test_a_receiver_that_wants_to_end_the_program_silences_nobody() -> None:
    heard: list[Any] = []

    def leaving(event: Any) -> None:
        raise SystemExit(3)

    deliver([task_event("sent", task) for task in range(3)], leaving, heard.append)
    assert len(heard) == 3


@dataclasses.dataclass
class Counting:
    """A receiver that cannot be hashed, like every dataclass that can be changed."""

    calls: int = 0

    def __call__(self, event: Any) -> None:
        self.calls += 1
        raise RuntimeError("broken receiver")


def test_receivers_need_not_be_hashable_and_are_left_alone_all_the_same() -> None:
    first, second = Counting(), Counting()
    deliver([task_event("sent", task) for task in range(8)], first, second.__call__)
    assert (first.calls, second.calls) == (5, 5)


def test_a_success_between_failures_starts_the_count_anew() -> None:
    calls: list[int] = []

    def flaky(event: Any) -> None:
        calls.append(event.task)
        if event.task % 3:
            raise RuntimeError("now and then")

    deliver([task_event("sent", task) for task in range(20)], flaky)
    assert calls == list(range(20))


def test_a_slow_receiver_costs_the_oldest_events_and_they_are_counted(
        caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []
    proceed = threading.Event()

    def slow(event: Any) -> None:
        proceed.wait(30)
        heard.append(event.task)

    emitter = Emitter((slow,))
    for task in range(events.MAX_WAITING + 100):
        emitter.emit(task_event("sent", task))
    proceed.set()
    emitter.close()
    assert emitter.dropped in (99, 100)
    assert heard[-1] == events.MAX_WAITING + 99
    assert "were dropped" in caplog.text


def test_without_listeners_no_thread_is_started() -> None:
    before = threading.active_count()
    emitter = Emitter()
    emitter.emit(task_event("sent"))
    assert threading.active_count() == before
    emitter.close()


def deliver(sent: list[Any], *listeners: Callable[[Any], None]) -> None:
    emitter = Emitter(tuple(listeners))
    for event in sent:
        emitter.emit(event)
    emitter.close()
