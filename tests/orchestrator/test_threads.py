"""Threads, and what becomes of work when the system has no more of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aria_core.orchestrator.threads import Hands, begin_thread

PATIENCE = 30.0


@contextmanager
def no_more_threads() -> Iterator[None]:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        yield


def test_what_is_given_is_done_at_the_same_time() -> None:
    hands, together = Hands("test"), threading.Barrier(5)
    hands.open()
    for _ in range(4):
        hands.give(together.wait, PATIENCE)
    together.wait(PATIENCE)
    hands.close(finish=True)


def test_what_is_given_waits_when_there_are_no_more_threads() -> None:
    hands, go, done = Hands("test"), threading.Event(), list[int]()
    hands.open()
    hands.give(go.wait, PATIENCE)
    with no_more_threads():
        for number in range(3):
            hands.give(done.append, number)
    go.set()
    hands.close(finish=True)
    assert done == [0, 1, 2]


def test_no_more_threads_than_allowed_work() -> None:
    hands, go, names = Hands("test", most=2), threading.Event(), set[str]()
    hands.open()

    def work() -> None:
        go.wait(PATIENCE)
        names.add(threading.current_thread().name + str(threading.get_ident()))

    for _ in range(10):
        hands.give(work)
    go.set()
    hands.close(finish=True)
    assert 1 <= len(names) <= 2


def test_work_that_raises_is_told_and_the_next_is_done(caplog: pytest.LogCaptureFixture) -> None:
    hands, done = Hands("a pair of hands", most=1), list[int]()
    hands.open()
    hands.give(int, "no number")
    hands.give(done.append, 1)
    hands.close(finish=True)
    assert done == [1]
    assert "a pair of hands failed" in caplog.text
    assert "no number" in caplog.text


def test_what_is_not_to_be_finished_is_dropped() -> None:
    hands, go, done = Hands("test", most=1), threading.Event(), list[int]()
    began, ended = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        go.wait(PATIENCE)
        ended.set()

    hands.open()
    hands.give(work)
    hands.give(done.append, 1)
    assert began.wait(PATIENCE)
    hands.close(finish=False)
    go.set()
    assert ended.wait(PATIENCE)
    hands.close(finish=True)
    assert done == []


def test_without_a_first_thread_it_is_said_at_once() -> None:
    with no_more_threads():
        assert begin_thread(lambda: None, "test") is None
        with pytest.raises(RuntimeError, match="no thread for a test now"):
            Hands("a test").open()
