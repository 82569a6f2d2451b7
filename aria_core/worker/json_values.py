"""Strict JSON: the only values that are stored, sent and returned. Standard library only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from aria_core.exceptions import NotJsonError

MAX_DEPTH = 100
_LEAVES = (str, int, float, bool, type(None))


def plain_json(value: Any, path: str = "value") -> Any:
    """`value` as strict JSON: tuples become lists, everything JSON cannot carry is refused.

    Raises ``NotJsonError`` naming the path and type of the offender: keys that are not strings,
    numbers that are not finite, strings with NUL or lone surrogates, nesting over 100 levels.
    """
    return _plain(value, path, 0)


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
    return json.dumps(plain_json(value, path), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
