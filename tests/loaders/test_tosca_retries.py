"""How an operation of a template says when it is tried again."""

from __future__ import annotations

from typing import Any

import pytest

from aria_core import LoadError, RetryPolicy


def test_settings_make_one_policy(load_operation: Any) -> None:
    operation = load_operation("[aria.retry_interval > 1, aria.retry_backoff > 2, "
                     "aria.retry_max_interval > 60, aria.retry_jitter > 0.5, 'aria.retry_on > [OSError]', "
                     "'aria.abort_on > [shop.Broken]', "
                     "aria.heartbeat_timeout > 3]")
    assert operation.retry_interval == 1
    assert operation.heartbeat_timeout == 3
    assert operation.retry == RetryPolicy(backoff=2, max_interval=60, jitter=0.5, retry_on=("OSError",),
                                          abort_on=("shop.Broken",))


@pytest.mark.parametrize(("setting", "takes"), [
    ("aria.retry_backoff > 0.5", "a factor of at least 1"),
    ("aria.retry_jitter > 2", "a fraction from 0 to 1"),
    ("aria.retry_max_interval > soon", "a number of seconds, or 0"),
    ("aria.retry_on > OSError", "a list of names"), ("aria.abort_on > [1]", "a list of names"),
    ("aria.heartbeat_timeout > -1", "a number of seconds")])
def test_a_value_that_does_not_fit_is_a_located_problem(
        load_operation: Any, setting: str, takes: str) -> None:
    problem = rf"service.yaml:11:\d+: the setting `{setting.split(maxsplit=1)[0]}` takes {takes}"
    with pytest.raises(LoadError, match=problem):
        load_operation(f"['{setting}']")
