"""Case 47: an executor that raises when it is given a call, hook extensions that raise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from aria_core.modeling.builder import call
from aria_core.modeling.expressions import get_input
from aria_core.modeling.specification import OperationSpec
from aria_core.testing.crash import CrashSite
from aria_core.testing.crash_process import Ended
from aria_core.testing.wagons import make_wagon, make_wheel, write_wagon

EFFECT = "aria_core.testing.effects:effect"
MAX_ATTEMPTS = 2

EXECUTOR = """
    from aria_core import Executor
    from aria_plugins.executors.{name} import {kind}Executor

    class Moody({kind}Executor):
        def submit(self, call):
            if call.actor.name == "refused" or (call.actor.name == "refused-once" and call.ref.attempt == 1):
                raise OSError("no room for this one")
            super().submit_all([call])

        submit_all = Executor.submit_all


    class Furious({kind}Executor):
        def submit_all(self, calls):
            if any(call.actor.name == "refused" for call in calls):
                raise OSError("no room for any of these")
            return super().submit_all(calls)
"""

ANGRY = """
    from aria_core import hookimpl

    @hookimpl
    def aria_event(event):
        raise LookupError("the listener is lost")

    @hookimpl
    def aria_wrap_operation(call):
        raise LookupError("the wrapping is lost")
"""

WRAPPING = """
    from contextlib import contextmanager

    from aria_core import hookimpl

    @hookimpl
    def aria_wrap_operation(call):
        how, _, where = call.actor.name.partition("-")
        return f"{__name__}:{how}" if where else None

    @contextmanager
    def raises(call):
        raise PermissionError("not today")
        yield

    @contextmanager
    def late(call):
        yield
        raise PermissionError("too late")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a module where runners find it, with an entry point if it is a hook extension."""
    place = tmp_path / "installed"
    place.mkdir()
    monkeypatch.syspath_prepend(place)

    def put(name: str, source: str, is_hook: bool = False) -> None:
        (place / f"{name}.py").write_text(dedent(source))
        if is_hook:
            info = place / f"{name}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(f"[aria.hooks]\n{name} = {name}\n")

    return put


def operation(function: str = EFFECT, plugin: str | None = None) -> OperationSpec:
    return call(function, plugin=plugin, max_attempts=MAX_ATTEMPTS, retry_interval=0.0,
                inputs={"directory": get_input("directory")})


def run(site: CrashSite, *nodes: str) -> Ended:
    """Run the operations of these nodes in an execution of their own."""
    inputs = {"interface_name": "Standard", "operation_name": "create", "node_names": nodes}
    words = [word for name, value in inputs.items() for word in ("--input", f"{name}={json.dumps(value)}")]
    ended = site.run("start", "--workflow", "execute_operation", *words)
    assert "Traceback" not in ended.complained, ended.complained
    return ended


def assert_failed_alone(site: CrashSite, node: str, error: str) -> None:
    """Every attempt of the node's operation failed like this; the next execution runs."""
    assert run(site, node, "neighbour").code == 1
    task, neighbour = site.tasks()[node], site.tasks()["neighbour"]
    assert neighbour["state"] == "success" or "withdrawn" in neighbour["reason"]
    assert (task["state"], task["attempts"], task["failures"]) == ("failed", MAX_ATTEMPTS, MAX_ATTEMPTS)
    attempts = site.judge.rows(f"SELECT * FROM attempt WHERE task_id = {task['id']} ORDER BY number")
    assert [each["outcome"] for each in attempts] == ["failed"] * MAX_ATTEMPTS
    assert all(error in each["error"] for each in attempts), attempts
    assert run(site, "neighbour").code == 0


@pytest.mark.fault(47, executors=["thread", "process"], databases=["sqlite", "postgresql"], small=1, long=5)
def test_an_executor_that_refuses_a_call_fails_its_task_alone(
        cell: Any, install: Callable[..., None]) -> None:
    install("moody", EXECUTOR.format(name=cell.executor, kind=cell.executor.capitalize()))
    for trial in cell.trials():
        nodes = dict.fromkeys(("refused", "refused-once", "neighbour"), operation())
        with trial.site(operations=nodes, use="moody:Moody") as site:
            assert_failed_alone(site, "refused", "OSError: no room for this one")
            assert run(site, "refused-once", "neighbour").code == 0
            assert {name: each["attempts"] for name, each in site.tasks().items()} == {
                "refused-once": 2, "neighbour": 1}
            site.assert_promises_kept()


@pytest.mark.fault(47, executors=["thread", "process"], databases=["sqlite"], small=1, long=5)
def test_an_executor_that_refuses_a_batch_fails_its_tasks_and_lives(
        cell: Any, install: Callable[..., None]) -> None:
    install("moody", EXECUTOR.format(name=cell.executor, kind=cell.executor.capitalize()))
    for trial in cell.trials():
        with trial.site(operations=dict.fromkeys(("refused", "neighbour"), operation()),
                        use="moody:Furious") as site:
            assert run(site, "refused").code == 1
            task = site.tasks()["refused"]
            assert (task["state"], task["attempts"]) == ("failed", MAX_ATTEMPTS)
            assert "OSError: no room for any of these" in task["reason"]
            assert run(site, "neighbour").code == 0
            site.assert_promises_kept()


@pytest.mark.fault(47, executors=["thread", "process"], databases=["sqlite", "postgresql"], small=1, long=5)
def test_hook_extensions_that_raise_disturb_nobody(cell: Any, install: Callable[..., None]) -> None:
    install("angry", ANGRY, is_hook=True)
    install("wrapping", WRAPPING, is_hook=True)
    install("misspelt", "def aria_event(event:\n", is_hook=True)
    for trial in cell.trials():
        source = make_wheel("victim", files={"victim.py": "def run(ctx, directory):\n    return None\n"})
        wagon = write_wagon(trial.directory / "victim.wgn", make_wagon("victim", wheels=[source]))
        own = dict.fromkeys(("neighbour", "raises-here", "late-here", "unknown-here"), operation())
        plugged = dict.fromkeys(("raises-there", "late-there", "unknown-there"),
                                operation("victim:run", plugin="victim"))
        with trial.site(operations={**own, **plugged}, plugins=[wagon]) as site:
            ended = run(site, "neighbour")
            assert ended.code == 0
            assert "misspelt" in ended.complained
            assert "the listener is lost" in ended.complained
            assert "the wrapping is lost" in ended.complained
            for where in ("here", "there"):
                assert_failed_alone(site, f"raises-{where}", "PermissionError: not today")
                assert_failed_alone(site, f"late-{where}", "PermissionError: too late")
                assert_failed_alone(site, f"unknown-{where}", "the module wrapping has no 'unknown'")
            site.assert_promises_kept()
