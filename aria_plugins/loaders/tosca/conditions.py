"""Conditions of workflows: clauses about attributes, as the core judges them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .declarations import OPERATORS
from .problems import Problems, suggestion
from .values import Mapping, Scalar, Sequence, Value, described, items, named, place_of, plain

_JOINING = ("and", "or", "not")


class Conditions:
    """Reads condition clauses."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def read(self, value: Value | None, what: str) -> list[Any]:
        """The clauses as `aria_core.ConditionSpec` has them; all of them must hold."""
        if value is None:
            return []
        return [clause for each in items(value) or [value] for clause in self._clauses(each, what)]

    def _clauses(self, value: Value, what: str) -> Iterator[dict[str, Any]]:
        if not isinstance(value, Mapping):
            if not isinstance(value, Sequence) or value.items:
                self._problems.add(place_of(value), f"{what} is {described(value)}; it takes a list of "
                                   "assertions about attributes, `and`, `or` and `not`")
            return
        for name, each in value.entries.items():
            if name in _JOINING:
                yield {name: self.read(each, what)}
            elif name == "assert":
                yield {"and": [self._assertion(*entry, what) for entry in named(each)]}
            else:
                yield self._assertion(value.keys[name], each, what)

    def _assertion(self, key: Scalar, value: Value, what: str) -> dict[str, Any]:
        constraints = items(value) or [value]
        for each in constraints:
            for name, _ in named(each):
                if name.text not in OPERATORS:
                    self._problems.warn(place_of(name), f"{what} has the constraint `{name.text}`, which "
                                        "does not exist, so that the workflow cannot be run"
                                        + suggestion(name.text, OPERATORS, "the constraints"))
        return {"attribute": key.text, "constraints": [
            plain(each) if isinstance(each, Mapping) else {"equal": plain(each)} for each in constraints]}
