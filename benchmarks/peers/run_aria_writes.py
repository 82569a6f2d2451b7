"""The share of the mandatory writes: the floors' loop with the statements that ARIA must execute.

The graph is made and stored by ARIA itself; then a bare loop hands its tasks to threads (or to processes
on pipes) and writes, through SQLAlchemy Core, one transaction whenever it wakes: the fence, every
transition with its guards, the states of nodes. What ARIA takes beyond that is its own.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack

import aria_core
from aria_plugins.executors.thread import ThreadExecutor
from benchmarks.peers import common, run_aria
from benchmarks.peers.aria_writes import WritesStore
from benchmarks.peers.floor_loop import Backend, drive, pipes, threads

MODES = [f"{how}-{storage}" for how in ("thread", "process") for storage in run_aria.STORAGES]


def main() -> None:
    given = common.setup(MODES)
    backend = pipes(given) if given.mode.startswith("process") else threads(given)
    began = time.perf_counter()
    run(given, backend, stored_graph(given), began)
    common.reap()


def stored_graph(given: common.Given) -> int:
    """Have ARIA store the graph; the id of its execution."""
    with ExitStack() as stack:
        model, resource = run_aria.open_storages(given, stack)
        runner = run_aria.new_runner(given, model, resource, ThreadExecutor())
        runner.stop(0)
        runner.execute()
        return runner.execution_id


def run(given: common.Given, backend: Backend, execution: int, began: float) -> None:
    """The loop."""
    url = os.environ["PEER_PG"] if given.mode.endswith("pg") else f"sqlite:///{given.dir / 'aria.db'}"
    store = WritesStore(url, execution, "NORMAL" if given.mode.endswith("normal") else "FULL")
    store.prepare()
    drive(given.warm_up(), backend)
    common.forget()
    built = time.perf_counter()
    drive(given.g, backend, store.group)
    ended = time.perf_counter()
    assert store.succeeded() == given.n, store.succeeded()
    common.finish(given, "writes", aria_core.__version__, built - began, ended - built, True,
                  commits=store.commits)


if __name__ == "__main__":
    main()
