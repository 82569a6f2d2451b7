"""Python's collector of reference cycles, while a large graph is stored or a template is read."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 5_000
"""Tasks of a graph that is large in this respect."""


@contextmanager
def collector_at_rest(tasks: int = MANY + 1) -> Iterator[None]:
    """Have the collector look for nothing in this block, if it deals with the graph of many tasks.

    These are many objects that all stay: the collector would look at them, and at everything else in
    the process, again and again, which takes a third of the time. It is the whole process's, so such a
    block is short and holds code of ours only. A collector that rests already is left alone; of two
    blocks at once the first that ends wakes it.
    """
    if tasks <= MANY or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def catch_up(tasks: int) -> None:
    """Have the collector do now what it has put off for many tasks; else it would while they run."""
    if tasks > MANY and gc.isenabled():
        gc.collect()
