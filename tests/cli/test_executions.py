"""``aria executions`` and ``aria logs``: starting, stopping, cancelling, resuming and watching."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest


def state(project, execution=1) -> str:
    return project.json("executions", "show", execution)["status"]


def end(running: subprocess.Popen[str], code: int) -> tuple[str, str]:
    out, err = running.communicate(timeout=60)
    assert running.returncode == code, (running.returncode, out, err)
    assert "Traceback" not in err
    return out, err


def succeeded(project) -> list[str]:
    return [each["name"] for each in project.json("executions", "tasks", 1) if each["state"] == "success"]


def test_a_workflow_is_started_on_a_stored_service(project):
    project("service-templates", "store", project.template)
    project("services", "create", "hello", "greeter", "-i", "who=moon")
    result = project("executions", "start", "greeter", "install")
    assert "greeting: hello moon" in result.stdout
    assert state(project) == "succeeded"


def test_options_of_tasks_reach_the_execution(project):
    project("service-templates", "store", project.template)
    project("services", "create", "hello", "greeter")
    project("executions", "start", "greeter", "install", "--dry",
            "--task-max-attempts", 7, "--task-retry-interval", 1.5)
    shown = project.json("executions", "show", 1)
    assert (shown["task_max_attempts"], shown["task_retry_interval"], shown["dry"]) == (7, 1.5, True)
    assert {each["max_attempts"] for each in project.json("executions", "tasks", 1)} == {7}


def test_inputs_of_workflows_without_a_type_are_read_as_json(project):
    project("run", project.template)
    project("executions", "start", "hello", "execute_operation", "-i", "interface_name=Standard",
            "-i", "operation_name=create", "-i", 'node_names=["one"]')
    assert [each["name"] for each in project.json("executions", "tasks", 2)] == ["Standard:create@node:one"]
    assert project.json("executions", "show", 2)["inputs"]["node_names"] == ["one"]


def test_an_unknown_service_is_refused(project):
    assert "'nobody'" in project.error("executions", "start", "nobody", "install", code=2)


def test_attempts_without_sense_are_refused(project):
    project("run", project.template)
    words = ("executions", "start", "hello", "stop", "--task-max-attempts", 0)
    assert "at least 1" in project.error(*words, code=2)


def test_a_failed_execution_is_resumed_with_its_failed_tasks(project):
    project.script.write_text(project.script.read_text() + '[ -e "$MARK" ] || exit 4\n')
    project("run", project.template, code=1)
    project("executions", "resume", 1, code=1)
    template = project.script.read_text()
    stored = next(project.directory.glob("resources/**/greet.sh"))
    stored.write_text(template.replace('[ -e "$MARK" ] || exit 4', ""))
    project("executions", "resume", 1, "--retry-failed")
    assert state(project) == "succeeded"
    assert "nothing to resume" in project("executions", "resume", 1).stdout


def test_cancelling_from_another_terminal_waits_until_it_is_over(project):
    running = project.run_until_gate()
    assert "is cancelled" in project("executions", "cancel", 1).stdout
    assert state(project) == "cancelled"
    _, error = end(running, 7)
    assert "aria executions resume 1" in error


def test_cancelling_without_waiting_returns_at_once(project):
    running = project.run_until_gate()
    assert "is cancell" in project("executions", "cancel", 1, "--no-wait").stdout
    end(running, 7)


def test_a_cancelled_execution_is_resumed_and_finished(project):
    running = project.run_until_gate()
    project("executions", "cancel", 1)
    end(running, 7)
    project.open_gate()
    project("executions", "resume", 1)
    assert state(project) == "succeeded"


def test_there_is_nothing_to_cancel_in_an_execution_that_has_ended(project):
    project("run", project.template)
    assert "has succeeded already" in project.error("executions", "cancel", 1, code=2)


@pytest.mark.parametrize(("number", "code"), [
    (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_lets_running_operations_end(project, number, code):
    running = project.run_until_gate()
    running.send_signal(number)
    assert "stopping" in running.stderr.readline()
    project.open_gate()
    _, error = end(running, code)
    assert "aria executions resume 1" in error
    assert succeeded(project) == ["Standard:create@node:one"]
    assert state(project) == "started (no runner)"
    assert "started (no runner)" in project("executions", "list").stdout
    project("executions", "resume", 1)
    assert state(project) == "succeeded"


def test_the_second_signal_ends_them(project):
    running = project.run_until_gate()
    running.send_signal(signal.SIGTERM)
    assert "stopping" in running.stderr.readline()
    running.send_signal(signal.SIGTERM)
    end(running, 143)
    assert succeeded(project) == []
    project.open_gate()
    project("executions", "resume", 1)
    assert state(project) == "succeeded"


def test_after_kill_9_it_is_shown_without_a_runner_and_resume_finishes_it(project):
    running = project.run_until_gate()
    assert state(project) == "started"
    running.kill()
    end(running, -9)
    assert state(project) == "started (no runner)"
    assert "started (no runner)" in project("services", "show", "hello").stdout
    project.open_gate()
    project("executions", "resume", 1)
    assert state(project) == "succeeded"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")
def test_a_frozen_runner_is_taken_over_and_ends_with_4(project):
    frozen = project.run_until_gate()
    time.sleep(1)  # who is stopped in a commit holds the lock of the database as well
    frozen.send_signal(signal.SIGSTOP)
    resuming = project.start("executions", "resume", 1)  # it watches for 15 seconds
    project.wait_for(lambda: project.json("executions", "tasks", 1)[0]["attempts"] == 2, 60)
    frozen.send_signal(signal.SIGCONT)
    _, said = end(frozen, code=4)
    assert "was taken over by" in said
    project.open_gate()
    end(resuming, code=0)
    assert project.json("executions", "show", 1)["state"] == "succeeded"


def test_cancelling_an_execution_without_a_runner_cancels_it_here(project):
    running = project.run_until_gate()
    running.kill()
    end(running, -9)
    project("executions", "cancel", 1)
    assert state(project) == "cancelled"


def test_a_second_start_on_a_busy_service_is_refused_with_3(project):
    running = project.run_until_gate()
    assert "active execution (1" in project.error("executions", "start", "hello", "install", code=3)
    assert "process" in project.error("executions", "resume", 1, code=3)
    assert "being run by" in project.error("reset", "--yes", code=3)
    assert "active execution" in project.error("services", "delete", "hello", "--force", code=3)
    project.open_gate()
    end(running, 0)


def test_of_two_runs_at_the_same_moment_one_is_refused_with_3(project):
    words = ("run", project.template, "-i", f"gate={project.gate}")
    both = [project.start(*words), project.start(*words)]
    project.wait_for(lambda: any(each.poll() is not None for each in both))
    refused, running = sorted(both, key=lambda each: each.poll() is None)
    _, error = end(refused, 3)
    assert "already has an active execution" in error
    project.open_gate()
    end(running, 0)
    assert [each["state"] for each in project.json("executions", "list")] == ["succeeded"]


def test_the_workflow_goes_on_when_nobody_reads_its_progress(project):
    running = project.run_until_gate()
    running.stdout.close()
    project.open_gate()
    running.wait(60)
    assert running.stderr.read() == ""
    running.stderr.close()
    assert (running.returncode, state(project)) == (0, "succeeded")


def test_following_logs_ends_with_the_execution(project):
    running = project.run_until_gate()
    following = project.start("logs", "list", 1, "--follow", "--json")
    assert json.loads(following.stdout.readline())["message"] == "hello world"
    assert following.poll() is None
    project.open_gate()
    out, _ = end(following, 0)
    assert [json.loads(line)["message"] for line in out.splitlines()] == ["hello two"]
    end(running, 0)


def test_logs_are_chosen_by_task_and_level(project):
    project("run", project.template, "-i", "who=bad", code=1)
    assert [each["level"] for each in project.json("logs", "list", 1)] == ["info", "error"]
    assert [each["level"] for each in project.json("logs", "list", 1, "--level", "warning")] == ["error"]
    task = project.json("executions", "tasks", 1)[1]["id"]
    assert project.json("logs", "list", 1, "--task", task) == []
    assert "Standard:create@node:one: hello bad" in project("logs", "list", 1).stdout


def test_what_does_not_exist_is_named(project):
    for words in (("show", 9), ("tasks", 9), ("resume", 9), ("cancel", 9)):
        assert "9" in project.error("executions", *words, code=2)
    assert "9" in project.error("logs", "list", 9, code=2)


def test_tasks_are_shown_without_stubs_unless_all_are_asked_for(project):
    project("run", project.template)
    tasks = project.json("executions", "tasks", 1)
    assert [each["name"] for each in tasks] == ["Standard:create@node:one", "Standard:start@node:two"]
    assert set(tasks[0]) == {
        "id", "name", "state", "stub", "attempts", "max_attempts", "reason", "arguments", "function",
        "waits_for", "priority", "pool", "sent_at", "started_at", "ended_at", "due_at",
        "progress", "progress_message"}
    assert time.strptime(tasks[0]["ended_at"][:19], "%Y-%m-%dT%H:%M:%S")
    assert len(project.json("executions", "tasks", 1, "--all")) > 2


def test_an_execution_is_shown_as_json_with_stable_keys(project):
    project("run", project.template)
    shown = project.json("executions", "show", 1)
    assert set(shown) == {
        "id", "service", "workflow", "state", "status", "dry", "queued", "executor", "created_at",
        "started_at", "ended_at", "error", "runner", "inputs", "tasks", "task_max_attempts",
        "task_retry_interval", "task_retry", "retry_budget", "failed_attempts", "max_concurrency",
        "max_per_node", "pools"}
    assert shown["tasks"] == {"success": 2}
