"""Calls of functions of TOSCA 2.0, as they stand among the values of a translated document."""

from __future__ import annotations

from .values import Mapping


class Call(Mapping):
    """A call that calculates; no map of version 1 can be one. The name of its function begins with ``$``."""

    __slots__ = ()


class Later(Mapping):
    """A call that nothing evaluates yet: whatever its value will be, there is none."""

    __slots__ = ()
