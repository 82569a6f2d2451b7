"""Runs calls on workers that a Celery broker (Redis, Valkey or RabbitMQ) tells what there is to do.

The row in the database is the truth, a message only a hint: what is lost, doubled or late costs time.
"""

from __future__ import annotations

from aria_core import Executor, hookimpl
from aria_plugins.executors.celery.executor import CeleryExecutor


@hookimpl
def aria_executor() -> type[Executor]:
    """The class behind ``use = "celery"``."""
    return CeleryExecutor
