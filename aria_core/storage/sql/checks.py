"""What a column takes: checked before a row is written and before a value is compared with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeAlias

from sqlalchemy import Boolean, Column, Float, Integer, String, inspect
from sqlalchemy.orm import InstanceState

from aria_core.exceptions import NotJsonError, StorageError
from aria_core.modeling.base import Model
from aria_core.modeling.models import Execution, Node, Task
from aria_core.modeling.states import (
    ExecutionState,
    NodeState,
    TaskState,
    check_execution_transition,
    check_task_transition,
)
from aria_core.modeling.types import JsonText, UtcDateTime
from aria_core.modeling.values import plain_json

_LARGEST = 2**31 - 1

_Transition: TypeAlias = Callable[[Any, Any], None]


def _anything(_before: Any, _after: Any) -> None:
    """Nodes are set to any state: forced operations leave the usual ways."""


_STATES: Mapping[type[Model], tuple[type[StrEnum], _Transition]] = MappingProxyType({
    Execution: (ExecutionState, check_execution_transition),
    Task: (TaskState, check_task_transition),
    Node: (NodeState, _anything),
})


def check_row(entry: Model) -> None:
    """Raise ``StorageError`` unless every loaded column of `entry` has a value that it takes."""
    state: InstanceState[Any] = inspect(entry)
    for column in state.mapper.column_attrs:
        if column.key in state.dict:
            check_value(type(entry), column.key, state.dict[column.key])
    _check_state(entry, state)
    if isinstance(entry, Task) and isinstance(entry.max_attempts, int) and (
            entry.max_attempts < 1 and entry.max_attempts != -1):
        raise StorageError(f"max_attempts of Task is {entry.max_attempts}; it is -1 (no end) or at least 1")


def check_value(model: type[Model], key: str, value: Any) -> None:
    """Raise ``StorageError``, naming model, column and type, unless the column takes `value`."""
    if value is None:
        return
    column: Column[Any] = model.__mapper__.columns[key]
    where = f"{key} of {model.__name__}"
    if isinstance(column.type, JsonText):
        _check_json(where, value)
        return
    expected, fits = next(_EXPECTED[kind] for kind in _EXPECTED if isinstance(column.type, kind))
    if not fits(value):
        raise StorageError(f"{where} is {_shown(value)} of type {type(value).__name__}; it takes {expected}")
    if isinstance(column.type, String):
        _check_text(where, value, column.type.length)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _check_json(where: str, value: Any) -> None:
    try:
        plain_json(value, where)
    except NotJsonError as error:
        raise StorageError(str(error)) from error


def _check_text(where: str, value: str, length: int | None) -> None:
    _check_json(where, value)
    if length is not None and len(value) > length:
        raise StorageError(f"{where} has {len(value)} characters; it takes at most {length}")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_moment(value: Any) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None


_EXPECTED: Mapping[type[Any], tuple[str, Callable[[Any], bool]]] = MappingProxyType({
    Integer: (f"a whole number up to {_LARGEST}", _is_integer),
    Float: ("a finite number", _is_number),
    Boolean: ("true or false", lambda value: isinstance(value, bool)),
    String: ("text", lambda value: isinstance(value, str)),
    UtcDateTime: ("a time with a timezone", _is_moment),
})


def _check_state(entry: Model, state: InstanceState[Any]) -> None:
    kind, check = _STATES.get(type(entry), (None, _anything))
    value = state.dict.get("state")
    if kind is None or value is None:
        return
    if value not in tuple(kind):
        raise StorageError(f"state of {type(entry).__name__} is {_shown(value)}; it takes {', '.join(kind)}")
    before = state.attrs["state"].history.deleted
    if state.persistent and before and before[0] is not None:
        try:
            check(kind(before[0]), kind(value))
        except ValueError as error:
            raise StorageError(str(error)) from error
