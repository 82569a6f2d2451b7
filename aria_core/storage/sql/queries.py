"""Filters, order and pages: column and operator names from lists of ours, values always bound."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from aria_core.exceptions import StorageError
from aria_core.modeling.base import Model
from aria_core.modeling.types import JsonText
from aria_core.storage.sql.checks import check_value

MOST_VALUES = 10_000
"""How many values a list in a filter may have; databases bind little more."""

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType({
    name: getattr(operator, name) for name in ("eq", "ne", "gt", "ge", "lt", "le")})


def matching(model: type[Model], filters: Mapping[str, Any] | None) -> Select[int]:
    """The ids of the rows that pass `filters`; ``StorageError`` names what is not accepted."""
    query = select(model.id)
    for key, wanted in (filters or {}).items():
        query = query.where(*_conditions(model, key, wanted))
    return query


def _column(model: type[Model], key: str, use: str) -> InstrumentedAttribute[Any]:
    columns = model.__mapper__.columns
    usable = [name for name in columns.keys() if not isinstance(columns[name].type, JsonText)]  # noqa: SIM118
    if key not in usable:
        raise StorageError(f"{key!r} is no column to {use} rows of {model.__tablename__} by; "
                           f"these are: {', '.join(usable)}")
    column: InstrumentedAttribute[Any] = getattr(model, key)
    return column


def _conditions(model: type[Model], key: str, wanted: Any) -> list[ColumnElement[bool]]:
    column = _column(model, key, "filter")
    if isinstance(wanted, Mapping):
        return [_compared(model, column, name, value) for name, value in wanted.items()]
    if isinstance(wanted, (list, tuple, set, frozenset)):
        return [_one_of(model, column, list(wanted))]
    return [_compared(model, column, "eq", wanted)]


def _compared(model: type[Model], column: InstrumentedAttribute[Any], name: str,
              value: Any) -> ColumnElement[bool]:
    if name not in _OPERATORS:
        raise StorageError(f"{name!r} is no operator; these are: {', '.join(_OPERATORS)}")
    if value is None and name not in ("eq", "ne"):
        raise StorageError(f"{column.key} cannot be compared by {name!r} with nothing; eq and ne can")
    check_value(model, column.key, value)
    condition: ColumnElement[bool] = _OPERATORS[name](column, value)
    return condition


def _one_of(model: type[Model], column: InstrumentedAttribute[Any],
            values: list[Any]) -> ColumnElement[bool]:
    if len(values) > MOST_VALUES:
        raise StorageError(f"the filter of {column.key} has {len(values)} values; it takes {MOST_VALUES}")
    for value in values:
        check_value(model, column.key, value)
    known = column.in_([value for value in values if value is not None])
    return or_(known, column.is_(None)) if None in values else known


def ordered(query: Select[int], model: type[Model], sort: Mapping[str, str] | None) -> Select[int]:
    """`query` in this order, and by id where that leaves a choice."""
    for key, direction in (sort or {}).items():
        column = _column(model, key, "sort")
        if direction not in ("asc", "desc"):
            raise StorageError(f"{direction!r} is no direction to sort {key} in; asc and desc are")
        query = query.order_by(column.asc() if direction == "asc" else column.desc())
    return query.order_by(model.id)


def page(pagination: Mapping[str, int] | None) -> tuple[int | None, int]:
    """The size (None: all) and offset of a page."""
    wanted = dict(pagination or {})
    size, offset = wanted.pop("size", None), wanted.pop("offset", 0)
    if wanted:
        raise StorageError(f"{', '.join(map(repr, wanted))} is nothing a page has; it has size and offset")
    for name, value in (("size", size), ("offset", offset)):
        number = 0 if value is None and name == "size" else value
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**31:
            raise StorageError(f"the {name} of a page is {value!r}; it is a whole number, 0 or more")
    return size, offset
