"""What is watched of running attempts: when they have had their time, and when they were last heard of."""

from __future__ import annotations

from typing import Any

import pytest

from aria_core.orchestrator.inbox import MESSAGE_LIMIT, Heartbeat
from aria_core.orchestrator.progress import TaskProgress
from aria_core.orchestrator.watch import Watch
from aria_core.storage.records import TaskRow
from aria_core.worker.calls import CallRef


def begun(watch: Watch, at: float, **settings: float) -> TaskProgress:
    task = TaskProgress(TaskRow(0, "t", id=1, attempts=1, **settings), execution=1)  # type: ignore[arg-type]
    task.began = at
    watch.begin(task)
    return task


def test_an_attempt_without_timeouts_is_not_watched() -> None:
    watch = Watch()
    begun(watch, 5.0)
    assert watch.moments() == []


def test_an_attempt_is_named_once_when_its_time_is_over() -> None:
    watch = Watch()
    task = begun(watch, 5.0, timeout=2)
    assert watch.moments() == [7.0]
    assert list(watch.timed_out(6.9)) == []
    assert list(watch.timed_out(7.0)) == [task.ref]
    assert list(watch.timed_out(99)) == watch.moments() == []


def test_each_heartbeat_gives_the_whole_time_again() -> None:
    watch = Watch()
    task = begun(watch, 5.0, heartbeat_timeout=2)
    task.heard = 6.5
    assert list(watch.silent(7.0, {task.ref: task})) == []
    assert watch.moments() == [8.5]
    assert list(watch.silent(8.5, {task.ref: task})) == [task.ref]
    assert watch.moments() == []


def test_an_attempt_that_has_ended_is_forgotten() -> None:
    watch = Watch()
    begun(watch, 5.0, heartbeat_timeout=2)
    assert list(watch.silent(7.0, {})) == watch.moments() == []


def test_a_runner_that_slept_blames_itself_and_not_the_attempt() -> None:
    watch = Watch()
    task = begun(watch, 5.0, heartbeat_timeout=2)
    assert list(watch.silent(60.0, {task.ref: task})) == []
    assert watch.moments() == [62.0]
    assert list(watch.silent(62.0, {task.ref: task})) == [task.ref]


@pytest.mark.parametrize(("told", "progress", "message"), [
    ({}, None, None), ({"progress": 1, "message": "all"}, 1.0, "all"), ({"progress": 7}, None, None),
    ({"progress": float("nan")}, None, None), ({"progress": "1", "message": 1}, None, None)])
def test_a_heartbeat_counts_whatever_nonsense_it_says(
        told: dict[str, Any], progress: float | None, message: str | None) -> None:
    ref = CallRef(1, 2, 3)
    assert Heartbeat.told(ref, {"tell": "heartbeat", **told}) == Heartbeat(ref, progress, message)


def test_a_message_without_end_is_cut_off() -> None:
    beat = Heartbeat.told(CallRef(1, 2, 3), {"message": "\0x" * 10**6})
    assert beat.message is not None
    assert len(beat.message) <= MESSAGE_LIMIT + 100
    assert "\0" not in beat.message
