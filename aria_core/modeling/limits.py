"""How many tasks may run at once: of an execution, of a node, of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from aria_core.exceptions import InvalidInputError

UNLIMITED = -1
MOST = 2**31 - 1
"""What the integers of databases can count."""
_LIMIT = f"a whole number, at least 1 and at most {MOST}, or -1 for no limit"
_POOL = "a name of 1 to 255 characters, without blanks at its ends"


def limit_refusal(value: Any) -> str | None:
    """What a limit would be, if `value` is none."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return None if is_number and (value == UNLIMITED or 1 <= value <= MOST) else _LIMIT


def pool_refusal(name: Any) -> str | None:
    """What the name of a pool would be, if `name` is none."""
    fits = isinstance(name, str) and 1 <= len(name) <= 255 and name == name.strip()
    return None if fits and name.isprintable() else _POOL


def priority_refusal(value: Any) -> str | None:
    """What a priority would be, if `value` is none."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return None if is_number and -MOST <= value <= MOST else f"a whole number from -{MOST} to {MOST}"


@dataclass(frozen=True, slots=True)
class ExecutionLimits:
    """How many tasks of an execution may run at once. What is None is said elsewhere, or nowhere.

    `max_concurrency` of them in all, `max_per_node` of each node that has no limit of its own, and of
    those that name a pool as many as the size of that pool in `pools`. -1 is no limit. Raises
    ``InvalidInputError`` for a value that does not fit.
    """

    max_concurrency: int | None = None
    max_per_node: int | None = None
    pools: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for name in ("max_concurrency", "max_per_node"):
            value = getattr(self, name)
            if value is not None and (accepted := limit_refusal(value)):
                raise InvalidInputError(f"{name} is {value!r}; it is {accepted}")
        if not isinstance(self.pools, Mapping):
            raise InvalidInputError(f"the pools are {self.pools!r}; they are names with sizes")
        for name, size in self.pools.items():
            if accepted := pool_refusal(name):
                raise InvalidInputError(f"a pool is called {name!r}; that is {accepted}")
            if accepted := limit_refusal(size):
                raise InvalidInputError(f"the size of the pool {name!r} is {size!r}; it is {accepted}")

    def over(self, other: ExecutionLimits) -> ExecutionLimits:
        """These limits, with what they leave open taken from others; pools are taken one by one."""
        return ExecutionLimits(
            other.max_concurrency if self.max_concurrency is None else self.max_concurrency,
            other.max_per_node if self.max_per_node is None else self.max_per_node,
            {**other.pools, **self.pools})

    def columns(self, pools: Mapping[str, int] | None = None) -> dict[str, Any]:
        """The columns of an execution with these pools that change when these limits are to hold, too.

        No limit is stored as None.
        """
        said = {name: getattr(self, name) for name in ("max_concurrency", "max_per_node")}
        columns: dict[str, Any] = {name: None if value == UNLIMITED else value
                                   for name, value in said.items() if value is not None}
        return columns | ({"pools": {**(pools or {}), **self.pools}} if self.pools else {})
