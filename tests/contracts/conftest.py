"""Runs one test of a contract on a double and says whether it notices."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest


def contract_fails(contract: type[Any], name: str, **given: object) -> bool:
    """Whether the contract's test `name` fails when it is given these fixtures.

    An error of the double itself counts, as it does for whoever runs the contract; a skip does not.
    """
    test = getattr(contract(), name)
    try:
        test(**{key: given[key] for key in inspect.signature(test).parameters})
    except pytest.skip.Exception as skipped:
        raise AssertionError(f"a double must declare what the test needs: {skipped}") from skipped
    except (Exception, pytest.fail.Exception):
        return True
    return False


@pytest.fixture(name="contract_fails")
def contract_fails_fixture() -> Callable[..., bool]:
    """`contract_fails`, for modules that cannot import each other."""
    return contract_fails
