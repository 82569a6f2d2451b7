"""Runs calls on workers that a Celery broker (Redis, Valkey or RabbitMQ) tells what there is to do.

The row in the database is the truth, a message only a hint: what is lost, doubled or late costs time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aria_core import Application, Executor, hookimpl
from aria_plugins.executors.celery.executor import CeleryExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

GRACE = 30.0


def serve_calls(app: Celery, new_application: Callable[[], Application] = Application, *,
                grace: float = GRACE) -> None:
    """Have each worker of somebody's own Celery `app` run ARIA's calls beside the app's tasks.

    `new_application` is called in every process that runs calls, and once before, to read the
    configuration. Its executor must be ``celery``, on the broker of `app`; with ``-Q`` a worker names which
    of our queues it serves, else it serves the executor's ``queue``. Running calls have `grace` seconds when
    Celery's worker is told to stop. Call it once for an app, where the app is made.

    A worker whose settings would break what we promise does not start, and says why in one sentence.
    """
    from aria_plugins.executors.celery.own_apps import serve

    serve(app, new_application, grace)


@hookimpl
def aria_executor() -> type[Executor]:
    """The class behind ``use = "celery"``."""
    return CeleryExecutor
