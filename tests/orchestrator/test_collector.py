"""The collector rests while a graph is made, and works again afterwards as it did."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from aria_core.orchestrator.collector import collector_at_rest


@pytest.fixture(autouse=True)
def awake() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_it_rests_in_the_block_and_wakes_at_its_end() -> None:
    with collector_at_rest():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_wakes_it_too() -> None:
    with pytest.raises(ZeroDivisionError), collector_at_rest():
        _ = 1 / 0
    assert gc.isenabled()


def test_whoever_has_it_rest_keeps_it_so() -> None:
    gc.disable()
    with collector_at_rest():
        assert not gc.isenabled()
    assert not gc.isenabled()
