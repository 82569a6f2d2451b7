"""Calls that workers elsewhere run: what the engine sends, believes, waits for and leaves alone.

The worker is played by the test, through the ledger; the runner and everything else is real.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aria_core.exceptions import ExecutionFailedError, ExecutionOwnedError, FencedError
from aria_core.storage.model import Ledger
from aria_core.storage.owners import TAKES_OVER_AFTER, this_process
from aria_core.testing.mail import HandWorker, MailExecutor
from aria_core.worker.calls import Call, CallRef, Failed, Lost, Succeeded
from aria_plugins.executors.thread import ThreadExecutor


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[MailExecutor]:
    """Two slots, wherever they are."""
    with MailExecutor(tmp_path / "mail", slots=2, poll_interval=60.0) as executor:
        yield executor


@pytest.fixture
def worker(lab: Any) -> HandWorker:
    return HandWorker(lab.model.ledger, lab.executor.mail)


class Post:
    """What the runner has sent until now."""

    def __init__(self, lab: Any) -> None:
        self._lab = lab

    def wait(self, label: str, attempt: int = 1) -> CallRef:
        """The ref of a call, when a message about it is there; it is taken."""
        found: list[CallRef] = []

        def look() -> bool:
            for ref in self._lab.executor.mail.waiting():
                task = self._lab.model.task.get(ref.task)
                if (task.arguments["label"], ref.attempt) == (label, attempt):
                    found.append(ref)
            return bool(found)
        self._lab.wait_until(look, f"a message about {label}, attempt {attempt}")
        self._lab.executor.mail.drop(found)
        return found[0]


@pytest.fixture
def post(lab: Any) -> Post:
    return Post(lab)


def step(label: str, **more: Any) -> dict[str, Any]:
    return {"label": label, "max_attempts": 3, **more}


# --- what leaves, what is believed

def test_a_call_leaves_as_an_outline_and_its_report_is_taken_from_the_row(
        lab: Any, worker: HandWorker, post: Post) -> None:
    wait = lab.in_thread(runner := lab.runner(steps=[step("a")]))
    ref = post.wait("a")
    assert worker.claim(ref)
    worker.report(Succeeded(ref, {"answer": 42}))
    assert wait() == "succeeded"
    outline: Call = lab.executor.outlines[0]
    assert (outline.arguments, outline.code, outline.wrappers) == ({}, None, ())
    assert outline.actor is not None
    assert (outline.actor.name, outline.actor.type_name) == ("one", lab.node().type_name)
    task = lab.tasks(runner.execution_id)["a"]
    assert (task.state, task.attempts, task.result) == ("success", 1, {"answer": 42})
    assert task.started_at <= task.ended_at
    assert lab.model.ledger.claimed_calls(runner.execution_id) == []


def test_without_any_hint_the_storage_is_looked_into_now_and_then(
        lab: Any, worker: HandWorker, post: Post) -> None:
    lab.executor.poll_interval = 0.3
    wait = lab.in_thread(lab.runner(steps=[step("a")]))
    ref = post.wait("a")
    assert worker.claim(ref)
    worker.report(Succeeded(ref), wakes=False)
    assert wait() == "succeeded"


def test_a_begin_is_seen_while_the_call_runs(lab: Any, worker: HandWorker, post: Post) -> None:
    wait = lab.in_thread(runner := lab.runner(steps=[step("a")]))
    ref = post.wait("a")
    assert worker.claim(ref)
    assert worker.beat(ref, heard=1, progress=0.5, message="half")
    lab.wait_for_progress(runner, "a", 0.5)
    assert lab.tasks(runner.execution_id)["a"].state == "started"
    worker.report(Succeeded(ref))
    assert wait() == "succeeded"


def test_a_message_that_was_lost_is_sent_again_and_of_two_one_wins(
        lab: Any, worker: HandWorker, post: Post) -> None:
    wait = lab.in_thread(runner := lab.runner(steps=[step("a")]))
    lost = post.wait("a")
    ref = post.wait("a")  # the same attempt, after some seconds
    assert ref == lost
    assert worker.claim(ref)
    assert not worker.claim(lost)
    worker.report(Succeeded(ref))
    assert wait() == "succeeded"
    assert lab.tasks(runner.execution_id)["a"].attempts == 1


def test_a_failed_attempt_is_followed_by_another(lab: Any, worker: HandWorker, post: Post) -> None:
    wait = lab.in_thread(runner := lab.runner(steps=[step("a"), step("b", after=["a"])]))
    ref = post.wait("a")
    worker.claim(ref)
    worker.report(Failed(ref, "ValueError: no"))
    again = post.wait("a", attempt=2)
    assert not worker.claim(ref)  # a late message
    worker.claim(again)
    worker.report(Succeeded(ref))  # a late report, of an attempt that is over
    worker.report(Succeeded(again))
    b = post.wait("b")
    worker.claim(b)
    worker.report(Succeeded(b))
    assert wait() == "succeeded"
    task = lab.tasks(runner.execution_id)["a"]
    assert (task.attempts, task.failures, task.lost) == (2, 1, 0)


def test_a_call_whose_worker_shows_no_sign_of_life_is_lost_and_tried_again(
        lab: Any, worker: HandWorker, post: Post) -> None:
    lab.executor.poll_interval = 1.0
    wait = lab.in_thread(runner := lab.runner(steps=[step("a"), step("b")]))
    dead, alive = post.wait("a"), post.wait("b")
    began = time.monotonic()
    assert worker.claim(dead)
    assert worker.claim(alive)

    def beats_until_sent_again() -> bool:
        worker.beat(alive)
        return any(ref.attempt == 2 for ref in lab.executor.mail.waiting())
    lab.wait_until(beats_until_sent_again, "another attempt")
    assert time.monotonic() - began >= TAKES_OVER_AFTER
    again = post.wait("a", attempt=2)
    assert not worker.beat(dead)
    worker.report(Succeeded(dead, "too late"))
    for ref in (again, alive):
        worker.claim(ref)
        worker.report(Succeeded(ref, "in time"))
    assert wait() == "succeeded"
    tasks = lab.tasks(runner.execution_id)
    assert [(each.attempts, each.lost, each.result) for each in tasks.values()] == [
        (2, 1, "in time"), (1, 0, "in time")]
    [attempt] = lab.model.attempt.list(filters={"task_id": tasks["a"].id})
    assert attempt.outcome == "lost"
    assert "elsewhere:1" in attempt.error


# --- what an executor says

class Refusing(MailExecutor):
    """Has no way for one operation, at first."""

    refusals = 1

    def submit(self, call: Call) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ValueError("there is no queue for this")
        super().submit(call)


def test_a_call_that_can_never_be_sent_fails(
        lab: Any, worker: HandWorker, post: Post, tmp_path: Path) -> None:
    lab.executor = Refusing(tmp_path / "refusing", slots=2)
    worker = HandWorker(lab.model.ledger, lab.executor.mail)
    wait = lab.in_thread(runner := lab.runner(steps=[step("a")]))
    ref = post.wait("a", attempt=2)
    worker.claim(ref)
    worker.report(Succeeded(ref))
    assert wait() == "succeeded"
    task = lab.tasks(runner.execution_id)["a"]
    assert (task.attempts, task.failures) == (2, 1)
    [attempt] = lab.model.attempt.list(filters={"task_id": task.id})
    assert attempt.error == "ValueError: there is no queue for this"
    lab.executor.close(0)


def test_without_a_worker_nothing_is_sent_and_the_log_says_so_once(
        lab: Any, worker: HandWorker, post: Post) -> None:
    lab.executor.slots = 0
    wait = lab.in_thread(runner := lab.runner(steps=[step("a")]))

    def said() -> list[str]:
        rows = lab.model.log.list(filters={"execution_id": runner.execution_id})
        return [row.message for row in rows if "no slot" in row.message]
    lab.wait_until(said, "a line in the log")
    time.sleep(2.5)  # it is asked about once a second
    assert lab.executor.mail.waiting() == []
    assert len(said()) == 1
    lab.executor.slots = 1
    ref = post.wait("a")
    worker.claim(ref)
    worker.report(Succeeded(ref))
    assert wait() == "succeeded"


# --- ends

def test_a_cancel_takes_back_what_nobody_has_claimed_and_ends_the_rest(
        lab: Any, worker: HandWorker, post: Post) -> None:
    wait = lab.in_thread(runner := lab.runner(steps=[step("a"), step("b")]))
    running, unclaimed = post.wait("a"), post.wait("b")
    assert worker.claim(running)
    runner.cancel()
    lab.wait_for_state(runner, "b", "pending")
    assert not worker.claim(unclaimed)
    lab.wait_until(lambda: lab.executor.mail.wished_end(running) is not None, "a wish")
    assert not worker.beat(running)
    worker.report(Lost(running, "terminated"))
    assert wait() == "cancelled"
    a, b = lab.tasks(runner.execution_id).values()
    assert [(each.state, each.attempts, each.interruptions) for each in (a, b)] == [
        ("pending", 1, 1), ("pending", 1, 0)]


def test_a_success_that_came_before_the_cancel_was_seen_counts(
        lab: Any, worker: HandWorker, post: Post) -> None:
    wait = lab.in_thread(runner := lab.runner(steps=[step("a")]))
    ref = post.wait("a")
    assert worker.claim(ref)
    worker.report(Succeeded(ref), wakes=False)
    runner.cancel()
    assert wait() == "succeeded"


def test_after_a_failure_what_is_claimed_finishes_and_the_rest_is_taken_back(
        lab: Any, worker: HandWorker, post: Post) -> None:
    steps = [step("a", max_attempts=1), step("b")]
    lab.executor.slots = 3
    wait = lab.in_thread(runner := lab.runner(steps=[*steps, step("c")]))
    a, b, c = (post.wait(label) for label in "abc")
    assert worker.claim(a)
    assert worker.claim(b)
    worker.report(Failed(a, "ValueError: no"))
    lab.wait_for_state(runner, "c", "pending")
    assert not worker.claim(c)
    assert worker.beat(b)
    worker.report(Succeeded(b))
    assert isinstance(wait(), ExecutionFailedError)
    tasks = lab.tasks(runner.execution_id).values()
    assert [each.state for each in tasks] == ["failed", "success", "pending"]


def test_a_timeout_has_the_worker_end_the_call(lab: Any, worker: HandWorker, post: Post) -> None:
    wait = lab.in_thread(runner := lab.runner(steps=[step("a", timeout=0.5, max_attempts=1)]))
    ref = post.wait("a")
    assert worker.claim(ref)
    lab.wait_until(lambda: lab.executor.mail.wished_end(ref) is not None, "a wish")
    worker.report(Lost(ref, "terminated"))
    assert "timed out after 0.5 s" in str(wait())
    task = lab.tasks(runner.execution_id)["a"]
    assert (task.failures, task.lost) == (1, 0)


# --- one runner after another

def stopped_while(lab: Any, worker: HandWorker, post: Post, label: str = "a") -> tuple[Any, CallRef]:
    """A runner that was stopped while a call ran elsewhere, and the call."""
    runner = lab.runner(steps=[{"label": "a", "do": "touch"}, {"label": "b", "after": ["a"]}])
    wait = lab.in_thread(runner)
    ref = post.wait(label)
    assert worker.claim(ref)
    lab.wait_for_state(runner, label, "started")
    runner.stop(30.0)
    assert wait() == "started"
    return runner, ref


def test_a_runner_that_stops_leaves_what_runs_and_the_next_adopts_it_whatever_its_executor(
        lab: Any, worker: HandWorker, post: Post) -> None:
    runner, ref = stopped_while(lab, worker, post)
    assert worker.beat(ref)
    assert lab.executor.mail.wished_end(ref) is None
    with ThreadExecutor(slots=2) as executor:
        resumed = lab.runner(execution_id=runner.execution_id, executor=executor)
        wait = lab.in_thread(resumed)
        assert worker.beat(ref)
        worker.report(Succeeded(ref, "elsewhere"))
        assert wait() == "succeeded"
    tasks = lab.tasks(runner.execution_id)
    assert (tasks["a"].attempts, tasks["a"].interruptions, tasks["a"].result) == (1, 0, "elsewhere")
    assert lab.effects == ["b"]  # of a, the effect is its worker's


def test_a_report_that_came_while_there_was_no_runner_is_taken(
        lab: Any, worker: HandWorker, post: Post) -> None:
    runner, ref = stopped_while(lab, worker, post)
    worker.report(Succeeded(ref))
    with ThreadExecutor() as executor:
        assert lab.runner(execution_id=runner.execution_id, executor=executor).execute() == "succeeded"
    assert lab.effects == ["b"]


def test_an_adopted_call_counts_for_the_limits(lab: Any, worker: HandWorker, post: Post) -> None:
    runner = lab.runner(steps=[step("a"), step("b")], max_concurrency=1)
    wait = lab.in_thread(runner)
    ref = post.wait("a")
    assert worker.claim(ref)
    lab.wait_for_state(runner, "a", "started")
    runner.stop()
    assert wait() == "started"
    with ThreadExecutor(slots=2) as executor:
        resumed = lab.runner(execution_id=runner.execution_id, executor=executor)
        wait = lab.in_thread(resumed)
        lab.wait_until(lambda: resumed.execution.owner, "the next runner")
        time.sleep(1.0)
        assert lab.effects == []
        worker.report(Succeeded(ref))
        assert wait() == "succeeded"
    assert lab.effects == ["b"]


def test_a_cancel_without_a_runner_waits_until_workers_have_ended_what_runs(
        lab: Any, worker: HandWorker, post: Post) -> None:
    runner, ref = stopped_while(lab, worker, post)
    canceller = lab.runner(execution_id=runner.execution_id)
    thread = threading.Thread(target=canceller.cancel)
    thread.start()
    lab.wait_until(lambda: lab.executor.mail.wished_end(ref) is not None, "a wish")
    assert canceller.execution.state == "cancelling"
    assert not worker.beat(ref)
    worker.report(Lost(ref, "terminated"))
    thread.join(30.0)
    assert canceller.execution.state == "cancelled"
    assert lab.tasks(runner.execution_id)["a"].state == "pending"


def take_over(ledger: Ledger, execution: int) -> None:
    """Claim it as another runner would; the one that has it may store something between look and claim."""
    for _ in range(100):
        with suppress(ExecutionOwnedError):
            ledger.claim_existing(ledger.pulse(execution), this_process(), retry_failed=False)
            return
    pytest.fail("the execution could not be taken")


def test_a_runner_that_was_fenced_ends_nothing_elsewhere(lab: Any, worker: HandWorker, post: Post) -> None:
    runner = lab.runner(steps=[step("a")])
    wait = lab.in_thread(runner)
    ref = post.wait("a")
    assert worker.claim(ref)
    lab.wait_for_state(runner, "a", "started")
    take_over(lab.model.ledger, runner.execution_id)
    assert isinstance(wait(), FencedError)
    assert lab.executor.mail.wished_end(ref) is None
    assert worker.beat(ref)
    assert lab.tasks(runner.execution_id)["a"].state == "started"
