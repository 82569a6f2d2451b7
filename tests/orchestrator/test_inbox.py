"""What wakes the engine, and what waits beside until it is worth a word."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from aria_core.orchestrator.inbox import LASTS, CancelSeen, EngineInbox, Heartbeat
from aria_core.worker.calls import CallRef, Failed, FinalReport, Started, Succeeded

REF, OTHER = CallRef(1, 2, 1), CallRef(1, 3, 1)
PATIENCE = 30.0


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.moment = 100.0

    def monotonic(self) -> float:
        return self.moment


class Answers:
    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        return f"{ref} asked {request['ask']}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(clock: Clock) -> EngineInbox:
    return EngineInbox(Answers(), clock=clock)  # type: ignore[arg-type]


def test_all_that_has_arrived_is_taken_in_order(inbox: EngineInbox) -> None:
    inbox(Succeeded(REF))
    inbox.post(CancelSeen())
    inbox(Failed(OTHER, "no"))
    assert inbox.take(None) == [Succeeded(REF), CancelSeen(), Failed(OTHER, "no")]
    assert inbox.take(0) == []


def test_a_begin_alone_is_no_message(inbox: EngineInbox) -> None:
    inbox(Started(REF, "here"))
    assert inbox.take(0) == []


def test_a_begin_stays_beside_until_its_end_is_taken(inbox: EngineInbox, clock: Clock) -> None:
    inbox(Started(REF, "here"))
    clock.moment += 0.5
    inbox(Succeeded(REF))
    assert inbox.take(0) == [Succeeded(REF)]
    begun = inbox.begin_of(REF)
    assert begun is not None
    assert (begun.where, begun.moment, begun.ended) == ("here", 100.0, 100.5)
    assert inbox.begin_of(REF) is None


def test_a_begin_that_was_told_late_is_dated_back(inbox: EngineInbox) -> None:
    inbox(Started(REF, "here", 0.25))
    begun = inbox.begin_of(REF)
    assert begun is not None
    assert begun.moment == 99.75


def test_what_runs_for_long_enough_is_told_once(inbox: EngineInbox, clock: Clock) -> None:
    inbox(Started(REF))
    assert inbox.lasting() == []
    clock.moment += 2 * LASTS
    inbox(Started(OTHER))
    assert [ref for ref, _ in inbox.lasting()] == [REF]
    assert inbox.lasting() == []
    clock.moment += 2 * LASTS
    assert [ref for ref, _ in inbox.lasting()] == [OTHER]


def test_whoever_takes_without_end_is_woken_by_a_begin(inbox: EngineInbox) -> None:
    taken: list[Any] = []
    taker = threading.Thread(target=lambda: taken.append(inbox.take(None)))
    taker.start()
    time.sleep(5 * LASTS)  # by now it waits for anything
    inbox(Started(REF))
    taker.join(PATIENCE)
    assert taken == [[]]
    assert inbox.begin_of(REF) is not None


def test_a_begin_that_came_before_ends_a_wait_without_end(inbox: EngineInbox) -> None:
    inbox(Started(REF))
    assert inbox.take(None) == []


def test_a_look_ends_a_wait_without_end_and_is_taken_once(inbox: EngineInbox) -> None:
    inbox.look()
    inbox.look()
    assert inbox.take(None) == []
    assert inbox.is_to_look
    inbox.begin_look()
    assert not inbox.is_to_look


def test_whoever_takes_without_end_is_woken_by_a_look(inbox: EngineInbox) -> None:
    taken: list[Any] = []
    taker = threading.Thread(target=lambda: taken.append(inbox.take(None)))
    taker.start()
    time.sleep(5 * LASTS)  # by now it waits for anything
    inbox.look()
    taker.join(PATIENCE)
    assert taken == [[]]
    assert inbox.is_to_look


def test_a_heartbeat_is_a_message_and_a_question_is_answered(inbox: EngineInbox) -> None:
    assert inbox.answer(REF, {"tell": "heartbeat", "progress": 0.5}) is None
    assert inbox.answer(REF, {"ask": "node"}) == "1/2/1 asked node"
    assert inbox.take(0) == [Heartbeat(REF, 0.5)]


def test_ends_are_masked(clock: Clock) -> None:
    def mask(report: FinalReport) -> FinalReport:
        return Succeeded(report.ref, "hidden")

    inbox = EngineInbox(Answers(), mask, clock)  # type: ignore[arg-type]
    inbox(Started(REF))
    inbox(Succeeded(REF, "secret"))
    assert inbox.take(0) == [Succeeded(REF, "hidden")]
