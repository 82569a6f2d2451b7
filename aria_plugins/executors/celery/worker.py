"""The ready-made Celery worker behind ``aria worker``, and our task for somebody's own."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery
from celery.apps.worker import Worker
from celery.worker import state

from aria_core import CallRef, Station
from aria_plugins.executors.celery.messages import TASK, ref_of
from aria_plugins.executors.celery.pool import PromptThreads, be_done
from aria_plugins.executors.celery.presence import Presence

FOR_EVER = 10 * 365 * 86_400
"""Seconds: how long a call may take is our affair, whatever limit an app has set for its tasks."""
BEGINS_AGAIN_AFTER = 1.0
"""Seconds until Celery's worker is started again that has ended of itself."""

_log = logging.getLogger("aria.celery")

Run = Callable[[CallRef, str], object]
"""Runs a call, if it is to be run here; knows what another database has numbered alike by the origin."""


def add_task(app: Celery, run: Run) -> None:
    """Give the app our task; whoever has it runs calls."""
    def try_call(**message: Any) -> None:
        ref, origin = ref_of(message), message.get("origin")
        if ref is None or not isinstance(origin, str):
            _log.warning("a message for %s names no call", TASK)
        else:
            run(ref, origin)

    app.task(try_call, name=TASK, ignore_result=True, acks_late=True, time_limit=FOR_EVER,
             soft_time_limit=FOR_EVER)


class CeleryWorker(Worker):  # type: ignore[misc]
    """Celery's worker within a program of ours, which looks after signals and logging itself."""

    def __init__(self, app: Celery, name: str, slots: int, queues: Sequence[str],
                 on_ready: Callable[[], None] = lambda: None) -> None:
        self._on_ready = on_ready
        super().__init__(app, hostname=name, pool=PromptThreads, concurrency=slots, queues=list(queues),
                         quiet=True, without_gossip=True, without_mingle=True, without_heartbeat=True)

    def leave(self) -> None:
        """Take no more messages; `start` returns when what runs has ended. From any thread."""
        state.should_stop = 0
        if isinstance(self.pool, PromptThreads):
            self.pool.wake()

    def on_consumer_ready(self, consumer: Any) -> None:
        """Let unfinished messages go with a connection to Redis: kombu gives them back to one that is dead.

        It raises there, which would end the worker; called for every new connection.
        """
        channel = consumer.task_consumer.channel
        if hasattr(channel, "do_restore"):
            channel.do_restore = False
        super().on_consumer_ready(consumer)
        self._on_ready()

    def setup_logging(self, colorize: bool | None = None) -> bool:
        """Leave it as it is."""
        return True

    def install_platform_tweaks(self, worker: Any) -> None:
        """Leave signals to us."""


def serve(app: Celery, queue: str, station: Station) -> None:
    """Be such a worker until the station is told to stop; see `Executor.serve`."""
    queues = station.queues or (queue,)
    presence = Presence(app, queue, station.slots, queues)
    calls = station.make_worker(station.slots, presence.wake)
    add_task(app, lambda ref, origin: calls.run(ref, origin, be_done))
    name = f"{station.name or f'aria-{os.getpid()}'}@{socket.gethostname()}"
    workers: list[CeleryWorker] = []

    def end() -> None:
        station.stop.wait()
        presence.leave()
        calls.stop()
        state.should_stop = 0  # also for one that is being made
        for each in workers:
            each.leave()
        calls.close(station.grace, station.hurry)

    ending = threading.Thread(target=end, name="aria-worker-ends")
    with calls:
        ending.start()
        try:
            while not station.stop.is_set():
                workers[:] = [CeleryWorker(app, name, station.slots, queues, lambda: presence.open(calls))]
                workers[0].start()
                if not station.stop.wait(BEGINS_AGAIN_AFTER):
                    _log.warning("Celery's worker has ended of itself; it begins again")
        finally:
            station.stop.set()
            ending.join()
            presence.close()
