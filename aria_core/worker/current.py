"""``ctx``: the context of the operation that runs now, for those who are not handed it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aria_core.worker.context import OperationContext

RUNNING: ContextVar[OperationContext] = ContextVar("running_operation")
"""Set by whoever runs an operation; each thread has its own."""


class CurrentContext:
    """Stands for the context of the operation that this thread runs.

    A thread that an operation starts has none: hand ``ctx`` to it. Outside of operations, looking at it
    raises ``RuntimeError``.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(_current(name), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_current(name), name, value)

    def __repr__(self) -> str:
        context = RUNNING.get(None)
        return "<ctx outside of an operation>" if context is None else f"<ctx of {context.name!r}>"


def _current(name: str) -> OperationContext:
    context = RUNNING.get(None)
    if context is not None:
        return context
    if name.startswith("__"):  # somebody looks what kind of object this is, e.g. a debugger
        raise AttributeError(name)
    raise RuntimeError(f"there is no ctx.{name} here: this thread runs no operation")


ctx: Any = CurrentContext()
