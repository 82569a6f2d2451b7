"""What workflow functions put into a task graph: operations, sub-workflows and stubs.

Importing this costs nothing heavy: modules that hold workflows often hold operations too, and
those are imported in every worker.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.limits import pool_refusal, priority_refusal
from aria_core.modeling.retries import RetryPolicy
from aria_core.modeling.values import coerce, plain_json
from aria_core.orchestrator.context.workflow import WorkflowContext, current
from aria_core.orchestrator.exceptions import OperationNotFoundError
from aria_core.worker.arguments import OPERATION_DECORATOR_RESERVED_ARGUMENTS

if TYPE_CHECKING:
    from aria_core.modeling.models import Node, Operation, Relationship
    from aria_core.modeling.parameters import Parameter

    ActorModel: TypeAlias = Node | Relationship

_NO_POLICY = RetryPolicy()
MOST_ATTEMPTS = 2**31 - 1
"""What the integers of databases can count."""


def new_id() -> str:
    """A name that no other task or graph has; it keeps no secret, so chance need not be the system's."""
    return f"{random.getrandbits(128):032x}"  # nosec B311


class BaseTask:
    """A task of a graph. Two tasks are the same only if they are one object."""

    name: str = "task"

    def __init__(self, ctx: WorkflowContext | None = None) -> None:
        self._id = new_id()
        self._workflow_context = ctx if ctx is not None else current.find()

    @property
    def id(self) -> str:
        """A name nobody else has."""
        return self._id

    @property
    def workflow_context(self) -> WorkflowContext:
        """The context given, or else the one current when the task was made (``ContextError`` without)."""
        return self._workflow_context if self._workflow_context is not None else current.get()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class StubTask(BaseTask):
    """A task that does nothing: something to wait for.

    With an `actor` it stands for an operation which that node or relationship does not implement;
    for a step of a node's life the node's state then goes on as if it had run.
    """

    def __init__(self, name: str = "stub", *, actor: ActorModel | None = None, interface_name: str = "",
                 operation_name: str = "", ctx: WorkflowContext | None = None) -> None:
        super().__init__(ctx)
        self.actor = actor
        self.interface_name = interface_name
        self.operation_name = operation_name
        self.name = operation_task_name(actor, interface_name, operation_name) if actor is not None else name


class OperationTask(BaseTask):
    """One operation of a node or relationship.

    What is None here is what the operation says, and else what the workflow's context says.
    `arguments` replace inputs of the operation by name. `max_attempts` is at least 1, or -1 for
    without end; `retry_interval`, `timeout` and `heartbeat_timeout` are seconds, a timeout of 0 means
    none. `retry` is taken value by value; `retry_interval` goes before its interval. Of what is ready
    the highest `priority` is sent first (0 where nobody says), and of the tasks that name the same `pool`
    only so many run at once as its size allows; the empty name is none.

    Raises ``OperationNotFoundError`` if the actor has no such operation, ``InvalidInputError`` for
    values that do not fit.
    """

    def __init__(self, actor: ActorModel, interface_name: str, operation_name: str,  # noqa: PLR0917
                 arguments: Mapping[str, Any] | None = None, ignore_failure: bool | None = None,
                 max_attempts: int | None = None, retry_interval: float | None = None,
                 timeout: float | None = None, *, retry: RetryPolicy | None = None,
                 heartbeat_timeout: float | None = None, priority: int | None = None,
                 pool: str | None = None, ctx: WorkflowContext | None = None) -> None:
        super().__init__(ctx)
        self.name = operation_task_name(actor, interface_name, operation_name)
        context = self.workflow_context
        if "interfaces" not in vars(actor):
            context.note_single_read()
        operation = _operation(actor, interface_name, operation_name)
        if operation is None:
            raise OperationNotFoundError(_explain_missing(actor, interface_name, operation_name))
        self.actor = actor
        self.interface_name = interface_name
        self.operation_name = operation_name
        self.function = operation.function
        self.plugin_name = operation.plugin_name
        self.ignore_failure = bool(
            _first(ignore_failure, operation.ignore_failure, context.task_ignore_failure))
        self.max_attempts = _checked_attempts(
            _first(max_attempts, operation.max_attempts, context.task_max_attempts), self.name)
        self.retry = self._policy(retry_interval, retry or _NO_POLICY, operation)
        self.retry_interval = self.retry.interval or 0.0
        self.timeout = _checked_seconds(
            _first(timeout, operation.timeout, 0.0), self.name, "timeout") or None
        self.heartbeat_timeout = _checked_seconds(
            _first(heartbeat_timeout, operation.heartbeat_timeout, 0.0), self.name,
            "heartbeat_timeout") or None
        self.priority = _checked_priority(
            operation.priority if priority is None else priority, self.name)
        self.pool = _checked_pool(operation.pool if pool is None else pool, self.name)
        self._take_arguments(operation.input_parameters, dict(arguments or {}))

    def _policy(self, interval: float | None, own: RetryPolicy, operation: Operation) -> RetryPolicy:
        """Task over operation over execution; at each of them the interval alone goes first."""
        context, of_operation = self.workflow_context, RetryPolicy.from_json(operation.retry)
        chosen = _first(interval, own.interval, operation.retry_interval, of_operation.interval,
                        context.task_retry_interval)
        seconds = _checked_seconds(chosen, self.name, "retry_interval")
        return _combined(own, of_operation, context.task_retry, seconds)

    def _take_arguments(self, declared: Mapping[str, Parameter], given: dict[str, Any]) -> None:
        if reserved := OPERATION_DECORATOR_RESERVED_ARGUMENTS & given.keys():
            raise InvalidInputError(f"{self.name} cannot be given the arguments {_listed(reserved)}: "
                                    "ARIA itself fills them in")
        values = {name: each.value for name, each in declared.items() if _has_value(each)}
        self.arguments: dict[str, Any] = plain_json(
            {**values, **dict.fromkeys(given)}, f"{self.name}: arguments")
        for name, value in given.items():
            self.arguments[name] = _fit(value, declared.get(name), f"{self.name}: argument {name}")
        self.dynamic: tuple[str, ...] = tuple(
            name for name, each in declared.items() if each.dynamic and name not in given)
        """Names of the arguments that are expressions."""
        self.secret: tuple[str, ...] = tuple(name for name, each in declared.items() if each.secret)
        """Names of the arguments that are never shown."""


class WorkflowTask(BaseTask):
    """A whole workflow as one task of another.

    Calls `workflow_func` with the context and `kwargs`. `graph` is what it returned, and whatever
    this task does not have itself is asked of the graph: ``task.add_tasks(…)``.
    """

    def __init__(self, workflow_func: Callable[..., Any], ctx: WorkflowContext | None = None,
                 **kwargs: Any) -> None:
        super().__init__(ctx)
        self._graph = workflow_func(ctx=self.workflow_context, **kwargs)
        self.name = str(getattr(self._graph, "name", None) or getattr(workflow_func, "__name__", "workflow"))

    @property
    def graph(self) -> Any:
        """What the workflow function returned."""
        return self._graph

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._graph, name)


def has_operation(actor: ActorModel, interface_name: str, operation_name: str) -> bool:
    """Whether a node or relationship implements an operation, so that there is something to run."""
    operation = _operation(actor, interface_name, operation_name)
    return operation is not None and bool(operation.function)


def create_task(actor: ActorModel, interface_name: str, operation_name: str,
                **kwargs: Any) -> OperationTask | None:
    """A task for an operation, or None if the actor does not have it or it is not implemented.

    `kwargs` are those of `OperationTask`. Task graphs ignore None.
    """
    if not has_operation(actor, interface_name, operation_name):
        return None
    return OperationTask(actor, interface_name, operation_name, **kwargs)


def create_relationship_tasks(relationship: Relationship, interface_name: str,
                              source_operation_name: str | None = None,
                              target_operation_name: str | None = None, **kwargs: Any) -> list[OperationTask]:
    """The tasks for one relationship's two ends, without those that are not implemented."""
    names = (source_operation_name, target_operation_name)
    tasks = (create_task(relationship, interface_name, name, **kwargs) for name in names if name)
    return [task for task in tasks if task is not None]


def create_relationships_tasks(node: Node, interface_name: str, source_operation_name: str | None = None,
                               target_operation_name: str | None = None,
                               **kwargs: Any) -> list[list[OperationTask]]:
    """For each relationship that begins at `node`, in order, what `create_relationship_tasks` returns."""
    return [create_relationship_tasks(relationship, interface_name, source_operation_name,
                                      target_operation_name, **kwargs)
            for relationship in node.outbound_relationships]


def operation_task_name(actor: ActorModel, interface_name: str, operation_name: str) -> str:
    """``interface:operation@node:name`` or ``…@relationship:name``."""
    kind = getattr(actor, "__tablename__", None)
    if kind not in ("node", "relationship"):
        raise InvalidInputError(f"{interface_name}.{operation_name} was asked of a {type(actor).__name__}; "
                                "only nodes and relationships have operations")
    return f"{interface_name}:{operation_name}@{kind}:{actor.name}"


def _operation(actor: ActorModel, interface_name: str, operation_name: str) -> Operation | None:
    interface = actor.interfaces.get(interface_name)
    return interface.operations.get(operation_name) if interface is not None else None


def _explain_missing(actor: ActorModel, interface_name: str, operation_name: str) -> str:
    whose = f"the {type(actor).__name__.lower()} {actor.name!r}"
    interface = actor.interfaces.get(interface_name)
    if interface is None:
        return f"{whose} has no interface {interface_name!r}; it has {_listed(actor.interfaces)}"
    return (f"{whose} has no operation {operation_name!r} in its interface {interface_name!r}, which has "
            f"{_listed(interface.operations)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


@lru_cache(maxsize=256)
def _combined(own: RetryPolicy, of_operation: RetryPolicy, of_execution: RetryPolicy, interval: float
              ) -> RetryPolicy:
    """One object for all tasks that are retried alike: there may be a million of them."""
    return own.over(of_operation).over(of_execution).waiting(interval)


def _first(*values: Any) -> Any:
    for value in values:
        if value is not None:
            return value
    return None


def _has_value(parameter: Parameter) -> bool:
    # An optional input without a value is left to the function's own default.
    return parameter.value is not None or parameter.required


def _fit(value: Any, parameter: Parameter | None, path: str) -> Any:
    # A wrong secret must not stand in the error that tells of it.
    if parameter is None or parameter.secret or not parameter.type_name:
        return plain_json(value, path)
    return coerce(value, parameter.type_name, path)


def _checked_attempts(value: Any, task: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not (
            value == -1 or 1 <= value <= MOST_ATTEMPTS):
        raise InvalidInputError(f"{task}: max_attempts is {value!r}; it must be a whole number, "
                                f"at least 1 and at most {MOST_ATTEMPTS}, or -1 for without end")
    return value


def _checked_seconds(value: Any, task: str, name: str) -> float:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not fits or not math.isfinite(value) or value < 0:
        raise InvalidInputError(f"{task}: {name} is {value!r}; it must be a number of seconds, at least 0")
    return float(value)


def _checked_priority(value: Any, task: str) -> int | None:
    if value is not None and (accepted := priority_refusal(value)):
        raise InvalidInputError(f"{task}: priority is {value!r}; it must be {accepted}")
    return value or None


def _checked_pool(name: Any, task: str) -> str | None:
    if name not in (None, "") and (accepted := pool_refusal(name)):
        raise InvalidInputError(f"{task}: pool is {name!r}; it must be {accepted}")
    return name or None
