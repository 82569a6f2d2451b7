"""What a function accepts, as its source says it; and whether arguments fit, before anybody calls it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

from aria_core.modeling.values import MASK

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument that a function takes.

    `kinds` are the classes of its annotation, which is written `annotation`; None: whatever it is given.
    """

    name: str
    is_required: bool
    annotation: str = ""
    kinds: tuple[type, ...] | None = None

    def __str__(self) -> str:
        return self.name if self.is_required else f"{self.name} (optional)"


class Refusal(NamedTuple):
    """One sentence about one argument; `argument` is None where the function itself does not fit."""

    argument: str | None
    sentence: str
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """What the function `name` accepts besides what ARIA fills in; `place` is its file and line."""

    name: str
    place: str
    arguments: Mapping[str, Argument]
    takes_any: bool = False
    takes_ctx: bool = True

    def refusals(self, given: Mapping[str, Any], *, unknown_values: Collection[str] = (),
                 secret: Collection[str] = ()) -> Iterator[Refusal]:
        """A sentence for each argument that is missing, not known or of another type; for most calls none.

        The values of `unknown_values` are not looked at, those of `secret` are not shown.
        """
        who = f"{self.name} ({self.place})"
        if not self.takes_ctx:
            yield Refusal(None, f"{who} takes no ctx, and every operation is given one")
        for name in given.keys() - self.arguments.keys() if not self.takes_any else ():
            yield Refusal(name, f"{who} does not know {name!r}{self._alternative(name)}")
        for argument in self.arguments.values():
            if argument.name not in given:
                if argument.is_required:
                    yield Refusal(argument.name, f"{who} misses {argument.name!r}; it takes {self._taken()}",
                                  is_missing=True)
            elif argument.kinds is not None and argument.name not in unknown_values:
                value = given[argument.name]
                if not isinstance(value, argument.kinds):
                    shown = MASK if argument.name in secret else _shown(value)
                    yield Refusal(argument.name, f"{who} takes {argument.annotation} for "
                                  f"{argument.name!r}, not {shown}")

    def _alternative(self, name: str) -> str:
        close = get_close_matches(name, self.arguments, n=1, cutoff=0.75)
        meant = f"did you mean {close[0]!r}? " if close else ""
        return f"; {meant}it takes {self._taken()}"

    def _taken(self) -> str:
        names = [str(each) for each in self.arguments.values()]
        return ", ".join([*names, *(["any other"] if self.takes_any else [])]) or "none"


def _shown(value: Any) -> str:
    written = repr(value)
    return written if len(written) <= _SHOWN else f"{written[:_SHOWN]}…"
