"""The retry policy alone: how long is waited, what is tried again, what is said where."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.retries import LONGEST_WAIT, ExecutionRetries, RetryPolicy
from aria_core.worker.calls import CallRef, Failed, report_from_json, report_to_json
from aria_core.worker.outcomes import class_names

SECONDS = st.floats(0, 1e300)
FRACTIONS = st.floats(0, 1)
NAMES = st.none() | st.lists(st.sampled_from(["ValueError", "OSError", "shop.errors.Busy"]), max_size=3)
POLICIES = st.builds(
    RetryPolicy, interval=st.none() | SECONDS, backoff=st.none() | st.floats(1, 1e300),
    max_interval=st.none() | SECONDS, jitter=st.none() | FRACTIONS, retry_on=NAMES, abort_on=NAMES)


@given(POLICIES, st.integers(1, 10**6), FRACTIONS)
def test_a_wait_lies_between_what_jitter_leaves_and_the_longest(
        policy: RetryPolicy, failures: int, chance: float) -> None:
    longest = policy.longest(failures)
    least = longest * (1 - (policy.jitter or 0))
    assert 0 <= least <= policy.delay(failures, lambda: chance) <= longest <= LONGEST_WAIT
    if policy.max_interval:
        assert longest <= policy.max_interval


@given(POLICIES, st.integers(1, 10**4))
def test_waits_never_get_shorter_and_one_factor_is_constant(policy: RetryPolicy, failures: int) -> None:
    assert policy.longest(failures) <= policy.longest(failures + 1)
    if policy.backoff in (None, 1):
        assert policy.longest(failures) == policy.longest(1)


def test_a_backoff_of_two_doubles_up_to_the_cap() -> None:
    policy = RetryPolicy(interval=0.5, backoff=2, max_interval=3)
    assert [policy.delay(each, lambda: 0.9) for each in range(1, 6)] == [0.5, 1, 2, 3, 3]


def test_jitter_takes_away_the_fraction_that_chance_says() -> None:
    policy = RetryPolicy(interval=10, jitter=0.5)
    assert [policy.delay(1, lambda each=each: each) for each in (0.0, 0.5, 1.0)] == [10, 7.5, 5]


class Busy(ConnectionError):
    """An error of somebody's own."""


@pytest.mark.parametrize(("rules", "allowed"), [
    ({}, True),
    ({"retry_on": []}, True),
    ({"retry_on": ["Busy"]}, True),
    ({"retry_on": [f"{__name__}.Busy"]}, True),
    ({"retry_on": [Busy, ValueError]}, True),
    ({"retry_on": [ConnectionError]}, True),
    ({"retry_on": ["OSError"]}, True),
    ({"retry_on": ["Exception"]}, True),
    ({"retry_on": ["ValueError"]}, False),
    ({"retry_on": ["elsewhere.Busy"]}, False),
    ({"abort_on": ["OSError"]}, False),
    ({"abort_on": ["ValueError"]}, True),
    ({"retry_on": ["Busy"], "abort_on": ["OSError"]}, False),
])
def test_rules_mean_a_class_and_what_comes_from_it(rules: dict[str, Any], allowed: bool) -> None:
    assert RetryPolicy(**rules).allows(class_names(Busy())) is allowed


def test_rules_say_nothing_of_an_error_whose_class_is_not_known() -> None:
    assert RetryPolicy(retry_on=("ValueError",)).allows(())


@given(POLICIES)
def test_a_policy_survives_json_and_what_a_newer_one_adds(policy: RetryPolicy) -> None:
    data = json.loads(json.dumps(policy.to_json()))
    assert RetryPolicy.from_json({**data, "moon": "full"}) == policy


def test_no_json_is_a_policy_that_says_nothing() -> None:
    assert RetryPolicy.from_json(None) == RetryPolicy()


@given(POLICIES, POLICIES)
def test_a_policy_over_another_takes_value_by_value(first: RetryPolicy, second: RetryPolicy) -> None:
    both = first.over(second)
    for name in ("interval", "backoff", "max_interval", "jitter", "retry_on", "abort_on"):
        said = getattr(first, name)
        assert getattr(both, name) == (getattr(second, name) if said is None else said)


@pytest.mark.parametrize(("field", "value"), [
    ("interval", -1), ("interval", float("inf")), ("interval", "1"), ("backoff", 0.5), ("backoff", True),
    ("max_interval", -0.1), ("jitter", 1.1), ("jitter", float("nan")), ("retry_on", "ValueError"),
    ("abort_on", [1]), ("abort_on", [""])])
def test_a_value_that_does_not_fit_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"{field} of a retry policy is .*; it takes a"):
        RetryPolicy(**{field: value})


@pytest.mark.parametrize("budget", [0, -2])
def test_a_budget_that_does_not_fit_is_refused(budget: int) -> None:
    with pytest.raises(InvalidInputError, match="at least 1 failed attempt, or -1"):
        ExecutionRetries(budget=budget)


def test_a_report_carries_the_classes_and_an_older_worker_sends_none() -> None:
    report = Failed(CallRef(1, 2, 3), "Busy", classes=class_names(Busy()))
    data = json.loads(json.dumps(report_to_json(report)))
    assert report_from_json(data) == report
    assert report.classes[:3] == (f"{__name__}.Busy", "ConnectionError", "OSError")
    del data["classes"]
    assert report_from_json(data) == Failed(CallRef(1, 2, 3), "Busy")
