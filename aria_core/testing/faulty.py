"""A storage and an executor around others, which reach the fault points before and after all they do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from aria_core.modeling.base import Model
from aria_core.orchestrator.executor import Executor, Inbox, Station
from aria_core.storage.model import Ledger, ModelStorage, ModelTable
from aria_core.storage.records import (
    Batch,
    CallBeat,
    Claim,
    ClaimedCallRow,
    LogRow,
    NewExecution,
    Pulse,
    TaskRow,
)
from aria_core.testing.fault_points import IN_COMMIT, FaultPoints
from aria_core.worker.calls import Call, CallRef, Edit, FinalReport, Report

T = TypeVar("T")
M = TypeVar("M", bound=Model)

_STORED_STATES = ("sent", "started", "success", "retrying", "failed", "pending")


def reach_in_commits(points: FaultPoints) -> None:
    """Have every SQLAlchemy engine of this process reach ``in-commit`` just before it commits."""
    @event.listens_for(Engine, "commit")
    def reach(_: object) -> None:
        points.reach(IN_COMMIT)


class FaultyLedger(Ledger):
    """The ledger of another storage, with fault points around each of its transactions."""

    def __init__(self, inner: Ledger, points: FaultPoints) -> None:
        self._inner = inner
        self._points = points

    def _around(self, act: Callable[[], T], *places: str) -> T:
        self._points.before(*places)
        result = act()
        if isinstance(result, Claim):
            self._points.acknowledge(result.execution, result.epoch, result.batch)
        self._points.after(*places)
        return result

    def claim_new(self, new: NewExecution) -> Claim:
        """See `Ledger.claim_new`."""
        return self._around(lambda: self._inner.claim_new(new), "claim")

    def claim_existing(self, seen: Pulse, owner: Mapping[str, Any], *, retry_failed: bool,
                       changes: Mapping[str, Any] | None = None) -> Claim:
        """See `Ledger.claim_existing`."""
        return self._around(lambda: self._inner.claim_existing(
            seen, owner, retry_failed=retry_failed, changes=changes), "takeover")

    def abandon(self, seen: Pulse, state: str, error: str | None = None) -> bool:
        """See `Ledger.abandon`."""
        return self._around(lambda: self._inner.abandon(seen, state, error), "abandon")

    def pulse(self, execution: int) -> Pulse:
        """See `Ledger.pulse`."""
        return self._inner.pulse(execution)

    def active(self, service: int) -> Pulse | None:
        """See `Ledger.active`."""
        return self._inner.active(service)

    def latest(self, service: int) -> int | None:
        """See `Ledger.latest`."""
        return self._inner.latest(service)

    def beat(self, claim: Claim) -> Pulse:
        """See `Ledger.beat`."""
        return self._around(lambda: self._inner.beat(claim), "beat")

    def ask_to_beat(self, seen: Pulse, asker: str) -> None:
        """See `Ledger.ask_to_beat`."""
        self._inner.ask_to_beat(seen, asker)

    def release(self, claim: Claim) -> None:
        """See `Ledger.release`."""
        self._around(lambda: self._inner.release(claim), "release")

    def request_cancel(self, execution: int) -> str:
        """See `Ledger.request_cancel`."""
        return self._around(lambda: self._inner.request_cancel(execution), "cancel-request")

    def removing_service(self, service: int) -> AbstractContextManager[None]:
        """See `Ledger.removing_service`; no execution comes by here."""
        return self._inner.removing_service(service)

    def create_graph(self, claim: Claim, tasks: Sequence[TaskRow], edits: Sequence[Edit],
                     started_at: datetime) -> Claim:
        """See `Ledger.create_graph`."""
        return self._around(lambda: self._inner.create_graph(claim, tasks, edits, started_at), "graph")

    def load_graph(self, execution: int) -> list[TaskRow]:
        """See `Ledger.load_graph`."""
        return self._inner.load_graph(execution)

    def task_ids(self, execution: int) -> list[int]:
        """See `Ledger.task_ids`."""
        return self._inner.task_ids(execution)

    def record_batch(self, claim: Claim, batch: Batch, *, again: bool = False) -> Claim:
        """See `Ledger.record_batch`; its places are the states that it stores."""
        return self._around(lambda: self._inner.record_batch(claim, batch, again=again), *_places(batch))

    def record_edits(self, claim: Claim, task: int, attempt: int, edits: Sequence[Edit]) -> bool:
        """See `Ledger.record_edits`."""
        return self._around(lambda: self._inner.record_edits(claim, task, attempt, edits), "flush")

    def claim_calls(self, refs: Sequence[CallRef], where: str, at: datetime, key: str) -> list[CallRef]:
        """See `Ledger.claim_calls`."""
        return self._around(lambda: self._inner.claim_calls(refs, where, at, key), "call-claim")

    def exchange_calls(self, reports: Sequence[FinalReport], refs: Sequence[CallRef], where: str,
                       at: datetime, key: str) -> dict[CallRef, TaskRow]:
        """See `Ledger.exchange_calls`; a claim or a report, or both."""
        places = ["call-claim"] * bool(refs) + ["call-report"] * bool(reports)
        return self._around(lambda: self._inner.exchange_calls(reports, refs, where, at, key), *places)

    def beat_calls(self, beats: Sequence[CallBeat]) -> frozenset[CallRef]:
        """See `Ledger.beat_calls`."""
        return self._around(lambda: self._inner.beat_calls(beats), "call-beat")

    def put_reports(self, reports: Sequence[FinalReport]) -> None:
        """See `Ledger.put_reports`."""
        self._around(lambda: self._inner.put_reports(reports), "call-report")

    def record_call_edits(self, ref: CallRef, edits: Sequence[Edit]) -> bool:
        """See `Ledger.record_call_edits`."""
        return self._inner.record_call_edits(ref, edits)

    def claimed_calls(self, execution: int) -> list[ClaimedCallRow]:
        """See `Ledger.claimed_calls`."""
        return self._inner.claimed_calls(execution)

    def withdraw_calls(self, claim: Claim, refs: Sequence[CallRef], reason: str) -> frozenset[CallRef]:
        """See `Ledger.withdraw_calls`."""
        return self._inner.withdraw_calls(claim, refs, reason)

    def claim_queued(self, owner: Mapping[str, Any], limit: int,
                     besides: Collection[int] = ()) -> list[Claim]:
        """See `Ledger.claim_queued`."""
        return self._inner.claim_queued(owner, limit, besides)

    def active_executions(self, queued_only: bool = False, waiting: bool = True) -> list[Pulse]:
        """See `Ledger.active_executions`."""
        return self._inner.active_executions(queued_only, waiting)

    def add_logs(self, rows: Sequence[LogRow]) -> None:
        """See `Ledger.add_logs`."""
        self._around(lambda: self._inner.add_logs(rows), "log")


def _places(batch: Batch) -> list[str]:
    stored = {str(each.changes["state"]) for each in batch.transitions}
    ended = "state" in batch.execution
    released = not ended and "owner" in batch.execution
    return ([state for state in _STORED_STATES if state in stored] + ["end"] * ended + ["release"] * released)


class FaultyStorage(ModelStorage):
    """Another model storage, with a `FaultyLedger`."""

    def __init__(self, inner: ModelStorage, points: FaultPoints) -> None:
        self._inner = inner
        self._ledger = FaultyLedger(inner.ledger, points)
        self.reach = inner.reach

    def open(self) -> None:
        """See `ModelStorage.open`."""
        self._inner.open()

    def close(self) -> None:
        """See `ModelStorage.close`."""
        self._inner.close()

    def spec(self) -> tuple[str, Mapping[str, Any]]:
        """See `ModelStorage.spec`."""
        return self._inner.spec()

    @property
    def ledger(self) -> Ledger:
        """The ledger with the fault points."""
        return self._ledger

    def table(self, model: type[M]) -> ModelTable[M]:
        """See `ModelStorage.table`."""
        return self._inner.table(model)

    def read_session(self) -> Session:
        """See `ModelStorage.read_session`."""
        return self._inner.read_session()

    def drop(self) -> None:
        """See `ModelStorage.drop`."""
        self._inner.drop()


class FaultyInbox:
    """Another inbox, with fault points around each report."""

    def __init__(self, inner: Inbox, points: FaultPoints) -> None:
        self._inner = inner
        self._points = points

    def __call__(self, report: Report) -> None:
        """See `Inbox.__call__`."""
        self._points.before("report")
        self._inner(report)
        self._points.after("report")

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        """See `Inbox.answer`."""
        return self._inner.answer(ref, request)

    def look(self) -> None:
        """See `Inbox.look`."""
        self._inner.look()


class FaultyExecutor(Executor):
    """Another executor, with fault points around what it is asked and what it reports."""

    def __init__(self, inner: Executor, points: FaultPoints) -> None:
        self._inner = inner
        self._points = points
        self.name = inner.name
        for capability in ("can_terminate", "isolates_calls", "survives_runner", "runs_operations",
                           "needs_reach", "poll_interval", "has_queues"):
            setattr(self, capability, getattr(inner, capability))

    @property
    def slots(self) -> int | None:  # type: ignore[override]
        """See `Executor.slots`."""
        return self._inner.slots

    def open(self, report: Inbox) -> None:
        """See `Executor.open`."""
        self._inner.lent_to, self._inner.origin = self.lent_to, self.origin
        self._inner.open(FaultyInbox(report, self._points))

    def submit(self, call: Call) -> None:
        """See `Executor.submit`."""
        self._points.before("dispatch")
        self._inner.submit(call)
        self._points.after("dispatch")

    def submit_all(self, calls: Iterable[Call]) -> list[tuple[CallRef, Exception]]:
        """See `Executor.submit_all`; the points are reached once for each call."""
        sent = list(calls)
        for _ in sent:
            self._points.before("dispatch")
        refused = self._inner.submit_all(sent)
        for _ in sent:
            self._points.after("dispatch")
        return refused

    def queue_of(self, call: Call) -> str:
        """See `Executor.queue_of`."""
        return self._inner.queue_of(call)

    def slots_of(self, queue: str) -> int:
        """See `Executor.slots_of`."""
        return self._inner.slots_of(queue)

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """See `Executor.withdraw`."""
        self._points.before("withdraw")
        withdrawn = self._inner.withdraw(refs)
        self._points.after("withdraw")
        return withdrawn

    def terminate(self, ref: CallRef, grace: float) -> bool:
        """See `Executor.terminate`."""
        self._points.before("terminate")
        follows = self._inner.terminate(ref, grace)
        self._points.after("terminate")
        return follows

    def running(self) -> frozenset[CallRef]:
        """See `Executor.running`."""
        return self._inner.running()

    def serve(self, station: Station) -> None:
        """See `Executor.serve`."""
        self._inner.serve(station)

    def close(self, grace: float) -> None:
        """See `Executor.close`."""
        self._inner.close(grace)
