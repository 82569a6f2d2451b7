"""What expressions calculate from values alone."""

from __future__ import annotations

from typing import Any

import pytest

from aria_core import CALCULATIONS, InvalidInputError
from aria_core.modeling.expressions import ExpressionError, InputScope, evaluate

CASES = [
    ("and", [True, False], False), ("and", [True, True], True), ("or", [False, True], True),
    ("or", [False], False), ("not", [False], True), ("xor", [True, True], False),
    ("xor", [True, False], True),
    ("equal", [[1, {"a": 2}], [1, {"a": 2}]], True), ("equal", [1, True], False),
    ("equal", [{"a": True}, {"a": 1}], False), ("equal", [1, 1.0], True),
    ("greater_than", [2, 1.5], True), ("greater_or_equal", ["b", "b"], True),
    ("less_than", ["a", "b"], True), ("less_or_equal", [2, 1], False),
    ("valid_values", [3, [1, 2]], False), ("valid_values", [True, [1]], False),
    ("has_prefix", ["abc", "ab"], True), ("has_prefix", [[1, 2], [1]], True),
    ("has_suffix", [[1, 2], [1]], False),
    ("has_suffix", ["abc", "bc"], True), ("has_suffix", [[1], [0, 1]], False),
    ("contains", ["abc", "b"], True), ("contains", [[1, 2, 3], [2, 3]], True),
    ("contains", [[1, 2], [2, 1]], False),
    ("has_entry", [{"a": 1}, 1], True), ("has_entry", [[1], 2], False), ("has_key", [{"a": 1}, "a"], True),
    ("has_all_entries", [[1, 2], [2, 1]], True), ("has_any_entry", [[1], [2]], False),
    ("has_all_keys", [{"a": 1}, ["a", "b"]], False), ("has_any_key", [{"a": 1}, ["a", "b"]], True),
    ("length", ["abc"], 3), ("length", [{"a": 1}], 1), ("union", [[1, 2], [2, True]], [1, 2, True]),
    ("intersection", [[1, 2, 2], [2, 3]], [2]), ("sum", [1, 2.5], 3.5), ("difference", [1, 3], -2),
    ("product", [2, 3, 4], 24), ("quotient", [6, 3], 2), ("quotient", [1, 2], 0.5), ("remainder", [7, 4], 3),
    ("round", [2.5], 3), ("round", [-2.5], -2), ("floor", [-1.5], -2), ("ceil", [1.2], 2),
]


@pytest.mark.parametrize(("name", "arguments", "value"), CASES)
def test_it_calculates(name: str, arguments: list[Any], value: Any) -> None:
    found = evaluate({f"${name}": arguments}, InputScope({}))
    assert found == value
    assert type(found) is type(value)


def test_every_calculation_has_a_case() -> None:
    assert {name for name, _, _ in CASES} == CALCULATIONS.keys()


def test_arguments_may_be_calls() -> None:
    tree = {"$sum": [{"$get_input": ["n"]}, {"$length": [{"$get_input": ["names"]}]}]}
    assert evaluate(tree, InputScope({"n": 1, "names": ["a", "b"]})) == 3


@pytest.mark.parametrize(("tree", "words"), [
    ({"$and": [True, 1]}, "1 is neither true nor false"),
    ({"$not": ["x"]}, "'x' is neither"),
    ({"$greater_than": [1, "2"]}, "'2' is no number"),
    ({"$less_than": ["10 GB", "9 GB"]}, "'10 GB' is a number with a unit"),
    ({"$has_key": [[1], 1]}, r"\[1\] is no map"),
    ({"$has_entry": ["ab", "a"]}, "'ab' is no list"),
    ({"$length": [5]}, "5 is no text, list or map"),
    ({"$sum": [True]}, "True is no number"),
    ({"$quotient": [1, 0]}, "nothing can be divided by 0"),
    ({"$remainder": [1, 0]}, "nothing can be divided by 0"),
    ({"$product": [1e300, 1e300]}, "no number that can be stored"),
    ({"$product": [10**1000, 10**1000]}, "too large"),
])
def test_what_does_not_fit_is_told_with_the_call(tree: Any, words: str) -> None:
    with pytest.raises(ExpressionError, match=words) as error:
        evaluate(tree, InputScope({}))
    assert next(iter(tree)) in str(error.value)


def test_a_wrong_number_of_arguments_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"\$xor takes two booleans, not 1 argument"):
        evaluate({"$xor": [True]}, InputScope({}))
