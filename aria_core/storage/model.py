"""Where rows live: what a model storage must do.

Two faces. The *ledger* is the narrow part the engine uses, each method one transaction. The
*tables* (MAPI) are the friendly part for people: ``storage.node.get_by_name("web")``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, Literal, TypeVar

from sqlalchemy.orm import Session

from aria_core.modeling.base import Model
from aria_core.modeling.claimed_calls import ClaimedCall
from aria_core.modeling.models import (
    Attempt,
    Execution,
    Interface,
    Log,
    Node,
    NodeTemplate,
    Operation,
    Relationship,
    Service,
    ServiceTemplate,
    Task,
)
from aria_core.modeling.parameters import Attribute, Parameter
from aria_core.modeling.plugins import Plugin
from aria_core.storage.elsewhere import CallsElsewhere, ExecutionQueue
from aria_core.storage.records import Batch, Claim, LogRow, NewExecution, Pulse, TaskRow
from aria_core.worker.calls import Edit

MODEL_STORAGE_API = 1

M = TypeVar("M", bound=Model)


class Ledger(CallsElsewhere, ExecutionQueue, ABC):
    """The engine's part of a model storage. Each method is one transaction; all are thread-safe.

    Lock order: execution, tasks by id, nodes by id. What cannot be reached raises
    ``StorageUnavailableError``.
    """

    @abstractmethod
    def claim_new(self, new: NewExecution) -> Claim:
        """Insert a ``pending`` execution: the claim on its service.

        ``AlreadyExistsError`` if the service has an active execution; ``NotFoundError`` without service.
        """

    @abstractmethod
    def claim_existing(self, seen: Pulse, owner: Mapping[str, Any], *, retry_failed: bool,
                       changes: Mapping[str, Any] | None = None) -> Claim:
        """Take an execution over that has not changed since `seen`: epoch + 1, new owner, ``started``.

        Tasks that were sent or started go back to pending, but for those whose current attempt has a row
        in `claimed_calls`: they stay ``started``, their worker still has them or has told how they ended.
        With `retry_failed`, failed ones go back too, with new budgets, also that of
        the execution (``failed_attempts``), and nodes
        in ``error`` on which such a task works leave it when it is sent. ``pending`` stays ``pending`` (it
        has no graph yet), ``cancelling`` stays ``cancelling``. `changes` are columns of the execution with
        values that hold from now on, such as its limits.
        ``ExecutionOwnedError`` if somebody was quicker; ``AlreadyExistsError`` if another execution of
        the service is active; ``StorageError`` for one that succeeded.
        """

    @abstractmethod
    def abandon(self, seen: Pulse, state: str, error: str | None = None) -> bool:
        """End an execution that never got a graph, or whose runner is gone; False if it changed since.

        ``StorageError`` if it has ended already, or cannot end in `state`.
        """

    @abstractmethod
    def pulse(self, execution: int) -> Pulse:
        """The execution's row; ``NotFoundError`` without one."""

    @abstractmethod
    def active(self, service: int) -> Pulse | None:
        """The active execution of a service."""

    @abstractmethod
    def latest(self, service: int) -> int | None:
        """The id of the newest execution of a service."""

    @abstractmethod
    def beat(self, claim: Claim) -> Pulse:
        """Show that the owner lives; ``FencedError`` if the epoch is not its any more."""

    def ask_to_beat(self, seen: Pulse, asker: str) -> None:
        """Ask the owner to beat when it next looks at its row, not only in some seconds.

        Shows it `asker` as ``owner["asked"]``, and changes nothing else; nothing at all once somebody else
        has the execution, or nobody. A ledger that cannot ask does nothing: the next beat is waited for.
        """

    @abstractmethod
    def release(self, claim: Claim) -> None:
        """Make an execution nobody's, whatever its batch and state, so that it can be resumed at once.

        Changes nothing if somebody else has it by now.
        """

    @abstractmethod
    def request_cancel(self, execution: int) -> str:
        """``started`` -> ``cancelling``, ``pending`` -> ``cancelled``; the state that holds afterwards."""

    @abstractmethod
    def removing_service(self, service: int) -> AbstractContextManager[None]:
        """A block in which nobody claims the service or takes an execution of it over.

        When it ends, the service is removed with what it owns, in the same transaction; when it raises,
        nothing happens. It may read, and must not write. ``NotFoundError`` without service.
        """

    @abstractmethod
    def create_graph(self, claim: Claim, tasks: Sequence[TaskRow], edits: Sequence[Edit],
                     started_at: datetime) -> Claim:
        """Store all tasks and edits and go to ``started``: all or nothing.

        ``ClaimChangedError`` if it was cancelled meanwhile, ``FencedError`` if taken over.
        """

    @abstractmethod
    def load_graph(self, execution: int) -> list[TaskRow]:
        """All tasks in order of position."""

    def task_ids(self, execution: int) -> list[int]:
        """The ids of all tasks in order of position: what a graph that was just stored lacks."""
        return [task.id for task in self.load_graph(execution)]

    @abstractmethod
    def record_batch(self, claim: Claim, batch: Batch, *, again: bool = False) -> Claim:
        """Write a batch and return the next claim.

        With `again` the same batch was tried before and its commit is unknown: if it did commit,
        nothing is written. A transition that `aria_core.modeling.states` does not know, or that only a
        claim may make, is refused with the whole batch: ``StorageError``. ``FencedError``,
        ``ClaimChangedError``, ``StorageUnavailableError``.
        """

    @abstractmethod
    def record_edits(self, claim: Claim, task: int, attempt: int, edits: Sequence[Edit]) -> bool:
        """``ctx.flush``: commit edits early if that attempt is still current; False if it is not."""

    @abstractmethod
    def add_logs(self, rows: Sequence[LogRow]) -> None:
        """Append log lines in order."""


class ModelTable(ABC, Generic[M]):
    """One table of the friendly API. Every call is its own transaction."""

    name: str

    @abstractmethod
    def get(self, entry_id: int) -> M:
        """The row with this id; ``NotFoundError`` without one."""

    @abstractmethod
    def get_by_name(self, name: str) -> M:
        """The only row with this name; ``NotFoundError``, or ``StorageError`` if there are several."""

    @abstractmethod
    def list(self, filters: Mapping[str, Any] | None = None, sort: Mapping[str, str] | None = None,
             pagination: Mapping[str, int] | None = None) -> ListResult[M]:
        """Rows that pass `filters`: column -> value, list of values, or ``{"ge": …, "lt": …}``.

        Operators are ``eq ne gt ge lt le``. `sort` is column -> ``asc`` or ``desc``; `pagination` is
        ``{"size": …, "offset": …}``. ``StorageError`` names an unknown column or operator.
        """

    @abstractmethod
    def iter(self, filters: Mapping[str, Any] | None = None,
             sort: Mapping[str, str] | None = None) -> Iterator[M]:
        """Like `list`, one row after the other."""

    @abstractmethod
    def put(self, entry: M) -> M:
        """Store a new row (with what it owns); ``StorageError`` for a wrong type or a taken name."""

    @abstractmethod
    def update(self, entry: M) -> M:
        """Store the changes of a row."""

    @abstractmethod
    def delete(self, entry: M) -> None:
        """Remove a row and what it owns.

        Refused with a ``StorageError`` for a service with an active execution, and for such an execution:
        somebody may be running it. Tasks of ended executions forget a plugin that is removed.
        """

    @abstractmethod
    def refresh(self, entry: M) -> M:
        """Read the row again."""

    def __iter__(self) -> Iterator[M]:
        return self.iter()


@dataclass(frozen=True, slots=True)
class ListResult(Generic[M]):
    """A page of rows. ``metadata`` has total, size and offset."""

    items: list[M]
    metadata: dict[str, int]

    def __iter__(self) -> Iterator[M]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> M:
        return self.items[index]


class ModelStorage(ABC):
    """Keeps the rows. Made without I/O; safe to use from several threads."""

    api: ClassVar[int] = MODEL_STORAGE_API
    reach: Literal["process", "host", "network"] = "process"

    @abstractmethod
    def open(self) -> None:
        """Connect; create the schema, or upgrade it; ``StorageUnavailableError`` in one sentence."""

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent."""

    @abstractmethod
    def spec(self) -> tuple[str, Mapping[str, Any]]:
        """How a worker rebuilds it: ``module:Class`` and JSON keywords."""

    @property
    @abstractmethod
    def ledger(self) -> Ledger:
        """The engine's part."""

    @abstractmethod
    def table(self, model: type[M]) -> ModelTable[M]:
        """The friendly table of a model."""

    @abstractmethod
    def read_session(self) -> Session:
        """A fresh SQLAlchemy session for reading; what is changed in it is never stored."""

    @abstractmethod
    def drop(self) -> None:
        """Remove every table."""

    def __enter__(self) -> ModelStorage:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def service_template(self) -> ModelTable[ServiceTemplate]:
        """Service templates."""
        return self.table(ServiceTemplate)

    @property
    def node_template(self) -> ModelTable[NodeTemplate]:
        """Node templates."""
        return self.table(NodeTemplate)

    @property
    def service(self) -> ModelTable[Service]:
        """Services."""
        return self.table(Service)

    @property
    def node(self) -> ModelTable[Node]:
        """Nodes."""
        return self.table(Node)

    @property
    def relationship(self) -> ModelTable[Relationship]:
        """Relationships."""
        return self.table(Relationship)

    @property
    def interface(self) -> ModelTable[Interface]:
        """Interfaces."""
        return self.table(Interface)

    @property
    def operation(self) -> ModelTable[Operation]:
        """Operations and workflows."""
        return self.table(Operation)

    @property
    def parameter(self) -> ModelTable[Parameter]:
        """Parameters."""
        return self.table(Parameter)

    @property
    def attribute(self) -> ModelTable[Attribute]:
        """Attributes."""
        return self.table(Attribute)

    @property
    def execution(self) -> ModelTable[Execution]:
        """Executions."""
        return self.table(Execution)

    @property
    def task(self) -> ModelTable[Task]:
        """Tasks."""
        return self.table(Task)

    @property
    def claimed_call(self) -> ModelTable[ClaimedCall]:
        """Calls that workers elsewhere have claimed."""
        return self.table(ClaimedCall)

    @property
    def attempt(self) -> ModelTable[Attempt]:
        """Failed and lost attempts."""
        return self.table(Attempt)

    @property
    def log(self) -> ModelTable[Log]:
        """Log lines."""
        return self.table(Log)

    @property
    def plugin(self) -> ModelTable[Plugin]:
        """Installed plugins."""
        return self.table(Plugin)

