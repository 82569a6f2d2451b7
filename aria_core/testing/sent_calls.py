"""Rows for workers elsewhere: an execution whose tasks are sent, and what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from aria_core.modeling.models import Node, Service
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import Batch, Claim, ClaimedCallRow, TaskRow
from aria_core.testing.sample import MOMENT, add_service, claim_service, sent
from aria_core.worker.calls import CallRef, FinalReport

OPERATIONS = "aria_core.testing.operations"
PATIENCE = 30.0


class SentCalls:
    """An execution that is ``started``; its tasks are sent as an engine would do it."""

    def __init__(self, model: ModelStorage, name: str = "shop") -> None:
        self.model = model
        self.service: Service = add_service(model, name)
        self.nodes: Mapping[str, Node] = {each.name: each for each in model.node
                                          if each.service_id == self.service.id}
        self.claim: Claim = claim_service(model, self.service)

    def task(self, operation: str, position: int = 0, /, *, function: str | None = None,
             values: Mapping[str, Any] | None = None, **arguments: Any) -> TaskRow:
        """A task on the node ``web``; `values` are columns of it."""
        return TaskRow(position=position, name=f"{operation} {position}", max_attempts=3,
                       function=function or f"{OPERATIONS}:{operation}", node_id=self.nodes["web"].id,
                       arguments=arguments)._replace(**(values or {}))

    def send(self, *tasks: TaskRow) -> list[CallRef]:
        """Store these tasks as the graph, and send each; their refs."""
        rows = [row._replace(position=position) for position, row in enumerate(tasks)]
        ledger = self.model.ledger
        self.claim = ledger.create_graph(self.claim, rows, (), MOMENT)
        ids = ledger.task_ids(self.claim.execution)
        self.claim = ledger.record_batch(self.claim, Batch([sent(task) for task in ids]))
        return [CallRef(self.claim.execution, task, 1) for task in ids]

    def row(self, ref: CallRef) -> ClaimedCallRow | None:
        """What the storage knows of a claimed call."""
        return next((row for row in self.model.ledger.claimed_calls(ref.execution) if row.ref == ref), None)

    def report(self, ref: CallRef) -> FinalReport:
        """The stored report, once it is there."""
        wait_until(lambda: (row := self.row(ref)) is not None and row.report is not None)
        row = self.row(ref)
        assert row is not None
        assert row.report is not None
        return row.report

    def logs(self) -> list[str]:
        """The stored lines of the execution, in order."""
        return [each.message for each in self.model.log.list(sort={"id": "asc"})]


def wait_until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Until it holds; ``TimeoutError`` if that takes too long."""
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("waited in vain")
        time.sleep(0.01)
