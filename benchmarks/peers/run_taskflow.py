"""OpenStack taskflow: an engine (serial, or parallel with threads) and a persistence (memory or SQLite).

``graph-…`` modes build one graph_flow with explicit links; the others use linear and unordered patterns where
the shape allows it. 6.5 has no executor of processes of its own.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

import taskflow.engines
from taskflow import task
from taskflow.patterns import graph_flow, linear_flow, unordered_flow
from taskflow.persistence import backends
from taskflow.version import version_string

from benchmarks.peers import common, shapes

MODES = [f"{how}{engine}-{store}" for how in ("", "graph-") for engine in ("serial", "threads")
         for store in ("memory", "sqlite")]


class Touch(task.Task):
    """One task."""

    def __init__(self, index: int, sleep: float) -> None:
        super().__init__(name=f"t{index}")
        self.index, self.sleep = index, sleep

    def execute(self) -> None:
        """The body."""
        common.touch(self.index, self.sleep)


def main() -> None:
    given = common.setup(MODES)
    logging.disable(logging.CRITICAL)
    kind, store = given.mode.removeprefix("graph-").split("-")
    for number in range(given.reps):
        began = time.perf_counter()
        engine = taskflow.engines.load(flow_of(given), **settings_of(given, kind, store, number))
        engine.compile()
        engine.prepare()
        built = time.perf_counter()
        engine.run()
        ended = time.perf_counter()
        common.finish(given, "taskflow", version_string(), built - began, ended - built, store == "sqlite")
    common.reap()


def flow_of(given: common.Given) -> Any:
    """The flow of a shape."""
    tasks = {index: Touch(index, given.sleep) for index in given.g}
    if given.mode.startswith("graph-") or given.shape == "service":
        flow = graph_flow.Flow("f").add(*tasks.values())
        for index, awaited in given.g.items():
            for each in awaited:
                flow.link(tasks[each], tasks[index])
        return flow
    if given.shape == "chain":
        return linear_flow.Flow("f").add(*tasks.values())
    if given.shape == "layered":
        flow = linear_flow.Flow("f")
        for first in range(0, len(tasks), shapes.LAYER):
            layer = [tasks[index] for index in range(first, min(first + shapes.LAYER, len(tasks)))]
            flow.add(unordered_flow.Flow(f"l{first}").add(*layer))
        return flow
    return unordered_flow.Flow("f").add(*tasks.values())


def settings_of(given: common.Given, kind: str, store: str, number: int) -> dict[str, Any]:
    """How the engine is made."""
    settings: dict[str, Any] = {"engine": "serial"}
    if kind == "threads":
        settings = {"engine": "parallel", "executor": "threads", "max_workers": given.threads}
    if store == "sqlite":
        backend = backends.fetch({"connection": f"sqlite:///{given.dir / f'tf{number}.db'}"})
        with contextlib.closing(backend.get_connection()) as connection:
            connection.upgrade()
        settings["backend"] = backend
    return settings


if __name__ == "__main__":
    main()
