"""A run is believed by its log of effects, not by what its peer says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def verdict_on(tmp_path, monkeypatch, capsys):
    """The line of a run of a chain of three whose log has these indexes at these times."""
    def verdict(*began: tuple[int, float]) -> dict[str, Any]:
        from benchmarks.peers import common

        log = tmp_path / "log"
        log.write_bytes(b"".join(common.RECORD.pack(*each) for each in began))
        monkeypatch.setenv("PEER_LOG", str(log))
        given = common.Given("chain", 3, "some", Path(tmp_path), 1)
        common.finish(given, "peer", "1", 0.0, 1.0, durable=True)
        return json.loads(capsys.readouterr().out.removeprefix("RESULT "))

    return verdict


def test_each_task_once_in_order_is_right(verdict_on):
    row = verdict_on((0, 1.0), (1, 2.0), (2, 5.0))
    assert row["verified"]
    assert row["hop_us_p50"] == 2_000_000
    assert row["tasks_per_s"] == 3


def test_a_task_that_did_not_run_is_noticed(verdict_on):
    row = verdict_on((0, 1.0), (1, 2.0))
    assert (row["verified"], "missing 1" in row["problem"]) == (False, True)


def test_a_task_that_ran_twice_is_noticed(verdict_on):
    row = verdict_on((0, 1.0), (1, 2.0), (2, 3.0), (1, 4.0))
    assert (row["verified"], "ran twice 1" in row["problem"]) == (False, True)


def test_a_task_that_began_before_its_dependency_is_noticed(verdict_on):
    row = verdict_on((0, 1.0), (1, 3.0), (2, 2.0))
    assert (row["verified"], "began before a dependency 1" in row["problem"]) == (False, True)


def test_a_task_of_nobody_is_noticed(verdict_on):
    row = verdict_on((0, 1.0), (1, 2.0), (2, 3.0), (99, 4.0))
    assert (row["verified"], "unknown 1" in row["problem"]) == (False, True)


@pytest.mark.parametrize("shape", ["wide", "chain", "layered", "service", "sleep"])
def test_shapes_are_graphs_in_an_order_they_can_run_in(shape):
    from benchmarks.peers import shapes

    graph = shapes.graph(shape, 90)
    assert list(graph) == list(range(90))
    assert all(each < index for index, awaited in graph.items() for each in awaited)
