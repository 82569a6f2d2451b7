"""Python's collector of reference cycles, while a graph is made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Have the collector look for nothing in this block.

    A graph is many objects that all stay: the collector would look at them, and at everything else in
    the process, again and again, which takes a third of the time of storing or loading them. It is the
    whole process's, so such a block is short and holds code of ours only. A collector that rests already
    is left alone; of two blocks at once the first that ends wakes it.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
