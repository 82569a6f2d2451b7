"""ARIA: `OperationTask`s on nodes through `WorkflowRunner`, as it is configured when nobody configures it.

Modes are an executor and a storage: ``thread-sqlite-full``, ``thread-sqlite-normal``, ``thread-pg``, and
the same with ``process``. ``graph-…`` makes and stores the graph and runs none of it.

After a warm-up, ``build_s`` is all from the template until the runner opens its executor, which it does
once the graph is stored and loaded; ``exec_s`` is from then until `execute` returns. Parts of the former
are ``author_s``, the workflow function, and ``store_s``, compiling, storing and reading ids back;
``total_s`` is all of `execute`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import aria_core
from aria_core import (
    Executor,
    Inbox,
    ModelStorage,
    ResourceStorage,
    SqlModelStorage,
    WorkflowRunner,
    create_service,
    store_template,
)
from aria_core.orchestrator.events import WorkflowEvent, start_workflow_signal
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor
from aria_plugins.storage.file import FileStorage
from benchmarks.peers import aria_operations, aria_service, common

STORAGES = ("sqlite-full", "sqlite-normal", "pg")
MODES = [f"{how}-{storage}" for how in ("thread", "process", "graph") for storage in STORAGES]


class Go:
    """When the runner opened its executor."""

    moment = 0.0


class MeasuredThreads(ThreadExecutor):
    """Notes when it is opened."""

    def open(self, report: Inbox) -> None:
        super().open(report)
        Go.moment = time.time()


class MeasuredProcesses(ProcessExecutor):
    """Notes when it is opened."""

    def open(self, report: Inbox) -> None:
        super().open(report)
        Go.moment = time.time()


def main() -> None:
    given = common.setup(MODES)
    with ExitStack() as stack:
        model, resource = open_storages(given, stack)
        if given.mode.startswith("graph"):
            make_graph(given, model, resource)
        else:
            run(given, model, resource)
    common.reap()


def open_storages(given: common.Given, stack: ExitStack) -> tuple[ModelStorage, ResourceStorage]:
    """The storages of a mode, open and empty."""
    on_postgresql = given.mode.endswith("pg")
    url = os.environ["PEER_PG"] if on_postgresql else f"sqlite:///{given.dir / 'aria.db'}"
    synchronous = "NORMAL" if given.mode.endswith("normal") else "FULL"
    model = stack.enter_context(SqlModelStorage(url, synchronous=synchronous))
    resource = FileStorage(given.dir / "resources")
    resource.open()
    return model, resource


def executor_of(given: common.Given) -> Executor:
    """The executor of a mode."""
    if given.mode.startswith("process"):
        return MeasuredProcesses(given.procs, environment=aria_operations.NEEDS)
    return MeasuredThreads(given.threads)


def run(given: common.Given, model: ModelStorage, resource: ResourceStorage) -> None:
    """Run the graph to its end."""
    began = time.time()
    executor = executor_of(given)
    warm_up(given, model, resource, executor)
    made = time.time()
    runner = new_runner(given, model, resource, executor)
    begins = time.time()
    state = runner.execute()
    ended = time.time()
    assert state == "succeeded", state
    common.finish(
        given, "aria", aria_core.__version__, Go.moment - made, ended - Go.moment, True,
        warm_up_s=round(made - began, 4), total_s=round(ended - begins, 5), **_creation(Go.moment))
    executor.close(5.0)


def warm_up(given: common.Given, model: ModelStorage, resource: ResourceStorage, executor: Executor) -> None:
    """Have all threads or processes run, and every statement prepared."""
    template = store_template(model, resource, aria_service.warm_template("warm-up"))
    service = create_service(model, template, "warm-up")
    slots = executor.slots or 1
    runner = WorkflowRunner(
        model, resource, None, service_id=service.id, workflow_name="warm_up", executor=executor,
        inputs={"directory": str(given.dir), "slots": slots, "first": given.n, "count": common.WARM_UP})
    runner.execute()
    common.forget()


def new_runner(given: common.Given, model: ModelStorage, resource: ResourceStorage,
               executor: Executor) -> WorkflowRunner:
    """A runner of the measured workflow, on a service made for it."""
    loaded = aria_service.template("measured", given.shape, given.n, given.sleep)
    service = create_service(model, store_template(model, resource, loaded), "measured")
    return WorkflowRunner(model, resource, None, service_id=service.id, workflow_name="measured",
                          inputs={"shape": given.shape, "n": given.n}, executor=executor)


def make_graph(given: common.Given, model: ModelStorage, resource: ResourceStorage) -> None:
    """Make and store the graph; the runner is stopped before it would run any of it."""
    executor = ThreadExecutor()
    warm_up(given, model, resource, executor)
    runner = new_runner(given, model, resource, executor)
    runner.stop(0)
    with _when_started() as stored_at:
        runner.execute()
    rss = common.peak_mb()
    tasks = model.task.list(filters={"execution_id": runner.execution_id}, pagination={"size": 1})
    stored = tasks.metadata["total"]
    assert stored == given.n + 2, stored  # a start and an end
    took = stored_at() - aria_service.Marks.began
    common.emit({
        "peer": "aria", "version": aria_core.__version__, "mode": given.mode, "shape": given.shape,
        "n": given.n, "exec_s": round(took, 5), "tasks_per_s": round(given.n / took, 1), "rss_mb": rss,
        "durable": True, "verified": True, **_creation(stored_at())})
    executor.close(5.0)


def _creation(stored_at: float) -> dict[str, Any]:
    marks = aria_service.Marks
    return {"author_s": round(marks.ended - marks.began, 5), "store_s": round(stored_at - marks.ended, 5)}


@contextmanager
def _when_started() -> Iterator[Callable[[], float]]:
    """Tells when the graph was stored: a listener hears of it."""
    moments: list[float] = []

    def hear(event: WorkflowEvent, **_: object) -> None:
        moments.append(event.at.timestamp())

    with start_workflow_signal.connected_to(hear):
        yield lambda: moments[0]


if __name__ == "__main__":
    main()
