"""The task graphs every peer runs: task index -> the indexes it depends on, in a topological order."""

from __future__ import annotations

import random
from collections.abc import Iterator

SHAPES = ("wide", "chain", "layered", "service", "sleep")
SLEEP_S = 0.05
"""What one task of the shape ``sleep`` sleeps; the ideal time is n * SLEEP_S / SLEEPERS."""
SLEEPERS = 16
LAYER = 10


def graph(shape: str, n: int) -> dict[int, list[int]]:
    """The whole of `tasks`."""
    return dict(tasks(shape, n))


def tasks(shape: str, n: int) -> Iterator[tuple[int, list[int]]]:
    """Each task with what it depends on.

    ``wide`` and ``sleep``: nothing. ``chain``: the one before. ``layered``: the ten of the layer before.
    ``service``: n / 3 nodes, each with create, configure and start in a row; create waits for the start of
    up to three earlier nodes.
    """
    if shape == "service":
        yield from _service(n)
        return
    for index in range(n):
        if shape == "chain":
            yield index, [index - 1] if index else []
        elif shape == "layered":
            layer = index // LAYER * LAYER
            yield index, list(range(layer - LAYER, layer)) if layer else []
        else:
            yield index, []


def _service(n: int) -> Iterator[tuple[int, list[int]]]:
    chance = random.Random(7)
    for node in range(n // 3):
        hosts = chance.sample(range(node), min(node, chance.randint(0, 3)))
        yield 3 * node, sorted(3 * each + 2 for each in hosts)
        yield 3 * node + 1, [3 * node]
        yield 3 * node + 2, [3 * node + 1]
