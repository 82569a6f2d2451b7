"""Attributes that are made when they are first looked at: most operations look at few of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - it stands where `property` would
    """A property whose method runs once; needs no lock, and all threads get the same object.

    (`functools.cached_property` holds a lock on Python 3.11, and none of the later ones sees to the threads.)
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        if instance is None:
            return self
        # Atomic: when several threads make one, the first stays.
        found: T = instance.__dict__.setdefault(self._name, self._make(instance))
        return found
