"""What is strict JSON comes back as it was, everything else is refused with its place."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aria_core.exceptions import NotJsonError
from aria_core.worker.json_values import MAX_DEPTH, dump_json, plain_json

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(
    ["a\0b", "\ud800", "ä", b"bytes", object(), {1, 2}])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
                      | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3), max_leaves=8)


class Colour(StrEnum):
    RED = "red"


def is_strict(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_strict(key) and is_strict(each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(is_strict, value))
    return value is None or isinstance(value, (bool, int))


def with_lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: with_lists(each) for key, each in value.items()}
    return [with_lists(each) for each in value] if isinstance(value, (list, tuple)) else value


@given(VALUES)
def test_what_is_strict_is_kept_and_everything_else_refused(value: Any) -> None:
    if is_strict(value):
        assert plain_json(value) == with_lists(value)
        assert json.loads(dump_json(value)) == with_lists(value)
    else:
        with pytest.raises(NotJsonError):
            plain_json(value)


@pytest.mark.parametrize(("value", "says"), [
    ({"a": [1, {"b": {2}}]}, r"value.a\[1\].b is a set"), ({"a": {1: 2}}, "value.a has the key 1"),
    ([math.inf], r"value\[0\] is inf"), ({"a\0": 1}, "a key of value contains a NUL"),
    (["\udc00"], r"value\[0\] contains a lone surrogate"), (object(), "value is a object")])
def test_the_offender_is_named_with_its_place(value: Any, says: str) -> None:
    with pytest.raises(NotJsonError, match=says):
        plain_json(value)


def test_other_kinds_of_text_maps_and_sequences_become_plain_ones() -> None:
    plain = plain_json(OrderedDict(a=Colour.RED, b=(1, "ä")))
    assert type(plain) is dict
    assert plain == {"a": "red", "b": [1, "ä"]}


def test_nesting_ends_at_the_limit() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert plain_json(value) == value
    with pytest.raises(NotJsonError, match="nested deeper"):
        plain_json([value])


def test_what_was_given_is_not_what_is_returned() -> None:
    inner = [1]
    plain = plain_json({"a": inner})
    inner.append(2)
    assert plain == {"a": [1]}
