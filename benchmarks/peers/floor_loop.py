"""The loop that the floors share, and what runs its tasks: threads, a pool of processes, or pipes."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import cast

from benchmarks.peers import common

UNLIMITED = 10**9
PART = 64
"""Tasks in one message to a process."""

Record = Callable[[Iterable[int], Iterable[int]], None]
"""Commits what has ended and what is about to begin."""


@dataclass(frozen=True)
class Backend:
    """Hands tasks out, and blocks until at least one is done."""

    submit: Callable[[Sequence[int]], None]
    done: Callable[[], list[int]]
    limit: int
    """How many tasks it may hold if their states are recorded."""


def drive(graph: Mapping[int, Sequence[int]], backend: Backend, record: Record | None = None) -> None:
    """Run the graph: a task leaves after the commit of its start, a dependent after that of the end."""
    waits = {task: len(awaited) for task, awaited in graph.items()}
    dependents: dict[int, list[int]] = {task: [] for task in graph}
    for task, awaited in graph.items():
        for each in awaited:
            dependents[each].append(task)
    ready = [task for task, count in waits.items() if not count]
    limit = UNLIMITED if record is None else backend.limit
    left, flying = len(graph), 0
    ended: list[int] = []
    while left:
        go, ready = ready[:limit - flying], ready[limit - flying:]
        if record is not None:
            record(ended, go)
        flying += len(go)
        if go:
            backend.submit(go)
        ended = backend.done()
        flying -= len(ended)
        left -= len(ended)
        for task in ended:
            for each in dependents[task]:
                waits[each] -= 1
                if not waits[each]:
                    ready.append(each)
    if record is not None:
        record(ended, [])


def threads(given: common.Given) -> Backend:
    """A pool of threads."""
    pool, finished = ThreadPoolExecutor(given.threads), queue.SimpleQueue[int]()

    def run(index: int) -> None:
        common.touch(index, given.sleep)
        finished.put(index)

    def submit(tasks: Sequence[int]) -> None:
        for each in tasks:
            pool.submit(run, each)

    return Backend(submit, lambda: _all_of(finished), 16 if given.sleep else 64)


def pool(given: common.Given) -> Backend:
    """``ProcessPoolExecutor``, one future for each task."""
    processes, finished = ProcessPoolExecutor(given.procs), queue.SimpleQueue[int]()
    list(processes.map(abs, range(given.procs)))

    def submit(tasks: Sequence[int]) -> None:
        for each in tasks:
            future = processes.submit(common.touch, each, given.sleep)
            future.add_done_callback(partial(_note, finished, each))

    return Backend(submit, lambda: _all_of(finished), UNLIMITED)


def pipes(given: common.Given) -> Backend:
    """Forked processes, which get many tasks in one message. Made before any thread or connection."""
    context = multiprocessing.get_context("fork")
    ends: list[Connection] = []
    for _ in range(given.procs):
        mine, theirs = context.Pipe()
        context.Process(target=_work, args=(theirs, given.sleep), daemon=True).start()
        ends.append(mine)
    load = dict.fromkeys(ends, 0)

    def submit(tasks: Sequence[int]) -> None:
        size = 1 if given.sleep else max(1, min(PART, -(-len(tasks) // len(ends))))
        for begin in range(0, len(tasks), size):
            end, part = min(load, key=lambda each: load[each]), tasks[begin:begin + size]
            load[end] += len(part)
            end.send(part)

    def done() -> list[int]:
        finished: list[int] = []
        for end in cast(list[Connection], wait([end for end in ends if load[end]])):
            got = end.recv()
            load[end] -= len(got)
            finished += got
        return finished

    return Backend(submit, done, 16 if given.sleep else 256)


def _work(end: Connection, sleep: float) -> None:
    while (part := end.recv()) is not None:
        for index in part:
            common.touch(index, sleep)
        end.send(part)


def _note(finished: queue.SimpleQueue[int], index: int, _: object) -> None:
    finished.put(index)


def _all_of(finished: queue.SimpleQueue[int]) -> list[int]:
    taken = [finished.get()]
    while True:
        try:
            taken.append(finished.get_nowait())
        except queue.Empty:
            return taken
