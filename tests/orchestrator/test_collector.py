"""The collector rests while a large graph is stored, and works again afterwards as it did."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from aria_core.orchestrator.collector import MANY, catch_up, collector_at_rest


@pytest.fixture(autouse=True)
def awake() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_it_rests_in_the_block_and_wakes_at_its_end() -> None:
    with collector_at_rest(MANY + 1):
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_works_on_while_few_tasks_are_dealt_with() -> None:
    with collector_at_rest(MANY):
        assert gc.isenabled()


def test_an_error_wakes_it_too() -> None:
    with pytest.raises(ZeroDivisionError), collector_at_rest(MANY + 1):
        _ = 1 / 0
    assert gc.isenabled()


def test_whoever_has_it_rest_keeps_it_so() -> None:
    gc.disable()
    with collector_at_rest(MANY + 1):
        assert not gc.isenabled()
    assert not gc.isenabled()


def collections() -> list[int]:
    return [each["collections"] for each in gc.get_stats()]


def test_what_many_tasks_have_put_off_is_done_at_once() -> None:
    _, _, before = collections()
    catch_up(MANY + 1)
    assert collections()[2] == before + 1


def test_few_tasks_are_left_to_the_collector_itself() -> None:
    _, _, before = collections()
    catch_up(MANY)
    gc.disable()
    catch_up(MANY + 1)
    assert collections()[2] == before
