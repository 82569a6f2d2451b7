"""Random graphs with random failures: what must hold of every one of them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aria_core.exceptions import ExecutionFailedError
from aria_core.orchestrator.events import Event, TaskEvent
from aria_core.storage.sql import SqlModelStorage
from aria_plugins.executors.thread import ThreadExecutor
from aria_plugins.storage.file import FileStorage

NAMES = count()


@st.composite
def plans(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Steps that wait for any of those before them, some of which fail a few times or for good."""
    steps = []
    for index in range(draw(st.integers(1, 12))):
        after = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        times = draw(st.sampled_from([0, 0, 0, 1, 2, 9]))
        steps.append({
            "label": str(index), "after": [str(each) for each in sorted(after)], "do": "fail_first",
            "arguments": {"times": times}, "max_attempts": 3,
            "ignore_failure": draw(st.sampled_from([False, False, False, True]))})
    return steps


@pytest.fixture(scope="module")
def make_lab(lab_class: Any) -> Iterator[Any]:
    with (tempfile.TemporaryDirectory() as place, SqlModelStorage("sqlite://") as model,
          ThreadExecutor(slots=3) as executor):
        files = FileStorage(directory=Path(place) / "resources")
        files.open()
        yield lab_class(model, files, Path(place), executor)
        files.close()


def attempts_of(step: dict[str, Any]) -> tuple[int, bool]:
    """How often a step runs once it may, and whether it ends well."""
    times = step["arguments"]["times"]
    if step["ignore_failure"]:
        return 1, times == 0
    return min(times + 1, 3), times < 3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=plans())
def test_every_graph_keeps_the_rules(make_lab: Any, events: list[Event], steps: list[dict[str, Any]]) -> None:
    lab = make_lab
    lab.effects_file.unlink(missing_ok=True)
    events.clear()
    runner = lab.runner(steps=steps)
    try:
        state = runner.execute()
    except ExecutionFailedError:
        state = "failed"
    tasks, runs = lab.tasks(runner.execution), lab.effects
    by_label = {step["label"]: step for step in steps}
    fatal = [step for step in steps if not attempts_of(step)[1] and not step["ignore_failure"]]
    failed = any(tasks[step["label"]].state == "failed" for step in fatal)
    assert state == ("failed" if failed else "succeeded")
    for label, task in tasks.items():
        step, (attempts, well) = by_label[label], attempts_of(by_label[label])
        # A call that was withdrawn before it began has an attempt and no run.
        assert runs.count(label) <= min(task.attempts, attempts)
        assert task.state in ("success", "failed", "pending")
        if task.state == "success":
            assert well
            assert runs.count(label) == attempts
        if label in runs:
            first = runs.index(label)
            for before in step["after"]:
                assert tasks[before].state == "success" or by_label[before]["ignore_failure"]
                assert max(at for at, run in enumerate(runs) if run == before) < first
    assert not {task.state for task in runner.execution.tasks} & {"sent", "started", "retrying"}
    sent = [event for event in events if isinstance(event, TaskEvent) and event.kind == "sent"]
    assert len(sent) == sum(task.attempts for task in tasks.values())


LIFECYCLE = {"create": ("creating", "created"), "configure": ("configuring", "configured"),
             "start": ("starting", "started"), "stop": ("stopping", "configured"),
             "delete": ("deleting", "deleted")}
LIVES = st.lists(st.tuples(st.sampled_from(sorted(LIFECYCLE)), st.sampled_from([0, 0, 1, 9]),
                           st.sampled_from(["Standard", "Standard", "Other"]), st.booleans()), max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=LIVES)
def test_a_node_is_where_its_life_has_brought_it(
        make_lab: Any, life: list[tuple[str, int, str, bool]]) -> None:
    """Transitional while an operation runs, also at its next try; final with success, error with failure."""
    lab = make_lab
    lab.effects_file.unlink(missing_ok=True)
    lab.service = lab.new_service(f"life {next(NAMES)}")
    steps, expected, state, goes_on = [], [], "initial", True
    for index, (operation, times, interface, ignored) in enumerate(life):
        do = "create" if interface == "Other" else operation
        steps.append({"label": f"{index}", "do": do, "interface": interface, "arguments": {"times": times},
                      "max_attempts": 2, "ignore_failure": ignored,
                      "after": [f"{index - 1}"] if index else []})
        if not goes_on:
            continue
        during, after = LIFECYCLE[do] if interface == "Standard" else (state, state)
        tries = 1 if ignored else min(times + 1, 2)
        expected += [f"{index} {during}"] * tries
        well = times < tries
        state = after if well else "error" if interface == "Standard" else state
        goes_on = well or ignored
    with contextlib.suppress(ExecutionFailedError):
        lab.runner(steps=steps).execute()
    assert lab.effects == expected
    assert lab.node().state == state
