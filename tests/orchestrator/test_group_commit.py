"""Threads that want something stored at about the same time share a transaction."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from aria_core.orchestrator.group_commit import GroupCommit


class Recorder:
    """A commit that waits for its gate, and doubles what it is given."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = threading.Event()
        self.has_begun = threading.Event()

    def commit(self, items: list[int]) -> list[int]:
        self.groups.append(items)
        self.has_begun.set()
        assert self.gate.wait(30)
        if 13 in items:
            raise ValueError("unlucky")
        return [2 * each for each in items]


def test_who_comes_alone_commits_at_once() -> None:
    recorder = Recorder()
    recorder.gate.set()
    group = GroupCommit(recorder.commit)
    assert [group.do(1), group.do(2)] == [2, 4]
    assert recorder.groups == [[1], [2]]


def test_all_who_come_meanwhile_share_the_next_commit_and_get_their_own_results() -> None:
    recorder = Recorder()
    group = GroupCommit(recorder.commit)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(group.do, 0)
        assert recorder.has_begun.wait(30)
        others = [pool.submit(group.do, each) for each in range(1, 9)]
        while group.waiting < len(others):
            threading.Event().wait(0.001)
        recorder.gate.set()
        assert [each.result(30) for each in (first, *others)] == [2 * each for each in range(9)]
    assert sorted(map(len, recorder.groups)) == [1, 8]


def test_an_error_is_told_to_all_of_its_group_and_the_next_goes_on() -> None:
    recorder = Recorder()
    recorder.gate.set()
    group = GroupCommit(recorder.commit)
    with pytest.raises(ValueError, match="unlucky"):
        group.do(13)
    assert group.do(4) == 8
