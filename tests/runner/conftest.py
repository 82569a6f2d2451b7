"""A service whose operations leave lines in a file, and runners on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aria_core.modeling.builder import TemplateBuilder
from aria_core.modeling.models import Execution, Node, Service, Task
from aria_core.modeling.retries import ExecutionRetries
from aria_core.modeling.specification import LoadedTemplate
from aria_core.orchestrator.executor import Executor
from aria_core.orchestrator.surroundings import NoHooks
from aria_core.orchestrator.topology import create_service, store_template
from aria_core.orchestrator.workflow_runner import HookedRunner, WorkflowRunner
from aria_core.storage.model import ModelStorage
from aria_core.storage.resource import ResourceStorage
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor

CODE = Path(__file__).parent / "service"
OPERATIONS = (
    "touch", "fail_first", "raise_first", "retry_first", "abort", "note_time", "nap", "wait_for", "hold",
    "go_silent", "beat", "show_progress", "show_then_fail",
    "set_attribute", "set_nested",
    "set_foreign", "flush_then_die", "host_address", "say", "show_context", "read_resource",
    "set_and_refresh", "set_at_once", "render_files")
LIFECYCLE = ("create", "configure", "start", "stop", "delete", "repair")
QUALIFIED = "tosca.interfaces.node.lifecycle.Standard"


class Lab:
    """One service in one storage, and everything a test wants to know about its executions."""

    def __init__(self, model: ModelStorage, resource: ResourceStorage, directory: Path,
                 executor: Executor, name: str = "lab") -> None:
        self.model, self.resource, self.executor = model, resource, executor
        self.effects_file = directory / "effects"
        self.directory = directory
        self.code = CODE
        self.template = store_template(model, resource, template(name))
        self.service: Service = self.new_service(name)

    def new_service(self, name: str) -> Service:
        return create_service(self.model, self.template, name, {"effects": str(self.effects_file)})

    def runner(self, workflow: str | None = None, *, steps: list[dict[str, Any]] | None = None,
               retries: ExecutionRetries | None = None, **arguments: Any) -> WorkflowRunner:
        """A runner for a workflow, for a plan of `steps`, or (with execution_id) for a resume."""
        if steps is not None:
            workflow, arguments["inputs"] = "plan", {"steps": steps}
        if "execution_id" not in arguments:
            arguments = {"service_id": self.service.id, "workflow_name": workflow, **arguments}
        arguments.setdefault("task_retry_interval", 0)
        return HookedRunner(NoHooks(), retries or ExecutionRetries(), self.model, self.resource, None,
                            **{"executor": self.executor, **arguments})

    def run(self, *steps: dict[str, Any], **arguments: Any) -> Execution:
        """Run a plan to its end; the execution."""
        runner = self.runner(steps=list(steps), **arguments)
        runner.execute()
        return runner.execution

    def in_thread(self, runner: WorkflowRunner, **arguments: Any) -> Callable[[], Any]:
        """Execute in a thread; call what is returned to wait for the state (or its exception)."""
        outcome: list[Any] = []

        def execute() -> None:
            try:
                outcome.append(runner.execute(**arguments))
            except Exception as error:
                outcome.append(error)

        thread = threading.Thread(target=execute)
        thread.start()

        def wait() -> Any:
            thread.join(60)
            assert outcome, "the runner did not come to an end"
            return outcome[0]
        return wait

    @property
    def effects(self) -> list[str]:
        return self.effects_file.read_text().splitlines() if self.effects_file.exists() else []

    @staticmethod
    def wait_until(condition: Callable[[], object], what: str) -> None:
        wait_until(condition, what)

    def wait_for_effect(self, line: str) -> None:
        wait_until(lambda: line in self.effects, f"{line!r} among the effects")

    def wait_for_state(self, runner: WorkflowRunner, label: str, state: str) -> None:
        """Until the operation with that label is stored in that state."""
        def reached() -> bool:
            task = self.tasks(runner.execution_id).get(label)
            return task is not None and task.state == state
        wait_until(reached, f"{label!r} to be {state}")

    def wait_for_progress(self, runner: WorkflowRunner, label: str, progress: float) -> None:
        """Until it is stored that the operation with that label is so far."""
        def reached() -> bool:
            task = self.tasks(runner.execution_id).get(label)
            return task is not None and task.progress == progress
        wait_until(reached, f"{label!r} to be at {progress}")

    def wait_for_failures(self, runner: WorkflowRunner, label: str, failures: int) -> None:
        """Until the operation with that label waits for another attempt after so many that failed."""
        def reached() -> bool:
            task = self.tasks(runner.execution_id).get(label)
            return task is not None and (task.state, task.failures) == ("retrying", failures)
        wait_until(reached, f"{label!r} to have failed {failures} times")

    def node(self, name: str = "one") -> Node:
        return self.model.node.list(filters={"name": name, "service_id": self.service.id}).items[0]

    def tasks(self, execution: Execution | int) -> dict[str, Task]:
        """The operations of an execution by their label."""
        key = execution if isinstance(execution, int) else execution.id
        rows = self.model.task.list(filters={"execution_id": key}, sort={"position": "asc"})
        return {row.arguments.get("label", row.name): row for row in rows if row.stub is None}


def template(name: str) -> LoadedTemplate:
    builder = TemplateBuilder(name)
    builder.input("effects", "string")
    test = {name: f"ops:{name}" for name in OPERATIONS}
    two = builder.node("two", attributes={"ip": "10.0.0.2", "address": "two's"}, interfaces={"Test": test})
    one = builder.node("one", attributes={"known": "original", "doomed": 1, "nested": {"list": []}},
                       interfaces={"Test": test, "Standard": dict.fromkeys(LIFECYCLE, "ops:note_state"),
                                   QUALIFIED: dict.fromkeys(LIFECYCLE, "ops:note_state"),
                                   "Other": {"create": "ops:note_state"}})
    one.requires(two, "host", hosted=True, interfaces={"Test": {
        "hold": "ops:hold", "copy_attribute": "ops:copy_attribute", "say": "ops:say",
        "host_address": "ops:host_address", "show_relationship": "ops:show_relationship"}})
    builder.workflow("plan", "ops:plan", inputs={"steps": []})
    for name in ("nothing", "edits", "breaks", "cycle", "logs_badly"):
        builder.workflow(name, f"ops:{name}")
    builder.workflow("slow_to_plan", "ops:slow_to_plan", inputs={"effects": "", "gate": "", "breaks": ""})
    builder.workflow("missing", "ops:no_such_function")
    spec = builder.build()
    return LoadedTemplate(template=spec, directory=str(CODE))


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Wait for a condition; fails with `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def lab_class() -> type[Lab]:
    """For tests that make a lab of their own."""
    return Lab


@pytest.fixture(params=["thread", "process"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """An executor of each kind that runs operations on this host."""
    with ThreadExecutor(slots=4) if request.param == "thread" else ProcessExecutor(slots=2) as executor:
        yield executor


@pytest.fixture
def lab(model_storage: ModelStorage, resource_storage: ResourceStorage, tmp_path: Path,
        executor: Executor) -> Lab:
    """A lab on every database and every executor."""
    return Lab(model_storage, resource_storage, tmp_path, executor)
