"""What an operator does wrong, or has done to him: killed runners, several at once, impossible numbers."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aria_core import (
    ConfigurationError,
    InvalidInputError,
    ModelStorage,
    NotFoundError,
    ResourceStorage,
    TemplateBuilder,
    WorkflowRunner,
    WrongTypeInputsError,
    create_service,
    get_input,
    parameter,
    store_template,
)
from aria_core.orchestrator.exceptions import InvalidWorkflowRunnerParams
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor

CONFIGURATION = """
[model_storage]
use = "sql"
url = "sqlite:///aria.db"

[resource_storage]
use = "file"
directory = "resources"
"""
TEMPLATE = """
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  node_templates:
    server:
      type: tosca.nodes.Root
      interfaces: {Standard: {operations: {create: create.sh, start: start.sh}}}
"""
CREATE = 'echo "created $ARIA_TASK_TOKEN" >>"$HOME/effects"\n'
START = """
echo "started $ARIA_TASK_TOKEN" >>"$HOME/effects"
setsid nohup sleep 300 >/dev/null 2>&1 </dev/null &
echo $! >>"$HOME/daemons"
until [ -e "$HOME/gate" ]; do sleep 0.05; done
"""


class Operator:
    """Somebody with a folder, a template in it, and the ``aria`` command."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name, text in (("aria.toml", CONFIGURATION), ("server.yaml", TEMPLATE),
                           ("create.sh", CREATE), ("start.sh", START)):
            (home / name).write_text(text)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        environment = {"HOME": str(self.home), "TMPDIR": str(self.home), "PATH": os.environ["PATH"]}
        return subprocess.Popen([sys.executable, "-m", "aria_core", *words], cwd=self.home, text=True,
                                env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def lines(self, name: str) -> list[str]:
        file = self.home / name
        return file.read_text().splitlines() if file.exists() else []

    def database(self) -> list[str]:
        connection = sqlite3.connect(self.home / "aria.db")
        try:
            return list(connection.iterdump())
        finally:
            connection.close()


def told(command: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = command.communicate(timeout=60)
    return command.returncode, said


def lives(pid: int) -> bool:
    try:
        return b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")
def test_of_many_resumes_after_kill_9_one_finishes_the_work_and_the_others_say_who_has_it(
        tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    runner = operator.begin("run", "server.yaml")
    wait_until(lambda: operator.lines("daemons"))
    runner.send_signal(signal.SIGKILL)
    told(runner)
    resumes = [operator.begin("executions", "resume", "1") for _ in range(3)]
    wait_until(lambda: len(operator.lines("daemons")) == 2)
    wait_until(lambda: sum(each.poll() is not None for each in resumes) == 2)
    (tmp_path / "gate").touch()
    outcomes = sorted(told(each) for each in resumes)
    first, second = (int(each) for each in operator.lines("daemons"))
    try:
        assert [code for code, _ in outcomes] == [0, 3, 3]
        for _, said in outcomes[1:]:
            assert said.startswith("aria: execution 1 ")
            assert said.count("\n") == 1
        assert [each.split()[0] for each in operator.lines("effects")] == ["created", "started", "started"]
        assert (lives(first), lives(second)) == (False, True)
    finally:
        os.kill(second, signal.SIGKILL)


@pytest.mark.parametrize("words", [
    ("--service", ""), ("--task-max-attempts", "9" * 30), ("--task-retry-interval", "nan"),
    ("--task-retry-interval", "inf")])
def test_what_cannot_be_is_refused_and_leaves_nothing_behind(tmp_path: Path, words: tuple[str, ...]) -> None:
    operator = Operator(tmp_path)
    told(operator.begin("services", "list"))
    before = operator.database()
    code, said = told(operator.begin("run", "server.yaml", *words))
    assert code == 2, said
    assert said.count("\n") == 1
    assert operator.database() == before


def test_an_execution_that_no_database_can_number_does_not_exist(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    for number in (0, -1, 2**31, 2**70):
        with pytest.raises(NotFoundError, match=str(number)):
            WorkflowRunner(model_storage, resource_storage, None, execution_id=number)


def test_a_runner_takes_no_numbers_that_cannot_be_stored(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    template = store_template(model_storage, resource_storage, TemplateBuilder("empty").load())
    service = create_service(model_storage, template, "empty", {})
    for wrong in ({"task_retry_interval": float("nan")}, {"task_retry_interval": float("inf")},
                  {"task_max_attempts": 2**31}):
        with pytest.raises(InvalidWorkflowRunnerParams, match=next(iter(wrong))):
            WorkflowRunner(model_storage, resource_storage, None, service_id=service.id,
                           workflow_name="install", **wrong)
    assert not model_storage.execution.list().items


@pytest.mark.parametrize("kind", [ThreadExecutor, ProcessExecutor])
@pytest.mark.parametrize("slots", [0, -1])
def test_an_executor_without_a_slot_would_wait_for_ever(
        kind: type[ThreadExecutor | ProcessExecutor], slots: int) -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        kind(slots=slots)


def test_a_secret_of_the_wrong_type_is_refused_without_being_told(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    builder = TemplateBuilder("vault")
    builder.input("pin", "integer", secret=True)
    template = store_template(model_storage, resource_storage, builder.load())
    with pytest.raises(WrongTypeInputsError, match=r"'pin' is \*\*\*, .* integer") as caught:
        create_service(model_storage, template, "vault", {"pin": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert not model_storage.service.list().items


def test_a_secret_property_of_the_wrong_type_is_not_told_either(
        model_storage: ModelStorage, resource_storage: ResourceStorage) -> None:
    builder = TemplateBuilder("vault")
    builder.input("pin", "string", secret=True)
    builder.node("door", properties={"pin": parameter(get_input("pin"), "integer")})
    template = store_template(model_storage, resource_storage, builder.load())
    with pytest.raises(InvalidInputError, match=r"'pin' of .*door.* \*\*\*") as caught:
        create_service(model_storage, template, "vault", {"pin": "hunter2"})
    assert "hunter2" not in str(caught.value)
