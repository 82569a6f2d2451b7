"""Constraints: each kind holds, breaks and is told."""

from __future__ import annotations

from typing import Any

import pytest

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.constraints import broken_constraints


@pytest.mark.parametrize(("constraint", "good", "bad", "type_name"), [
    ({"equal": 2}, 2, 3, "integer"),
    ({"greater_than": 1}, 2, 1, "integer"),
    ({"greater_or_equal": 1}, 1, 0, "integer"),
    ({"less_than": 1.5}, 1.4, 1.5, "float"),
    ({"less_or_equal": 1}, 1, 2, "integer"),
    ({"in_range": [1, 3]}, 3, 4, "integer"),
    ({"in_range": [1, "UNBOUNDED"]}, 10**9, 0, "integer"),
    ({"valid_values": ["a", "b"]}, "a", "c", "string"),
    ({"valid_values": [[1], [2]]}, [1], [3], "list"),
    ({"length": 2}, [1, 2], [1], "list"),
    ({"min_length": 2}, "ab", "a", "string"),
    ({"max_length": 2}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, "map"),
    ({"pattern": "[a-z]+"}, "abc", "abc1", "string"),
    ({"greater_than": "512 MB"}, "1 GB", "500 MB", "scalar-unit.size"),
    ({"greater_or_equal": "1 GiB"}, "1073741824 B", "1 gb", "scalar-unit.size"),
    ({"less_than": "1 h"}, "59 m", "3600 s", "scalar-unit.time"),
    ({"in_range": ["1 MHz", "UNBOUNDED"]}, "1 GHz", "1 kHz", "scalar-unit.frequency"),
    ({"greater_than": "1 Mbps"}, "1 MBps", "1 kBps", "scalar-unit.bitrate"),
    ({"equal": "8 Kibps"}, "1 KiBps", "1 kBps", "scalar-unit.bitrate"),
    ({"greater_than": "1.9"}, "1.10", "1.9.0.beta", "version"),
    ({"less_than": "2024-01-01T00:00:00Z"}, "2023-12-31", "2024-01-02", "timestamp"),
])
def test_a_constraint_holds_or_is_told(
        constraint: dict[str, Any], good: Any, bad: Any, type_name: str) -> None:
    assert broken_constraints(good, [constraint], type_name) == []
    (told,) = broken_constraints(bad, [constraint], type_name)
    assert told.startswith("must ")


def test_every_broken_constraint_is_told() -> None:
    assert broken_constraints(7, [{"less_than": 5}, {"valid_values": [1, 2]}, {"greater_than": 0}]) == [
        "must be less than 5", "must be one of [1, 2]"]


@pytest.mark.parametrize(("constraint", "value", "type_name", "message"), [
    ({"bigger": 1}, 1, "integer", "there is no constraint 'bigger'; known are equal"),
    ("positive", 1, "integer", "is no constraint"),
    ({"a": 1, "b": 2}, 1, "integer", "an object with one key"),
    ({"greater_than": "x"}, 1, "integer", "cannot be checked against greater_than"),
    ({"pattern": "("}, "x", "string", "cannot be checked against pattern"),
    ({"greater_than": "1 GB"}, "much", "scalar-unit.size", "cannot be checked"),
])
def test_a_constraint_that_does_not_fit_is_one_sentence(
        constraint: Any, value: Any, type_name: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        broken_constraints(value, [constraint], type_name)
