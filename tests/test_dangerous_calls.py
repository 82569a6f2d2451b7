"""Nothing in the packages unpickles, evaluates, unpacks or asks a shell; what does is named here, and why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import aria_core
import aria_plugins

ROOTS = (Path(aria_core.__file__).parent, Path(aria_plugins.__file__).parent)

MODULES = frozenset({"pickle", "cPickle", "_pickle", "marshal", "shelve", "jsonpickle", "dill", "cloudpickle",
                     "dbm", "xmlrpc"})
"""Reading what they wrote runs code."""

CALLS = frozenset({"eval", "exec", "compile", "extractall", "extract", "unpack_archive", "system", "popen",
                   "getoutput", "getstatusoutput", "create_subprocess_shell", "mktemp",
                   "exec_module", "load_module", "__import__"})
"""Last part of the name that is called."""

YAML = frozenset({"load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all"})
"""Of ``yaml``; `safe_load` makes no objects."""

EXPLAINED = {
    ("aria_plugins/operations/script/local.py", "compile"): "eval_python: the template's script, on its wish",
    ("aria_plugins/operations/script/local.py", "exec"): "eval_python: the template's script, on its wish",
    ("aria_core/storage/sql/prepared.py", "compile"): "a statement of ours into SQL text",
    ("aria_core/storage/sql/singles.py", "compile"): "a statement of ours into SQL text",
    ("aria_core/worker/functions.py", "exec_module"): "operations and workflows are functions to import",
    ("aria_core/worker/functions.py", "__import__"): "operations and workflows are functions to import",
    ("aria_core/testing/operations.py", "__import__"): "an operation that shows what it can import",
}


def findings(source: str) -> Iterator[str]:
    """The names of what a module does that needs an explanation."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            is_plain = isinstance(node, ast.Import)
            names = [each.name for each in node.names] if is_plain else [node.module or ""]
            yield from (name for name in names if name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            yield from _of_call(node)


def _of_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    head, _, last = name.rpartition(".")
    if (last in CALLS and not (last == "compile" and head == "re")) or (last in YAML and head == "yaml"):
        yield last
    for each in call.keywords:
        is_off = isinstance(each.value, ast.Constant) and each.value.value is False
        if each.arg == "shell" and not is_off:
            yield "shell"


def test_each_dangerous_call_is_explained() -> None:
    found = {(f"{root.name}/{path.relative_to(root).as_posix()}", name)
             for root in ROOTS for path in root.rglob("*.py") for name in findings(path.read_text("utf-8"))}
    assert found == set(EXPLAINED)
    assert all(EXPLAINED.values())


@pytest.mark.parametrize("source", [
    "import pickle", "from marshal import loads", "import shelve as s", "from jsonpickle.unpickler import x",
    "eval('1')", "exec('1')", "builtins.eval(x)", "archive.extractall('.')", "zip.extract(name)",
    "shutil.unpack_archive(x)", "yaml.load(x, Loader=y)", "yaml.unsafe_load(x)", "os.system('x')",
    "subprocess.run('x', shell=True)", "subprocess.run('x', shell=wanted)", "__import__('x')",
    "tempfile.mktemp()"])
def test_it_sees_what_it_is_to_see(source: str) -> None:
    assert list(findings(source))


@pytest.mark.parametrize("source", [
    "import json", "re.compile('x')", "yaml.safe_load(x)", "subprocess.run(['x'], shell=False)",
    "json.load(x)", "loader.load(x)"])
def test_it_lets_pass_what_is_harmless(source: str) -> None:
    assert not list(findings(source))
