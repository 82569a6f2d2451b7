"""Running a call: what becomes of results, errors, attributes and logs."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from aria_core.testing.memory_channel import MemoryChannel
from aria_core.worker.calls import (
    Actor,
    Call,
    CallRef,
    ChannelAddress,
    Edit,
    Environment,
    Failed,
    Succeeded,
    report_from_json,
)
from aria_core.worker.channel_server import ChannelServer
from aria_core.worker.run import run_call, run_encoded

REF = CallRef(4, 5, 2)

OPERATIONS = '''
import logging, sys
from contextlib import contextmanager

def add(ctx, first, second): return first + second
def nothing(ctx): pass
def give(ctx, value): ctx.node.attributes.update(value)
def raise_value(ctx): raise ValueError("no good")
def raise_chain(ctx):
    try:
        raise_value(ctx)
    except ValueError as error:
        raise RuntimeError("outer") from error
def leave(ctx): sys.exit(3)
def interrupt(ctx): raise KeyboardInterrupt
def retry(ctx, **arguments): ctx.task.retry(**arguments)
def abort(ctx, **arguments): ctx.task.abort(**arguments)
def result(ctx, kind):
    return {"set": {1}, "big": "x" * 70000, "nan": float("nan"), "tuple": (1, (2,)), "huge": 10 ** 5000,
            "deep": DEEP, "evil": Evil()}[kind]
def edit_and_fail(ctx):
    ctx.node.attributes["kept"] = 1
    raise ValueError("after the edit")
def bad_edit(ctx, fail=False):
    ctx.node.attributes.update(good=[1], bad={"inner": {1}})
    if fail: raise ValueError("the operation's own")
async def asynchronous(ctx): pass
class Nameless(Exception):
    def __str__(self): raise RuntimeError
def raise_nameless(ctx): raise Nameless
def deep(ctx): deep(ctx)
class Evil(dict):
    def items(self): raise OSError("evil")
DEEP = []
for _ in range(5000): DEEP = [DEEP]
def speak(ctx):
    ctx.logger.debug("one")
    ctx.logger.info("two %s", 2)
    ctx.logger.warning("bad %s %s", "arguments")
    try: 1 / 0
    except ZeroDivisionError: ctx.logger.exception("three\\r\\nforged \\0 \\ud800")
    ctx.logger.error("x" * 100000)
def ask(ctx): return ctx.node.properties["port"]
def is_cancelled(ctx): return ctx.task.cancelled
ORDER = []
@contextmanager
def outer(call):
    ORDER.append(("outer", dict(call.arguments)))
    yield
    ORDER.append("outer ends")
@contextmanager
def inner(call):
    ORDER.append("inner")
    try: yield
    finally: ORDER.append("inner ends")
@contextmanager
def refusing(call):
    raise PermissionError("not today")
    yield
def wrapped(ctx, fail=False):
    ORDER.append("operation")
    if fail: raise ValueError("wrapped")
'''


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "operations.py").write_text(OPERATIONS)
    return tmp_path


@pytest.fixture
def channel() -> MemoryChannel:
    return MemoryChannel(nodes={7: {"name": "web", "properties": {"port": 80}, "attributes": {"old": 1}}})


def a_call(code: Path, function: str, **changes: Any) -> Call:
    return Call(**{"ref": REF, "function": f"operations:{function}", "code": str(code), "name": "the task",
                   "actor": Actor("node", 7, "web"), **changes})


def run(code: Path, function: str, channel: MemoryChannel | None = None, /, **arguments: Any) -> Any:
    return run_call(a_call(code, function, arguments=arguments), channel)


def test_an_operation_gets_its_arguments_and_its_result_is_kept(code: Path) -> None:
    assert run(code, "add", first=2, second=3) == Succeeded(REF, 5)


def test_an_operation_that_looks_at_nothing_asks_nothing(code: Path, channel: MemoryChannel) -> None:
    assert run(code, "nothing", channel) == Succeeded(REF)
    assert channel.asked == []
    assert channel.logs == []


def test_an_exception_becomes_its_class_message_and_traceback(code: Path) -> None:
    report = run(code, "raise_value")
    assert (report.ref, report.error, report.retry, report.after) == (REF, "ValueError: no good", None, None)
    assert "operations.py" in report.traceback
    assert "in raise_value" in report.traceback
    assert "worker" not in report.traceback


def test_the_cause_is_in_the_traceback(code: Path) -> None:
    report = run(code, "raise_chain")
    assert report.error == "RuntimeError: outer"
    assert "ValueError: no good" in report.traceback
    assert "direct cause" in report.traceback


@pytest.mark.parametrize(("function", "error"), [
    ("leave", "SystemExit: 3"),
    ("interrupt", "KeyboardInterrupt"),
    ("raise_nameless", "Nameless: (its text cannot be read)"),
    ("deep", "RecursionError: maximum recursion depth exceeded"),
    ("asynchronous", "TypeError: operations:asynchronous is asynchronous; an operation is a plain function"),
    ("missing", "FunctionImportError: the module operations has no 'missing', "
                "which 'operations:missing' asks for"),
])
def test_whatever_goes_wrong_is_a_failure(code: Path, function: str, error: str) -> None:
    report = run(code, function)
    assert isinstance(report, Failed)
    assert report.error.startswith(error)
    assert report.retry is None


def test_wrong_arguments_are_a_failure(code: Path) -> None:
    assert "missing 1 required positional argument: 'second'" in run(code, "add", first=1).error


def test_a_plugin_whose_code_is_missing_is_named(code: Path) -> None:
    report = run_call(Call(REF, "no_such_module:f", plugin=Environment("my-plugin")))
    assert isinstance(report, Failed)
    assert report.error.startswith("FunctionImportError: in the plugin my-plugin: there is no module no_such")


@pytest.mark.parametrize(("arguments", "error", "after"), [
    ({}, "TaskRetryException", None),
    ({"message": "later"}, "TaskRetryException: later", None),
    ({"message": "later", "retry_interval": 2}, "TaskRetryException: later", 2.0),
    ({"retry_interval": "soon"}, "TaskRetryException", None),
    ({"retry_interval": -1}, "TaskRetryException", None),
])
def test_an_operation_may_ask_for_another_attempt(code: Path, arguments: dict[str, Any], error: str,
                                                  after: float | None) -> None:
    report = run(code, "retry", **arguments)
    assert (report.error, report.retry, report.after) == (error, True, after)


def test_an_operation_may_give_up(code: Path) -> None:
    report = run(code, "abort", message="hopeless")
    assert (report.error, report.retry) == ("TaskAbortException: hopeless", False)


@pytest.mark.parametrize("kind", ["set", "big", "nan", "deep", "huge", "evil"])
def test_a_result_that_cannot_be_kept_is_a_warning_and_no_failure(code: Path, channel: MemoryChannel,
                                                                  kind: str) -> None:
    assert run(code, "result", channel, kind=kind) == Succeeded(REF)
    [(level, message)] = channel.messages
    assert level == "WARNING"
    assert message.startswith("the result was not kept: ")


def test_tuples_in_a_result_become_lists(code: Path) -> None:
    assert run(code, "result", kind="tuple").result == [1, [2]]


def test_edits_travel_with_success_and_with_failure(code: Path, channel: MemoryChannel) -> None:
    assert run(code, "give", channel, value={"new": [1]}).edits == (Edit("node", 7, "new", [1]),)
    assert run(code, "edit_and_fail", channel).edits == (Edit("node", 7, "kept", 1),)


def test_an_attribute_that_is_not_json_fails_the_operation_and_loses_nothing(
        code: Path, channel: MemoryChannel) -> None:
    report = run(code, "bad_edit", channel)
    assert report.error.startswith("NotJsonError: node web: attributes.bad.inner is a set")
    assert report.edits == (Edit("node", 7, "good", [1]),)


def test_an_attribute_that_is_not_json_does_not_hide_the_operations_own_error(
        code: Path, channel: MemoryChannel) -> None:
    report = run(code, "bad_edit", channel, fail=True)
    assert report.error == "ValueError: the operation's own"
    assert report.edits == (Edit("node", 7, "good", [1]),)
    assert "attributes.bad.inner is a set" in channel.messages[0][1]


def test_log_records_reach_the_channel_at_once_and_nobody_else(
        code: Path, channel: MemoryChannel, caplog: pytest.LogCaptureFixture) -> None:
    before = set(logging.Logger.manager.loggerDict)
    run(code, "speak", channel)
    assert channel.messages[:4] == [
        ("DEBUG", "one"), ("INFO", "two 2"), ("WARNING", "bad %s %s ('arguments',)"),
        ("ERROR", "three\r\nforged \N{REPLACEMENT CHARACTER} ?")]
    assert "ZeroDivisionError" in channel.logs[3]["traceback"]
    assert channel.messages[4][1].endswith("… (100000 characters, cut)")
    assert not caplog.records
    assert set(logging.Logger.manager.loggerDict) == before


def test_without_a_channel_asking_is_the_operations_failure(code: Path) -> None:
    assert run(code, "ask").error.startswith("ChannelError: cannot ask for 'node': this call runs without")


def test_cancelling_is_seen_by_an_operation_that_looks(code: Path) -> None:
    cancelled = threading.Event()
    call = a_call(code, "is_cancelled")
    assert run_call(call, None, cancelled) == Succeeded(REF, False)
    cancelled.set()
    assert run_call(call, None, cancelled) == Succeeded(REF, True)
    assert run_call(call) == Succeeded(REF, False)


@pytest.fixture
def wrappers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "wrapping_package.py").write_text(OPERATIONS)
    monkeypatch.syspath_prepend(tmp_path / "installed")
    import importlib

    yield importlib.import_module("wrapping_package")
    del sys.modules["wrapping_package"]


def test_wrappers_surround_the_operation_in_order_and_see_its_call(wrappers: Any) -> None:
    call = Call(REF, "wrapping_package:wrapped", {"fail": False},
                wrappers=("wrapping_package:outer", "wrapping_package:inner"))
    assert run_call(call) == Succeeded(REF)
    assert wrappers.ORDER == [("outer", {"fail": False}), "inner", "operation", "inner ends", "outer ends"]


def test_an_operation_that_fails_fails_through_its_wrappers(wrappers: Any) -> None:
    call = Call(REF, "wrapping_package:wrapped", {"fail": True}, wrappers=("wrapping_package:inner",))
    report = run_call(call)
    assert isinstance(report, Failed)
    assert report.error == "ValueError: wrapped"
    assert wrappers.ORDER == ["inner", "operation", "inner ends"]


def test_a_wrapper_that_refuses_keeps_the_operation_from_running(wrappers: Any) -> None:
    report = run_call(Call(REF, "wrapping_package:wrapped", wrappers=("wrapping_package:refusing",)))
    assert isinstance(report, Failed)
    assert report.error == "PermissionError: not today"
    assert wrappers.ORDER == []


def test_an_encoded_call_runs_through_its_own_channel(code: Path, channel: MemoryChannel) -> None:
    with ChannelServer(lambda ref, request: channel.ask(request) if "ask" in request
                       else channel.tell(request)) as server:
        call = a_call(code, "ask", channel=server.address_for(REF))
        assert report_from_json(json.loads(run_encoded(call.encode()))) == Succeeded(REF, 80)


def test_an_encoded_call_whose_runner_is_gone_fails_when_it_asks(code: Path, tmp_path: Path) -> None:
    address = ChannelAddress(str(tmp_path / "gone"), "key")
    asking, silent = (a_call(code, name, channel=address).encode() for name in ("ask", "nothing"))
    assert "the runner cannot be reached" in json.loads(run_encoded(asking))["error"]
    assert json.loads(run_encoded(silent))["report"] == "succeeded"


def test_workers_need_nothing_but_the_standard_library() -> None:
    program = """
import importlib, pkgutil, sys
before = set(sys.modules)
import aria_core.worker
for each in pkgutil.iter_modules(aria_core.worker.__path__):
    if not each.name.startswith("__"):
        importlib.import_module(f"aria_core.worker.{each.name}")
found = {name for name in set(sys.modules) - before if name.partition(".")[0] not in sys.stdlib_module_names}
allowed = {"aria_core", "aria_core.exceptions"}
print(sorted(name for name in found - allowed if not name.startswith("aria_core.worker")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
