"""Two runners, a canceller and wrong guesses in any order, held against a model of the design's states.

The model knows nothing of the product's tables: what may follow what is written out here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aria_core.exceptions import AlreadyExistsError, ExecutionOwnedError, FencedError, StorageError
from aria_core.modeling.base import utc_now
from aria_core.modeling.models import Node, Service
from aria_core.modeling.states import lifecycle_states
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

EXECUTION_MOVES = {
    "pending": {"started", "cancelled", "failed"}, "cancelling": {"cancelled", "succeeded", "failed"},
    "started": {"succeeded", "failed", "cancelling", "cancelled"},
    "cancelled": set(), "failed": set(), "succeeded": set()}  # the two that can be resumed: by claiming only
TASK_MOVES = {
    "pending": {"sent", "success"}, "sent": {"started", "success", "failed", "retrying", "pending"},
    "started": {"success", "failed", "retrying", "pending"}, "retrying": {"sent", "pending"},
    "failed": set(), "success": set()}  # failed -> pending: by claiming with retry_failed only
ACTIVE = ("pending", "started", "cancelling")
RUNNING = ("sent", "started")

LIFECYCLE = {"create": ("creating", "created"), "stop": ("stopping", "configured"), "other": (None, None)}
TASKS = [*LIFECYCLE]
IGNORED = len(TASKS) - 1
"""The last task may fail: retry_failed leaves it alone."""

RUNNERS = st.integers(0, 1)
STATES = st.sampled_from(sorted(TASK_MOVES))
CHANGES = st.lists(st.tuples(st.integers(0, len(TASKS) - 1), STATES, st.sampled_from(["right"] * 6 + [
    "another state", "another attempt"])), max_size=len(TASKS), unique_by=lambda change: change[0])


@dataclass
class TaskModel:
    """What a task's row must hold."""

    state: str = "pending"
    attempts: int = 0
    failures: int = 0
    lost: int = 0
    interruptions: int = 0

    @property
    def budgets(self) -> dict[str, int]:
        return {"failures": self.failures, "lost": self.lost, "interruptions": self.interruptions}


@dataclass
class ExecutionModel:
    """What an execution's row and those of its tasks must hold."""

    now: Claim
    owned: bool = True
    spent: int | None = None
    tasks: list[TaskModel] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    ended_attempts: int = 0

    @property
    def runs(self) -> bool:
        return any(task.state in RUNNING for task in self.tasks)


class LedgerMachine(RuleBasedStateMachine):
    """The model: what the rows must hold after each step."""

    def __init__(self, storage: ModelStorage, names: Iterator[int]) -> None:
        super().__init__()
        self.storage, self.ledger = storage, storage.ledger
        self.service = storage.service.put(Service(name=f"s{next(names)}", nodes={"n": Node(name="n")}))
        self.node = self.service.nodes["n"].id
        self.values = count()
        self.executions: dict[int, ExecutionModel] = {}
        self.claims: list[Claim | None] = [None, None]
        self.node_state = "initial"
        self.attribute: int | None = None

    # --- what a runner holds, and whether it still holds

    def held(self, runner: int) -> Claim:
        claim = self.claims[runner]
        assert claim is not None
        return claim

    def of(self, claim: Claim) -> ExecutionModel:
        return self.executions[claim.execution]

    def some(self, index: int) -> ExecutionModel:
        """Any execution; most often the newest."""
        known = [*self.executions.values()]
        return known[-1 - index % len(known)]

    def is_refused(self, runner: int, outcome: Any) -> bool:
        """Whether the fence must have refused what this runner tried; the claim is brought up to date."""
        held = self.held(runner)
        now = self.of(held).now
        if held == now:
            return False
        if (held.epoch, held.batch) == (now.epoch, now.batch):
            assert isinstance(outcome, ClaimChangedError)
            assert outcome.claim == now
            self.claims[runner] = outcome.claim
        else:
            assert isinstance(outcome, FencedError)
        return True

    def next_batch(self, runner: int, state: str) -> Claim:
        held = self.held(runner)
        self.of(held).now = self.claims[runner] = claim = replace(held, batch=held.batch + 1, state=state)
        return claim

    # --- claims

    @rule(runner=RUNNERS)
    def claim_new(self, runner: int) -> None:
        outcome = self.attempt(lambda: self.ledger.claim_new(
            NewExecution(self.service.id, "install", {}, this_process())))
        if any(each.now.state in ACTIVE for each in self.executions.values()):
            assert type(outcome) is AlreadyExistsError
            return
        assert outcome == Claim(outcome.execution, 1, 0, "pending")
        assert outcome.execution not in self.executions
        self.executions[outcome.execution] = ExecutionModel(outcome)
        self.claims[runner] = outcome

    @precondition(lambda self: self.executions)
    @rule(runner=RUNNERS, index=st.sampled_from([0, 0, 0, 1, 2]), retry_failed=st.booleans(),
          stale=st.sampled_from([False, False, True]))
    def claim_existing(self, runner: int, index: int, retry_failed: bool, stale: bool) -> None:
        model = self.some(index)
        seen = self.ledger.pulse(model.now.execution)
        if stale:
            self.ledger.beat(model.now)
        outcome = self.attempt(lambda: self.ledger.claim_existing(
            seen, this_process(), retry_failed=retry_failed))
        before = model.now.state
        others_active = any(
            each.now.state in ACTIVE for each in self.executions.values() if each is not model)
        if before == "succeeded":
            assert type(outcome) is StorageError
        elif stale:
            assert isinstance(outcome, ExecutionOwnedError)
        elif before not in ACTIVE and others_active:
            assert isinstance(outcome, AlreadyExistsError)
        else:
            state = before if before in ("pending", "cancelling") else "started"
            model.now = Claim(seen.execution, seen.epoch + 1, seen.batch + 1, state)
            assert outcome == model.now
            self.claims[runner] = outcome
            self.recover(model, retry_failed)

    @staticmethod
    def recover(model: ExecutionModel, retry_failed: bool) -> None:
        model.owned = True
        model.spent = None if retry_failed else model.spent
        for position, task in enumerate(model.tasks):
            if task.state in RUNNING:
                task.state = "pending"
                task.interruptions += 1
            elif task.state == "failed" and retry_failed and position != IGNORED:
                task.state, task.failures, task.lost, task.interruptions = "pending", 0, 0, 0

    @precondition(lambda self: any(self.claims))
    @rule(runner=RUNNERS)
    def release(self, runner: int) -> None:
        claim = self.claims[runner]
        if claim is None:
            return
        self.ledger.release(claim)
        model = self.of(claim)
        model.owned = model.owned and model.now.epoch != claim.epoch

    @precondition(lambda self: any(self.claims))
    @rule(runner=RUNNERS)
    def beat(self, runner: int) -> None:
        claim = self.claims[runner]
        if claim is not None:
            outcome = self.attempt(lambda: self.ledger.beat(claim))
            assert isinstance(outcome, FencedError) is (claim.epoch != self.of(claim).now.epoch)

    # --- ends asked for from outside

    @precondition(lambda self: self.executions)
    @rule(index=st.integers(0, 2))
    def cancel(self, index: int) -> None:
        model = self.some(index)
        after = {"pending": "cancelled", "started": "cancelling"}.get(model.now.state, model.now.state)
        assert self.ledger.request_cancel(model.now.execution) == after
        model.owned = model.owned and model.now.state != "pending"
        model.now = replace(model.now, state=after)

    @precondition(lambda self: self.executions)
    @rule(index=st.integers(0, 2), state=st.sampled_from(sorted(EXECUTION_MOVES)), stale=st.booleans())
    def abandon(self, index: int, state: str, stale: bool) -> None:
        model = self.some(index)
        if model.tasks or state == "started":
            return  # no runner lets go of what has a graph, and nobody is let go into running
        seen = self.ledger.pulse(model.now.execution)
        if stale:
            self.ledger.beat(model.now)
        outcome = self.attempt(lambda: self.ledger.abandon(seen, state, "gone"))
        if state not in EXECUTION_MOVES[model.now.state]:
            assert type(outcome) is StorageError
            return
        assert outcome is not stale
        if outcome:
            model.now = replace(model.now, batch=model.now.batch + 1, state=state)
            model.owned = False

    # --- what the engine writes

    @precondition(lambda self: any(self.claims))
    @rule(runner=RUNNERS)
    def create_graph(self, runner: int) -> None:
        claim = self.claims[runner]
        if claim is None:
            return
        rows = [TaskRow(position, f"t{position}", node_id=self.node, interface_name="Standard",
                        operation_name=name, ignore_failure=position == IGNORED)
                for position, name in enumerate(TASKS)]
        outcome = self.attempt(lambda: self.ledger.create_graph(claim, rows, [], utc_now()))
        model = self.of(claim)
        if claim.state != "started" and "started" not in EXECUTION_MOVES[claim.state]:
            assert type(outcome) is StorageError
        elif not self.is_refused(runner, outcome):
            if model.tasks:
                assert type(outcome) is StorageError
                return
            assert outcome == self.next_batch(runner, "started")
            model.tasks = [TaskModel() for _ in TASKS]
            model.ids = [row.id for row in self.ledger.load_graph(claim.execution)]

    @precondition(lambda self: any(claim and self.of(claim).tasks for claim in self.claims))
    @rule(runner=RUNNERS, changes=CHANGES, lost=st.booleans(), again=st.booleans())
    def record(self, runner: int, changes: list[tuple[int, str, str]], lost: bool, again: bool) -> None:
        claim = self.claims[runner]
        if claim is None or not self.of(claim).tasks:
            return
        model, value = self.of(claim), next(self.values)
        after = [self.moved(model.tasks[task], state, lost) for task, state, _ in changes]
        batch = Batch(
            [self.transition(model, task, guess, to)
             for (task, _, guess), to in zip(changes, after, strict=True)],
            [Edit("node", self.node, "value", value)], self.node_states(changes),
            [AttemptRow(model.ids[task], to.attempts, "lost" if lost else "failed", "x")
             for (task, state, _), to in zip(changes, after, strict=True) if state in ("failed", "retrying")])
        unknown = again and (claim.epoch, claim.batch + 1) == (model.now.epoch, model.now.batch)
        outcome = self.attempt(lambda: self.ledger.record_batch(claim, batch, again=again))
        legal = all(guess == "right" and state in TASK_MOVES[model.tasks[task].state]
                    for task, state, guess in changes)
        if unknown:
            assert outcome == model.now  # committed before: looked up, not repeated
            self.claims[runner] = outcome
        elif claim.state not in ACTIVE:
            assert type(outcome) is StorageError
        elif self.is_refused(runner, outcome):
            return
        elif not legal:
            assert type(outcome) is StorageError
        else:
            assert outcome == self.next_batch(runner, claim.state)
            self.attribute, model.ended_attempts = value, model.ended_attempts + len(batch.attempts)
            for (task, _, _), to in zip(changes, after, strict=True):
                assert to.attempts >= model.tasks[task].attempts
                model.tasks[task] = to
            self.move_node(changes)

    @staticmethod
    def moved(task: TaskModel, state: str, lost: bool) -> TaskModel:
        """The task after it came to `state`, with what that costs."""
        match state:
            case "sent":
                return replace(task, state=state, attempts=task.attempts + 1)
            case "failed" | "retrying":
                return replace(task, state=state, lost=task.lost + lost, failures=task.failures + (not lost))
            case "pending":
                cut_off = task.state == "started"
                return replace(task, state=state, interruptions=task.interruptions + cut_off)
        return replace(task, state=state)

    @staticmethod
    def transition(model: ExecutionModel, task: int, guess: str, to: TaskModel) -> Transition:
        known = model.tasks[task]
        before = next(state for state in sorted(TASK_MOVES) if state != known.state) if (
            guess == "another state") else known.state
        return Transition(model.ids[task], before, known.attempts + (guess == "another attempt"),
                          {"state": to.state, "attempts": to.attempts, **to.budgets})

    def node_states(self, changes: list[tuple[int, str, str]]) -> dict[int, str]:
        """What an engine writes of the node: from the product's own table."""
        states: dict[int, str] = {}
        for task, state, _ in changes:
            lifecycle = lifecycle_states("Standard", TASKS[task])
            moves = {"sent": 0, "success": 1}
            if lifecycle is not None and state in moves:
                states[self.node] = lifecycle[moves[state]]
            elif lifecycle is not None and state == "failed":
                states[self.node] = "error"
        return states

    def move_node(self, changes: list[tuple[int, str, str]]) -> None:
        """What the design says of it: transitional, final, error; retry and interruption leave it."""
        for task, state, _ in changes:
            during, after = LIFECYCLE[TASKS[task]]
            moved = {"sent": during, "success": after, "failed": during and "error"}.get(state)
            self.node_state = moved or self.node_state

    @precondition(lambda self: any(self.claims))
    @rule(runner=RUNNERS, state=st.sampled_from(sorted(EXECUTION_MOVES)))
    def end(self, runner: int, state: str) -> None:
        """Come to a state of the execution, as the last batch of an engine does."""
        claim = self.claims[runner]
        if claim is None or (self.of(claim).runs and state in ("succeeded", "failed", "cancelled")):
            return  # no engine ends what still runs
        model = self.of(claim)
        spent = (model.spent or 0) + 1
        outcome = self.attempt(lambda: self.ledger.record_batch(claim, Batch(execution={
            "state": state, "failed_attempts": spent, "owner": None})))
        may_stay = state == claim.state and state in ACTIVE
        if not may_stay and state not in EXECUTION_MOVES[claim.state]:
            assert type(outcome) is StorageError
        elif not self.is_refused(runner, outcome):
            assert outcome == self.next_batch(runner, state)
            model.owned, model.spent = False, spent

    @precondition(lambda self: any(claim and self.of(claim).tasks for claim in self.claims))
    @rule(runner=RUNNERS, task=st.integers(0, len(TASKS) - 1), off=st.integers(0, 1))
    def flush(self, runner: int, task: int, off: int) -> None:
        claim = self.claims[runner]
        if claim is None or not self.of(claim).tasks:
            return
        model, value = self.of(claim), next(self.values)
        known = model.tasks[task]
        stored = self.ledger.record_edits(claim, model.ids[task], known.attempts + off,
                                          [Edit("node", self.node, "value", value)])
        current = known.state in RUNNING and not off and claim.epoch == model.now.epoch
        assert stored is current
        self.attribute = value if current else self.attribute

    # --- what must hold after each step

    @invariant()
    def executions_are_as_the_model_says(self) -> None:
        rows = self.storage.execution.list({"service_id": self.service.id}, {"id": "asc"}).items
        found = [(row.id, row.epoch, row.batch, row.state, row.owner is not None, row.failed_attempts)
                 for row in rows]
        assert found == [(each.now.execution, each.now.epoch, each.now.batch, each.now.state, each.owned,
                          each.spent) for each in self.executions.values()]
        assert sum(row.state in ACTIVE for row in rows) <= 1

    @invariant()
    def tasks_are_as_the_model_says(self) -> None:
        for execution, model in self.executions.items():
            rows = self.ledger.load_graph(execution)
            found = [TaskModel(row.state, row.attempts, row.failures, row.lost, row.interruptions)
                     for row in rows]
            assert found == model.tasks
            if model.ids:
                attempts = self.storage.attempt.list({"task_id": model.ids})
                assert len(attempts) == model.ended_attempts
            assert model.now.state in ACTIVE or not model.runs

    @invariant()
    def the_node_is_as_the_model_says(self) -> None:
        with self.storage.read_session() as session:
            node = session.get_one(Node, self.node)
            assert (node.state, node.attributes.get("value")) == (self.node_state, self.attribute)

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
        settings=settings(max_examples=40, stateful_step_count=30, deadline=None,
                          suppress_health_check=[HealthCheck.too_slow]))
