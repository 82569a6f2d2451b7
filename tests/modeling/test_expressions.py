"""Expressions: what the constructors write, and what evaluating them gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.expressions import (
    MAX_TEXT,
    ExpressionError,
    InputScope,
    MissingValueError,
    bind_inputs,
    concat,
    escape,
    evaluate,
    get_attribute,
    get_input,
    get_nodes_of_type,
    get_operation_output,
    get_property,
    has_expression,
    input_names,
    join,
    needs_service,
    token,
)


class Values:
    """A scope with properties and attributes under their whole path."""

    @property
    def inputs(self) -> dict[str, Any]:
        return {"port": 80, "name": "shop", "flag": True, "empty": None,
                "hosts": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}

    def get_property(self, path: Sequence[Any]) -> Any:
        return f"property {'/'.join(map(str, path))}"

    def get_attribute(self, path: Sequence[Any]) -> Any:
        if path[0] == "nobody":
            raise MissingValueError("there is no node 'nobody'")
        return f"attribute {'/'.join(map(str, path))}"

    def get_secret(self, name: Any) -> str:
        return f"secret {name}"

    def get_operation_output(self, path: Sequence[Any]) -> Any:
        return f"output {'/'.join(map(str, path))}"

    def get_nodes_of_type(self, type_name: Any) -> list[str]:
        return [f"a {type_name}"]


@pytest.mark.parametrize(("expression", "tree", "value"), [
    (get_input("port"), {"$get_input": ["port"]}, 80),
    (get_input("hosts", 1, "ip"), {"$get_input": ["hosts", 1, "ip"]}, "10.0.0.2"),
    (get_property("SELF", "size"), {"$get_property": ["SELF", "size"]}, "property SELF/size"),
    (get_attribute("db", "ip", 0), {"$get_attribute": ["db", "ip", 0]}, "attribute db/ip/0"),
    (concat("http://", get_input("name"), ":", get_input("port")),
     {"$concat": ["http://", {"$get_input": ["name"]}, ":", {"$get_input": ["port"]}]}, "http://shop:80"),
    (get_operation_output("db", "Standard", "create", "key"),
     {"$get_operation_output": ["db", "Standard", "create", "key"]}, "output db/Standard/create/key"),
    (get_nodes_of_type("Root"), {"$get_nodes_of_type": ["Root"]}, ["a Root"]),
    (concat([1], [2, 3]), {"$concat": [[1], [2, 3]]}, [1, 2, 3]),
    (concat("is ", get_input("flag"), " ", 1.5), {"$concat": ["is ", {"$get_input": ["flag"]}, " ", 1.5]},
     "is true 1.5"),
    (join(["a", get_input("port")], ","), {"$join": [["a", {"$get_input": ["port"]}], ","]}, "a,80"),
    (join(["a", "b"]), {"$join": [["a", "b"], ""]}, "ab"),
    (token("10.0.0.1:80", ":.", 4), {"$token": ["10.0.0.1:80", ":.", 4]}, "80"),
    (token(get_input("name"), "]^-", 0), {"$token": [{"$get_input": ["name"]}, "]^-", 0]}, "shop"),
])
def test_a_constructor_writes_the_canonical_tree_and_the_tree_has_a_value(
        expression: Any, tree: Any, value: Any) -> None:
    assert expression == tree
    assert evaluate(expression, Values()) == value
    assert evaluate(tree, Values()) == value


def test_calls_are_evaluated_wherever_they_stand() -> None:
    tree = {"list": [1, {"$get_input": ["port"]}], "deep": {"x": {"$get_input": "name"}}}
    assert evaluate(tree, Values()) == {"list": [1, 80], "deep": {"x": "shop"}}


def test_a_single_argument_may_stand_without_its_list() -> None:
    assert evaluate({"$get_input": "port"}, Values()) == 80


def test_a_literal_key_with_two_dollars_has_one_afterwards() -> None:
    assert evaluate({"$$ref": 1, "$$$x": 2, "a$b": 3}, Values()) == {"$ref": 1, "$$x": 2, "a$b": 3}


@pytest.mark.parametrize(("tree", "message"), [
    ({"$shout": ["a"]}, "there is no function $shout; known are $get_input"),
    ({"$get_input": []}, "$get_input takes the name of an input, not 0 arguments"),
    ({"$get_property": ["SELF"]}, "$get_property takes an entity and the name of a property, not 1 argument"),
    ({"$token": ["a", ","]}, "$token takes a text, characters and a position, not 2 arguments"),
    ({"$token": ["a,b", ",", 2]}, "has 2 pieces, so there is no piece 2"),
    ({"$token": ["a,b", ",", -1]}, "there is no piece -1"),
    ({"$token": ["a,b", "", 0]}, "takes at least one character"),
    ({"$token": ["a,b", ",", "0"]}, "takes a whole number"),
    ({"$join": ["abc", ","]}, "the first argument of $join is \"abc\"; it takes a list"),
    ({"$concat": ["a", {"b": 1}]}, "part 2 is {\"b\":1}; it takes text, a number or a boolean"),
    ({"$concat": ["a", {"$get_input": "empty"}]}, "part 2 has no value"),
    ({"$get_input": "nope"}, "there is no input 'nope'; the inputs are: port, name"),
    ({"$get_input": ["hosts", 7]}, "input 'hosts' has no 7; it is a list of 2"),
    ({"$get_input": ["port", "x"]}, "has no 'x'; it is 80, neither map nor list"),
    ({"$get_input": "port", "other": 1}, "must be the only key of its object"),
    ({"$concat": ["x", {"$get_attribute": ["nobody", "ip"]}]}, "there is no node 'nobody'"),
])
def test_what_cannot_be_evaluated_is_one_sentence_with_the_expression_in_it(tree: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        evaluate(tree, Values())
    assert message in str(caught.value)
    assert str(caught.value).startswith("{") and "\n" not in str(caught.value)


def test_the_innermost_call_is_shown_once() -> None:
    with pytest.raises(MissingValueError) as caught:
        evaluate(concat("x", join([get_input("nope")], ",")), Values())
    assert str(caught.value).startswith('{"$get_input":["nope"]}: there is no input')
    assert str(caught.value).count("$") == 1


def test_results_are_bounded() -> None:
    with pytest.raises(ExpressionError, match="longer than"):
        evaluate(concat(*["x" * (MAX_TEXT // 2)] * 3), Values())


def test_binding_inputs_leaves_what_needs_a_service_and_protects_what_was_given() -> None:
    hostile = {"$get_attribute": ["db", "password"]}
    bound = bind_inputs(concat([get_input("given")], [get_attribute("db", "ip")]), {"given": hostile})
    assert needs_service(bound) and not input_names(bound)
    assert evaluate(bound, Values()) == [hostile, "attribute db/ip"]


def test_what_an_expression_needs_is_known_without_evaluating_it() -> None:
    tree = concat(get_input("a"), join([get_input("b")], get_input("c")))
    assert input_names(tree) == {"a", "b", "c"}
    assert not needs_service(tree)
    assert needs_service({"x": [get_property("SELF", "y")]})


def test_a_scope_of_inputs_alone_has_no_properties() -> None:
    with pytest.raises(MissingValueError, match="there is no service here"):
        evaluate(get_property("SELF", "x"), InputScope({}))


_literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(alphabet="$ab", max_size=4), inner, max_size=3), max_leaves=8)


@given(_literals)
def test_an_escaped_literal_evaluates_to_itself(literal: Any) -> None:
    assert not has_expression(literal)
    assert evaluate(escape(literal), Values()) == literal


@given(_literals)
def test_no_json_makes_evaluation_fail_otherwise_than_by_our_errors(tree: Any) -> None:
    try:
        evaluate(tree, Values())
    except InvalidInputError as error:
        assert str(error)
