"""Two runners, a canceller and wrong guesses in any order, held against a model of one execution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from aria_core.exceptions import ExecutionOwnedError, FencedError, StorageError
from aria_core.modeling.base import utc_now
from aria_core.modeling.models import Node, Service
from aria_core.storage.model import ModelStorage
from aria_core.storage.owners import this_process
from aria_core.storage.records import (
    AttemptRow,
    Batch,
    Claim,
    ClaimChangedError,
    NewExecution,
    TaskRow,
    Transition,
)
from aria_core.worker.calls import Edit

TASKS = 3
RUNNERS = st.integers(0, 1)
STATES = st.sampled_from(["pending", "sent", "started", "success", "failed", "retrying"])
CHANGES = st.lists(st.tuples(st.integers(0, TASKS - 1), STATES, st.booleans()), max_size=TASKS,
                   unique_by=lambda change: change[0])


class LedgerMachine(RuleBasedStateMachine):
    """The model: what the rows must hold after each step."""

    def __init__(self, storage: ModelStorage, names: Iterator[int]) -> None:
        super().__init__()
        self.storage, self.ledger = storage, storage.ledger
        self.service = storage.service.put(Service(name=f"s{next(names)}", nodes={"n": Node(name="n")}))
        self.node = self.service.nodes["n"].id
        self.values = count()

    @initialize()
    def begin(self) -> None:
        claim = self.ledger.claim_new(NewExecution(self.service.id, "install", {}, this_process()))
        rows = [TaskRow(position, f"t{position}") for position in range(TASKS)]
        self.claims = [self.ledger.create_graph(claim, rows, [], utc_now()), claim]
        self.ids = [row.id for row in self.ledger.load_graph(claim.execution)]
        self.now = self.claims[0]
        self.tasks = [("pending", 0)] * TASKS
        self.interruptions = [0] * TASKS
        self.attribute: int | None = None

    @rule(runner=RUNNERS, changes=CHANGES, again=st.booleans())
    def record(self, runner: int, changes: list[tuple[int, str, bool]], again: bool) -> None:
        value = next(self.values)
        held, attempts = self.claims[runner], [self.tasks[task][1] for task, _, _ in changes]
        batch = Batch(
            [Transition(self.ids[task], self.tasks[task][0] if right else "nonsense", number,
                        {"state": state, "attempts": number + 1})
             for (task, state, right), number in zip(changes, attempts, strict=True)],
            [Edit("node", self.node, "value", value)], {self.node: "started"})
        unknown = again and (held.epoch, held.batch + 1) == (self.now.epoch, self.now.batch)
        outcome = self.attempt(lambda: self.ledger.record_batch(held, batch, again=again))
        if unknown:
            assert outcome == self.now  # committed before: looked up, not repeated
            self.claims[runner] = outcome
        elif held == self.now and all(right for _, _, right in changes):
            self.now = self.claims[runner] = Claim(held.execution, held.epoch, held.batch + 1, held.state)
            assert outcome == self.now
            self.attribute = value
            for task, state, _ in changes:
                self.tasks[task] = (state, self.tasks[task][1] + 1)
        elif held == self.now:
            assert type(outcome) is StorageError
        elif (held.epoch, held.batch) == (self.now.epoch, self.now.batch):
            assert isinstance(outcome, ClaimChangedError)
            assert outcome.claim == self.now
            self.claims[runner] = outcome.claim
        else:
            assert isinstance(outcome, FencedError)

    @rule(runner=RUNNERS, stale=st.booleans())
    def take_over(self, runner: int, stale: bool) -> None:
        seen = self.ledger.pulse(self.now.execution)
        if stale:
            self.ledger.beat(self.now)
        outcome = self.attempt(lambda: self.ledger.claim_existing(seen, this_process(), retry_failed=False))
        if stale:
            assert isinstance(outcome, ExecutionOwnedError)
            return
        self.now = Claim(self.now.execution, self.now.epoch + 1, self.now.batch + 1, self.now.state)
        assert outcome == self.now
        self.claims[runner] = self.now
        for task, (state, attempts) in enumerate(self.tasks):
            if state in ("sent", "started"):
                self.tasks[task] = ("pending", attempts)
                self.interruptions[task] += 1

    @rule()
    def cancel(self) -> None:
        assert self.ledger.request_cancel(self.now.execution) == "cancelling"
        self.now = Claim(self.now.execution, self.now.epoch, self.now.batch, "cancelling")

    @rule(runner=RUNNERS)
    def beat(self, runner: int) -> None:
        outcome = self.attempt(lambda: self.ledger.beat(self.claims[runner]))
        assert isinstance(outcome, FencedError) is (self.claims[runner].epoch != self.now.epoch)

    @rule(runner=RUNNERS, task=st.integers(0, TASKS - 1), off=st.integers(0, 1))
    def flush(self, runner: int, task: int, off: int) -> None:
        value = next(self.values)
        state, attempts = self.tasks[task]
        stored = self.ledger.record_edits(self.claims[runner], self.ids[task], attempts + off,
                                          [Edit("node", self.node, "value", value)])
        current = state in ("sent", "started") and not off and self.claims[runner].epoch == self.now.epoch
        assert stored is current
        self.attribute = value if current else self.attribute

    @rule(task=st.integers(0, TASKS - 1))
    def a_second_failure_of_one_attempt_is_refused_with_its_whole_batch(self, task: int) -> None:
        rows = [AttemptRow(self.ids[task], 10_000, "failed", "x")] * 2
        batch = Batch(edits=[Edit("node", self.node, "value", -1)], attempts=rows)
        assert isinstance(self.attempt(lambda: self.ledger.record_batch(self.now, batch)), StorageError)

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        rows = self.ledger.load_graph(self.now.execution)
        assert [(row.state, row.attempts) for row in rows] == self.tasks
        assert [row.interruptions for row in rows] == self.interruptions
        pulse = self.ledger.pulse(self.now.execution)
        assert (pulse.epoch, pulse.batch, pulse.state) == (self.now.epoch, self.now.batch, self.now.state)
        with self.storage.read_session() as session:
            assert session.get_one(Node, self.node).attributes.get("value") == self.attribute

    @staticmethod
    def attempt(action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (StorageError, FencedError, ExecutionOwnedError, ClaimChangedError) as error:
            return error


def test_the_ledger_does_what_the_model_says(model_storage: ModelStorage) -> None:
    names = count()
    run_state_machine_as_test(
        lambda: LedgerMachine(model_storage, names),
        settings=settings(max_examples=40, stateful_step_count=20, deadline=None,
                          suppress_health_check=[HealthCheck.too_slow]))
