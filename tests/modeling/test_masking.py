"""Secret values inside other text."""

from __future__ import annotations

import json
import shlex
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aria_core import MASK, SecretValues


def test_a_value_is_hidden_wherever_it_stands() -> None:
    secrets = SecretValues(["swordfish", "sword"])
    assert secrets.hide("user:swordfish@host, a sword") == f"user:{MASK}@host, a {MASK}"


def test_without_secrets_text_stays_what_it_is() -> None:
    assert SecretValues().hide("anything … (cut)") == "anything … (cut)"
    assert not SecretValues(["", None, True, "abc", 12]).has_values


def test_short_values_are_not_looked_for() -> None:
    assert SecretValues(["abc", 123, True, "a"]).hide("abc 123 True a") == "abc 123 True a"
    assert SecretValues(["abcd", 1234]).hide("abcd 1234") == f"{MASK} {MASK}"


@pytest.mark.parametrize("spelled", [repr, json.dumps, shlex.quote, lambda text: quote(text, safe="")])
def test_a_value_is_known_however_it_is_spelled(spelled) -> None:
    value = "päss'w\"ord\\ \n&more/of it"
    assert "more" not in SecretValues([value]).hide(f"<{spelled(value)}>")


def test_the_lines_of_a_key_are_hidden_one_by_one() -> None:
    secrets = SecretValues(["-----BEGIN KEY-----\nMIIEvQIBADANBgkq\ntrue\n"])
    assert secrets.hide("MIIEvQIBADANBgkq") == MASK
    assert secrets.hide("true") == "true"


def test_what_is_nested_is_secret_in_all_its_parts() -> None:
    secrets = SecretValues([{"user": "admin", "keys": ["first-key", 987654]}])
    assert secrets.hide("admin first-key 987654 user") == f"{MASK} {MASK} {MASK} user"
    assert secrets.hide_in({"a": ["x first-key", 987654, 1, None, True]}) == {
        "a": [f"x {MASK}", MASK, 1, None, True]}


@pytest.mark.parametrize("mark", [" … (70000 characters, cut)", "… (cut)", " … (12 bytes cut)"])
def test_the_beginning_of_a_value_at_a_cut_is_hidden(mark: str) -> None:
    assert SecretValues(["swordfish"]).hide(f"it is swordf{mark}") == f"it is {MASK}{mark}"


def test_an_exception_and_those_it_came_from_forget() -> None:
    try:
        try:
            raise KeyError("swordfish")
        except KeyError as error:
            raise ValueError("no swordfish", ["swordfish"]) from error
    except ValueError as error:
        SecretValues(["swordfish"]).hide_in_error(error)
        assert "swordfish" not in f"{error!r} {error.__cause__!r}"


def test_it_does_not_show_its_own_values() -> None:
    assert "swordfish" not in repr(SecretValues(["swordfish"]))


@given(st.text(min_size=4), st.text(), st.text())
def test_no_text_keeps_a_secret(secret: str, before: str, after: str) -> None:
    hidden = SecretValues([secret]).hide(before + secret + after)
    assert secret not in hidden.replace(MASK, "") or set(secret) <= {"*"}
