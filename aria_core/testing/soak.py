"""Many operations that do nothing, and what they cost: ``python -m aria_core.testing.soak SHAPE COUNT …``.

Runs one execution after the other in the directory it is started in, whose ``aria.toml`` says what
executor and what storages are put to the test, and prints one JSON object for each. `SHAPE` is a workflow
of `aria_core.testing.graphs`. What is measured is the runner's own process, on Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sqlalchemy import Engine, event

from aria_core.application import Application
from aria_core.exceptions import NotFoundError
from aria_core.modeling.models import Service
from aria_core.orchestrator.events import Event, TaskEvent
from aria_core.orchestrator.executor import Executor
from aria_core.orchestrator.topology import create_service, store_template
from aria_core.testing.graphs import SERVICE, SHAPES, graphs_template

MEGABYTE = 1e6
SAMPLES = 10
"""Looks at the process during one execution."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process has at one moment; `zombies` are its children that nobody waits for."""

    megabytes: float
    descriptors: int
    threads: int
    zombies: int


@dataclass(frozen=True, slots=True)
class Soaked:
    """What one execution took."""

    tasks: int
    state: str
    seconds: float
    processor_seconds: float
    """What the runner's own process used of these."""
    most_megabytes: float
    """The most that the process ever had until then."""
    statements: int
    """How often a database was asked something, or told."""
    samples: list[Sample] = field(default_factory=list)
    """After each tenth of the operations, and one after the end."""


def soak(directory: Path, shape: str, counts: Iterable[int], patience: float = 90.0) -> list[Soaked]:
    """Run this program in `directory`, and what it says; ``AssertionError`` if it fails."""
    words = [sys.executable, "-m", __spec__.name, shape, *map(str, counts)]
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True,  # nosec B603 # our program
                          timeout=patience, check=False)
    assert done.returncode == 0, done.stderr
    return [_told(line) for line in done.stdout.splitlines()]


def _told(line: str) -> Soaked:
    told = json.loads(line)
    return Soaked(**{**told, "samples": [Sample(**each) for each in told["samples"]]})


def sample() -> Sample:
    """This process now."""
    return Sample(_megabytes("VmRSS"), len(list(Path("/proc/self/fd").iterdir())), threading.active_count(),
                  _zombies())


def _megabytes(what: str) -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(each.split()[1]) * 1024 / MEGABYTE for each in status if each.startswith(what))


def _zombies() -> int:
    mine = ["Z", str(os.getpid())]
    return sum(_state_and_parent(each) == mine for each in Path("/proc").glob("[0-9]*/stat"))


def _state_and_parent(stat: Path) -> list[str]:
    try:
        return stat.read_text().rpartition(")")[2].split()[:2]
    except OSError:  # it is gone, and was waited for
        return []


class Soak:
    """The parts that the configuration names, used for one execution after the other."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._executor: Executor = application.executor()
        self._statements = 0
        event.listen(Engine, "before_cursor_execute", self._count)

    def run(self, shape: str, count: int) -> Soaked:
        """One execution to its end."""
        samples: list[Sample] = []
        before, began, used = self._statements, time.monotonic(), time.process_time()
        runner = self._application.runner(
            service_id=self._service().id, workflow_name=shape, inputs={"count": count},
            executor=self._executor, listeners=[_Sampler(max(1, count // SAMPLES), samples)])
        state = runner.execute()
        seconds = time.monotonic() - began
        return Soaked(count, state, seconds, time.process_time() - used, _megabytes("VmHWM"),
                      self._statements - before, [*samples, sample()])

    def _service(self) -> Service:
        model, resource = self._application.model_storage, self._application.resource_storage
        try:
            return model.service.get_by_name(SERVICE)
        except NotFoundError:
            return create_service(model, store_template(model, resource, graphs_template()), SERVICE)

    def _count(self, *_: object) -> None:
        self._statements += 1


class _Sampler:
    """A listener that looks at the process after every `step` operations."""

    def __init__(self, step: int, samples: list[Sample]) -> None:
        self._step, self._samples = step, samples
        self._done = 0

    def __call__(self, happened: Event) -> None:
        if isinstance(happened, TaskEvent) and happened.kind == "succeeded":
            self._done += 1
            if self._done % self._step == 0:
                self._samples.append(sample())


def main(arguments: list[str]) -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("counts", nargs="+", type=int, metavar="COUNT")
    given = parser.parse_args(arguments)
    with Application() as application:
        soak = Soak(application)
        for count in given.counts:
            sys.stdout.write(json.dumps(asdict(soak.run(given.shape, count))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
