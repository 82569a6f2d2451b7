"""The engine's part of a SQL storage: claims, the fence, batches. SQLAlchemy Core only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from aria_core.exceptions import (
    AlreadyExistsError,
    ExecutionOwnedError,
    FencedError,
    NotFoundError,
    StorageError,
)
from aria_core.modeling.base import utc_now
from aria_core.modeling.models import Attempt, Execution, Log, Service, Task
from aria_core.modeling.states import (
    ACTIVE_EXECUTION_STATES,
    RUNNING_TASK_STATES,
    ExecutionState,
    TaskState,
    check_execution_transition,
    check_task_transition,
)
from aria_core.storage.model import Ledger
from aria_core.storage.records import (
    Batch,
    Claim,
    ClaimChangedError,
    LogRow,
    NewExecution,
    Pulse,
    TaskRow,
    Transition,
)
from aria_core.storage.sql.claimed_calls import SqlClaimedCalls
from aria_core.storage.sql.new_tasks import store_tasks
from aria_core.storage.sql.queue import SqlExecutionQueue
from aria_core.storage.sql.statements import (
    PROGRESS,
    PULSE,
    TASK_COLUMNS,
    call_removal,
    fence,
    is_key,
    lock_service,
    node_change,
    transition,
    write_edits,
)
from aria_core.storage.sql.takeover import give_failed_another_chance, recover
from aria_core.storage.sql.task_rows import task_row
from aria_core.worker.calls import Edit

_execution: Any = Execution.__table__
_task: Any = Task.__table__
_log: Any = Log.__table__
_attempt: Any = Attempt.__table__
_service: Any = Service.__table__

_ACTIVE = [str(state) for state in ACTIVE_EXECUTION_STATES]
_AFTER_TAKING: dict[str, str] = {
    ExecutionState.PENDING: ExecutionState.PENDING, ExecutionState.CANCELLING: ExecutionState.CANCELLING}
AT_ONCE = 5_000
"""Tasks of a graph that are in memory twice while it is stored or loaded."""
_RUNNING = [str(state) for state in RUNNING_TASK_STATES]


class SqlLedger(SqlClaimedCalls, SqlExecutionQueue, Ledger):
    """The ledger on one `Database` with the newest of `revisions`."""

    def claim_new(self, new: NewExecution) -> Claim:
        """See `Ledger.claim_new`."""
        epoch, owner = (0, None) if new.queued else (1, new.owner)
        values = {**asdict(new), "state": ExecutionState.PENDING, "created_at": utc_now(),
                  "epoch": epoch, "batch": 0, "beat": 0, "owner": owner}
        try:
            with self._database.write() as connection:
                self._check_tables(connection)
                key: Any = connection.execute(insert(_execution).values(values)).inserted_primary_key
        except IntegrityError as error:
            raise self._cannot_claim(new.service_id) from error
        return Claim(key[0], epoch, 0, ExecutionState.PENDING)

    def _cannot_claim(self, service: int) -> StorageError:
        with self._database.read() as connection:
            name = connection.scalar(select(Service.name).where(Service.id == service))
        if name is None:
            return NotFoundError(f"there is no service {service}")
        active = self.active(service)
        which = f" ({active.execution}, {active.state})" if active else ""
        return AlreadyExistsError(f"service {name!r} already has an active execution{which}")

    def claim_existing(self, seen: Pulse, owner: Mapping[str, Any], *, retry_failed: bool,
                       changes: Mapping[str, Any] | None = None) -> Claim:
        """See `Ledger.claim_existing`."""
        state = _AFTER_TAKING.get(seen.state, ExecutionState.STARTED)
        _check_state(seen.state, state)
        taken = _unchanged(update(_execution), seen).values(
            epoch=seen.epoch + 1, batch=seen.batch + 1, owner=owner, state=state, ended_at=None, error=None,
            **({"failed_attempts": None} if retry_failed else {}), **(changes or {}))
        try:
            with self._database.write() as connection:
                self._check_tables(connection)
                if connection.execute(taken).rowcount != 1:
                    raise ExecutionOwnedError(f"execution {seen.execution} was just taken by another runner")
                recover(connection, seen.execution)
                if retry_failed:
                    give_failed_another_chance(connection, seen.execution)
        except IntegrityError as error:
            raise self._cannot_claim(seen.service) from error
        return Claim(seen.execution, seen.epoch + 1, seen.batch + 1, state)

    def abandon(self, seen: Pulse, state: str, error: str | None = None) -> bool:
        """See `Ledger.abandon`."""
        _check_state(seen.state, state, may_stay=False)
        ended = _unchanged(update(_execution), seen).values(
            state=state, error=error, ended_at=utc_now(), owner=None, batch=seen.batch + 1)
        with self._database.write() as connection:
            return connection.execute(ended).rowcount == 1

    def pulse(self, execution: int) -> Pulse:
        """See `Ledger.pulse`."""
        row = None
        if is_key(execution):
            with self._database.read() as connection:
                row = connection.execute(PULSE.where(_execution.c.id == execution)).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no execution {execution}")
        return Pulse(*row)

    def active(self, service: int) -> Pulse | None:
        """See `Ledger.active`."""
        query = PULSE.where(_execution.c.service_id == service, _execution.c.state.in_(_ACTIVE))
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Pulse(*row)

    def latest(self, service: int) -> int | None:
        """See `Ledger.latest`."""
        query = select(func.max(_execution.c.id)).where(_execution.c.service_id == service)
        with self._database.read() as connection:
            newest: int | None = connection.scalar(query)
        return newest

    def beat(self, claim: Claim) -> Pulse:
        """See `Ledger.beat`."""
        alive = (update(_execution)
                 .where(_execution.c.id == claim.execution, _execution.c.epoch == claim.epoch)
                 .values(beat=_execution.c.beat + 1))
        with self._database.write() as connection:
            if connection.execute(alive).rowcount != 1:
                raise _fenced(claim)
            return Pulse(*connection.execute(PULSE.where(_execution.c.id == claim.execution)).one())

    def ask_to_beat(self, seen: Pulse, asker: str) -> None:
        """See `Ledger.ask_to_beat`."""
        asked = update(_execution).where(
            _execution.c.id == seen.execution, _execution.c.epoch == seen.epoch,
            _execution.c.owner.is_not(None)).values(owner={**(seen.owner or {}), "asked": asker})
        with self._database.write() as connection:
            connection.execute(asked)

    def release(self, claim: Claim) -> None:
        """See `Ledger.release`."""
        with self._database.write() as connection:
            connection.execute(update(_execution).where(
                _execution.c.id == claim.execution, _execution.c.epoch == claim.epoch).values(owner=None))

    def request_cancel(self, execution: int) -> str:
        """See `Ledger.request_cancel`."""
        of_this = update(_execution).where(_execution.c.id == execution)
        with self._database.write() as connection:
            connection.execute(of_this.where(_execution.c.state == ExecutionState.PENDING).values(
                state=ExecutionState.CANCELLED, ended_at=utc_now(), owner=None))
            connection.execute(of_this.where(_execution.c.state == ExecutionState.STARTED).values(
                state=ExecutionState.CANCELLING))
            state = connection.scalar(select(_execution.c.state).where(_execution.c.id == execution))
        if state is None:
            raise NotFoundError(f"there is no execution {execution}")
        return str(state)

    @contextmanager
    def removing_service(self, service: int) -> Iterator[None]:
        """See `Ledger.removing_service`."""
        with self._writing() as connection:
            lock_service(connection, service)
            yield
            connection.execute(delete(_service).where(_service.c.id == service))

    def create_graph(self, claim: Claim, tasks: Sequence[TaskRow], edits: Sequence[Edit],
                     started_at: datetime) -> Claim:
        """See `Ledger.create_graph`."""
        changes = {"state": ExecutionState.STARTED, "started_at": started_at}
        with self._writing() as connection:
            next_claim = self._pass_fence(connection, claim, changes)
            for start in range(0, len(tasks), AT_ONCE):
                store_tasks(connection, self._statements, claim.execution, tasks[start:start + AT_ONCE])
            write_edits(connection, edits)
        return next_claim

    def load_graph(self, execution: int) -> list[TaskRow]:
        """See `Ledger.load_graph`."""
        of_execution = select(*TASK_COLUMNS).where(_task.c.execution_id == execution).order_by(
            _task.c.position).limit(AT_ONCE)
        graph: list[TaskRow] = []
        texts: dict[str, str] = {}
        with self._database.read() as connection:
            while True:
                rows = connection.execute(of_execution.where(_task.c.position >= len(graph))).all()
                graph += [task_row(row, texts) for row in rows]
                if len(rows) < AT_ONCE:
                    return graph

    def task_ids(self, execution: int) -> list[int]:
        """See `Ledger.task_ids`."""
        of_execution = select(_task.c.id).where(_task.c.execution_id == execution)
        with self._database.read() as connection:
            return [*connection.scalars(of_execution.order_by(_task.c.position))]

    def record_batch(self, claim: Claim, batch: Batch, *, again: bool = False) -> Claim:
        """See `Ledger.record_batch`."""
        with self._writing() as connection:
            if again and (done := _already_committed(connection, claim)):
                return done
            next_claim = self._pass_fence(connection, claim, batch.execution)
            self._write_transitions(connection, batch.transitions)
            write_edits(connection, batch.edits)
            if batch.progress:
                connection.execute(PROGRESS, [
                    {"b_id": each.task, "b_attempts": each.attempt, "n_progress": each.progress,
                     "n_message": each.message} for each in sorted(batch.progress, key=lambda row: row.task)])
            if batch.attempts:
                rows = [_attempt_values(each) for each in batch.attempts]
                connection.execute(insert(_attempt), rows)
            if batch.nodes:
                states = [[batch.nodes[each], each] for each in sorted(batch.nodes)]
                self._statements.run(connection, node_change, ("state",), states)
            if batch.calls:
                calls = [[call.task, call.attempt] for call in sorted(batch.calls)]
                self._statements.run(connection, call_removal, (), calls)
        return next_claim

    def _pass_fence(self, connection: Connection, claim: Claim, changes: Mapping[str, Any]) -> Claim:
        if claim.state not in _ACTIVE:
            raise StorageError(f"execution {claim.execution} is {claim.state}; only a new claim starts it")
        _check_state(claim.state, changes.get("state", claim.state))
        row = [claim.batch + 1, *changes.values(), claim.execution, claim.epoch, claim.batch, claim.state]
        if self._statements.run(connection, fence, ("batch", *changes), [row]) == 1:
            return Claim(claim.execution, claim.epoch, claim.batch + 1, changes.get("state", claim.state))
        raise _why_refused(connection, claim)

    def _write_transitions(self, connection: Connection, transitions: Sequence[Transition]) -> None:
        groups: dict[tuple[str, ...], list[Transition]] = {}
        for each in transitions:
            _check_task(each)
            groups.setdefault(tuple(each.changes), []).append(each)
        for names, group in groups.items():
            group.sort(key=attrgetter("task"))
            changed = self._statements.run(connection, transition, names, [
                [*each.changes.values(), each.task, each.before, each.attempts] for each in group])
            if changed != len(group):
                raise StorageError(f"{len(group) - changed} of {len(group)} task rows changed behind the "
                                   "runner's back")

    def record_edits(self, claim: Claim, task: int, attempt: int, edits: Sequence[Edit]) -> bool:
        """See `Ledger.record_edits`."""
        owned = select(_execution.c.id).where(
            _execution.c.id == claim.execution, _execution.c.epoch == claim.epoch).with_for_update()
        current = select(_task.c.id).where(
            _task.c.id == task, _task.c.execution_id == claim.execution, _task.c.attempts == attempt,
            _task.c.state.in_(_RUNNING)).with_for_update()
        with self._writing() as connection:
            # One after the other: a join locks the rows of both tables in whatever order it finds them.
            if any(connection.scalar(each) is None for each in (owned, current)):
                return False
            write_edits(connection, edits)
        return True

    def add_logs(self, rows: Sequence[LogRow]) -> None:
        """See `Ledger.add_logs`."""
        values = [_log_values(row) for row in rows]
        if values:
            with self._writing() as connection:
                connection.execute(insert(_log), values)


def _check_state(before: str, after: str, *, may_stay: bool = True) -> None:
    if may_stay and before == after and before in _ACTIVE:
        return
    try:
        check_execution_transition(ExecutionState(before), ExecutionState(after))
    except ValueError as error:
        raise StorageError(str(error)) from error


def _check_task(transition: Transition) -> None:
    before, after = transition.before, transition.changes["state"]
    if (before, after) == (TaskState.FAILED, TaskState.PENDING):
        raise StorageError("a task that failed is pending again only by a claim with retry_failed")
    try:
        check_task_transition(before, after)
    except ValueError as error:
        raise StorageError(str(error)) from error


def _unchanged(statement: Any, seen: Pulse) -> Any:
    return statement.where(and_(
        _execution.c.id == seen.execution, _execution.c.epoch == seen.epoch,
        _execution.c.batch == seen.batch, _execution.c.beat == seen.beat, _execution.c.state == seen.state))


def _fenced(claim: Claim) -> FencedError:
    return FencedError(f"execution {claim.execution} was taken over by another runner; this one stops")


def _why_refused(connection: Connection, claim: Claim) -> Exception:
    row = connection.execute(
        select(_execution.c.epoch, _execution.c.batch, _execution.c.state)
        .where(_execution.c.id == claim.execution)).one_or_none()
    if row is None:
        return FencedError(f"execution {claim.execution} does not exist any more; its runner stops")
    if (row.epoch, row.batch) != (claim.epoch, claim.batch):
        return _fenced(claim)
    return ClaimChangedError(replace(claim, state=row.state))


def _already_committed(connection: Connection, claim: Claim) -> Claim | None:
    row = connection.execute(
        select(_execution.c.epoch, _execution.c.batch, _execution.c.state)
        .where(_execution.c.id == claim.execution)).one_or_none()
    if row is None or (row.epoch, row.batch) != (claim.epoch, claim.batch + 1):
        return None
    return replace(claim, batch=row.batch, state=row.state)


def _attempt_values(attempt: Any) -> dict[str, Any]:
    return {"task_id": attempt.task, "number": attempt.number, "outcome": attempt.outcome,
            "error": attempt.error, "traceback": attempt.traceback, "location": attempt.location,
            "ended_at": utc_now()}


def _log_values(row: LogRow) -> dict[str, Any]:
    return {"execution_id": row.execution, "task_id": row.task, "attempt": row.attempt, "level": row.level,
            "message": row.message, "traceback": row.traceback, "created_at": row.created_at}

