"""Contract tests are tested by doubles: implementations that each break one promise.

A module of tests makes one `Doubles` for a contract, registers its doubles, and parametrises a test
over `Doubles.names`. A contract test without a double, or one that a double passes, fails there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from aria_core.exceptions import AriaError

JUDGEMENTS = (AssertionError, pytest.fail.Exception, AriaError, SQLAlchemyError)
"""How a contract test may fail: by its own judgement, or by what the broken storage raises."""


class Doubles:
    """The doubles of one contract."""

    def __init__(self, contract: type[Any]) -> None:
        self._contract = contract
        self._kinds: dict[str, list[type[Any]]] = {}

    @property
    def names(self) -> list[str]:
        """The contract's tests, and whatever doubles were registered for besides."""
        tests = [name for name in dir(self._contract) if name.startswith("test_")]
        return sorted({*tests, *self._kinds})

    def breaks(self, *names: str) -> Callable[[type[Any]], type[Any]]:
        """Decorates a double that makes each of these contract tests fail."""
        def register(kind: type[Any]) -> type[Any]:
            for name in names:
                self._kinds.setdefault(name, []).append(kind)
            return kind

        return register

    def of(self, name: str) -> list[type[Any]]:
        """The doubles that are to break the contract test `name`; fails if there are none."""
        kinds = self._kinds.get(name, [])
        assert kinds, f"no double breaks {name}"
        return kinds

    def check(self, name: str, given: Mapping[str, Any]) -> None:
        """Run the contract test `name` with these fixtures; fails if it passes."""
        method = getattr(self._contract(), name)
        with pytest.raises(JUDGEMENTS):
            method(**{key: given[key] for key in inspect.signature(method).parameters})


def swallowing(base: type[Any], error: type[Exception], result: Any, *methods: str) -> type[Any]:
    """A class derived from `base` whose methods give `result` where they should raise `error`."""
    def quiet(name: str) -> Callable[..., Any]:
        def method(self: Any, *arguments: Any, **keywords: Any) -> Any:
            try:
                return getattr(base, name)(self, *arguments, **keywords)
            except error:
                return result

        return method

    kind: type[Any] = type(f"Quiet{base.__name__}", (base,), {name: quiet(name) for name in methods})
    return kind
