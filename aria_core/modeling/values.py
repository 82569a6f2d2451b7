"""Values: strict JSON and the types a template may declare for them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from aria_core.exceptions import WrongTypeInputsError
from aria_core.worker.json_values import MAX_DEPTH, dump_json, plain_json

__all__ = ["MASK", "MAX_DEPTH", "coerce", "dump_json", "plain_json"]

MASK = "***"


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
    return list(value) if isinstance(value, (list, tuple)) else list(_from_text(value, list))


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


def coerce(value: Any, type_name: str, path: str, *, secret: bool = False) -> Any:
    """`value` as the declared type, converting text where that loses nothing.

    Types other than the simple ones pass as they are. Raises ``WrongTypeInputsError``, which does not
    show a `secret` value.
    """
    known = _COERCIONS.get(type_name.removeprefix("tosca:"))
    if known is None or value is None:
        return plain_json(value, path)
    expected, convert = known
    try:
        return plain_json(convert(value), path)
    except ValueError:
        shown = MASK if secret or type_name == "secret" else repr(value)
        raise WrongTypeInputsError(f"{path} is {shown}; its type {type_name} takes {expected}") from None
