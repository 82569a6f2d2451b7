"""The statements of the engine's hot path, prepared once and shared by all connections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Table, Update, bindparam, delete, select, update

from aria_core.exceptions import NotFoundError, StorageError
from aria_core.modeling.claimed_calls import ClaimedCall
from aria_core.modeling.models import Execution, Node, Service, Task
from aria_core.modeling.parameters import Attribute
from aria_core.modeling.states import ACTIVE_EXECUTION_STATES
from aria_core.storage.records import TaskRow
from aria_core.storage.sql.prepared import Parameterized
from aria_core.worker.calls import Edit

_service: Any = Service.__table__
_execution: Any = Execution.__table__
_task: Any = Task.__table__
_node: Any = Node.__table__
_attribute: Any = Attribute.__table__
_call: Any = ClaimedCall.__table__

TASK_COLUMNS = tuple(_task.c[name] for name in TaskRow._fields)
"""What `TaskRow` is loaded from."""

PULSE = select(_execution.c.id, _execution.c.service_id, _execution.c.state, _execution.c.epoch,
               _execution.c.batch, _execution.c.beat, _execution.c.owner, _execution.c.executor,
               _execution.c.queued)
"""What `Pulse` is made of."""

PROGRESS = (update(_task)
            .where(_task.c.id == bindparam("b_id"), _task.c.attempts == bindparam("b_attempts"))
            .values(progress=bindparam("n_progress"), progress_message=bindparam("n_message")))


def is_key(value: object) -> bool:
    """Whether a row may have this id; databases fail at numbers that their integers cannot hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def lock_service(connection: Connection, service: int) -> None:
    """Have whoever claims a service, or takes an execution of it over, wait; ``NotFoundError`` without it.

    A new execution waits because it refers to the service's row, a takeover because it changes its own.
    """
    found = connection.scalar(select(_service.c.id).where(_service.c.id == service).with_for_update())
    if found is None:
        raise NotFoundError(f"there is no service {service}")
    connection.execute(select(_execution.c.id).where(_execution.c.service_id == service)
                       .order_by(_execution.c.id).with_for_update()).all()


def refuse_if_active(connection: Connection, model: type[Service] | type[Execution], key: int) -> None:
    """Raise ``StorageError`` if a service, or an execution, may be run; until the commit nobody begins to."""
    if model is Service:
        lock_service(connection, key)
    of_it = _execution.c.id == key if model is Execution else _execution.c.service_id == key
    rows = select(_execution.c.id, _execution.c.state).where(of_it).order_by(_execution.c.id)
    for execution, state in connection.execute(rows.with_for_update()):
        if state in ACTIVE_EXECUTION_STATES:
            whose = "" if model is Execution else f"service {key} has "
            raise StorageError(f"{whose}execution {execution} is {state}; cancel it before it is deleted")


def forget_plugin(plugin: int) -> Update:
    """Let tasks of ended executions stand without the plugin they ran in, which is to be removed."""
    ended = select(_execution.c.id).where(_execution.c.state.not_in(ACTIVE_EXECUTION_STATES))
    return (update(_task).where(_task.c.plugin_id == plugin, _task.c.execution_id.in_(ended))
            .values(plugin_id=None))


def fence(columns: tuple[str, ...]) -> Parameterized:
    """UPDATE of these columns of an execution, guarded by all that a claim says."""
    return _guarded(_execution, columns, ("id", "epoch", "batch", "state"))


def transition(columns: tuple[str, ...]) -> Parameterized:
    """UPDATE of these columns of a task, guarded by its state and attempts."""
    return _guarded(_task, columns, ("id", "state", "attempts"))


def node_change(columns: tuple[str, ...]) -> Parameterized:
    """UPDATE of these columns of a node."""
    return _guarded(_node, columns, ("id",))


def call_removal(_: tuple[str, ...]) -> Parameterized:
    """DELETE of a claimed call."""
    return delete(_call).where(_call.c.task_id == bindparam("b_task_id"),
                               _call.c.attempt == bindparam("b_attempt")), ["b_task_id", "b_attempt"]


def _guarded(table: Any, columns: tuple[str, ...], guards: tuple[str, ...]) -> Parameterized:
    changed: list[Any] = [(table.c[name], bindparam(f"n_{name}")) for name in columns]
    unchanged = [table.c[name] == bindparam(f"b_{name}") for name in guards]
    statement = update(table).where(*unchanged).ordered_values(*changed)
    return statement, [*(f"n_{name}" for name in columns), *(f"b_{name}" for name in guards)]


def write_edits(connection: Connection, edits: Iterable[Edit]) -> None:
    """Store changed attributes: one row per owner and name, the last edit wins."""
    latest = {(edit.kind, edit.owner, edit.name): edit for edit in edits}
    for kind in ("node", "relationship"):
        ordered = [latest[key] for key in sorted(latest) if key[0] == kind]
        _write_of_kind(connection, f"{kind}_id", ordered)


def _write_of_kind(connection: Connection, column: str, edits: Sequence[Edit]) -> None:
    kept = [{column: edit.owner, "name": edit.name, "value": edit.value, "type_name": "any"}
            for edit in edits if not edit.deleted]
    gone = [{"b_owner": edit.owner, "b_name": edit.name} for edit in edits if edit.deleted]
    if kept:
        connection.execute(_upsert(connection.dialect.name, column), kept)
    if gone:
        connection.execute(_removal(column), gone)


@lru_cache(maxsize=8)
def _upsert(dialect: str, column: str) -> Any:
    # All drivers of a dialect come with it, which takes as long as a few statements.
    new = import_module(f"sqlalchemy.dialects.{dialect}").insert(_attribute)
    return new.on_conflict_do_update(index_elements=[column, "name"], set_={"value": new.excluded.value})


@lru_cache(maxsize=8)
def _removal(column: str) -> Any:
    table: Table = _attribute
    return delete(table).where(table.c[column] == bindparam("b_owner"), table.c.name == bindparam("b_name"))
