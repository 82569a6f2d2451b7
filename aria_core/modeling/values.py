"""Values: strict JSON and the types a template may declare for them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from aria_core.exceptions import NotJsonError, WrongTypeInputsError

MAX_DEPTH = 100
MASK = "***"

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
            raise NotJsonError(f"{path} contains a NUL character, which no storage and no environment carries")
        if not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
            raise NotJsonError(f"{path} contains a lone surrogate, which UTF-8 cannot carry")
    return value


def dump_json(value: Any, path: str = "value") -> str:
    """`value` as compact JSON text; refuses what `plain_json` refuses."""
    return json.dumps(plain_json(value, path), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "false": False}
    return known[value.lower()] if isinstance(value, str) and value.lower() in known else _refuse()


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return str(_refuse())


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else list(_from_text(value, list))


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else dict(_from_text(value, dict))


def _from_text(value: Any, kind: type) -> Any:
    decoded = json.loads(value) if isinstance(value, str) else None
    return decoded if isinstance(decoded, kind) else _refuse()


def _refuse() -> Any:
    raise ValueError


_COERCIONS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "integer": ("a whole number", _integer),
    "float": ("a number", _float),
    "boolean": ("true or false", _boolean),
    "string": ("text", _string),
    "secret": ("text", _string),
    "list": ("a list (JSON)", _list),
    "map": ("a map (JSON)", _map),
}


def coerce(value: Any, type_name: str, path: str) -> Any:
    """`value` as the declared type, converting text where that loses nothing.

    Types other than the simple ones pass as they are. Raises ``WrongTypeInputsError``.
    """
    known = _COERCIONS.get(type_name.removeprefix("tosca:"))
    if known is None or value is None:
        return plain_json(value, path)
    expected, convert = known
    try:
        return plain_json(convert(value), path)
    except ValueError:
        shown = MASK if type_name == "secret" else repr(value)
        raise WrongTypeInputsError(f"{path} is {shown}; its type {type_name} takes {expected}") from None
