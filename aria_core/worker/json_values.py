"""Strict JSON: the only values that are stored, sent and returned. Standard library only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from aria_core.exceptions import NotJsonError

MAX_DEPTH = 100
_LEAVES = (str, int, float, bool, type(None))
_PLAIN = frozenset({int, bool, type(None)})
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def plain_json(value: Any, path: str = "value") -> Any:
    """`value` as strict JSON: tuples become lists, everything JSON cannot carry is refused.

    Raises ``NotJsonError`` naming the path and type of the offender: keys that are not strings,
    numbers that are not finite, strings with NUL or lone surrogates, nesting over 100 levels.
    """
    try:
        return _usual(value, 0)
    except _UnusualError:
        return _plain(value, path, 0)


class _UnusualError(Exception):
    """Somebody who says what is wrong, and where, must look at it."""


def _usual(value: Any, depth: int) -> Any:
    """What most values are, without words for what they are not."""
    kind = type(value)
    if kind is str:
        if value.isascii() and "\0" not in value:
            return value
    elif kind in _PLAIN or (kind is float and math.isfinite(value)):
        return value
    elif depth >= MAX_DEPTH:
        raise _UnusualError
    elif kind is dict:
        if all(type(key) is str and key.isascii() and "\0" not in key for key in value):
            return {key: _usual(each, depth + 1) for key, each in value.items()}
    elif kind is list or kind is tuple:
        return [_usual(each, depth + 1) for each in value]
    raise _UnusualError


def _plain(value: Any, path: str, depth: int) -> Any:
    if isinstance(value, _LEAVES):
        return _leaf(value, path)
    if depth >= MAX_DEPTH:
        raise NotJsonError(f"{path[:80]}… is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(each, f"{path}.{key}", depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(value)]
    raise NotJsonError(f"{path} is a {type(value).__name__}; JSON carries text, numbers, booleans, null, "
                       "lists and maps with text keys")


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise NotJsonError(f"{path} has the key {key!r} of type {type(key).__name__}; keys must be text")
    return str(_leaf(key, f"a key of {path}"))


def _leaf(value: Any, path: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise NotJsonError(f"{path} is {value}; JSON numbers are finite")
    if isinstance(value, str):
        if "\0" in value:
            raise NotJsonError(f"{path} contains a NUL, which no storage and no environment carries")
        if not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
            raise NotJsonError(f"{path} contains a lone surrogate, which UTF-8 cannot carry")
    return value


def dump_json(value: Any, path: str = "value") -> str:
    """`value` as compact JSON text; refuses what `plain_json` refuses."""
    return _ENCODER.encode(plain_json(value, path))
