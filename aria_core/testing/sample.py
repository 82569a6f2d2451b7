"""Rows that contract tests begin with, and ways to look at them from elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from aria_core.modeling.models import Node, Relationship, Service, ServiceTemplate
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import AttemptRow, Batch, Claim, NewExecution, ProgressRow, TaskRow, Transition
from aria_core.worker.calls import Edit

T = TypeVar("T")

OWNER = {"boot": "b", "namespace": 1, "pid": 2, "started": 3.5, "host": "here"}
NEW_OWNER = {**OWNER, "pid": 77}
MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

JSON_VALUES: Sequence[Any] = (
    None, True, False, 0, -1, 2**63, -(2**100), 10**400, 0.1, -0.0, 1e300, 5e-324, "", "null", "é\u0301",
    "\U0001f600 emoji", "\u202eright to left", "line\r\nend\t\x1b[0m", "'; DROP TABLE node; --",
    "%s {{ x }} \\ / \"", "x" * 70_000, [], {}, [[[]], {}, None],
    {"": {"a.b": [1, {"c": None}]}, "\u2603": "snow"})
"""Values that a storage keeps exactly."""


def add_service(storage: ModelStorage, name: str = "shop") -> Service:
    """A stored service: node ``web`` is tied to its host ``db``, which has an address."""
    template = ServiceTemplate(name=f"template of {name}", content={"description": "a shop"})
    service = Service(name=name, service_template=template)
    database, web = Node(name="db", type_name="Db"), Node(name="web", type_name="Web", host=None)
    database.attributes["ip"] = "10.0.0.1"
    web.host = database
    web.outbound_relationships.append(Relationship(name="database", target_node=database))
    for node in (database, web):
        service.nodes[node.name] = node
    return storage.service.put(service)


def claim_service(storage: ModelStorage, service: Service, workflow: str = "install") -> Claim:
    """A new execution of `service`."""
    new = NewExecution(service.id, workflow, {"size": 2**70}, OWNER, executor="thread")
    return storage.ledger.claim_new(new)


def start_service(storage: ModelStorage, service: Service, tasks: int = 3) -> Claim:
    """An execution of `service` with a chain of tasks, started."""
    rows = [TaskRow(position=each, name=f"task {each}", function="m:f", max_attempts=3,
                    waits_for=(each - 1,) if each else ()) for each in range(tasks)]
    return storage.ledger.create_graph(claim_service(storage, service), rows, (), MOMENT)


def end_execution(storage: ModelStorage, claim: Claim) -> None:
    """Have an execution fail."""
    end = {"state": "failed", "ended_at": MOMENT, "owner": None}
    storage.ledger.record_batch(claim, Batch(execution=end))


def elsewhere(read: Callable[[], T]) -> T:
    """What `read` gives in a thread that has seen nothing yet."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(read).result()


def at_once(act: Callable[[int], Any], threads: int = 8) -> list[Any]:
    """What `act` gives, or raises, in so many threads that begin together."""
    barrier = threading.Barrier(threads)

    def attempt(number: int) -> Any:
        barrier.wait()
        try:
            return act(number)
        except Exception as error:  # noqa: BLE001  the test looks at it
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(attempt, range(threads)))


def sent(task: int, attempts: int = 0) -> Transition:
    """A dispatch, as the engine writes it ahead."""
    changes = {"state": "sent", "attempts": attempts + 1, "sent_at": MOMENT}
    return Transition(task, "pending", attempts, changes)


def moved(task: int, before: str, after: str, attempts: int = 1, **more: Any) -> Transition:
    """Another change of a task's state."""
    return Transition(task, before, attempts, {"state": after, **more})


def tasks_of(storage: ModelStorage, claim: Claim) -> list[int]:
    """The ids of an execution's tasks, by position."""
    return [row.id for row in storage.ledger.load_graph(claim.execution)]


def everything(storage: ModelStorage, claim: Claim) -> Any:
    """All that an engine transaction could change, except the beat."""
    rows = [row.to_dict() for table in (storage.task, storage.attempt, storage.attribute, storage.node)
            for row in table]
    return rows, storage.execution.get(claim.execution).to_dict()


def take_over(storage: ModelStorage, claim: Claim, **how: Any) -> Claim:
    """Another runner takes the execution."""
    seen = storage.ledger.pulse(claim.execution)
    return storage.ledger.claim_existing(seen, NEW_OWNER, **{"retry_failed": False, **how})


def whole_batch(storage: ModelStorage, claim: Claim) -> Batch:
    """A batch that writes a bit of everything."""
    node = storage.node.get_by_name("web").id
    return Batch(
        transitions=[sent(task) for task in tasks_of(storage, claim)[:2]],
        edits=[Edit("node", node, "port", 80)], nodes={node: "starting"},
        attempts=[AttemptRow(tasks_of(storage, claim)[2], 1, "lost", "exited", location="here:1")],
        execution={"error": "none yet"},
        progress=[ProgressRow(task, attempt, 0.5, "half \u2603")
                  for task, attempt in zip(tasks_of(storage, claim), (1, 7, 7), strict=True)])


def in_all_states(storage: ModelStorage) -> Claim:
    """An execution with a task that is started, success, failed, retrying, sent and pending."""
    claim = start_service(storage, add_service(storage), 6)
    first, second, third, fourth, *_ = ids = tasks_of(storage, claim)
    claim = storage.ledger.record_batch(claim, Batch([sent(task) for task in ids[:5]]))
    return storage.ledger.record_batch(claim, Batch([
        moved(first, "sent", "started", started_at=MOMENT), moved(second, "sent", "success"),
        moved(third, "sent", "failed", failures=1), moved(fourth, "sent", "retrying", due_at=MOMENT)]))
