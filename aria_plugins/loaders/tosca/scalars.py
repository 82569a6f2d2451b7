"""The scalars of TOSCA 2.0: numbers with units that their data type declares.

A data type that comes from ``scalar`` says which units it has and what each is worth: ``units`` with any
number of them, or one unit and the ``prefixes`` that may stand before it. One is worth 1: the canonical one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .problems import Problems, listed, suggestion
from .schemas import Schema, schema_of
from .types import Type
from .values import Mapping, Scalar, Sequence, Value, field, fields, key_of, place_of, resolved, text

SCALAR = "scalar"
KEYS = ("units", "prefixes", "canonical_unit", "data_type")
_WRITTEN = re.compile(r"\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*(\S+)\s*")
_NUMBERS = ("integer", "float")


def is_scalar(type_: Type | None) -> bool:
    """Whether it is a data type of numbers with units."""
    return type_ is not None and type_.native == SCALAR


def value_of(written: str, type_: Type) -> float | None:
    """How many of its canonical unit a text stands for; None if it is none of this type's."""
    match = _WRITTEN.fullmatch(written)
    worth = units_of(type_).get(match[2]) if match is not None else None
    if match is None or worth is None or (_number(type_) == "integer" and not _is_whole(match[1])):
        return None
    return float(match[1]) * worth


def number_in(written: str) -> Scalar | None:
    """The number before the unit."""
    match = _WRITTEN.fullmatch(written)
    return None if match is None else Scalar(None, match[1], resolved(match[1]))


def number_schema(type_: Type) -> Schema | None:
    """What the number before the unit must be; None: any."""
    value = _inherited(type_, "data_type")
    return None if value is None else schema_of(Mapping(value.mark, {"type": value}, {}), type_.types)


def in_canonical(value: Value, type_: Type) -> Any:
    """A value, or one of a constraint, with the canonical unit's number for each text that has a unit."""
    if isinstance(value, Mapping):
        return {name: in_canonical(each, type_) for name, each in value.entries.items()}
    if isinstance(value, Sequence):
        return [in_canonical(each, type_) for each in value.items]
    found = value_of(value.text, type_)
    return value.value if found is None else found


def takes(type_: Type) -> str:
    """What its values look like, for sentences."""
    number = "a whole number" if _number(type_) == "integer" else "a number"
    return f"{number} and one of the units {listed(units_of(type_))}"


def units_of(type_: Type) -> dict[str, float]:
    """Each unit, with its prefix, and what it is worth."""
    units = _worths(_inherited(type_, "units"))
    prefixes = _worths(_inherited(type_, "prefixes"))
    if not prefixes:
        return units
    return {prefix + unit: more * worth for unit, worth in units.items() for prefix, more in prefixes.items()}


def _worths(value: Value | None) -> dict[str, float]:
    return {name: float(each.value) for name, each in fields(value).items()
            if isinstance(each, Scalar) and isinstance(each.value, (int, float)) and _is_number(each)}


def _inherited(type_: Type, key: str) -> Value | None:
    """What the nearest ancestor says; of maps, all that any of them says."""
    found = [value for each in reversed(type_.lineage) if (value := field(each.body, key)) is not None]
    if not found or not isinstance(found[-1], Mapping):
        return found[-1] if found else None
    entries = {name: each for value in found for name, each in fields(value).items()}
    return Mapping(found[-1].mark, entries, {})


def _number(type_: Type) -> str:
    return _native_of(_inherited(type_, "data_type"), type_) or "float"


def _native_of(value: Value | None, type_: Type) -> str | None:
    if value is None:
        return None
    found = type_.types.find("data", value)
    return found.native if found is not None else text(value)


def _is_number(value: Value) -> bool:
    return isinstance(value, Scalar) and isinstance(value.value, (int, float)) and not isinstance(
        value.value, bool)


def _is_whole(written: str) -> bool:
    return float(written).is_integer()


def check_scalar(type_: Type, problems: Problems) -> None:
    """Add a problem for everything in a data type's units that does not go together."""
    given = [key for key in KEYS if key in type_.body.entries]
    if not is_scalar(type_):
        for key in given:
            problems.add(place_of(key_of(type_.body, key)), f"data type `{type_.name}` has `{key}`, which "
                         "takes one that is derived from scalar")
        return
    for value, sentence in (*_data_type(type_), *_tables(type_), *_canonical(type_)):
        problems.add(place_of(value), f"{sentence} of data type `{type_.name}`")


def _data_type(type_: Type) -> Iterator[tuple[Value, str]]:
    value = field(type_.body, "data_type")
    if value is None:
        return
    native = _native_of(value, type_)
    if native not in _NUMBERS:
        yield value, (f"`{text(value)}` is no number, as integer, float and what is derived from them are, "
                      "for the `data_type`")
    elif is_scalar(type_.parent) and type_.parent is not None and native != _number(type_.parent):
        yield value, (f"`{text(value)}` is no {_number(type_.parent)}, as that of its parent is, for the "
                      "`data_type`")


def _tables(type_: Type) -> Iterator[tuple[Value, str]]:
    units, prefixes = _inherited(type_, "units"), _inherited(type_, "prefixes")
    if units is None:
        yield type_.key, "there are no `units`"
    for key, table in (("units", field(type_.body, "units")), ("prefixes", field(type_.body, "prefixes"))):
        if table is not None and not fields(table):
            yield table, f"there is nothing in the `{key}`: they take a map of a name to a number"
        for name, each in fields(table).items():
            yield from _worth(type_, name, each, key)
    if prefixes is not None and len(fields(units)) > 1:
        yield prefixes, "`prefixes` take exactly one unit, not the units"
    if prefixes is not None and 1.0 not in _worths(prefixes).values():
        yield prefixes, "none of the `prefixes` is worth 1, as that of the unit alone must be,"


def _worth(type_: Type, name: str, value: Value, key: str) -> Iterator[tuple[Value, str]]:
    if not _is_number(value):
        yield value, f"`{name}` among the `{key}` is not worth a number, in the definition"
        return
    number = value.value if isinstance(value, Scalar) else 0
    if not isinstance(number, (int, float)) or number <= 0:
        yield value, f"`{name}` among the `{key}` is worth {number}, which must be more than 0,"
    elif _number(type_) == "integer" and not float(number).is_integer():
        yield value, f"`{name}` among the `{key}` is worth {number}, which is not whole as the `data_type`"


def _canonical(type_: Type) -> Iterator[tuple[Value, str]]:
    units, value = units_of(type_), _inherited(type_, "canonical_unit")
    single = [name for name, worth in units.items() if worth == 1]
    name = text(value)
    if value is not None and name not in units:
        yield value, f"the canonical unit `{name}` is none of the units" + suggestion(name or "", units)
    elif value is not None and name not in single:
        yield value, f"the canonical unit `{name}` is worth {units[name or '']}, not 1, among the units"
    elif units and not single:
        yield type_.key, "none of the units is worth 1, as the canonical one must be, in the `units`"
    elif len(single) > 1 and value is None:
        yield type_.key, f"{listed(single)} are all worth 1; `canonical_unit` must name one of the units"

