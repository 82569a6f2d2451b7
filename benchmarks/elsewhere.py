"""Calls elsewhere beside bare Celery: ``python -m benchmarks.elsewhere sleep 200 --mode aria-2x8-pg``.

Modes are a peer, and workers x slots: ``aria-2x8-pg`` is a workflow through `WorkflowRunner` with the Celery
executor and two ``aria worker`` of 8 slots each, ``celery-2x8`` a group with results on two Celery workers
of 8 threads each. Each run has a Valkey of its own; workers are warm. As with the other executors
``exec_s`` begins when the runner, which has made its graph, opens its executor; ``build_s`` is the time
from `WorkflowRunner` until then. ``runner_ms``, ``workers_ms`` and ``database_ms`` (of every PostgreSQL
here) are processor time for each task in ``exec_s``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

import aria_core
from aria_core import (
    Inbox,
    LoadedTemplate,
    Secret,
    SqlModelStorage,
    TemplateBuilder,
    WorkflowRunner,
    call,
    create_service,
    parameter,
    store_template,
)
from aria_core.testing.brokers import Valkey
from aria_plugins.executors.celery import CeleryExecutor
from aria_plugins.storage.file import FileStorage
from benchmarks.cells import ELSEWHERE
from benchmarks.peers import aria_service, common
from benchmarks.peers.aria_operations import touch_elsewhere

ROOT = Path(__file__).parents[1]
READY_WITHIN = 60.0
SPENT = ("runner_ms", "workers_ms", "database_ms")


def main() -> None:
    given = common.setup(ELSEWHERE)
    workers, slots = map(int, given.mode.split("-")[1].split("x"))
    with_broker = Valkey(given.dir / "valkey")
    with_broker.start()
    try:
        (_aria if given.mode.startswith("aria") else _celery)(given, with_broker.url, workers, slots)
    finally:
        with_broker.kill()
    common.reap()


def _aria(given: common.Given, broker: str, workers: int, slots: int) -> None:
    resources = given.dir / "resources"
    processes = _start([sys.executable, "-m", "aria_core", "worker", "--slots", str(slots)], workers,
                       _configured(given, broker, resources))
    resource = FileStorage(resources, shared=True)
    resource.open()
    with SqlModelStorage(os.environ["PEER_PG"]) as model:
        spent = Spent(processes)
        executor = MeasuredCelery(Secret(broker), spent)

        def made(name: str, n: int) -> WorkflowRunner:
            template = store_template(model, resource, _template(name, given, n))
            service = create_service(model, template, name)
            return WorkflowRunner(model, resource, None, service_id=service.id, workflow_name="measured",
                                  inputs={"shape": given.shape, "n": n}, executor=executor)

        for number in range(3):
            assert made(f"warm-{number}", workers * slots * 4).execute() == "succeeded"
        _wait(lambda: executor.slots == workers * slots)
        common.forget()
        runner, began = made("measured", given.n), time.perf_counter()
        assert runner.execute() == "succeeded"
        _finish(given, aria_core.__version__, spent, spent.since - began)
        executor.close(5.0)


class Spent:
    """What has been spent since it began: seconds, and processor time of the parts that `SPENT` names."""

    def __init__(self, workers: Sequence[psutil.Process]) -> None:
        database = [each for each in psutil.process_iter(["name"]) if each.info["name"] == "postgres"]
        self._workers, self._database = workers, database
        self._seen: dict[psutil.Process, float] = {}
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self._before = self._processor_time()
        self.since = time.perf_counter()

    def seconds(self) -> tuple[float, list[float]]:
        """By the clock, and by the processors."""
        elapsed = time.perf_counter() - self.since
        return elapsed, [now - before for now, before in
                         zip(self._processor_time(), self._before, strict=True)]

    def _processor_time(self) -> tuple[float, float, float]:
        # The workers and the broker are children of the runner's process.
        return (self._cpu([psutil.Process()]), self._cpu(_families(self._workers)),
                self._cpu(_families(self._database)))

    def _cpu(self, processes: Iterable[psutil.Process]) -> float:
        """Processor time of these. What has ended meanwhile counts as it was seen last."""
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                self._seen[each] = times.user + times.system
        return sum(self._seen.get(each, 0.0) for each in processes)


class MeasuredCelery(CeleryExecutor):
    """Counts from where it is opened."""

    def __init__(self, broker: Secret, spent: Spent) -> None:
        super().__init__(broker)
        self._spent = spent

    def open(self, report: Inbox) -> None:
        self._spent.begin()
        super().open(report)


def _configured(given: common.Given, broker: str, resources: Path) -> Path:
    place = given.dir / "worker"
    place.mkdir()
    (place / "aria.toml").write_text(f"""[model_storage]
use = "sql"
url = "{os.environ["PEER_PG"]}"
[resource_storage]
use = "file"
directory = "{resources}"
shared = true
[executor]
use = "celery"
broker = "{broker}"
""")
    (place / "aria.toml").chmod(0o600)
    return place


def _template(name: str, given: common.Given, n: int) -> LoadedTemplate:
    builder = TemplateBuilder(name)
    body = call(touch_elsewhere, inputs={"index": parameter(type="integer", required=True),
                                         "sleep": given.sleep, "log": os.environ["PEER_LOG"]})
    for number in range(min(aria_service.NODES, n)):
        builder.node(f"node_{number}", interfaces={"Bench": {"touch": body}})
    builder.workflow("measured", aria_service.measured, inputs={
        "shape": parameter(type="string", required=True), "n": parameter(type="integer", required=True)})
    return builder.load()


def _celery(given: common.Given, broker: str, workers: int, slots: int) -> None:
    os.environ["PEER_REDIS"] = broker
    import celery

    from benchmarks.peers import celery_app

    processes = [each for number in range(workers) for each in _start(
        [sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_app", "worker", "-P", "threads",
         "-c", str(slots), "-n", f"w{number}@here", "-l", "ERROR"], 1, given.dir)]
    _wait(lambda: len(celery_app.app.control.ping(timeout=0.5)) == workers)

    def run(n: int) -> None:
        celery.group([celery_app.touch.si(index, given.sleep) for index in range(n)]).apply_async().get(
            interval=0.005)

    for _ in range(3):
        run(workers * slots * 4)
    common.forget()
    spent = Spent(processes)
    run(given.n)
    _finish(given, celery.__version__, spent, 0.0)


def _start(command: Sequence[str], count: int, place: Path) -> list[psutil.Process]:
    environment = {**os.environ, "HOME": str(place), "PYTHONPATH": str(ROOT)}
    with (place / "log").open("ab") as log:
        started = [subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log)
                   for _ in range(count)]
    return [psutil.Process(each.pid) for each in started]


def _wait(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + READY_WITHIN
    while not is_so():
        assert time.monotonic() < until, "the workers are not ready"
        time.sleep(0.05)


def _finish(given: common.Given, version: str, spent: Spent, build_s: float) -> None:
    seconds, by_part = spent.seconds()
    parts = {name: round(each / given.n * 1000, 3) for name, each in zip(SPENT, by_part, strict=True)}
    common.finish(given, "elsewhere", version, build_s, seconds, given.mode.startswith("aria"), **parts)


def _families(processes: Sequence[psutil.Process]) -> set[psutil.Process]:
    """These and their descendants that live."""
    found = set(processes)
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            found.update(each.children(recursive=True))
    return found


if __name__ == "__main__":
    main()
