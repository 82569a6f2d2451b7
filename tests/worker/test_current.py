"""``aria_core.ctx``: the context of the operation that this thread runs."""

from __future__ import annotations

import copy
import threading
from pathlib import Path

import pytest

from aria_core import Call, CallRef, Succeeded, ctx, run_call

OPERATIONS = """
import threading

from aria_core import ctx


def same(ctx):
    from aria_core import ctx as current
    current.name = "renamed"
    return [current.task.token, ctx.name, repr(current), current.execution_id == ctx.execution_id]


def in_a_thread(ctx):
    told = []

    def ask():
        try:
            told.append(globals()["ctx"].name)
        except RuntimeError as error:
            told.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return told
"""


@pytest.fixture
def code(tmp_path: Path) -> str:
    (tmp_path / "current_operations.py").write_text(OPERATIONS)
    return str(tmp_path)


def test_it_is_the_context_that_the_operation_is_given(code: str) -> None:
    call = Call(CallRef(1, 2, 3), "current_operations:same", name="called", code=code)
    assert run_call(call) == Succeeded(call.ref, ["1/2", "renamed", "<ctx of 'renamed'>", True])


def test_outside_of_operations_it_says_that_there_is_none() -> None:
    with pytest.raises(RuntimeError, match=r"there is no ctx\.node here: this thread runs no operation"):
        ctx.node.attributes["x"] = 1
    assert repr(ctx) == "<ctx outside of an operation>"
    assert not hasattr(ctx, "__wrapped__")
    assert repr(copy.copy(ctx)) == repr(ctx)


def test_a_thread_of_an_operation_has_none(code: str) -> None:
    call = Call(CallRef(1, 1, 1), "current_operations:in_a_thread", code=code)
    assert run_call(call) == Succeeded(
        call.ref, ["there is no ctx.name here: this thread runs no operation"])


def test_operations_in_several_threads_have_their_own(code: str) -> None:
    tokens = {}

    def run(number: int) -> None:
        call = Call(CallRef(1, number, 1), "current_operations:same", code=code)
        report = run_call(call)
        assert isinstance(report, Succeeded)
        tokens[number] = report.result[0]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert tokens == {number: f"1/{number}" for number in range(8)}
