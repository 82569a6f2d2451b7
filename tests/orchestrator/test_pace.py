"""How many calls may wait at the executor, and when more reports are worth waiting for."""

from __future__ import annotations

import pytest

from aria_core.orchestrator.pace import MOST, WORTH_ELSEWHERE, Pace


def pace(calls: float, commits: float = 0.0) -> Pace:
    """The pace after many calls and commits of these durations."""
    found = Pace()
    for _ in range(100):
        found.note_call(calls)
        found.note_commit(commits)
    return found


def test_nothing_waits_at_the_executor_before_a_call_has_ended() -> None:
    assert Pace().backlog(4) == 0
    assert Pace(at_first=1).backlog(4) == 4, "unless handing them over takes long"


@pytest.mark.parametrize(("seconds", "each"), [
    (0.0, MOST), (0.00001, MOST), (0.001, 5), (0.0049, 1), (0.0051, 0)])
def test_about_five_milliseconds_of_work_wait_for_each_slot(seconds: float, each: int) -> None:
    assert pace(seconds).backlog(4) == 4 * each


@pytest.mark.parametrize(("seconds", "each"), [(0.0, MOST), (0.06, 3), (0.19, 1), (0.21, 0)])
def test_more_work_waits_where_handing_it_over_takes_longer(seconds: float, each: int) -> None:
    far = Pace(WORTH_ELSEWHERE, at_first=1)
    far.note_call(seconds)
    assert far.backlog(4) == 4 * each


def test_the_newest_durations_count_most() -> None:
    found = pace(1.0)
    assert found.backlog(1) == 0
    for _ in range(50):
        found.note_call(0.0)
    assert found.backlog(1) == MOST


def test_short_calls_are_gathered_beside_long_commits_only() -> None:
    assert 0 < pace(0.00001, commits=0.001).gathering(9) < 0.0005
    assert pace(0.00001, commits=0.0001).gathering(9) == 0
    assert pace(0.05, commits=0.001).gathering(9) == 0


@pytest.mark.parametrize("left", [0, -1])
def test_nobody_is_waited_for_where_nobody_is_left(left: int) -> None:
    assert pace(0.00001, commits=1.0).gathering(left) == 0


def test_before_a_call_has_ended_nobody_is_waited_for() -> None:
    found = Pace()
    found.note_commit(1.0)
    assert found.gathering(3) == 0
