"""What the tests of an executor stand on whose calls outlive the runner: rows of a real database.

Such an executor is given nothing but a `CallRef`; workers claim the call and store its report. The bench is
what the engine would be: it stores tasks as sent, and takes reports from the ledger when it is told to look.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aria_core.modeling.models import Node, Service, ServiceTemplate
from aria_core.orchestrator.call_maker import origin_of
from aria_core.orchestrator.executor import Executor
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import Batch, Claim, NewExecution, TaskRow, Transition
from aria_core.storage.resource import ResourceStorage
from aria_core.testing.bench import OPERATIONS, Bench
from aria_core.testing.inbox import PATIENCE, RecordingInbox
from aria_core.worker.calls import Actor, Call, CallRef, Failed, FinalReport, Started, Succeeded

ROWS = 80
"""Calls that one test may make."""


class SurvivingBench(Bench):
    """An opened executor under test, with a started execution in `model` whose tasks are its calls.

    There must be workers that serve `model` and `resource`, and that may write into `directory`.
    """

    def __init__(self, executor: Executor, directory: Path, model: ModelStorage, resource: ResourceStorage,
                 patience: float = PATIENCE) -> None:
        super().__init__(executor, directory, patience)
        self._model, self._ledger = model, model.ledger
        self._service = _stored_service(model)
        self.node = self._service.nodes["node"].id
        self.resources = _ServiceFiles(resource, self._service.id)
        self.origin = origin_of(self._service)
        self._claim = _started(model, self._service)
        self._tasks = model.ledger.task_ids(self._claim.execution)
        self._guard = threading.Lock()  # of the claim
        self._looking = threading.Lock()
        self._known: set[CallRef] = set()
        self._is_over, self._news = threading.Event(), threading.Event()
        self.inbox = _LookingInbox(self._news)
        self._pump = threading.Thread(target=self._take_reports, name="bench", daemon=True)

    def __enter__(self) -> Self:
        self.executor.lent_to, self.executor.origin = self._claim.execution, self.origin
        bench = super().__enter__()
        self._pump.start()
        self.wait_until(lambda: bool(self.executor.slots))
        return bench

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        for call in self._ledger.claimed_calls(self._claim.execution):
            if call.report is None:
                self.executor.terminate(call.ref, 0.0)
        self._ledger.request_cancel(self._claim.execution)  # nothing is claimed or wanted any more
        super().__exit__(kind, error, traceback)
        self._is_over.set()
        self._news.set()
        self._pump.join()

    def call(self, operation: str, attempt: int = 1, **arguments: Any) -> Call:
        """See `Bench.call`; the row of its task is ``sent``."""
        task = self._model.task.get(self._tasks[self.next_number() - 1])
        call = Call(CallRef(self._claim.execution, task.id, attempt),
                    f"{OPERATIONS}:{operation}", arguments,
                    Actor("node", self.node, "node"), service=self._service.id, origin=self.origin)
        task.function, task.arguments = call.function, arguments
        task.state, task.attempts, task.sent_at = "sent", attempt, datetime.now(UTC)
        self._model.task.update(task)
        return call

    def settle(self) -> None:
        """See `Bench.settle`: what the bench was told to look for is found."""
        self.wait_until(lambda: not self._news.is_set())
        with self._looking:
            pass

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """Take back what no worker has claimed; the executor is told, but the rows decide."""
        refs = list(refs)
        self.executor.withdraw(refs)
        with self._guard:
            return self._ledger.withdraw_calls(self._claim, refs, "withdrawn")

    def told_at_the_end(self, ref: CallRef) -> list[Mapping[str, Any]]:
        """What the call has logged, when no more comes: within a second of being told it is stored."""
        told: list[Mapping[str, Any]] = []
        for _ in range(4):
            told = self._logged(ref)
            self._is_over.wait(0.3)
        assert told == self._logged(ref)
        return told

    def _logged(self, ref: CallRef) -> list[Mapping[str, Any]]:
        return [{"message": each.message, "level": each.level}
                for each in self._model.log.iter({"task_id": ref.task}, {"id": "asc"})]

    def _take_reports(self) -> None:
        while not self._is_over.is_set():
            self._news.wait()
            with self._looking:
                self._news.clear()
                self._look()

    def _look(self) -> None:
        for call in self._ledger.claimed_calls(self._claim.execution):
            if call.ref not in self._known:
                self._known.add(call.ref)
                self.inbox(Started(call.ref, call.where))
            if call.report is not None and self._take(call.report):
                self.inbox(call.report)

    def _take(self, report: FinalReport) -> bool:
        state = "success" if isinstance(report, Succeeded) else "failed"
        transition = Transition(report.ref.task, "started", report.ref.attempt, {"state": state})
        edits = report.edits if isinstance(report, (Succeeded, Failed)) else ()
        with self._guard:
            if self._is_over.is_set():
                return False
            self._claim = self._ledger.record_batch(
                self._claim, Batch([transition], edits, calls=[report.ref]))
        return True


class _LookingInbox(RecordingInbox):
    """Remembers that there is something to look for."""

    def __init__(self, news: threading.Event) -> None:
        super().__init__()
        self._looks = news

    def look(self) -> None:
        """See `Inbox.look`."""
        self._looks.set()


class _ServiceFiles(MutableMapping[str, bytes]):
    """The files of a service, in its resource storage."""

    def __init__(self, storage: ResourceStorage, service: int) -> None:
        self._storage, self._service = storage, service

    def __setitem__(self, path: str, data: bytes) -> None:
        self._storage.put(f"service/{self._service}/{path}", data)

    def __getitem__(self, path: str) -> bytes:
        return self._storage.service.read(self._service, path)

    def __delitem__(self, path: str) -> None:
        self._storage.service.delete(self._service, path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._storage.service.list(self._service))

    def __len__(self) -> int:
        return len(self._storage.service.list(self._service))


def _stored_service(model: ModelStorage) -> Service:
    name = f"bench {secrets.token_hex(4)}"
    template = ServiceTemplate(name=name, content={"description": "for tests"})
    service = Service(name=name, service_template=template)
    service.nodes["node"] = Node(name="node", type_name="Node")
    return model.service.put(service)


def _started(model: ModelStorage, service: Service) -> Claim:
    owner = {"boot": "bench", "namespace": 1, "pid": 1, "started": 1.0, "host": "bench"}
    claim = model.ledger.claim_new(NewExecution(service.id, "install", {}, owner, executor="celery"))
    row = TaskRow(position=0, name="Test:operation@node:node", function=f"{OPERATIONS}:nothing",
                  node_id=service.nodes["node"].id, interface_name="Test", operation_name="operation",
                  max_attempts=30)
    rows = [row._replace(position=number) for number in range(ROWS)]
    return model.ledger.create_graph(claim, rows, (), datetime.now(UTC))
