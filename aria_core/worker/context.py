"""``ctx``: what an operation is given. It reads through its channel, and only what is looked at."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol

from aria_core.exceptions import InvalidInputError
from aria_core.worker.calls import Actor, Call, CallRef, Edit
from aria_core.worker.channel import Channel, NoChannel
from aria_core.worker.frozen import Record, freeze
from aria_core.worker.lazy import lazy
from aria_core.worker.logs import private_logger, with_handlers
from aria_core.worker.model import Model
from aria_core.worker.outcomes import TaskAbortException, TaskRetryException
from aria_core.worker.resources import Resources
from aria_core.worker.views import Actors, NodeView, RelationshipView, ServiceView

_MESSAGE_LIMIT = 1000


class Cancellation(Protocol):
    """What tells that a call is wanted to end, such as a ``threading.Event``."""

    def is_set(self) -> bool:
        """Whether it is."""


class CurrentTask:
    """The attempt that runs (``ctx.task``)."""

    def __init__(self, call: Call, channel: Channel, cancelled: Cancellation | None) -> None:
        self._channel = channel
        self.id = call.ref.task
        self.name = call.name
        self.attempt = call.ref.attempt
        self.token = call.ref.token
        """The idempotency key for the outside world: the same on every attempt."""
        self.max_attempts = call.max_attempts
        self.interface_name = call.interface
        self.operation_name = call.operation
        self.function = call.function
        self._arguments = call.arguments
        self._cancelled = cancelled

    @property
    def arguments(self) -> dict[str, Any]:
        """What the operation was called with; read-only."""
        found: dict[str, Any] = freeze(dict(self._arguments))
        return found

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants this operation to end: a long one should look now and then."""
        return self._cancelled is not None and self._cancelled.is_set()

    def heartbeat(self, progress: float | None = None, message: str | None = None) -> None:
        """Show that this attempt lives, and how far it is: from 0 to 1, and in words. From any thread.

        What is None stays as it was. Where the operation has a ``heartbeat_timeout``, an attempt that is
        silent for longer is ended and lost. Raises ``InvalidInputError`` for another progress.
        """
        is_number = isinstance(progress, (int, float)) and not isinstance(progress, bool)
        if progress is not None and not (is_number and 0 <= progress <= 1):
            raise InvalidInputError(f"the progress is {progress!r}; it is a number from 0 to 1")
        self._channel.tell({"tell": "heartbeat", "progress": progress,
                            "message": None if message is None else str(message)[:_MESSAGE_LIMIT]})

    def retry(self, message: str | None = None, retry_interval: float | None = None) -> NoReturn:
        """End this attempt and ask for another, after `retry_interval` seconds (None: what the task says)."""
        raise TaskRetryException(message or "", retry_interval)

    def abort(self, message: str | None = None) -> NoReturn:
        """End the task as failed, however many attempts it has left."""
        raise TaskAbortException(message or "")


class OperationContext:
    """What every operation is given."""

    actor_kind: ClassVar[str | None] = None

    def __init__(self, call: Call, channel: Channel | None = None,
                 cancelled: Cancellation | None = None) -> None:
        self.name = call.name
        """The name of the task; the decorator's `suffix_template` gives a longer one."""
        self._call = call
        self._channel: Channel = channel or NoChannel()
        self._cancelled = cancelled

    @lazy
    def task(self) -> CurrentTask:
        """The attempt that runs."""
        return CurrentTask(self._call, self._channel, self._cancelled)

    @lazy
    def service(self) -> ServiceView:
        """The service."""
        return ServiceView(self._channel, self._call.service, self._call.service_name)

    @lazy
    def model(self) -> Model:
        """Every table, read-only."""
        return Model(self._channel, self._actors)

    @lazy
    def logger(self) -> logging.Logger:
        """Writes into the log of the task, and nowhere else."""
        return private_logger(f"aria.task.{self._call.ref}", self._channel)

    @lazy
    def _actors(self) -> Actors:
        return Actors(self._channel)

    @lazy
    def resources(self) -> Resources:
        """The files, bit by bit: for those who pass them on. Operations have `get_resource` and so on."""
        return Resources(self._channel, self.flush)

    @property
    def mark(self) -> str:
        """What every process of this attempt carries as ``ARIA_ATTEMPT``."""
        return self._call.mark

    @property
    def ref(self) -> CallRef:
        """Which attempt of which task this is."""
        return self._call.ref

    @property
    def execution_id(self) -> int:
        """Which execution this belongs to."""
        return self._call.ref.execution

    @property
    def workflow_name(self) -> str:
        """Which workflow that execution runs."""
        return self._call.workflow

    @property
    def service_template(self) -> Record:
        """The template of the service."""
        return self._actors.template(None)

    @property
    def plugin_workdir(self) -> str | None:
        """The plugin's own directory for this service, made when first asked for; None without plugin."""
        if self._call.plugin_workdir is not None:
            Path(self._call.plugin_workdir).mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._call.plugin_workdir

    def logging_handlers(self, handlers: Iterable[logging.Handler]) -> AbstractContextManager[logging.Logger]:
        """Add `handlers` to the logger while the block runs."""
        return with_handlers(self.logger, handlers)

    def flush(self) -> None:
        """Store the attributes changed so far now instead of at the end.

        Raises ``NotJsonError`` for what cannot be stored, ``ChannelError`` if this attempt is not current.
        """
        self._actors.flush()

    def edits(self) -> tuple[list[Edit], list[str]]:
        """The changed attributes not stored yet, and a sentence for each that cannot be stored."""
        return self._actors.edits() if "_actors" in self.__dict__ else ([], [])

    def get_resource(self, path: str) -> bytes:
        """The bytes of a file of the service or its template; ``NotFoundError`` if there is none."""
        return self.resources.get(path)

    def download_resource(self, destination: str | Path, path: str | None = None) -> None:
        """Copy a file to `destination`, or all files below the folder `path` (None: all) into it."""
        self.resources.download(destination, path)

    def get_resource_and_render(self, path: str, variables: Mapping[str, Any] | None = None) -> str:
        """A file rendered as a template: with `variables`, else with ``ctx``."""
        return self.resources.render(path, variables)

    def download_resource_and_render(self, destination: str | Path, path: str | None = None,
                                     variables: Mapping[str, Any] | None = None) -> None:
        """Render a file into `destination`; without `path` the file with the destination's name."""
        self.resources.download_rendered(destination, path, variables)


class NodeOperationContext(OperationContext):
    """What the operation of a node is given."""

    actor_kind = "node"

    @property
    def node(self) -> NodeView:
        """The node."""
        return self._actors.node(_actor(self._call).id, _actor(self._call).name)

    @property
    def node_template(self) -> Record:
        """The template of the node."""
        return self.node.node_template


class RelationshipOperationContext(OperationContext):
    """What the operation of a relationship is given, at its source as at its target."""

    actor_kind = "relationship"

    @property
    def relationship(self) -> RelationshipView:
        """The relationship."""
        return self._actors.relationship(_actor(self._call).id, _actor(self._call).name)

    @property
    def source_node(self) -> NodeView:
        """The node that requires."""
        return self.relationship.source_node

    @property
    def target_node(self) -> NodeView:
        """The node that is required."""
        return self.relationship.target_node

    @property
    def source_node_template(self) -> Record:
        """The template of the source."""
        return self.source_node.node_template

    @property
    def target_node_template(self) -> Record:
        """The template of the target."""
        return self.target_node.node_template


_KINDS = {"node": NodeOperationContext, "relationship": RelationshipOperationContext}


def make_context(call: Call, channel: Channel | None = None,
                 cancelled: Cancellation | None = None) -> OperationContext:
    """The context that fits the call's actor."""
    kind = OperationContext if call.actor is None else _KINDS[call.actor.kind]
    return kind(call, channel, cancelled)


def _actor(call: Call) -> Actor:
    if call.actor is None:
        raise AttributeError(f"the call {call.ref} belongs to neither a node nor a relationship")
    return call.actor
