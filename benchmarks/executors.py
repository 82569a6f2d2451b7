"""No-op calls a second through each executor, and how long a worker takes to start.

Run: ``python benchmarks/executors.py [calls]``
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from aria_core import Actor, Call, CallRef, Executor, Report, Started
from aria_plugins.executors.dry import DryExecutor
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor

OPERATION = "aria_core.testing.operations:nothing"
AHEAD = (0, 16, 64)


class Inbox:
    """Counts final reports."""

    def __init__(self) -> None:
        self.finals: SimpleQueue[Report] = SimpleQueue()

    def __call__(self, report: Report) -> None:
        if not isinstance(report, Started):
            self.finals.put(report)

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        return None


def call(number: int) -> Call:
    return Call(CallRef(1, number, 1), OPERATION, {}, Actor("node", 3, "web"), "Standard:create@node:web",
                "Standard", "create", "install", 1, "service")


def rate(make: Callable[[], Executor], calls: int, ahead: int) -> float:
    """Calls a second with `ahead` calls waiting besides those that run."""
    executor, inbox = make(), Inbox()
    executor.open(inbox)
    slots = executor.slots or 1
    for number in range(4 * slots):
        executor.submit(call(calls + number))
    for _ in range(4 * slots):
        inbox.finals.get()
    began = time.perf_counter()
    for number in range(calls):
        if number >= slots + ahead:
            inbox.finals.get()
        executor.submit(call(number))
    for _ in range(min(calls, slots + ahead)):
        inbox.finals.get()
    took = time.perf_counter() - began
    executor.close(1.0)
    return calls / took


def first_result() -> float:
    """Seconds from submitting the first call to its report: a worker starts meanwhile."""
    executor, inbox = ProcessExecutor(slots=1), Inbox()
    executor.open(inbox)
    began = time.perf_counter()
    executor.submit(call(1))
    inbox.finals.get()
    took = time.perf_counter() - began
    executor.close(1.0)
    return took


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    makers: dict[str, Callable[[], Executor]] = {
        "dry": DryExecutor, "thread, 4 slots": lambda: ThreadExecutor(4),
        "process, 2 slots": lambda: ProcessExecutor(2, recycle_after=10**9)}
    for name, make in makers.items():
        rates = ", ".join(f"{rate(make, calls, ahead):,.0f}/s with {ahead} ahead" for ahead in AHEAD)
        print(f"{name}: {rates}")
    starts = [first_result() for _ in range(10)]
    middle, best = statistics.median(starts) * 1000, min(starts) * 1000
    print(f"first result of a new worker: {middle:.0f} ms (best {best:.0f} ms)")


if __name__ == "__main__":
    main()
