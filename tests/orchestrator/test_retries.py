"""Tasks that wait for another attempt come back when their time has come, and no earlier."""

from __future__ import annotations

from aria_core.orchestrator.progress import TaskProgress
from aria_core.orchestrator.retries import Retries
from aria_core.storage.records import TaskRow


def task(position: int) -> TaskProgress:
    return TaskProgress(TaskRow(position, f"task {position}"), execution=1)


def test_each_is_given_once_when_it_is_due() -> None:
    retries, early, late = Retries(), task(1), task(0)
    retries.put(late, 20.0)
    retries.put(early, 10.0)
    assert retries.next_at == 10.0
    assert list(retries.due(9.9)) == []
    assert list(retries.due(10.0)) == [early]
    assert list(retries.due(30.0)) == [late]
    assert not retries


def test_of_those_due_together_the_first_of_the_graph_goes_first() -> None:
    retries, tasks = Retries(), [task(position) for position in (2, 0, 1)]
    for each in tasks:
        retries.put(each, 5.0)
    assert [each.row.position for each in retries.due(5.0)] == [0, 1, 2]


def test_nothing_waits_after_all_were_taken() -> None:
    retries, tasks = Retries(), [task(0), task(1)]
    for each in tasks:
        retries.put(each, 1.0)
    assert sorted(each.row.position for each in retries.drain()) == [0, 1]
    assert not retries
    assert list(retries.due(9.0)) == []
