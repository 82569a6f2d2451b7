"""Running a call: the one function that does so anywhere."""

from __future__ import annotations

import json
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from aria_core.exceptions import NotJsonError
from aria_core.worker.calls import (
    LONGEST_WAIT,
    Call,
    Edit,
    Failed,
    FinalReport,
    Lost,
    Succeeded,
    report_to_json,
)
from aria_core.worker.channel import Channel, NoChannel, SocketChannel
from aria_core.worker.context import Cancellation, OperationContext, make_context
from aria_core.worker.current import RUNNING
from aria_core.worker.functions import FunctionImportError, import_function
from aria_core.worker.json_values import dump_json
from aria_core.worker.logs import storable
from aria_core.worker.outcomes import (
    PluginOperationError,
    TaskAbortException,
    TaskRetryException,
    class_names,
    plugin_error,
)

if TYPE_CHECKING:
    from aria_core.worker.plugin_workers import Exchange, PluginWorkers

RESULT_LIMIT = 64 * 1024

_ERROR_LIMIT = 8 * 1024
_WORKER = str(Path(__file__).parent)


def run_call(call: Call, channel: Channel | None = None, cancelled: Cancellation | None = None,
             exchange: Exchange | None = None) -> FinalReport:
    """Run the call now, from this process; never raises.

    `channel` leads to the runner (None: the operation cannot ask, its logs are dropped); `cancelled`
    shows as ``ctx.task.cancelled``. Whatever the operation raises, also ``SystemExit``
    and ``KeyboardInterrupt``, makes it ``Failed``; changed attributes are in either report.

    Wrappers run here. So does the operation, unless it is a plugin's: `exchange` has that run in the
    plugin's environment (None: by a warm worker that is a child of this process). Only such a call can
    be ``Lost``.
    """
    if call.plugin is None:
        return run_here(call, channel, cancelled)
    return _run_elsewhere(call, channel or NoChannel(), cancelled, exchange or (
        lambda call, channel: _plugin_workers().exchange(call, channel, cancelled)))


def run_here(call: Call, channel: Channel | None = None,
             cancelled: Cancellation | None = None) -> Succeeded | Failed:
    """Run the call in this very environment, whoever it belongs to; otherwise as `run_call`."""
    ctx = make_context(call, channel, cancelled)
    token = RUNNING.set(ctx)
    try:
        function = _import(call)
        if call.wrappers:
            return _success(call, ctx, _surrounded(call, partial(_called, call, function, ctx)))
        return _success(call, ctx, _called(call, function, ctx))
    except BaseException as error:  # noqa: BLE001 - an operation may raise anything, and that is a report
        return _failed(call, ctx, error)
    finally:
        RUNNING.reset(token)


def _success(call: Call, ctx: OperationContext, result: Any) -> Succeeded | Failed:
    edits, problems = _edits(ctx)
    if problems:
        refused = NotJsonError("; ".join(problems))
        return Failed(call.ref, _error(refused), edits=edits, classes=class_names(refused))
    return Succeeded(call.ref, _result(ctx, result), edits)


def _run_elsewhere(call: Call, channel: Channel, cancelled: Cancellation | None,
                   exchange: Exchange) -> FinalReport:
    """Have a plugin's call run in its environment, with its wrappers here."""
    ctx = make_context(call, channel, cancelled)
    told: list[FinalReport] = []

    def operate() -> Any:
        told.append(report := exchange(replace(call, wrappers=()), channel))
        if isinstance(report, Succeeded):
            return report.result
        raise plugin_error(report)

    token = RUNNING.set(ctx)
    try:
        own = _success(call, ctx, _surrounded(call, operate) if call.wrappers else operate())
    except PluginOperationError as error:
        own = _failed(call, ctx, error)
        if error.report in told and isinstance(error.report, Failed):
            own = replace(error.report, edits=own.edits)
    except BaseException as error:  # noqa: BLE001 - a wrapper may raise anything, and that is a report
        own = _failed(call, ctx, error)
    finally:
        RUNNING.reset(token)
    return _united(told, own)


def _united(told: list[FinalReport], own: Succeeded | Failed) -> FinalReport:
    """What is reported of a plugin's call: how it ended here, with the attributes that were changed there."""
    if not told:
        return own
    if isinstance(told[-1], Lost):
        return told[-1]
    return replace(own, edits=(*told[-1].edits, *own.edits))


@lru_cache(1)
def _plugin_workers() -> PluginWorkers:
    """Those of this process: calls that come one by one find them warm."""
    from aria_core.worker.plugin_workers import PluginWorkers

    return PluginWorkers()


def let_plugin_workers_go() -> None:
    """End the idle workers that `run_call` and `run_encoded` keep warm in this process."""
    if _plugin_workers.cache_info().currsize:
        _plugin_workers().end_idle()


def run_encoded(data: bytes) -> bytes:
    """Run an encoded call, through its own channel if it has one; returns the encoded report.

    Raises ``ValueError`` only for what is no call.
    """
    call = Call.decode(data)
    if call.channel is None:
        report = run_call(call)
    else:
        with SocketChannel(call.channel, call.ref) as channel:
            channel.tell({"tell": "started", "where": f"{socket.gethostname()}:{os.getpid()}"})
            report = run_call(call, channel)
            channel.settle()  # the report travels another way and must not overtake the log
    return json.dumps(report_to_json(report), separators=(",", ":"), allow_nan=False).encode()


def _surrounded(call: Call, operate: Callable[[], Any]) -> Any:
    """What `operate` returns, with the call's wrappers around it."""
    with ExitStack() as stack:
        for wrapper in call.wrappers:
            stack.enter_context(import_function(wrapper)(call))
        return operate()
    return None  # a wrapper swallowed what was raised


def _called(call: Call, function: Callable[..., Any], ctx: OperationContext) -> Any:
    result = function(ctx=ctx, **call.arguments)
    if isinstance(result, CoroutineType):
        result.close()
        raise TypeError(f"{call.function} is asynchronous; an operation is a plain function")
    return result


def _import(call: Call) -> Any:
    try:
        return import_function(call.function, call.code)
    except FunctionImportError as error:
        if call.plugin is None:
            raise
        raise FunctionImportError(f"in the plugin {call.plugin.plugin}: {error}") from error.__cause__


def _failed(call: Call, ctx: OperationContext, error: BaseException) -> Failed:
    edits, problems = _edits(ctx)
    for problem in problems:
        ctx.logger.warning("an attribute was not stored: %s", problem)
    retry = {TaskRetryException: True, TaskAbortException: False}
    verdict = next((value for kind, value in retry.items() if isinstance(error, kind)), None)
    after = error.retry_interval if isinstance(error, TaskRetryException) else None
    return Failed(call.ref, _error(error), _traceback(error), verdict, _seconds(after), edits,
                  class_names(error))


def _edits(ctx: OperationContext) -> tuple[tuple[Edit, ...], list[str]]:
    try:
        edits, problems = ctx.edits()
    except Exception as error:  # noqa: BLE001 - attributes may hold objects whose methods raise
        return (), [f"the changed attributes cannot be read: {_error(error)}"]
    return tuple(edits), problems


def _result(ctx: OperationContext, result: Any) -> Any:
    if result is None:
        return None
    try:
        text = dump_json(result, "the result")
    except Exception as error:  # noqa: BLE001 - the effect has happened; its result may be anything
        ctx.logger.warning("the result was not kept: %s", error)
        return None
    size = len(text.encode())
    if size > RESULT_LIMIT:
        ctx.logger.warning("the result was not kept: it has %d bytes, at most %d are", size, RESULT_LIMIT)
        return None
    return json.loads(text)


def _seconds(value: Any) -> float | None:
    """What an operation asked to wait, if it is a sensible number of seconds."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return min(seconds, LONGEST_WAIT) if 0 <= seconds < float("inf") else None


def _error(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - an exception of the operation's own may not know its text
        message = "(its text cannot be read)"
    name = type(error).__name__
    return storable(f"{name}: {message}" if message else name, _ERROR_LIMIT)


def _traceback(error: BaseException) -> str:
    try:
        told = traceback.TracebackException.from_exception(error)
        for each in _chain(told):
            kept = [frame for frame in each.stack if not frame.filename.startswith(_WORKER)]
            each.stack = traceback.StackSummary.from_list(kept)
        return storable("".join(told.format()))
    except Exception as problem:  # noqa: BLE001 - an unreadable traceback must not hide the error
        return f"(the traceback cannot be read: {type(problem).__name__})"


def _chain(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """The exception and those it came from."""
    waiting: list[traceback.TracebackException | None] = [told]
    while waiting:
        each = waiting.pop()
        if each is not None:
            yield each
            waiting += [each.__cause__, each.__context__, *(each.exceptions or ())]
