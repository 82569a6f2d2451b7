"""Runners that live and do nothing, functions that nobody can end: who may take over, and when."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from aria_core.exceptions import ExecutionOwnedError
from aria_core.orchestrator import ownership
from aria_core.orchestrator.call_maker import origin_of
from aria_core.worker.calls import CallRef, mark_of
from aria_core.worker.processes import find_marked
from aria_plugins.executors.process import ProcessExecutor

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")

RUNNER = """
    import json, sys
    from pathlib import Path
    from aria_core.exceptions import AriaError
    from aria_core.orchestrator.workflow_runner import WorkflowRunner
    from aria_core.storage.sql import SqlModelStorage
    from aria_plugins.executors.process import ProcessExecutor
    from aria_plugins.executors.thread import ThreadExecutor
    from aria_plugins.storage.file import FileStorage

    url, resources, service, kind, steps = sys.argv[1:]
    model, files = SqlModelStorage(url), FileStorage(directory=Path(resources))
    model.open(); files.open()
    make = {"process": ProcessExecutor, "thread": ThreadExecutor}[kind]
    try:
        with make(slots=2) as executor:
            WorkflowRunner(model, files, None, service_id=int(service), workflow_name="plan",
                           inputs={"steps": json.loads(steps)}, executor=executor).execute()
    except AriaError as error:
        sys.exit(error.exit_code)
"""


class Elsewhere:
    """A runner in another process."""

    def __init__(self, lab: Any, url: str, kind: str, steps: list[dict[str, Any]]) -> None:
        script = lab.directory / "runner.py"
        script.write_text(textwrap.dedent(RUNNER))
        self.process = subprocess.Popen([sys.executable, str(script), url, str(lab.directory / "resources"),
                                         str(lab.service.id), kind, json.dumps(steps)])
        self._lab = lab

    @property
    def execution(self) -> int:
        return int(self._lab.model.execution.list(filters={"service_id": self._lab.service.id}).items[0].id)

    def freeze(self) -> None:
        """Stop it while it waits: who is stopped in a commit holds the lock of the database as well."""
        pulse = self._lab.model.ledger.pulse
        self._lab.wait_until(lambda: pulse(self.execution).beat and self._is_at_work(), "its first beat")
        time.sleep(0.5)  # the next one comes in five seconds
        self.process.send_signal(signal.SIGSTOP)

    def _is_at_work(self) -> bool:
        return bool(self._lab.tasks(self.execution)["a"].state == "started")

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture
def elsewhere(lab: Any, model_storage_url: str, request: pytest.FixtureRequest) -> Any:
    """Starts runners in other processes, with the executor of the lab's kind."""
    kind = "process" if isinstance(lab.executor, ProcessExecutor) else "thread"
    started: list[Elsewhere] = []

    def start(*steps: dict[str, Any]) -> Elsewhere:
        started.append(Elsewhere(lab, model_storage_url, kind, list(steps)))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def gate(lab: Any) -> Path:
    return Path(lab.directory / "gate")


def waiting_then_more(lab: Any) -> list[dict[str, Any]]:
    return [{"label": "a", "do": "wait_for", "arguments": {"file": str(gate(lab))}},
            {"label": "b", "after": ["a"]}]


@linux
def test_a_frozen_runner_is_taken_over_and_changes_nothing_when_it_goes_on(
        lab: Any, elsewhere: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "TAKES_OVER_AFTER", 2.0)
    runner = elsewhere(*waiting_then_more(lab))
    lab.wait_for_effect("a")
    runner.freeze()
    wait = lab.in_thread(lab.runner(execution_id=runner.execution))
    lab.wait_until(lambda: lab.effects.count("a") == 2, "the second attempt")
    runner.thaw()
    assert runner.process.wait(30) == 4
    mark = mark_of(CallRef(runner.execution, lab.tasks(runner.execution)["a"].id, 1), origin_of(lab.service))
    assert find_marked(mark) == []
    gate(lab).touch()
    assert wait() == "succeeded"
    assert lab.effects == ["a", "a", "b"]
    assert {name: task.attempts for name, task in lab.tasks(runner.execution).items()} == {"a": 2, "b": 1}


@linux
def test_a_cancel_takes_a_frozen_runner_over(lab: Any, elsewhere: Any,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "TAKES_OVER_AFTER", 2.0)
    runner = elsewhere(*waiting_then_more(lab))
    lab.wait_for_effect("a")
    runner.freeze()
    canceller = lab.runner(execution_id=runner.execution)
    canceller.cancel()
    assert (canceller.execution.state, canceller.execution.owner) == ("cancelled", None)
    runner.thaw()
    gate(lab).touch()
    assert runner.process.wait(30) == 4
    assert lab.effects == ["a"]


def test_a_runner_elsewhere_that_lives_is_named_promptly(lab: Any, elsewhere: Any) -> None:
    runner = elsewhere(*waiting_then_more(lab))
    lab.wait_for_effect("a")
    for _ in range(2):
        begin = time.monotonic()
        with pytest.raises(ExecutionOwnedError, match=f"process {runner.process.pid} "):
            lab.runner(execution_id=runner.execution).execute()
        assert time.monotonic() - begin < 3, "it waited for the next beat, which takes five seconds"
    gate(lab).touch()
    assert runner.process.wait(30) == 0


INTERRUPTED = """
    import json, os, signal, sys, threading, time
    from pathlib import Path
    from aria_core.orchestrator.workflow_runner import WorkflowRunner
    from aria_core.storage.sql import SqlModelStorage
    from aria_plugins.executors.thread import ThreadExecutor
    from aria_plugins.storage.file import FileStorage

    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    url, resources, service, steps, effects = sys.argv[1:]
    model, files = SqlModelStorage(url), FileStorage(directory=Path(resources))
    model.open(); files.open()

    def interrupt():
        while not Path(effects).exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with ThreadExecutor(slots=2) as executor:
            WorkflowRunner(model, files, None, service_id=int(service), workflow_name="plan",
                           inputs={"steps": json.loads(steps)}, executor=executor).execute()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    input()
"""


@pytest.mark.parametrize("executor", ["thread"], indirect=True)
def test_while_a_function_of_an_interrupted_runner_runs_nobody_may_go_on(lab: Any,
                                                                        model_storage_url: str) -> None:
    script = lab.directory / "interrupted.py"
    script.write_text(textwrap.dedent(INTERRUPTED))
    with subprocess.Popen([sys.executable, str(script), model_storage_url, str(lab.directory / "resources"),
                           str(lab.service.id), json.dumps(waiting_then_more(lab)), str(lab.effects_file)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "interrupted\n"
            execution = lab.model.execution.list(filters={"service_id": lab.service.id}).items[0]
            with pytest.raises(ExecutionOwnedError, match=f"process {process.pid} "):
                lab.runner(execution_id=execution.id).execute()
            said = [row.message for row in lab.model.log.list(filters={"execution_id": execution.id})]
            assert len([each for each in said if "one of its functions still runs" in each]) == 1, said
            gate(lab).touch()
            lab.wait_until(lambda: lab.model.execution.get(execution.id).owner is None, "it to be let go")
            assert lab.runner(execution_id=execution.id).execute() == "succeeded"
        finally:
            process.kill()
    assert lab.effects == ["a", "a", "b"]
