"""Dask: the scheduler with threads, and distributed (threads in this process, or 2 processes)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dask
from dask.threaded import get as threaded_get

from benchmarks.peers import common

MODES = ["threaded", "distributed-threads", "distributed-processes"]


def touch(index: int, sleep: float, *_: object) -> None:
    """One task, and what it waits for."""
    common.touch(index, sleep)


def main() -> None:
    given = common.setup(MODES)
    began = time.perf_counter()
    get = getter_of(given)
    warm = graph_of(given.warm_up(), "warm", 0.0)
    get(warm, list(warm))
    common.forget()
    start = time.perf_counter() - began
    for number in range(given.reps):
        began = time.perf_counter()
        graph = graph_of(given.g, str(number), given.sleep)
        built = time.perf_counter()
        get(graph, list(graph))
        ended = time.perf_counter()
        common.finish(given, "dask", dask.__version__, start + built - began, ended - built, False)
    common.reap()


def graph_of(graph: dict[int, list[int]], name: str, sleep: float) -> dict[str, Any]:
    """A graph in Dask's terms."""
    return {f"{name}-{index}": (touch, index, sleep, *[f"{name}-{each}" for each in awaited])
            for index, awaited in graph.items()}


def getter_of(given: common.Given) -> Callable[[dict[str, Any], list[str]], Any]:
    """What runs a graph, its cluster started."""
    if given.mode == "threaded":
        return lambda graph, keys: threaded_get(graph, keys, num_workers=given.threads)
    from distributed import Client, LocalCluster

    in_processes = given.mode.endswith("processes")
    workers, threads = (2, given.procs // 2) if in_processes else (1, given.threads)
    client = Client(LocalCluster(n_workers=workers, threads_per_worker=threads, processes=in_processes,
                                 dashboard_address=None))
    return client.get


if __name__ == "__main__":
    main()
