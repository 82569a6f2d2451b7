"""``aria runner`` and what is left to it with ``--queue``; the database is SQLite."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def service(project: Any) -> Any:
    """A project with the service ``hello``."""
    project("service-templates", "store", project.template, "hello")
    project("services", "create", "hello", "hello")
    return project


def states(project: Any) -> list[str]:
    return [row["state"] for row in project.json("executions", "list")]


def said(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What a runner that has ended wrote with ``--json``."""
    return [json.loads(line) for line in process.communicate(timeout=60)[0].splitlines()]


def test_a_queued_execution_waits_for_a_runner(service: Any) -> None:
    result = service("executions", "start", "hello", "install", "--queue")

    assert "execution 1 is in the queue" in result.stdout
    [row] = service.json("executions", "list")
    assert (row["status"], row["queued"]) == ("pending (queued)", True)

    assert "succeeded" in service("runner", "--until-empty").stdout
    assert states(service) == ["succeeded"]
    assert service.json("nodes", "show", "1")["attributes"]["greeting"] == "hello world"


def test_json_tells_what_was_queued(service: Any) -> None:
    assert service.json("executions", "start", "hello", "install", "--queue") == {
        "execution": 1, "service": "hello", "state": "pending", "queued": True}


def test_run_can_leave_it_to_the_queue(project: Any) -> None:
    project("run", project.template, "--queue")
    assert states(project) == ["pending"]
    project("runner", "--until-empty")
    assert states(project) == ["succeeded"]


def test_a_queued_execution_claims_its_service(service: Any) -> None:
    service("executions", "start", "hello", "install", "--queue")
    sentence = service.error("executions", "start", "hello", "install", code=3)
    assert "already has an active execution (1, pending)" in sentence
    assert states(service) == ["pending"]


def test_wrong_inputs_are_refused_before_anything_is_queued(service: Any) -> None:
    service.error("executions", "start", "hello", "install", "--queue", "--input", "colour=red", code=2)
    assert states(service) == []


def test_what_nobody_has_begun_is_cancelled_at_once(service: Any) -> None:
    service("executions", "start", "hello", "install", "--queue")
    assert "cancelled" in service("executions", "cancel", "1").stdout
    service("runner", "--until-empty")
    assert states(service) == ["cancelled"]


def test_what_is_queued_may_be_run_here_after_all(service: Any) -> None:
    service("executions", "start", "hello", "install", "--queue")
    service("executions", "resume", "1")
    assert states(service) == ["succeeded"]


def test_settings_of_a_queued_execution_are_kept(service: Any) -> None:
    service("executions", "start", "hello", "install", "--queue", "--max-concurrency", "1",
            "--task-max-attempts", "7", "--executor", "process")
    service("runner", "--until-empty")
    row = service.json("executions", "show", "1")
    assert (row["max_concurrency"], row["task_max_attempts"], row["executor"]) == (1, 7, "process")


def test_a_dry_execution_can_be_queued(service: Any) -> None:
    service("executions", "start", "hello", "install", "--queue", "--dry")
    service("runner", "--until-empty")
    assert states(service) == ["succeeded"]
    assert service.json("executions", "show", "1")["dry"]
    assert service.json("nodes", "show", "1")["attributes"]["greeting"] is None


def test_a_failure_ends_its_execution_and_not_the_runner(service: Any) -> None:
    service("services", "create", "hello", "sad", "--input", "who=bad")
    for name in ("sad", "hello"):
        service("executions", "start", name, "install", "--queue")
    lines = service("runner", "--until-empty", "--executions", "1").stdout
    assert states(service) == ["failed", "succeeded"]
    assert "execution 1 (install on sad) failed" in lines


def test_a_failed_execution_can_be_queued_again(service: Any) -> None:
    service("services", "create", "hello", "sad", "--input", "who=bad")
    service("executions", "start", "sad", "install", code=1)
    service("executions", "resume", "1", "--retry-failed", "--queue")
    [row] = service.json("executions", "list")
    assert (row["status"], row["queued"]) == ("started (queued)", True)
    service("runner", "--until-empty")
    assert states(service) == ["failed"]
    assert [row["attempts"] for row in service.json("executions", "tasks", "1") if row["attempts"]] == [2]


def test_an_execution_that_somebody_runs_is_not_put_into_the_queue(project: Any) -> None:
    project.run_until_gate()
    assert "is being run by process" in project.error("executions", "resume", "1", "--queue", code=3)


def test_one_command_shows_who_runs_what(service: Any) -> None:
    service("services", "create", "hello", "slow", "--input", f"gate={service.gate}")
    service("executions", "start", "slow", "install", "--queue")
    runner = service.start("runner", "--until-empty", "--name", "north", "--executions", "1")
    service.wait_for(Path(f"{service.gate}.waiting").exists)
    service("executions", "start", "hello", "install", "--queue")

    first, second = service.json("executions", "active")

    assert first["runner"].startswith(f"north, process {runner.pid} on ")
    assert (first["service"], first["workflow"], first["state"]) == ("slow", "install", "started")
    assert first["calls"] == []
    assert (second["service"], second["status"], second["runner"]) == ("hello", "pending (queued)", None)
    assert "north" in service("executions", "active").stdout
    service.open_gate()
    assert runner.wait(60) == 0
    assert service("executions", "active").stdout == "no execution is active\n"


def test_a_runner_that_is_stopped_hands_over(service: Any) -> None:
    service("services", "create", "hello", "slow", "--input", f"gate={service.gate}")
    service("executions", "start", "slow", "install", "--queue")
    first = service.start("runner", "--json", "--grace", "0.2")
    service.wait_for(Path(f"{service.gate}.waiting").exists)
    first.send_signal(signal.SIGTERM)
    lines = said(first)
    assert first.returncode == 0
    assert [each["event"] for each in lines] == ["serving", "begun", "stopping", "handed over", "stopped"]
    assert lines[3]["execution"] == 1
    [row] = service.json("executions", "list")
    assert row["status"] == "started (queued)"

    service.open_gate()
    lines = said(service.start("runner", "--json", "--until-empty"))
    assert [each["event"] for each in lines] == ["serving", "taken over", "succeeded", "stopped"]
    assert states(service) == ["succeeded"]


def test_a_queued_execution_that_is_stopped_by_hand_is_in_the_queue_again(service: Any) -> None:
    service("services", "create", "hello", "slow", "--input", f"gate={service.gate}")
    service("executions", "start", "slow", "install", "--queue")
    running = service.start("executions", "resume", "1")
    service.wait_for(Path(f"{service.gate}.waiting").exists)
    running.send_signal(signal.SIGTERM)
    assert "stopping" in running.stderr.readline()
    running.send_signal(signal.SIGTERM)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 143
    assert "execution 1 was stopped before its end; it is in the queue again, an 'aria runner'" in error
    assert "executions resume" not in error
    assert service.json("executions", "list")[0]["status"] == "started (queued)"

    service.open_gate()
    service("runner", "--until-empty")
    assert states(service) == ["succeeded"]


def test_a_runner_waits_for_what_runs_within_its_grace_and_a_second_signal_ends_it(service: Any) -> None:
    service("services", "create", "hello", "slow", "--input", f"gate={service.gate}")
    service("executions", "start", "slow", "install", "--queue")
    runner = service.start("runner", "--json")
    service.wait_for(Path(f"{service.gate}.waiting").exists)
    runner.send_signal(signal.SIGTERM)
    service.wait_for(lambda: runner.stdout.readline().find("stopping") >= 0)
    with pytest.raises(subprocess.TimeoutExpired):
        runner.wait(1)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(20) == 0
    assert service.json("executions", "list")[0]["status"] == "started (queued)"


def test_a_runner_that_was_killed_is_replaced_at_once(service: Any) -> None:
    service("services", "create", "hello", "slow", "--input", f"gate={service.gate}")
    service("executions", "start", "slow", "install", "--queue")
    first = service.start("runner")
    service.wait_for(Path(f"{service.gate}.waiting").exists)
    second = service.start("runner", "--until-empty", "--json")
    first.kill()
    first.wait()
    service.open_gate()
    lines = said(second)
    if "taken over" not in [each["event"] for each in lines]:  # it was quicker to find nothing to do
        lines = said(service.start("runner", "--until-empty", "--json"))
    assert "taken over" in [each["event"] for each in lines]
    assert states(service) == ["succeeded"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_ends_every_runner_that_begins_it_fails_in_the_end(service: Any) -> None:
    (service.template.parent / "deadly.py").write_text("""\
import os
from aria_core import workflow

@workflow
def end_it_all(ctx, graph):
    os._exit(9)
""")
    service.template.write_text(service.template.read_text().replace(
        "node_types:", "imports: [aria-1.0]\nnode_types:") + """\
  policies:
  - doom: {type: aria.Workflow, properties: {implementation: "deadly:end_it_all"}}
""")
    service("service-templates", "store", service.template, "deadly")
    service("services", "create", "deadly", "deadly")
    service("executions", "start", "deadly", "doom", "--queue")
    deaths = 0
    while states(service) == ["pending"]:
        deaths += service.process("runner", "--until-empty").returncode == 9
    assert deaths == 20
    row = service.json("executions", "show", "1")
    assert (row["state"], row["error"]) == (
        "failed", "20 runners have vanished while they made its task graph")


@pytest.mark.parametrize(("key", "value"), [
    ("executions", 0), ("poll_interval", 0), ("poll_interval", 4000), ("grace", -1), ("colour", 1)])
def test_wrong_settings_are_told(service: Any, key: str, value: float) -> None:
    sentence = service.error("--set", f"runner.{key}={value}", "runner", code=2)
    assert key in sentence
    assert "accepted" in sentence


def test_a_runner_without_an_executor_does_not_begin(service: Any) -> None:
    service("executions", "start", "hello", "install", "--queue")
    assert "nonsense" in service.error("runner", "--executor", "nonsense", code=6)
    assert states(service) == ["pending"]


def test_what_cannot_be_run_here_is_told_and_left_to_others(service: Any) -> None:
    (service.directory / "far").mkdir()
    (service.directory / "far" / "away.py").write_text(
        "from aria_plugins.executors.thread import ThreadExecutor as Far\n")
    knows = {**os.environ, "PYTHONPATH": str(service.directory / "far")}
    queued = service.process("executions", "start", "hello", "install", "--queue", "--executor", "away:Far",
                             env=knows)
    assert queued.returncode == 0, queued.stderr

    ignorant = service.start("runner", "--json")
    service.wait_for(lambda: "a runner cannot run it" in service("logs", "list", "1").stdout)
    assert service.json("executions", "list")[0]["status"] == "pending (queued)"
    able = service.start("runner", "--until-empty", "--json", env=knows)
    service.wait_for(lambda: states(service) == ["succeeded"])

    ignorant.send_signal(signal.SIGTERM)
    lines = [each for each in said(ignorant) if each["execution"] == 1]
    assert {each["event"] for each in lines} == {"refused"}
    assert "away" in lines[0]["message"]
    assert able.wait(20) == 0
