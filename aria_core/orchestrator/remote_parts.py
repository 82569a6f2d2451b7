"""What the calls of one execution need on a worker elsewhere: made once, shared, dropped when idle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import select

from aria_core.clock import Clock
from aria_core.exceptions import NotFoundError
from aria_core.modeling.models import Execution, Service, ServiceTemplate
from aria_core.orchestrator.call_maker import CallMaker
from aria_core.orchestrator.context.source import ContextSource
from aria_core.orchestrator.log_writer import LogWriter
from aria_core.orchestrator.plugin import PluginManager
from aria_core.orchestrator.preparation import template_code
from aria_core.orchestrator.progress import TaskProgress
from aria_core.orchestrator.secret_values import secret_values
from aria_core.orchestrator.surroundings import RunnerHooks
from aria_core.storage.model import ModelStorage
from aria_core.storage.resource import ResourceStorage
from aria_core.worker.calls import Call, CallRef, Edit
from aria_core.worker.channel import ChannelError

KEPT_FOR = 60.0
"""Seconds that the parts of an execution wait for its next call."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker is made of; its storages are its own, and open."""

    model: ModelStorage
    resource: ResourceStorage
    plugins: PluginManager | None
    hooks: RunnerHooks
    clock: Clock


class _TemplateCode:
    """The code of service templates, each fetched once and removed when no execution here needs it."""

    def __init__(self, resource: ResourceStorage) -> None:
        self._resource = resource
        self._fetched: dict[object, tuple[str | None, ExitStack]] = {}
        self._users: dict[object, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, service: Service, key: object) -> Iterator[str | None]:
        """The directory, as long as the block lasts; None if the template has no modules."""
        with self._lock:
            if key not in self._fetched:
                with ExitStack() as stack:
                    code = stack.enter_context(template_code(self._resource, service))
                    self._fetched[key] = code, stack.pop_all()
            self._users[key] = self._users.get(key, 0) + 1
        try:
            yield self._fetched[key][0]
        finally:
            self._give_back(key)

    def _give_back(self, key: object) -> None:
        with self._lock:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
                self._fetched.pop(key)[1].close()


class _Row(NamedTuple):
    """What one statement tells of an execution."""

    service: Service
    workflow: str
    inputs: Mapping[str, Any]
    template: object
    """What tells its template from others: ids come again when one was removed."""


def _read(model: ModelStorage, execution: int) -> _Row:
    statement = (
        select(Service, Execution.workflow_name, Execution.inputs, ServiceTemplate.created_at)
        .join(Execution, Execution.service_id == Service.id)
        .outerjoin(ServiceTemplate, Service.service_template_id == ServiceTemplate.id)
        .where(Execution.id == execution))
    with model.read_session() as session:
        found = session.execute(statement).one_or_none()
    if found is None:
        raise NotFoundError(f"there is no execution {execution}")
    service, workflow, inputs, made_at = found
    return _Row(service, workflow, inputs, (service.service_template_id, made_at))


class ExecutionParts:
    """Makes the calls of one execution, answers what they ask, and keeps what they log."""

    def __init__(self, parts: WorkerParts, execution: int, code: _TemplateCode) -> None:
        self._parts = parts
        model = parts.model
        service, workflow, inputs, template = _read(model, execution)
        self._service = service.id
        self._secrets = secret_values(model, self._service, workflow, inputs)
        with ExitStack() as made:
            directory = made.enter_context(code.of(service, template))
            self.writer = LogWriter(model.ledger, execution, parts.clock, self._secrets.hide)
            made.callback(self.writer.close)
            self._source = ContextSource(model, parts.resource, self._service, take_log=self.writer.take,
                                         flush=self._flush, secrets=self._secrets)
            made.callback(self._source.close)
            self._calls = CallMaker(model, parts.plugins, service, workflow, code=directory,
                                    wrappers=parts.hooks.wrappers, secrets=self._secrets)
            self._made = made.pop_all()
        self.hide_in_report = self._secrets.hide_in_report

    def make(self, task: TaskProgress) -> Call:
        """The call of the current attempt, its arguments evaluated now; raises what makes it impossible."""
        self._secrets.learn_attributes(self._parts.model, self._service)
        return self._calls.make(task)

    def are_ready_for(self, task: TaskProgress) -> bool:
        """Whether `make` takes no longer than some reads of the storage."""
        return self._calls.is_ready_for(task)

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        """See `Inbox.answer`."""
        answer = self._source.answer(ref, request)
        if "ask" in request:
            self._secrets.learn_attributes(self._parts.model, self._service)
        return answer

    def _flush(self, ref: CallRef, edits: list[Edit]) -> None:
        self._secrets.learn(edits)
        if not self._parts.model.ledger.record_call_edits(ref, edits):
            raise ChannelError(f"attempt {ref} is not the current one any more; nothing was stored")

    def close(self) -> None:
        """Store what waits of the log, let go of the rest."""
        self._made.close()


class _Kept:
    """The parts of one execution, and how many calls use them."""

    def __init__(self) -> None:
        self.making = threading.Lock()
        self.parts: ExecutionParts | None = None
        self.users = 0
        self.idle_since = 0.0


class Borrowed:
    """The parts of an execution that somebody uses: made when they are asked for, if need be."""

    def __init__(self, kept: _Kept, make: Callable[[], ExecutionParts]) -> None:
        self._kept = kept
        self._make = make

    def are_ready_for(self, task: TaskProgress) -> bool:
        """Whether the call of a task can be made now, with nothing to be fetched or installed before."""
        parts = self._kept.parts
        return parts is not None and parts.are_ready_for(task)

    def get(self) -> ExecutionParts:
        """The parts; may raise."""
        with self._kept.making:
            if self._kept.parts is None:
                self._kept.parts = self._make()
            return self._kept.parts


class PartsOfExecutions:
    """The parts of each execution that has calls here, or had them until a minute ago."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts
        self._code = _TemplateCode(parts.resource)
        self._kept: dict[int, _Kept] = {}
        self._lock = threading.Lock()

    @contextmanager
    def borrowed(self, execution: int) -> Iterator[Borrowed]:
        """A block in which they stay."""
        with self._lock:
            kept = self._kept.setdefault(execution, _Kept())
            kept.users += 1
        try:
            yield Borrowed(kept, lambda: ExecutionParts(self._parts, execution, self._code))
        finally:
            with self._lock:
                kept.users -= 1
                kept.idle_since = self._parts.clock.monotonic()

    def drop_idle(self, idle_for: float = KEPT_FOR) -> None:
        """Let go of those that no call has used for a while."""
        until = self._parts.clock.monotonic() - idle_for
        with self._lock:
            idle = [key for key, kept in self._kept.items() if not kept.users and kept.idle_since <= until]
            dropped = [self._kept.pop(key) for key in idle]
        for each in dropped:
            if each.parts is not None:
                each.parts.close()
