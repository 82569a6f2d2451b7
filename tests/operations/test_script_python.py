"""Scripts in Python that are evaluated in the operation's own process, with ``ctx`` and ``inputs``."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from aria_core import Edit, Succeeded

EVALUATED = """
    import os
    assert __name__ == "__main__"
    ctx.node.attributes["seen"] = [inputs["a"], os.getpid(), ctx.task.attempt, os.path.basename(__file__)]
    """


@pytest.mark.parametrize(("process", "path"), [
    (None, "x.py"), ({}, "x.py"), ({"eval_python": None}, "x.py"), ({"eval_python": True}, "x.py"),
    ({"eval_python": True}, "plain"), ({"eval_python": True, "args": ["x"]}, "x.py")])
def test_python_is_evaluated_with_ctx_and_inputs(host: Any, process: dict[str, Any] | None,
                                                         path: str) -> None:
    report = host.run(EVALUATED, process, path=path, a={"b": 1})
    seen = [{"b": 1}, os.getpid(), 3, path]
    assert report == Succeeded(host.ref, None, (Edit("node", 1, "seen", seen),))


@pytest.mark.parametrize("process", [
    {"eval_python": False}, {"command_prefix": sys.executable}, {"args": ["x"]}, {"env": {"x": "y"}},
    {"cwd": "/"}])
def test_python_is_a_child_if_that_is_said_or_anything_about_a_process(
        host: Any, process: dict[str, Any]) -> None:
    assert host.out("import os; print(os.getppid(), 'ctx' in globals())", process, path="x.py") == [
        f"{os.getpid()} False"]


def test_settings_without_effect_are_told(host: Any) -> None:
    host.run("pass", {"eval_python": True, "args": ["x"], "cwd": "/"}, path="x.py")
    assert host.channel.messages == [
        ("WARNING", "x.py is evaluated in the process of its worker; what its settings say about cwd, args "
                    "has no effect")]


def test_only_python_is_evaluated_unless_that_is_said(host: Any) -> None:
    assert host.out("echo shell") == ["shell"]
    assert host.error("echo shell", {"eval_python": True}).error.startswith("SyntaxError")


@pytest.mark.parametrize(("script", "error", "retry"), [
    ("1 / 0", "ZeroDivisionError: division by zero", None),
    ("ctx.task.abort('no')", "TaskAbortException: no", False),
    ("ctx.task.retry('later', 5)", "TaskRetryException: later", True),
    ("ctx.node.properties['nothing']", "KeyError: 'nothing'", None),
    ("import sys; sys.exit(4)", "SystemExit: 4", None),
    ("def f(:", "SyntaxError: invalid syntax", None),
])
def test_evaluated_python_fails_as_any_operation(host: Any, script: str, error: str,
                                                 retry: bool | None) -> None:
    report = host.error(script, path="x.py")
    assert report.error.startswith(error)
    assert report.retry is retry


def test_evaluated_python_may_import_its_ctx(host: Any) -> None:
    report = host.run("from aria_core import ctx as mine\nmine.node.attributes['name'] = mine.node.name",
                      path="x.py")
    assert report == Succeeded(host.ref, None, (Edit("node", 1, "name", "web"),))


def test_the_traceback_of_evaluated_python_names_the_script(host: Any) -> None:
    report = host.error("def f():\n    1 / 0\nf()", path="scripts/x.py")
    assert '  File "<scripts/x.py>", line 3, in <module>' in report.traceback
    assert '  File "<scripts/x.py>", line 2, in f' in report.traceback


def test_evaluated_python_may_exit_well(host: Any) -> None:
    host.out("import sys; sys.exit(0)", path="x.py")


def test_evaluated_python_has_inputs_that_no_environment_can_carry(host: Any) -> None:
    values = {"a-b": "x\0y", "long": "x" * 200_000}
    host.out(f"assert inputs == {values!r}", path="x.py", **values)
