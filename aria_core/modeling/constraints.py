"""Constraints that a template puts on a value: a list of objects like ``{"greater_than": 1}``.

Known are equal, greater_than, greater_or_equal, less_than, less_or_equal, in_range, valid_values,
length, min_length, max_length and pattern. Sizes, times, frequencies, bit rates, versions and
timestamps are compared as what they mean: ``1 GB`` is more than ``512 MB``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from aria_core.exceptions import InvalidInputError

_DECIMAL = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_ALL = _DECIMAL | _BINARY
_UNITS: Mapping[str, Mapping[str, float]] = {
    "scalar-unit.size": {f"{prefix}b": factor for prefix, factor in _ALL.items()},
    "scalar-unit.time": {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "scalar-unit.frequency": {f"{prefix}hz": factor for prefix, factor in _DECIMAL.items()},
    "scalar-unit.bitrate": {
        **{f"{prefix}bps": factor for prefix, factor in _ALL.items()},
        **{f"{prefix}Bps": 8 * factor for prefix, factor in _ALL.items()}},
}
_SCALAR = re.compile(r"\s*([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([A-Za-z]+)\s*")
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+)(?:\.([A-Za-z]\w*)(?:-(\d+))?)?)?")


def broken_constraints(value: Any, constraints: Iterable[Any], type_name: str = "any") -> list[str]:
    """What `value` breaks, each as the end of a sentence (``must be greater than 1``).

    Raises ``InvalidInputError`` for a constraint that is none or does not fit the value's type.
    """
    return [_told(name, bound) for name, bound in map(_parts, constraints)
            if not _holds(name, value, bound, type_name)]


def _parts(constraint: Any) -> tuple[str, Any]:
    if not isinstance(constraint, Mapping) or len(constraint) != 1:
        raise InvalidInputError(f"{constraint!r} is no constraint; it takes an object with one key, one of: "
                                f"{', '.join(_RULES)}")
    name, bound = next(iter(constraint.items()))
    if name not in _RULES:
        raise InvalidInputError(f"there is no constraint {name!r}; known are {', '.join(_RULES)}")
    return name, bound


def _holds(name: str, value: Any, bound: Any, type_name: str) -> bool:
    rule, compares, _ = _RULES[name]
    try:
        if compares:
            return rule(comparable(value, type_name), _bounds(bound, type_name))
        return rule(value, bound)
    except (TypeError, ValueError, re.error):
        raise InvalidInputError(f"{value!r} of type {type_name} cannot be checked against "
                                f"{name}: {bound!r}") from None


def _bounds(bound: Any, type_name: str) -> Any:
    if isinstance(bound, list) and type_name not in ("list", "map", "range"):
        return [each if each == "UNBOUNDED" else comparable(each, type_name) for each in bound]
    return comparable(bound, type_name)


def comparable(value: Any, type_name: str) -> Any:
    """`value` as something Python compares by its meaning in the type.

    Raises ``ValueError`` if it is no value of the type.
    """
    type_name = type_name.removeprefix("tosca:")
    if type_name in _UNITS:
        return _scalar(str(value), _UNITS[type_name])
    if type_name == "version":
        return _version(str(value))
    if type_name == "timestamp":
        moment = datetime.fromisoformat(str(value))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return value


def _scalar(text: str, units: Mapping[str, float]) -> float:
    match = _SCALAR.fullmatch(text)
    known = {_unit(unit): factor for unit, factor in units.items()}
    if match is None or _unit(match[2]) not in known:
        raise ValueError(text)
    return float(match[1]) * known[_unit(match[2])]


def _unit(name: str) -> str:
    # Case tells nothing in units, except bytes from bits in a rate.
    return name[:-3].lower() + name[-3] + "ps" if name.lower().endswith("bps") else name.lower()


def _version(text: str) -> tuple[int, int, int, bool, str, int]:
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(text)
    major, minor, fix, qualifier, build = match.groups()
    # A qualifier (1.0.0.beta) comes before the release it qualifies.
    return int(major), int(minor), int(fix or 0), qualifier is None, qualifier or "", int(build or 0)


def _in_range(value: Any, bound: Any) -> bool:
    low, high = bound
    return bool((low == "UNBOUNDED" or value >= low) and (high == "UNBOUNDED" or value <= high))


def _told(name: str, bound: Any) -> str:
    return f"must {_RULES[name][2]} {bound!r}"


_RULES: Mapping[str, tuple[Callable[[Any, Any], bool], bool, str]] = {
    "equal": (lambda value, bound: value == bound, True, "be"),
    "greater_than": (lambda value, bound: value > bound, True, "be greater than"),
    "greater_or_equal": (lambda value, bound: value >= bound, True, "be at least"),
    "less_than": (lambda value, bound: value < bound, True, "be less than"),
    "less_or_equal": (lambda value, bound: value <= bound, True, "be at most"),
    "in_range": (_in_range, True, "be in the range"),
    "valid_values": (lambda value, bound: value in bound, True, "be one of"),
    "length": (lambda value, bound: len(value) == bound, False, "have the length"),
    "min_length": (lambda value, bound: len(value) >= bound, False, "be at least as long as"),
    "max_length": (lambda value, bound: len(value) <= bound, False, "be at most as long as"),
    "pattern": (lambda value, bound: re.fullmatch(bound, value) is not None, False, "match"),
}
"""Name -> (the rule, whether it compares by meaning, how it is told)."""
