"""Cases 35 to 37: task graphs that go in circles, and graphs that are big, wide or deep."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aria_core import Application, Config, LoadedTemplate, LoadError, create_service, store_template
from aria_core.orchestrator.exceptions import CyclicGraphError
from aria_core.testing.graphs import SERVICE, graphs_template
from aria_core.testing.soak import soak

HUGE = os.environ.get("ARIA_FAULTS_HUGE") == "1"
"""Whether a million tasks are tried as well: that takes an hour and several GB."""

MOST_SECONDS = 1.0
"""Until a cycle is refused, on a machine that does nothing else."""
MOST_BUSY_SECONDS = 2.0
"""Of processor time until a cycle is refused, where other tests use the machine too."""
MOST_MEGABYTES = 1000.0
MOST_TIMES = 11
"""How much longer ten times as many tasks may take."""
MOST_SECONDS_OF_MANY = 120.0
MOST_STATEMENTS = 8
"""Of SQL for one task, whatever the size of the graph."""
PATIENCE = 5 * 3600.0

EVERYWHERE: dict[str, Any] = {"executors": ["thread", "process"], "databases": ["sqlite", "postgresql"]}
ON_THREADS: dict[str, Any] = {"executors": ["thread"], "databases": ["sqlite", "postgresql"]}


@contextmanager
def opened(trial: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.chdir(trial.directory)
    Path("aria.toml").write_text(trial.configuration)
    with Application(Config.load()) as application:
        yield application


@contextmanager
def done_in_time(cell: Any, what: str) -> Iterator[None]:
    began, used = time.monotonic(), time.thread_time()
    yield
    took, used = time.monotonic() - began, time.thread_time() - used
    cell.note(f"{what} in {took:.2f} s ({used:.2f} s of processor)")
    assert used <= MOST_BUSY_SECONDS
    assert took <= MOST_SECONDS or not cell.is_long


def check_refused(cell: Any, application: Application, service: int, workflow: str,
                  **inputs: Any) -> CyclicGraphError:
    """Nothing of the graph is stored, and it is said at once; what was said."""
    runner = application.runner(service_id=service, workflow_name=workflow, inputs=inputs)
    with done_in_time(cell, "refused"), pytest.raises(CyclicGraphError) as caught:
        runner.execute()
    assert len(application.model_storage.task.list(filters={"execution_id": runner.execution_id})) == 0
    assert runner.execution.state == "failed"
    assert runner.execution.error == str(caught.value)
    return caught.value


@pytest.mark.fault(35, of="by a workflow", **EVERYWHERE)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_workflow_whose_tasks_wait_for_each_other_is_refused(
        cell: Any, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for trial in cell.trials():
        with opened(trial, monkeypatch) as application:
            template = store_template(application.model_storage, application.resource_storage,
                                      graphs_template())
            service = create_service(application.model_storage, template, SERVICE)
            refused = check_refused(cell, application, service.id, "cycle", count=size)
        assert len(refused.cycle) == size
        assert str(refused).count(" waits for ") == min(size, 11)


@pytest.mark.fault(35, of="by requirements", **EVERYWHERE)
@pytest.mark.parametrize("size", [2, 1000])
def test_nodes_that_require_each_other_are_not_installed(
        cell: Any, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for trial in cell.trials():
        with opened(trial, monkeypatch) as application:
            loaded = load(application, ring(size, "tosca.nodes.Root", "dependency"))
            template = store_template(application.model_storage, application.resource_storage, loaded)
            service = create_service(application.model_storage, template, "ring")
            refused = check_refused(cell, application, service.id, "install")
        assert sorted(refused.cycle) == sorted(f"install_node.n{each}" for each in range(size))
        assert " waits for install_node.n" in str(refused)


@pytest.mark.fault(35, of="by hosts", **EVERYWHERE)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_nodes_that_are_hosted_on_each_other_are_not_even_loaded(
        cell: Any, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for trial in cell.trials():
        with opened(trial, monkeypatch) as application:
            path = ring(size, "Shelf", "host")
            with done_in_time(cell, f"{size} nodes refused"), \
                    pytest.raises(LoadError, match="hosted on each other: n0 -> ") as caught:
                load(application, path)
        assert str(caught.value).count(" -> ") == size


def load(application: Application, path: Path) -> LoadedTemplate:
    return application.loaders.recognise(path).load(path, Path.read_bytes)


def ring(size: int, type_name: str, requirement: str) -> Path:
    """A template in which each node requires the next, and the last the first."""
    nodes = [f"    n{each}: {{type: {type_name}, requirements: [{{{requirement}: n{(each + 1) % size}}}]}}"
             for each in range(size)]
    path = Path("ring", "ring.yaml")
    path.parent.mkdir()
    path.write_text("\n".join([
        "tosca_definitions_version: tosca_simple_yaml_1_3",
        "node_types:", "  Shelf:", "    derived_from: tosca.nodes.Root",
        "    capabilities: {host: tosca.capabilities.Compute}",
        "    requirements: [{host: {capability: tosca.capabilities.Compute,"
        " relationship: tosca.relationships.HostedOn}}]",
        "topology_template:", "  node_templates:", *nodes, ""]))
    return path


@pytest.mark.fault(36, of="time and memory", **ON_THREADS)
@pytest.mark.timeout(300)
def test_ten_times_the_tasks_take_ten_times_the_time(cell: Any) -> None:
    sizes = [10_000, 100_000, *([1_000_000] if HUGE else [])] if cell.is_long else [1_000, 10_000]
    for trial in cell.trials():
        _, *done = run(trial, "free", [100, *sizes])
        cell.note("; ".join(f"{each.tasks} tasks in {each.seconds:.1f} s ({each.processor_seconds:.1f} s of "
                            f"processor), {each.most_megabytes:.0f} MB" for each in done))
        for few, many in pairwise(done):
            assert many.processor_seconds <= MOST_TIMES * few.processor_seconds
            if cell.is_long:  # on a machine that does nothing else
                assert many.seconds <= MOST_TIMES * few.seconds
        fitting = [each for each in done if each.tasks <= 100_000]
        assert max(each.most_megabytes for each in fitting) <= MOST_MEGABYTES
        assert max(each.seconds for each in fitting) <= MOST_SECONDS_OF_MANY


@pytest.mark.fault(36, of="SQL", **ON_THREADS)
@pytest.mark.timeout(300)
def test_a_task_of_a_big_graph_costs_no_more_sql_than_one_of_a_small_graph(cell: Any) -> None:
    sizes = [1_000, 10_000] if cell.is_long else [100, 1_000]
    for trial in cell.trials():
        _, few, many = run(trial, "chain", [10, *sizes])
        each_of_few, each_of_many = (each.statements / each.tasks for each in (few, many))
        cell.note(f"{each_of_few:.2f} and {each_of_many:.2f} statements for each of {few.tasks} and "
                  f"{many.tasks} tasks in a chain")
        assert each_of_many <= MOST_STATEMENTS
        assert each_of_many <= each_of_few + 1


@pytest.mark.fault(37, of="wide", **ON_THREADS)
@pytest.mark.timeout(300)
def test_ten_thousand_tasks_wait_for_one(cell: Any) -> None:
    check_success(cell, "fan", 10_000)


@pytest.mark.fault(37, of="long", **ON_THREADS)
@pytest.mark.timeout(300)
def test_thousands_of_tasks_wait_for_each_other(cell: Any) -> None:
    check_success(cell, "chain", 10_000 if cell.is_long else 2_000)


@pytest.mark.fault(37, of="deep", **ON_THREADS)
@pytest.mark.timeout(300)
def test_two_hundred_workflows_stand_in_each_other(cell: Any) -> None:
    check_success(cell, "nested", 200)


def check_success(cell: Any, shape: str, count: int) -> None:
    for trial in cell.trials():
        (done,) = run(trial, shape, [count])
        assert done.state == "succeeded"
        cell.note(f"{count} in {done.seconds:.1f} s, {done.most_megabytes:.0f} MB")


def run(trial: Any, shape: str, counts: list[int]) -> Any:
    (trial.directory / "aria.toml").write_text(trial.configuration)
    return soak(trial.directory, shape, counts, PATIENCE)
