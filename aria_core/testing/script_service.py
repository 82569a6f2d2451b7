"""A service whose operations are shell scripts, run by the command ``aria``, to be interrupted at any moment.

Its scripts write down when they begin and end (see `aria_core.testing.effects`), and take a while to end
when they are asked to. One starts daemons and
ends them itself, one calls ``ctx``, and ``start`` leaves a server running that belongs to the service once
its success is stored: until ``stop`` ends it, nobody else may.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from aria_core.testing.crash import CrashSite
from aria_core.testing.crash_process import PATIENCE, CrashProcess, Ended
from aria_core.testing.evidence import Case
from aria_core.testing.judge import ENDED
from aria_core.testing.traces import Effect, marked_processes

TEMPLATE = """
    tosca_definitions_version: tosca_simple_yaml_1_3
    node_types:
      Part:
        derived_from: tosca.nodes.Root
        attributes:
          attempt: {type: string}
          server: {type: integer}
        interfaces:
          Standard:
            type: tosca.interfaces.node.lifecycle.Standard
            inputs: {site: {type: string, default: {get_input: site}}}
            operations:
              create: scripts/helpers.sh
              configure: scripts/attributes.sh
              start: scripts/start.sh
              stop: scripts/stop.sh
              delete: scripts/work.sh
    topology_template:
      inputs:
        site: {type: string}
      node_templates:
        base: {type: Part}
        left: {type: Part, requirements: [{dependency: base}]}
        right: {type: Part, requirements: [{dependency: base}]}
      outputs:
        attempt: {value: {get_attribute: [base, attempt]}}
"""

_BEGIN = """\
    #!/bin/sh
    set -eu
    note() { printf '%s %s %s %s\\n' "$ARIA_ATTEMPT" "$1" "$2" "$(date +%s.%6N)" >>"$site/effects"; }
    work() { trap 'sleep 0.3; exit 1' TERM; sleep "$(cat "$site/seconds")" || :; }
    note begin $$
"""
_SCRIPTS = {
    "work": """
    work
    """,
    "helpers": """
    setsid nohup sleep 600 >/dev/null 2>&1 &
    near=$!
    (setsid nohup sleep 600 >/dev/null 2>&1 & echo $! >"$site/far-$$")
    far=$(cat "$site/far-$$")
    work
    kill "$near" "$far"
    """,
    "attributes": """
    attempt=$(ctx task attempt)
    ctx logger info "effect $ARIA_TASK_TOKEN/$attempt"
    work
    ctx node attributes attempt = "$attempt"
    """,
    "start": """
    setsid nohup sleep 600 >/dev/null 2>&1 &
    note serve $!
    ctx node attributes server = "@$!"
    work
    """,
    "stop": """
    server=$(ctx node attributes server)
    note stop "$server"
    kill "$server" || true
    work
    """,
}
OPERATIONS = {"install": 9, "uninstall": 6}
"""How many operations a workflow has."""


class SpawnedCommand:
    """The command ``aria`` itself, started as a shell does it; see `CrashProcess`."""

    def __init__(self, directory: Path, words: tuple[str, ...], number: int,
                 prefix: tuple[str, ...] = (), **streams: int) -> None:
        """`prefix` goes before the command; `streams` may say other descriptors than files."""
        self._out, self._err = directory / f"spawned-out-{number}", directory / f"spawned-err-{number}"
        with self._out.open("w") as out, self._err.open("w") as err:
            self._process = subprocess.Popen(  # nosec B603 # our own interpreter
                [*prefix, sys.executable, "-m", "aria_core", *words], cwd=directory,
                start_new_session=not prefix, stdin=streams.get("stdin", subprocess.DEVNULL),
                stdout=streams.get("stdout", out.fileno()), stderr=err)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def send(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        self._process.send_signal(number)

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ends_within(self, seconds: float) -> bool:
        """Wait so long at most; whether it has ended."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self, seconds: float = PATIENCE) -> Ended:
        """Wait for its end; ``AssertionError`` if that does not come."""
        assert self.ends_within(seconds), f"a runner did not end within {seconds} s: {self._err.read_text()}"
        return Ended(self._process.returncode, self._out.read_text(), self._err.read_text())

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait()


class ScriptService:
    """A `CrashSite` with the template of such services, and what the command ``aria`` does with them."""

    def __init__(self, site: CrashSite, spawned: bool = False) -> None:
        self.site = site
        self._spawned = spawned
        self._commands: list[SpawnedCommand] = []
        self.template = site.directory / "service" / "service.yaml"
        (self.template.parent / "scripts").mkdir(parents=True)
        self.template.write_text(dedent(TEMPLATE))
        for name, body in _SCRIPTS.items():
            text = dedent(_BEGIN) + dedent(body) + "note end $$\n"
            (self.template.parent / "scripts" / f"{name}.sh").write_text(text)
        done = self.command("executions", "list")  # makes the tables
        assert done.code == 0, done.complained
        site.judge.watch()

    def words(self, workflow: str, service: str = "service") -> tuple[str, ...]:
        """What runs a workflow on a service, which is made if there is none."""
        return ("run", str(self.template), "--service", service, "--workflow", workflow,
                "--input", f"site={self.site.directory}")

    def launch(self, *words: str) -> CrashProcess | SpawnedCommand:
        """Begin ``aria`` with these words: in a fork, which is quick, or `spawned` as a shell does it."""
        return self.spawn(*words) if self._spawned else self.site.launch_command(*words)

    def spawn(self, *words: str, **more: Any) -> SpawnedCommand:
        """Begin ``aria`` as a shell does it; `more` is for `SpawnedCommand`."""
        command = SpawnedCommand(self.site.directory, words, len(self._commands), **more)
        self._commands.append(command)
        return command

    def command(self, *words: str) -> Ended:
        """``aria`` with these words, in a fork, to its end, without a traceback."""
        done = self.site.launch_command(*words).end()
        assert "Traceback" not in done.complained, done.complained
        return done

    def latest(self) -> dict[str, Any] | None:
        """The row of the latest execution."""
        executions = self.site.judge.case().executions
        return executions[max(executions)] if executions else None

    def state(self) -> str:
        """The state of the latest execution."""
        latest = self.latest()
        return "none" if latest is None else str(latest["state"])

    def wait_until_begun(self, operations: int = 1) -> None:
        """Until so many operations of the latest execution have begun."""
        until = time.monotonic() + PATIENCE
        while self._begun() < operations:
            assert time.monotonic() < until, f"{self._begun()} of {operations} operations began"
            time.sleep(0.01)

    def wait_until(self, state: str) -> None:
        """Until the latest execution is in this state."""
        until = time.monotonic() + PATIENCE
        while self.state() != state:
            assert time.monotonic() < until, f"the execution is {self.state()}, not {state}"
            time.sleep(0.002)

    def _begun(self) -> int:
        effects = self.site.judge.effects()
        latest = max((each.execution for each in effects), default=0)
        return len({each.task for each in effects if each.execution == latest and each.what == "begin"})

    def close(self) -> None:
        """End what attempts and servers have left on this machine."""
        for command in self._commands:
            command.kill()
        ours = {each.mark for each in self.site.judge.effects()}
        for pid, mark in marked_processes():
            if mark in ours:
                _kill(pid)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextmanager
def script_service(site: CrashSite, spawned: bool = False) -> Iterator[ScriptService]:
    """A `ScriptService` at `site`, whose processes are ended at the end of the block."""
    service = ScriptService(site, spawned)
    try:
        yield service
    finally:
        service.close()


PHASES = ("before the claim", "before the graph", "taking over", "dispatching", "operation running",
          "committing", "between", "cancelling", "after the last task", "after the end")
"""What a runner was about, as it can be seen from outside."""
WITH_UNFINISHED_TASKS = frozenset(PHASES[2:8])


def phase(case: Case, known: int, at: float) -> str:
    """What the runner of the latest execution was about when it was killed `at` that time.

    `known` is how much history there was when it was launched.
    """
    execution = case.executions[max(case.executions)] if case.executions else {"state": "none"}
    begins = len(case.history) == known
    if begins and execution["state"] in (*ENDED, "none", "pending"):
        return "before the claim"
    if execution["state"] == "pending":
        return "before the graph"
    if execution["state"] in ENDED:
        return "after the end"
    tasks = [each for each in case.tasks.values() if each["execution_id"] == execution["id"]]
    if all(each["state"] == "success" for each in tasks):
        return "after the last task"
    if begins:
        return "taking over"
    if execution["state"] == "cancelling":
        return "cancelling"
    return _phase_of(case, [each for each in tasks if each["state"] in ("sent", "started")], at)


def _phase_of(case: Case, in_flight: list[dict[str, Any]], at: float) -> str:
    def has(effects: dict[int, list[Effect]], task: dict[str, Any]) -> bool:
        return any(each.attempt == task["attempts"] and each.at <= at for each in effects[task["id"]])

    if not in_flight:
        return "between"
    if any(has(case.ended, task) for task in in_flight):
        return "committing"
    if all(has(case.begun, task) for task in in_flight):
        return "operation running"
    return "dispatching"
