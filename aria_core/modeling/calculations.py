"""What expressions can calculate from values alone: the functions of TOSCA 2.0 (section 10.2)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

Calculation: TypeAlias = tuple[int, int | None, str, Callable[..., Any]]
"""Fewest and most arguments, what they are, and the function."""

_WITH_UNIT = re.compile(r"\s*[-+]?[\d.]+(?:[eE][-+]?\d+)?\s*[A-Za-z]+\s*")
_MOST_BITS = 4096


class CalculationError(ValueError):
    """The arguments do not fit; the message says which and what would be accepted."""


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise CalculationError(f"{value!r} is neither true nor false")
    return value


def _booleans(values: Iterable[Any]) -> list[bool]:
    return [_boolean(each) for each in values]


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CalculationError(f"{value!r} is no number")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise CalculationError(f"{value!r} is no list")
    return value


def _map(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CalculationError(f"{value!r} is no map")
    return value


def _same(one: Any, other: Any) -> bool:
    """Equality; what is true is not 1, in lists and maps neither."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(each, other[key]) for key, each in one.items())
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _among(value: Any, values: Any) -> bool:
    return any(_same(value, each) for each in values)


def _compared(one: Any, other: Any) -> tuple[Any, Any]:
    """Two numbers or two texts; texts with units have no order of their own."""
    if isinstance(one, str) and isinstance(other, str):
        for each in (one, other):
            if _WITH_UNIT.fullmatch(each):
                raise CalculationError(f"{each!r} is a number with a unit, which cannot be compared here yet")
        return one, other
    return _number(one), _number(other)


def _entries(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else _list(value)


def _contains(value: Any, part: Any) -> bool:
    """Whether a text or a list has a text or a list inside, in one piece."""
    if isinstance(value, str) and isinstance(part, str):
        return part in value
    value, part = _list(value), _list(part)
    return any(_same(value[start:start + len(part)], part) for start in range(len(value) - len(part) + 1))


def _begins(value: Any, part: Any) -> bool:
    if isinstance(value, str) and isinstance(part, str):
        return value.startswith(part)
    return _same(_list(value)[:len(_list(part))], part)


def _ends(value: Any, part: Any) -> bool:
    if isinstance(value, str) and isinstance(part, str):
        return value.endswith(part)
    return _same(_list(value)[max(len(value) - len(_list(part)), 0):], part)


def _length(value: Any) -> int:
    if not isinstance(value, (str, list, Mapping)):
        raise CalculationError(f"{value!r} is no text, list or map")
    return len(value)


def _union(*lists: Any) -> list[Any]:
    found: list[Any] = []
    for entry in (entry for each in lists for entry in _list(each)):
        if not _among(entry, found):
            found.append(entry)
    return found


def _intersection(first: Any, *others: Any) -> list[Any]:
    return _union([entry for entry in _list(first) if all(_among(entry, _list(each)) for each in others)])


def _finite(value: int | float) -> int | float:
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise CalculationError("the result is too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise CalculationError("the result is no number that can be stored")
    return value


def _product(*values: Any) -> int | float:
    found: int | float = 1
    for each in values:
        found = _finite(found * _number(each))
    return found


def _divided(function: Callable[[Any, Any], int | float]) -> Callable[..., int | float]:
    def divided(one: Any, other: Any) -> int | float:
        if not _number(other):
            raise CalculationError("nothing can be divided by 0")
        return _finite(function(_number(one), other))
    return divided


def _quotient(one: int | float, other: int | float) -> int | float:
    """Of whole numbers the whole number, if there is one."""
    whole = isinstance(one, int) and isinstance(other, int) and one % other == 0
    return one // other if whole else one / other


def _half_up(value: Any) -> int:
    return math.floor(_number(value) + 0.5)


_BOTH = "two values"
_BOOLEANS = "booleans"
_PART = "a text or list, and a part of it"
_NUMBERS = "numbers"

CALCULATIONS: Mapping[str, Calculation] = MappingProxyType({
    "and": (1, None, _BOOLEANS, lambda *values: all(_booleans(values))),
    "or": (1, None, _BOOLEANS, lambda *values: any(_booleans(values))),
    "not": (1, 1, "a boolean", lambda value: not _boolean(value)),
    "xor": (2, 2, "two booleans", lambda one, other: _boolean(one) is not _boolean(other)),
    "equal": (2, 2, _BOTH, _same),
    "greater_than": (2, 2, _BOTH, lambda *values: (pair := _compared(*values))[0] > pair[1]),
    "greater_or_equal": (2, 2, _BOTH, lambda *values: (pair := _compared(*values))[0] >= pair[1]),
    "less_than": (2, 2, _BOTH, lambda *values: (pair := _compared(*values))[0] < pair[1]),
    "less_or_equal": (2, 2, _BOTH, lambda *values: (pair := _compared(*values))[0] <= pair[1]),
    "valid_values": (2, 2, "a value and a list", lambda value, values: _among(value, _list(values))),
    "has_prefix": (2, 2, _PART, _begins),
    "has_suffix": (2, 2, _PART, _ends),
    "contains": (2, 2, _PART, _contains),
    "has_entry": (2, 2, "a list or map and a value", lambda many, value: _among(value, _entries(many))),
    "has_key": (2, 2, "a map and a key", lambda many, key: key in _map(many)),
    "has_all_entries": (2, 2, "a list or map and a list", lambda many, values: all(
        _among(each, _entries(many)) for each in _list(values))),
    "has_any_entry": (2, 2, "a list or map and a list", lambda many, values: any(
        _among(each, _entries(many)) for each in _list(values))),
    "has_all_keys": (2, 2, "a map and a list of keys", lambda many, keys: all(
        each in _map(many) for each in _list(keys))),
    "has_any_key": (2, 2, "a map and a list of keys", lambda many, keys: any(
        each in _map(many) for each in _list(keys))),
    "length": (1, 1, "a text, list or map", _length),
    "union": (1, None, "lists", _union),
    "intersection": (1, None, "lists", _intersection),
    "sum": (1, None, _NUMBERS, lambda *values: _finite(sum(map(_number, values)))),
    "difference": (2, 2, "two numbers", lambda one, other: _finite(_number(one) - _number(other))),
    "product": (1, None, _NUMBERS, _product),
    "quotient": (2, 2, "two numbers", _divided(_quotient)),
    "remainder": (2, 2, "two numbers", _divided(lambda one, other: one % other)),
    "round": (1, 1, "a number", _half_up),
    "floor": (1, 1, "a number", lambda value: math.floor(_number(value))),
    "ceil": (1, 1, "a number", lambda value: math.ceil(_number(value))),
})
"""Name -> a calculation; the functions raise `CalculationError`."""
