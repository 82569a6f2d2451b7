"""Conditions of workflows: clauses about attributes, as the core judges them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .calls import Call, Later
from .conversion import Converter
from .declarations import OPERATORS
from .functions import Context, called
from .problems import Problems, suggestion
from .schemas import ANY
from .values import Mapping, Scalar, Sequence, Value, described, items, named, place_of, plain

_JOINING = ("and", "or", "not")


class Conditions:
    """Reads condition clauses."""

    def __init__(self, converter: Converter, problems: Problems) -> None:
        self._converter = converter
        self._problems = problems

    def read(self, value: Value | None, what: str, context: Context) -> list[Any]:
        """The clauses as `aria_core.ConditionSpec` has them; all of them must hold.

        In version 2.0 that is one expression, which stands in `context`.
        """
        if value is None:
            return []
        if called(value) is not None or isinstance(value, (Call, Later)):
            if isinstance(value, Later):
                self._problems.warn(place_of(value), f"{what} cannot be judged yet, so that the workflow "
                                    "cannot be run")
            return [{"expression": self._converter.convert(value, ANY, what, context)}]
        return [clause for each in items(value) or [value] for clause in self._clauses(each, what, context)]

    def _clauses(self, value: Value, what: str, context: Context) -> Iterator[dict[str, Any]]:
        if not isinstance(value, Mapping):
            if not isinstance(value, Sequence) or value.items:
                self._problems.add(place_of(value), f"{what} is {described(value)}; it takes a list of "
                                   "assertions about attributes, `and`, `or` and `not`")
            return
        for name, each in value.entries.items():
            if name in _JOINING:
                yield {name: self.read(each, what, context)}
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
