"""The order in which ready tasks are sent, and who stands aside for whom."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aria_core.orchestrator.limits import Limits
from aria_core.orchestrator.progress import TaskProgress
from aria_core.orchestrator.ready import LimitedQueue, ReadyQueue, queue_for
from aria_core.storage.records import TaskRow

LIMITS = Limits(total=4, pools={"a": 1, "b": 2, "free": -1}, nodes={1: 1, 2: 2}, requirers={7: 1, 8: 2})


def task(position: int, *, lifecycle: bool = False, **row: int | str | None) -> TaskProgress:
    interface = "Standard" if lifecycle else "Test"
    settings: Any = {"interface_name": interface, "operation_name": "create", **row}
    return TaskProgress(TaskRow(position, f"task {position}", **settings), execution=1)


def uses(each: TaskProgress) -> list[tuple[str, object]]:
    """All that a task counts for, said without the queue."""
    row = each.row
    node = row.node_id or LIMITS.requirers.get(row.relationship_id or 0)
    found: list[tuple[str, object]] = [("all", None)]
    if row.interface_name == "Standard" and row.node_id:
        found.append(("lifecycle", row.node_id))
    return found + [("node", node)] * (node is not None) + [("pool", row.pool)] * (row.pool is not None)


def most(use: tuple[str, object]) -> int:
    kind, name = use
    sizes: dict[str, dict[object, int]] = {
        "all": {None: LIMITS.total or 0}, "lifecycle": {}, "node": dict(LIMITS.nodes),
        "pool": {key: size for key, size in LIMITS.pools.items() if size != -1}}
    return sizes[kind].get(name, 1 if kind == "lifecycle" else 10**9)


class Plain:
    """What the queue promises, by looking at everything every time."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, int, TaskProgress]] = []
        self.used: Counter[tuple[str, object]] = Counter()
        self.arrived = 0

    def put(self, each: TaskProgress) -> None:
        self.arrived += 1
        self.waiting.append((-(each.row.priority or 0), self.arrived, each))

    def take(self) -> TaskProgress | None:
        for entry in sorted(self.waiting, key=lambda entry: entry[:2]):
            if all(self.used[use] < most(use) for use in uses(entry[2])):
                self.waiting.remove(entry)
                self.used.update(uses(entry[2]))
                return entry[2]
        return None

    def release(self, each: TaskProgress) -> None:
        self.used.subtract(uses(each))


STEPS = st.lists(st.one_of(
    st.fixed_dictionaries({
        "lifecycle": st.booleans(), "priority": st.sampled_from([None, None, -1, 0, 1, 5]),
        "pool": st.sampled_from([None, "a", "b", "free"]),
        "where": st.sampled_from([{}, {"node_id": 1}, {"node_id": 2}, {"node_id": 3}, {"relationship_id": 7},
                                  {"relationship_id": 8}, {"relationship_id": 9}])}),
    st.just("take"), st.integers(0, 9)), max_size=120)


@given(STEPS)
def test_what_comes_next_is_always_the_first_in_order_that_no_limit_holds_back(steps: list[object]) -> None:
    queue, plain, running = LimitedQueue(LIMITS), Plain(), list[TaskProgress]()
    for number, step in enumerate(steps):
        if isinstance(step, dict):
            each = task(number, lifecycle=step["lifecycle"], priority=step["priority"], pool=step["pool"],
                        **step["where"])
            queue.put(each)
            plain.put(each)
        elif step == "take":
            taken = queue.take()
            assert taken is plain.take()
            running += [taken] if taken is not None else []
        elif isinstance(step, int) and running:
            ended = running.pop(step % len(running))
            queue.release(ended)
            plain.release(ended)
        assert bool(queue) == bool(plain.waiting)
    assert Counter(map(id, queue.drain())) == Counter(id(each) for _, _, each in plain.waiting)
    assert not queue
    assert queue.take() is None


def calls_to_run(count: int) -> int:
    """How many calls of functions it takes to run so many tasks of one pool and a hundred nodes."""
    queue = LimitedQueue(Limits(pools={"a": 1}, nodes=dict.fromkeys(range(1, 101), 1)))
    tasks = [task(number, pool="a", node_id=number % 100 + 1) for number in range(count)]
    calls = 0

    def count_call(_frame: object, kind: str, _argument: object) -> None:
        nonlocal calls
        calls += kind in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        for each in tasks:
            queue.put(each)
        for each in tasks:
            assert queue.take() is each
            assert queue.take() is None
            queue.release(each)
    finally:
        sys.setprofile(None)
    return calls


def test_the_cost_of_a_task_does_not_grow_with_the_number_of_those_that_stand_aside() -> None:
    assert calls_to_run(4000) < 4.4 * calls_to_run(1000)


@pytest.mark.parametrize(("limits", "row", "kind"), [
    (Limits(), {}, ReadyQueue), (Limits(), {"priority": 0}, ReadyQueue),
    (Limits(pools={"a": 1}), {}, ReadyQueue),
    (Limits(total=1), {}, LimitedQueue), (Limits(nodes={1: 1}), {}, LimitedQueue),
    (Limits(), {"priority": -1}, LimitedQueue), (Limits(pools={"a": 1}), {"pool": "a"}, LimitedQueue)])
def test_an_execution_that_uses_no_limit_and_no_priority_has_the_plain_queue(
        limits: Limits, row: dict[str, Any], kind: type) -> None:
    assert type(queue_for([task(0), task(1, **row)], limits)) is kind


def in_queue(position: int, queue: str) -> TaskProgress:
    each = task(position)
    each.queue = queue
    return each


def test_a_queue_of_the_executor_lets_through_as_many_as_it_is_allowed() -> None:
    big = [in_queue(number, "big") for number in range(3)]
    plain = [in_queue(number, "plain") for number in (3, 4)]
    found = queue_for([*big, *plain], Limits())
    for each in (*big, *plain):
        found.put(each)
    assert found.take() is None
    found.allow("plain", 8)
    assert [found.take(), found.take(), found.take()] == [*plain, None]
    assert (found.first_at("big"), found.first_at("plain")) == (big[0], None)
    found.allow("big", 2)
    assert [found.take(), found.take(), found.take()] == [*big[:2], None]
    found.allow("big", 1)
    found.release(big[0])
    assert found.take() is None
    found.release(big[1])
    assert found.take() is big[2]
