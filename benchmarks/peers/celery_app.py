"""The Celery application; $PEER_REDIS is its broker and keeps its results."""

from __future__ import annotations

import os

from celery import Celery

from benchmarks.peers import common

_url = os.environ["PEER_REDIS"]
app = Celery("peer", broker=_url, backend=_url)
app.conf.update(
    worker_prefetch_multiplier=4, broker_connection_retry_on_startup=True, task_acks_late=False,
    worker_hijack_root_logger=False, result_expires=600)


@app.task(name="touch")
def touch(index: int, sleep: float) -> None:
    """One task."""
    common.touch(index, sleep)


@app.task(name="barrier")
def barrier() -> None:
    """What stands between the groups of a chain."""
