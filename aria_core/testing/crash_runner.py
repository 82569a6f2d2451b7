"""A runner that can be killed at every fault point: ``python -m aria_core.testing.crash_runner DIRECTORY …``.

The directory holds an ``aria.toml``, which says what executor and what storages are put to the test.
``prepare`` makes the tables and the service, ``start`` installs it (or runs another workflow), ``fail`` runs
an execution that fails, ``resume`` goes on with the latest execution and ``cancel`` cancels it. Exit codes
are those of the command line ``aria``; SIGTERM stops the runner, not the execution.
If the directory has a file ``clock``, the runner's date is wrong by so many seconds as stand there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aria_core.application import Application
from aria_core.config import Config
from aria_core.exceptions import (
    AriaError,
    ExecutionFailedError,
    ExecutionOwnedError,
    FencedError,
    NotFoundError,
    StorageUnavailableError,
)
from aria_core.modeling.builder import NodeBuilder, TemplateBuilder, call
from aria_core.modeling.expressions import get_input
from aria_core.modeling.models import Service
from aria_core.modeling.specification import LoadedTemplate, OperationSpec
from aria_core.orchestrator.exceptions import ActiveExecutionsError
from aria_core.orchestrator.executor import Executor
from aria_core.orchestrator.topology import create_service, store_template
from aria_core.orchestrator.workflow_runner import WorkflowRunner
from aria_core.testing.fault_points import FaultPoints, note_runner
from aria_core.testing.faulty import FaultyExecutor, FaultyStorage, reach_in_commits
from aria_core.testing.few_processes import become_user
from aria_core.testing.wrong_clock import CLOCK, follow_clock

SERVICE = "crash"
STOP_GRACE = 0.2
RETRY_INTERVAL = 2.0
"""Seconds between two attempts of the operation ``Test.try``."""

_EFFECTS = "aria_core.testing.effects"
_CODES = ((ExecutionFailedError, 1), (ActiveExecutionsError, 3), (ExecutionOwnedError, 3), (FencedError, 4),
          (StorageUnavailableError, 5), (AriaError, 2))


def crash_template() -> LoadedTemplate:
    """Four nodes in a diamond; operations that fail once, take time, and store attributes early.

    A fifth has operations that only some tests run, and there is a workflow of very many tasks.
    """
    builder = TemplateBuilder(SERVICE)
    builder.input("directory", "string")

    def operation(kind: str, retry_interval: float = 0.0) -> OperationSpec:
        return call(f"{_EFFECTS}:{kind}", retry_interval=retry_interval,
                    inputs={"directory": get_input("directory")})

    def node(name: str, kinds: dict[str, str]) -> NodeBuilder:
        return builder.node(name, operations={
            each: operation(kinds.get(each, "effect"))
            for each in ("create", "configure", "start", "stop", "delete")})

    base, left = node("base", {}), node("left", {"configure": "effect_at_second"})
    right, top = node("right", {"start": "effect_in_attributes"}), node("top", {})
    for upper, lower in ((left, base), (right, base), (top, left), (top, right)):
        upper.requires(lower)
    builder.node("broken", interfaces={"Test": {
        "break": operation("failure"), "work": operation("effect_of_any_length"),
        "try": operation("effect_at_second", RETRY_INTERVAL)}})
    builder.workflow("load", "aria_core.testing.crash_workflows:load", inputs={"rows": 1, "columns": 1})
    return builder.load()


def make_service(config: Config, directory: Path, template: LoadedTemplate,
                 plugins: Iterable[Path] = ()) -> None:
    """Make the tables, install the plugins, and make a service of the template; nothing strikes here."""
    with Application(config) as plain:
        for each in plugins:
            plain.plugin_manager.install(each)
        stored = store_template(plain.model_storage, plain.resource_storage, template)
        create_service(plain.model_storage, stored, SERVICE, {"directory": str(directory)})


class CrashRunner:
    """The parts that the directory's configuration names, with fault points around them."""

    def __init__(self, directory: Path, *, is_plain: bool = False) -> None:
        self._directory = directory
        self._is_plain = is_plain
        self._points = FaultPoints(directory)

    def prepare(self) -> None:
        """Make the tables, the template and the service; nothing strikes here."""
        make_service(Config.load(), self._directory, crash_template())

    def start(self, workflow: str, inputs: Mapping[str, Any]) -> str:
        """Run a new execution; its state at the end."""
        with self._application() as (application, executor):
            service = application.model_storage.service.get_by_name(SERVICE)
            runner = application.runner(service_id=service.id, workflow_name=workflow, inputs=inputs,
                                        executor=executor)
            return self._execute(runner)

    def resume(self) -> str:
        """Go on with the latest execution; its state at the end."""
        with self._application() as (application, executor):
            runner = application.runner(execution_id=self._latest(application), executor=executor)
            return self._execute(runner)

    def cancel(self) -> str:
        """Cancel the latest execution; the state it is in then."""
        with self._application() as (application, executor):
            runner = application.runner(execution_id=self._latest(application), executor=executor)
            runner.cancel()
            return runner.execution.state

    def _latest(self, application: Application) -> int:
        service: Service = application.model_storage.service.get_by_name(SERVICE)
        latest = application.model_storage.ledger.latest(service.id)
        if latest is None:
            raise NotFoundError(f"the service {SERVICE!r} has no execution yet")
        return latest

    def _execute(self, runner: WorkflowRunner) -> str:
        note_runner(self._directory)
        signal.signal(signal.SIGTERM, lambda number, frame: runner.stop(STOP_GRACE))
        return runner.execute()

    @contextmanager
    def _application(self) -> Iterator[tuple[Application, Executor]]:
        if self._is_plain:
            with Application(Config.load()) as plain:
                yield plain, plain.executor()
            return
        with faulty_application(self._points) as faulty:
            yield faulty, FaultyExecutor(faulty.executor(), self._points)


@contextmanager
def faulty_application(points: FaultPoints) -> Iterator[Application]:
    """What the configuration of this directory names, with fault points around its storage."""
    config = Config.load()
    with Application(config) as plain:
        storage = FaultyStorage(plain.model_storage, points)
        reach_in_commits(points)
        with Application(config, model_storage=storage,
                         resource_storage=plain.resource_storage) as faulty:
            yield faulty


def main(arguments: list[str]) -> int:
    """Do what the arguments say; the exit code."""
    parser = argparse.ArgumentParser(prog="crash_runner")
    parser.add_argument("directory", type=Path)
    parser.add_argument("what", choices=("prepare", "start", "fail", "resume", "cancel"))
    parser.add_argument("--workflow", default="install", help="what `start` runs")
    parser.add_argument("--input", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--plain", action="store_true", help="without fault points, which open files")
    parser.add_argument("--user", type=int, help="be this user, who may have --processes processes")
    parser.add_argument("--processes", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.user is not None:
        become_user(given.user, given.processes)
    os.chdir(given.directory)
    if Path(CLOCK).exists():
        follow_clock(Path(CLOCK).resolve())
    try:
        sys.stdout.write(_do(given, CrashRunner(given.directory.resolve(), is_plain=given.plain)))
    except AriaError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return next(code for kind, code in _CODES if isinstance(error, kind))
    return 0


def _input(given: str) -> tuple[str, Any]:
    name, _, value = given.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _do(given: argparse.Namespace, runner: CrashRunner) -> str:
    match given.what:
        case "prepare":
            runner.prepare()
            return ""
        case "start":
            return runner.start(given.workflow, dict(map(_input, given.input)))
        case "fail":
            return runner.start("execute_operation", {"interface_name": "Test", "operation_name": "break"})
        case "resume":
            return runner.resume()
        case _:
            return runner.cancel()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
