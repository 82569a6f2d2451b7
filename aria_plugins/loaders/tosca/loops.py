"""Loops; properties that need each other can never have a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from aria_core import TemplateSpec

from .problems import Place, Problems

Named = TypeVar("Named", str, tuple[str, str])

Property: TypeAlias = tuple[str, str]
"""A node and a property of it."""


def refuse_loops(template: TemplateSpec, problems: Problems) -> None:
    """Add a problem for every loop of properties of nodes.

    Attributes are no part of it: an operation may set them.
    """
    needs = {(node.name, name): list(_read(node.name, parameter.value))
             for node in template.nodes.values() for name, parameter in node.properties.items()
             if parameter.dynamic}
    settled: set[Property] = set()
    for start in needs:
        loop = loop_from(start, needs, settled)
        if loop:
            node, name = loop[0]
            told = " -> ".join(f"{each}.{member}" for each, member in [*loop, loop[0]])
            location = template.nodes[node].properties[name].location
            problems.add(Place.of(location), f"these properties need each other: {told}")


def loop_from(start: Named, needs: Mapping[Named, Iterable[Named]], settled: set[Named]) -> list[Named]:
    """The first loop that can be reached from `start`; what was looked at is `settled` afterwards."""
    trail = {} if start in settled else {start: iter(needs[start])}
    while trail:
        last = next(reversed(trail))
        following = next(trail[last], None)
        if following is None:
            settled.add(last)
            del trail[last]
        elif following in trail:
            settled.update(trail)
            order = list(trail)
            return order[order.index(following):]
        elif following in needs and following not in settled:
            trail[following] = iter(needs[following])
    return []


def _read(node: str, value: Any) -> Iterator[Property]:
    """The properties that the value of a property of `node` reads."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            path = each.get("$get_property")
            if isinstance(path, list) and len(path) > 1 and all(isinstance(step, str) for step in path[:2]):
                yield (node if path[0] == "SELF" else path[0]), path[1]
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
