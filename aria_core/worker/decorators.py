"""The decorator of operations: any environment has it, so it needs the standard library only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial, wraps
from typing import Any, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from aria_core.worker.arguments import OPERATION_DECORATOR_RESERVED_ARGUMENTS, AcceptedArguments
from aria_core.worker.toolbelt import toolbelt as toolbelt_of

P = ParamSpec("P")
T = TypeVar("T")

Handlers: TypeAlias = Iterable[logging.Handler]


class OperationDecorator(Protocol):
    """What ``operation(suffix_template=…)`` returns."""

    def __call__(self, func: Callable[P, T], /) -> Callable[P, T]: ...


class ToolbeltDecorator(Protocol):
    """What ``operation(toolbelt=True)`` returns: callers leave the toolbelt out."""

    def __call__(self, func: Callable[..., T], /) -> Callable[..., T]: ...


@overload
def operation(func: Callable[P, T], toolbelt: Literal[False] = False, suffix_template: str = "",
              logging_handlers: Handlers | None = None) -> Callable[P, T]: ...
@overload
def operation(func: Callable[..., T], toolbelt: bool, suffix_template: str = "",
              logging_handlers: Handlers | None = None) -> Callable[..., T]: ...
@overload
def operation(func: None = None, toolbelt: Literal[False] = False, suffix_template: str = "",
              logging_handlers: Handlers | None = None) -> OperationDecorator: ...
@overload
def operation(func: None = None, *, toolbelt: bool, suffix_template: str = "",
              logging_handlers: Handlers | None = None) -> ToolbeltDecorator: ...
def operation(func: Any = None, toolbelt: bool = False, suffix_template: str = "",
              logging_handlers: Handlers | None = None) -> Any:
    """Operation decorator.

    The function is called with ``ctx`` (the operation's context) and the task's arguments, all by
    keyword; what it returns becomes the task's result. With `toolbelt` it also gets ``toolbelt``, the
    shortcuts that fit its actor. `suffix_template` is a format string that may use ``ctx`` and the
    arguments: ``ctx.name`` becomes the function's name and that suffix. `logging_handlers` are attached
    to ``ctx.logger`` while the operation runs.

    Arguments that are missing or unknown raise ``InvalidInputError`` before the function is called.
    """
    handlers = tuple(logging_handlers or ())
    if func is None:
        return partial(operation, toolbelt=toolbelt, suffix_template=suffix_template,
                       logging_handlers=handlers)
    accepted = AcceptedArguments("operation", func, OPERATION_DECORATOR_RESERVED_ARGUMENTS)
    provided = frozenset({"toolbelt"} if toolbelt else ())

    @wraps(func)
    def run(*positional: Any, **given: Any) -> Any:
        arguments = accepted.complete(accepted.by_name(positional, given), provided=provided)
        ctx = arguments.get("ctx")
        if toolbelt:
            arguments["toolbelt"] = toolbelt_of(ctx)
        if suffix_template and ctx is not None:
            ctx.name = f"{accepted.function_name}.{accepted.suffix(suffix_template, arguments)}"
        with _attached(ctx, handlers):
            return func(**arguments)

    return run


def _attached(ctx: Any, handlers: tuple[logging.Handler, ...]) -> AbstractContextManager[object]:
    if not handlers or ctx is None:
        return nullcontext()
    attached: AbstractContextManager[object] = ctx.logging_handlers(handlers)
    return attached
