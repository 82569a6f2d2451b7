"""When a failed attempt is followed by another, and how much later."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from aria_core.exceptions import InvalidInputError
from aria_core.worker.calls import LONGEST_WAIT
from aria_core.worker.outcomes import class_name


def _is_number(value: Any, least: float, most: float = math.inf) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and least <= value <= most


def _are_classes(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(each, type) or (
        isinstance(each, str) and each and each == each.strip()) for each in value)


_ACCEPTED: Mapping[str, tuple[Callable[[Any], bool], str]] = MappingProxyType({
    "interval": (lambda value: _is_number(value, 0), "a number of seconds, at least 0"),
    "backoff": (lambda value: _is_number(value, 1), "a factor of at least 1"),
    "max_interval": (lambda value: _is_number(value, 0), "a number of seconds, or 0 for no cap"),
    "jitter": (lambda value: _is_number(value, 0, 1), "a fraction from 0 to 1"),
    "retry_on": (_are_classes, "a list of names of exception classes"),
    "abort_on": (_are_classes, "a list of names of exception classes"),
})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How failed attempts are followed by others. What is None is said elsewhere, or nowhere.

    The first retry waits `interval` seconds, each later one `backoff` times as long as the one before,
    but never longer than `max_interval` (0: no cap). `jitter` is the fraction of the wait that chance
    may take away, so that what failed together does not come back together. `retry_on` and `abort_on`
    name exception classes, as ``TimeoutError`` or ``package.module.Class``, and mean their subclasses
    too: what is in `abort_on`, or not in a `retry_on` that names any, is not tried again.

    Raises ``InvalidInputError`` for a value that does not fit.
    """

    interval: float | None = None
    backoff: float | None = None
    max_interval: float | None = None
    jitter: float | None = None
    retry_on: tuple[str, ...] | None = None
    abort_on: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in _ACCEPTED:
            value = getattr(self, name)
            if value is not None and (accepted := self.refusal(name, value)):
                raise InvalidInputError(f"{name} of a retry policy is {value!r}; it takes {accepted}")
        for name in ("retry_on", "abort_on"):
            if (value := getattr(self, name)) is not None:
                named = tuple(class_name(each) if isinstance(each, type) else each for each in value)
                object.__setattr__(self, name, named)

    def over(self, other: RetryPolicy) -> RetryPolicy:
        """This policy, with what it leaves open taken from another."""
        if _NOTHING in (self, other):
            return other if self == _NOTHING else self
        return RetryPolicy(**{name: getattr(other, name) if value is None else value
                              for name, value in self._values().items()})

    def longest(self, failures: int) -> float:
        """The most seconds that are waited after so many failed attempts (from 1)."""
        interval = self.interval or 0.0
        if not interval:
            return 0.0
        try:
            grown = interval * (self.backoff or 1.0) ** max(failures - 1, 0)
        except OverflowError:
            grown = math.inf
        return min(grown, self.max_interval or LONGEST_WAIT, LONGEST_WAIT)

    def delay(self, failures: int, random: Callable[[], float]) -> float:
        """Seconds to wait after so many failed attempts; `random` gives numbers from 0 to 1."""
        return self.longest(failures) * (1 - (self.jitter or 0.0) * random())

    def allows(self, classes: Iterable[str]) -> bool:
        """Whether an error may be tried again: `classes` are its class and the bases of that, dotted.

        Rules say nothing of an error whose class is not known.
        """
        names = {part for each in classes for part in (each, each.rpartition(".")[2])}
        if not names:
            return True
        if names & set(self.abort_on or ()):
            return False
        return not self.retry_on or bool(names & set(self.retry_on))

    def to_json(self) -> dict[str, Any]:
        """What is said, as an object."""
        return {name: list(value) if isinstance(value, tuple) else value
                for name, value in self._values().items() if value is not None}

    def rules_to_json(self) -> dict[str, Any] | None:
        """What is said besides the interval, which is stored by itself; None if that is nothing."""
        rules = self.to_json()
        rules.pop("interval", None)
        return rules or None

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> RetryPolicy:
        """The policy that `to_json` wrote; nothing is said in None."""
        return cls(**{name: value for name, value in data.items() if name in _ACCEPTED}) if data else _NOTHING

    def waiting(self, interval: float) -> RetryPolicy:
        """This policy with another interval."""
        return self if self.interval == interval else replace(self, interval=interval)

    @staticmethod
    def refusal(name: str, value: Any) -> str | None:
        """What the field `name` would take, if it does not take `value`."""
        fits, accepted = _ACCEPTED[name]
        return None if fits(value) else accepted

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _ACCEPTED}


_NOTHING = RetryPolicy()


@dataclass(frozen=True, slots=True)
class ExecutionRetries:
    """What holds for a whole execution: the policy of tasks that say nothing else, and the budget.

    `budget` is after how many failed attempts, of all tasks together, the execution fails (-1: none).
    Raises ``InvalidInputError`` for another number.
    """

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    budget: int = -1

    def __post_init__(self) -> None:
        if self.budget != -1 and self.budget < 1:
            raise InvalidInputError(
                f"the retry budget is {self.budget}; it is at least 1 failed attempt, or -1 for no end")
