"""Floors: no orchestrator, only what Python and a database cost.

loop        networkx's topological_generations, call in place
threads     4 threads (16 for ``sleep``) fed by a loop that counts what each task waits for
processes   ProcessPoolExecutor(2) fed by the same loop
mp-batch    2 forked workers on pipes, up to 64 ready tasks a message
dur-*       the loop with ``threads`` or ``mp-batch``, and every task's two transitions committed: a task
            leaves after the commit of its start, a dependent after the commit of the end
            each    one commit for each transition
            group   one commit for all that is known whenever the loop wakes
            core    through SQLAlchemy Core instead of the bare driver
            full    SQLite with synchronous=FULL (an fsync for each commit) instead of NORMAL; both WAL
            pg      PostgreSQL as it comes (an fsync for each commit), through SQLAlchemy Core
"""

from __future__ import annotations

import os
import sys
import time

from benchmarks.peers import common
from benchmarks.peers.floor_loop import Backend, Record, drive, pipes, pool, threads
from benchmarks.peers.floor_stores import CoreStore, RawStore

MODES = [
    "loop", "threads", "processes", "mp-batch",
    *(f"dur-{how}-{what}" for how in ("threads", "mp") for what in (
        "each", "each-full", "group", "group-full", "group-core", "group-core-full", "group-pg"))]
VERSION = f"py{sys.version_info.major}.{sys.version_info.minor}"


def main() -> None:
    given = common.setup(MODES)
    if given.mode == "loop":
        run_in_place(given)
    else:
        run(given)
    common.reap()


def run_in_place(given: common.Given) -> None:
    """No threads, no states."""
    import networkx

    began = time.perf_counter()
    graph = networkx.DiGraph()
    graph.add_nodes_from(given.g)
    graph.add_edges_from((each, task) for task, awaited in given.g.items() for each in awaited)
    built = time.perf_counter()
    for layer in networkx.topological_generations(graph):
        for task in layer:
            common.touch(task, given.sleep)
    ended = time.perf_counter()
    common.finish(given, "floor", f"{VERSION}+nx{networkx.__version__}", built - began, ended - built, False)


def run(given: common.Given) -> None:
    """The loop, with states in a database if the mode says so."""
    began = time.perf_counter()
    warm_up = given.warm_up()
    backend = backend_of(given)
    store = store_of(given, {**given.g, **warm_up})
    record: Record | None = None
    if store is not None:
        record = store.each if isinstance(store, RawStore) and "-each" in given.mode else store.group
    drive(warm_up, backend, record)
    common.forget()
    commits = store.commits if store else 0
    built = time.perf_counter()
    drive(given.g, backend, record)
    ended = time.perf_counter()
    more = {}
    if store is not None:
        assert store.succeeded() == given.n + len(warm_up), store.succeeded()
        more["commits"] = store.commits - commits
    common.finish(given, "floor", VERSION, built - began, ended - built, store is not None, **more)


def backend_of(given: common.Given) -> Backend:
    """What runs the tasks in a mode."""
    if given.mode == "processes":
        return pool(given)
    return (pipes if "mp" in given.mode else threads)(given)


def store_of(given: common.Given, graph: dict[int, list[int]]) -> CoreStore | RawStore | None:
    """What keeps the states in a mode; None: nothing does."""
    if not given.mode.startswith("dur"):
        return None
    synchronous = "FULL" if given.mode.endswith("full") else "NORMAL"
    if given.mode.endswith("pg"):
        return CoreStore(os.environ["PEER_PG"], graph, synchronous)
    if "core" in given.mode:
        return CoreStore(f"sqlite:///{given.dir / 'floor.db'}", graph, synchronous)
    return RawStore(given.dir / "floor.db", graph, synchronous)


if __name__ == "__main__":
    main()
