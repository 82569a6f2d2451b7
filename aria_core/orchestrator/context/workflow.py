"""What a workflow function knows, and which workflow is being built right now."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from aria_core.modeling.retries import RetryPolicy
from aria_core.orchestrator.exceptions import ContextError

if TYPE_CHECKING:
    from aria_core.modeling.models import Node, NodeTemplate, Service
    from aria_core.storage.model import ModelStorage
    from aria_core.storage.resource import ResourceStorage

_FEW = 10
"""Actors whose operations are read one by one."""


class WorkflowContext:
    """The ``ctx`` of a workflow function.

    The ``task_…`` values are what a task gets when neither its author nor its operation says otherwise.
    """

    def __init__(self, workflow_name: str, service: Service, *, model: ModelStorage | None = None,
                 resource: ResourceStorage | None = None, execution_id: int | None = None,
                 parameters: Mapping[str, Any] | None = None, task_max_attempts: int = 1,
                 task_retry_interval: float = 0.0, task_ignore_failure: bool = False,
                 logger: logging.Logger | None = None, task_retry: RetryPolicy | None = None) -> None:
        self.workflow_name = workflow_name
        self.name = workflow_name
        self.service = service
        self.execution_id = execution_id
        self.parameters = dict(parameters or {})
        self.task_max_attempts = task_max_attempts
        self.task_retry_interval = task_retry_interval
        self.task_retry = task_retry or RetryPolicy()
        self.task_ignore_failure = task_ignore_failure
        self.logger = logger or logging.getLogger("aria.workflow")
        self._model = model
        self._resource = resource
        self._has_read_operations = False
        self._single_reads = 0

    def __repr__(self) -> str:
        return f"<WorkflowContext {self.workflow_name!r} of service {self.service.name!r}>"

    @property
    def model(self) -> ModelStorage:
        """The model storage, for reading. ``ContextError`` when the workflow is built without one."""
        if self._model is None:
            raise ContextError(f"the workflow {self.workflow_name!r} is built without a model storage")
        return self._model

    @property
    def resource(self) -> ResourceStorage:
        """The resource storage. ``ContextError`` when the workflow is built without one."""
        if self._resource is None:
            raise ContextError(f"the workflow {self.workflow_name!r} is built without a resource storage")
        return self._resource

    @property
    def nodes(self) -> list[Node]:
        """The nodes of this service, and of no other, in the order they were made."""
        nodes = sorted(self.service.nodes.values(), key=lambda node: node.id or 0)
        self._read_operations()
        return nodes

    def note_single_read(self) -> None:
        """The operations of one actor are about to be read. After a few, those of all nodes are."""
        self._single_reads += 1
        if self._single_reads > _FEW:
            self._read_operations()

    def _read_operations(self) -> None:
        if not self._has_read_operations:  # one by one would take a thousand nodes seconds
            from aria_core.orchestrator.context.reading import read_operations

            read_operations(self.service)
            self._has_read_operations = True

    @property
    def node_templates(self) -> list[NodeTemplate]:
        """The node templates of this service's template, in the order they were made."""
        template = self.service.service_template
        return sorted(template.node_templates.values(), key=lambda each: each.id or 0) if template else []


class CurrentWorkflow:
    """The context of the workflow that is being built, per thread and per asyncio task."""

    def __init__(self) -> None:
        self._context: ContextVar[WorkflowContext] = ContextVar("current_workflow")

    @contextmanager
    def push(self, ctx: WorkflowContext) -> Iterator[WorkflowContext]:
        """Make `ctx` the current one within the block; the former one returns whatever happens."""
        token = self._context.set(ctx)
        try:
            yield ctx
        finally:
            self._context.reset(token)

    def find(self) -> WorkflowContext | None:
        """The current context; None outside of a workflow function."""
        return self._context.get(None)

    def get(self) -> WorkflowContext:
        """The current context; ``ContextError`` outside of a workflow function."""
        ctx = self.find()
        if ctx is None:
            raise ContextError("there is no current workflow; make tasks inside a @workflow function, give "
                               "them ctx=…, or use 'with current.push(ctx):'")
        return ctx


current = CurrentWorkflow()
