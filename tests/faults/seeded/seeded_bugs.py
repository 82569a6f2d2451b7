"""ARIA with one fault of its own each: patches of the product, made in a runner's process and nowhere else.

Each function is a bug; its name is what a test asks for. Nothing but the test of the judge comes by here.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Integer, String, bindparam, text, update

from aria_core.modeling.models import Task
from aria_core.orchestrator import bookkeeping, engine, log_writer, progress, run, sending, workflow_runner
from aria_core.storage.sql import ledger
from aria_core.testing.crash_process import be_a_runner
from aria_core.worker import worker_process
from aria_core.worker.calls import Succeeded

Books, Engine = bookkeeping.Books, engine.Engine
Progress, TaskProgress = progress.Progress, progress.TaskProgress
Ledger = ledger.SqlLedger
_task: Any = Task.__table__


def be_a_faulty_runner(out: str, err: str, directory: str, bugs: str, *arguments: str) -> None:
    """Be a runner of the kit after these bugs were made, which are parted by spaces."""
    for name in bugs.split():
        globals()[name]()
    be_a_runner(out, err, directory, *arguments)


# --- dispatch and its order

def dispatch_before_commit() -> None:
    """The first one; an early flush of others would fail and hide it."""
    commit = Engine._commit

    def send_first(self):
        sends, before = self._books.draft.sends, _lines("begin")
        if sends and not before:
            sending.send(self._around, [task for task, _ in sends])
            self._books.draft.sends = []
            _wait_for_more("begin", before)
        return commit(self)

    Engine._commit = send_first


def _lines(what: str) -> int:
    effects = Path("effects")
    return effects.read_text().count(f" {what} ") if effects.exists() else 0


def _wait_for_more(what: str, before: int) -> None:
    """What takes an instant in reality must be seen to have happened."""
    until = time.monotonic() + 10
    while time.monotonic() < until and _lines(what) == before:
        time.sleep(0.005)
    time.sleep(0.05)


def attempts_not_counted() -> None:
    begin = TaskProgress.begin_attempt

    def begin_again(self, now):
        before = self.attempts
        begin(self, now)
        self.attempts = max(before, 1)

    TaskProgress.begin_attempt = begin_again


def everything_sent_twice() -> None:
    def send_twice(around, tasks):
        sending.send(around, tasks)
        sending.send(around, tasks)

    engine.send = send_twice


def success_without_running() -> None:
    engine.send = lambda around, tasks: [around.inbox(Succeeded(task.ref)) for task in tasks]


def dependents_wait_for_nobody() -> None:
    make = Progress.__init__

    def make_free(self, execution, rows, budget=None):
        rows = [row if row.stub is not None else row._replace(waits_for=()) for row in rows]
        make(self, execution, rows, budget)

    Progress.__init__ = make_free


# --- recovery and owners

def recovery_forgets_successes() -> None:
    def recover(connection, execution):
        connection.execute(update(_task).where(_task.c.execution_id == execution, _task.c.attempts > 0)
                           .values(state="pending"))

    ledger.recover = recover


def owners_seem_gone() -> None:
    workflow_runner.WorkflowRunner._if_left = lambda self, seen: seen


def no_fence() -> None:
    """Neither the execution's row nor those of its tasks keep a runner out that was taken over."""
    def pass_fence(self, connection, claim, changes):
        connection.execute(ledger.update(ledger._execution).where(ledger._execution.c.id == claim.execution)
                           .values(batch=claim.batch + 1, **changes))
        return replace(claim, batch=claim.batch + 1, state=changes.get("state", claim.state))

    def unguarded(columns):
        holds = (bindparam("b_state", type_=String).is_not(None),
                 bindparam("b_attempts", type_=Integer).is_not(None))
        changed = [(_task.c[name], bindparam(f"n_{name}")) for name in columns]
        statement = update(_task).where(_task.c.id == bindparam("b_id"), *holds).ordered_values(*changed)
        return statement, [*(f"n_{name}" for name in columns), "b_id", "b_state", "b_attempts"]

    Ledger._pass_fence = pass_fence
    ledger.transition = unguarded
    run.Lease._look = lambda self: None


def takeover_kills_nothing() -> None:
    workflow_runner.kill_all_marked = lambda marks: []


def no_keeper() -> None:
    worker_process._BOOT = worker_process._BOOT.replace(
        "main(sys.argv[1:])",
        "import aria_core.worker.__main__ as program\n"
        "program.stay_behind = lambda line: None\n"
        "main(sys.argv[1:])")


def no_unique_index() -> None:
    claim = Ledger.claim_new

    def claim_beside(self, new):
        with self._database.write() as connection:
            connection.execute(text("DROP INDEX IF EXISTS uq_execution_one_active_per_service"))
        return claim(self, new)

    Ledger.claim_new = claim_beside


# --- budgets

def failures_not_counted() -> None:
    fail = TaskProgress.fail_attempt

    def fail_for_free(self, *arguments):
        wait = fail(self, *arguments)
        self.failures = 0
        return wait

    TaskProgress.fail_attempt = fail_for_free


def attempts_without_end() -> None:
    TaskProgress._was_last = lambda self, report: False


# --- ends

def end_while_tasks_run() -> None:
    end = Engine._end_if_nothing_is_left

    def end_at_once(self):
        if self._mode == "cancelling":
            self._in_flight = {}
        end(self)

    Engine._end_if_nothing_is_left = end_at_once


def cancelled_while_operations_run() -> None:
    end = Engine._end_if_nothing_is_left

    def end_at_once(self):
        if self._mode == "cancelling":
            for task in self._in_flight.values():
                task.interrupt("cancelled", begun=True)
                self._books.touch(task)
            self._in_flight = {}
        end(self)

    Engine._end_if_nothing_is_left = end_at_once
    Engine._terminate_all = lambda self, why, grace: None
    execute = run.Run.execute

    def linger(self, retry_failed):
        state = execute(self, retry_failed)
        _wait_for_more("runs", _lines("runs"))
        return state

    run.Run.execute = linger


def dispatch_after_cancel() -> None:
    Engine._begin_cancel = lambda self: None


# --- what is stored

def node_states_not_written() -> None:
    Books._set_node = lambda self, task, state: None


def node_states_of_another() -> None:
    first: list[int] = []

    def set_another(self, task, state):
        node = task.lifecycle_node
        if node is None or state is None:
            return
        if node not in first[:2]:
            first.append(node)
        swapped = first[1 - first.index(node)] if node in first[:2] and len(first) > 1 else node
        self.draft.nodes[swapped] = state

    Books._set_node = set_another


def logs_of_another() -> None:
    take = log_writer.LogWriter.take

    def take_for_another(self, ref, message):
        take(self, replace(ref, task=max(1, ref.task - 1)), message)

    log_writer.LogWriter.take = take_for_another


def commits_are_lost() -> None:
    """From the third success on, what is reported as committed is rolled back, until the runner dies."""
    record = Ledger.record_batch
    seen: list[str] = []

    def record_and_lose(self, claim, batch, *, again=False):
        seen.extend(str(each.changes["state"]) for each in batch.transitions)
        if seen.count("success") < 3:
            return record(self, claim, batch, again=again)
        return replace(claim, batch=claim.batch + 1, state=batch.execution.get("state", claim.state))

    Ledger.record_batch = record_and_lose


def success_written_twice() -> None:
    write = Ledger._write_transitions

    def write_twice(self, connection, transitions):
        write(self, connection, transitions)
        for each in transitions:
            if each.changes["state"] == "success":
                connection.execute(
                    update(_task).where(_task.c.id == each.task).values(state="success"))

    Ledger._write_transitions = write_twice


def epoch_stays() -> None:
    """A takeover that does not count itself: who was there before cannot know that it was taken over."""
    claim = Ledger.claim_existing

    def claim_unseen(self, seen, owner, **how):
        made = claim(self, seen, owner, **how)
        with self._database.write() as connection:
            connection.execute(ledger.update(ledger._execution).where(
                ledger._execution.c.id == seen.execution).values(epoch=seen.epoch))
        return replace(made, epoch=seen.epoch)

    Ledger.claim_existing = claim_unseen


def calls_stay_claimed() -> None:
    record = Ledger.record_batch

    def record_and_leave_one(self, claim, batch, *, again=False):
        recorded = record(self, claim, batch, again=again)
        if batch.execution.get("ended_at"):
            with self._writing() as connection:
                connection.execute(text(
                    "INSERT INTO claimed_call (execution_id, task_id, attempt, location, claim_key, beat, "
                    "claimed_at, heard) SELECT task.execution_id, min(task.id), 1, 'nowhere', 'key', 0, "
                    "min(execution.created_at), 0 FROM task JOIN execution ON execution.id = execution_id "
                    "WHERE execution_id = :execution GROUP BY task.execution_id"),
                    {"execution": claim.execution})
        return recorded

    Ledger.record_batch = record_and_leave_one
