"""Whose calls a worker elsewhere is asked for: every database counts from 1, and several share brokers."""

from __future__ import annotations

import threading
from collections import OrderedDict

from sqlalchemy import select

from aria_core.clock import Clock
from aria_core.modeling.models import Execution, Service
from aria_core.orchestrator.call_maker import origin_of
from aria_core.orchestrator.patience import ride_out
from aria_core.storage.model import ModelStorage

KEPT = 1024
"""Executions whose origin is remembered."""

_SERVICE = select(Service).join(Execution, Execution.service_id == Service.id)


class Origins:
    """The origins of executions in the worker's own database."""

    def __init__(self, model: ModelStorage, clock: Clock) -> None:
        self._model = model
        self._clock = clock
        self._known: OrderedDict[int, str] = OrderedDict()
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def has(self, execution: int, origin: str) -> bool:
        """Whether calls of this execution come from there; ``StorageUnavailableError`` if nobody knows."""
        if self._remembered(execution) == origin:
            return True
        with self._reading:  # the first calls of an execution come together: one of them reads for all
            known = self._remembered(execution)
            if known != origin:  # an id comes again where SQLite's last execution was deleted
                known = ride_out(self._clock, lambda _: self._read(execution))
            return known == origin

    def _remembered(self, execution: int) -> str | None:
        with self._lock:
            return self._known.get(execution)

    def _read(self, execution: int) -> str | None:
        with self._model.read_session() as session:
            service = session.scalars(_SERVICE.where(Execution.id == execution)).one_or_none()
            origin = None if service is None else origin_of(service)
        if origin is not None:
            with self._lock:
                self._known[execution] = origin
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
        return origin
