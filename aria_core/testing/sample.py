"""Rows that contract tests begin with, and ways to look at them from elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from aria_core.modeling.models import Node, Relationship, Service, ServiceTemplate
from aria_core.storage.model import Claim, ModelStorage, NewExecution, TaskRow

T = TypeVar("T")

OWNER = {"boot": "b", "namespace": 1, "pid": 2, "started": 3.5, "host": "here"}
MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

JSON_VALUES: Sequence[Any] = (
    None, True, False, 0, -1, 2**63, -(2**100), 10**400, 0.1, -0.0, 1e300, 5e-324, "", "null", "é\u0301",
    "\U0001f600 emoji", "\u202eright to left", "line\r\nend\t\x1b[0m", "'; DROP TABLE node; --", "%s {{ x }} \\ / \"",
    "x" * 70_000, [], {}, [[[]], {}, None], {"": {"a.b": [1, {"c": None}]}, "\u2603": "snow"})
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
    return storage.ledger.claim_new(NewExecution(
        service_id=service.id, workflow_name=workflow, inputs={"size": 2**70}, owner=OWNER, executor="thread"))


def start_service(storage: ModelStorage, service: Service, tasks: int = 3) -> Claim:
    """An execution of `service` with a chain of tasks, started."""
    rows = [TaskRow(position=each, name=f"task {each}", function="m:f", max_attempts=3,
                    waits_for=(each - 1,) if each else ()) for each in range(tasks)]
    return storage.ledger.create_graph(claim_service(storage, service), rows, (), MOMENT)


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
