"""Cases 15 and 16: plugins and templates whose modules may not be forked, or cannot be imported."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from aria_core.modeling.builder import call
from aria_core.modeling.expressions import get_input
from aria_core.modeling.specification import OperationSpec
from aria_core.testing.crash import CrashSite
from aria_core.testing.wagons import make_wagon, make_wheel, write_wagon

DIRECTORY = {"directory": get_input("directory")}
TASKS = 100
MAX_ATTEMPTS = 2


# A plugin has nothing of ours, so it brings what writes its effects down.
NOTING = """\
import os
import time


def note(ctx, directory, what):
    line = f"{os.environ['ARIA_ATTEMPT']} {what} {os.getpid()} {time.time():.6f}\\n"
    file = os.open(f"{directory}/effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)
"""


def wagon(directory: Path, name: str, modules: dict[str, str]) -> Path:
    """A plugin of these modules."""
    own = {module: source.replace("aria_core.testing.effects", ".noting")
           for module, source in {**modules, f"{name}.noting": NOTING}.items()}
    files = {f"{module.replace('.', '/')}.py": source for module, source in own.items()}
    return write_wagon(directory / f"{name}.wgn", make_wagon(name, wheels=[make_wheel(name, files=files)]))


@pytest.mark.fault(15, executors=["thread", "process"], databases=["sqlite"], small=1, long=20)
def test_modules_that_nobody_may_fork_stop_nobody(cell: Any) -> None:
    for trial in cell.trials():
        source = (Path(__file__).parent / "service" / "unsafe.py").read_text()
        plugin = wagon(trial.directory, "hazard", {"hazard.operations": source, "hazard.__init__": ""})
        of_plugin = {f"plugin-{number}": call("hazard.operations:work", plugin="hazard", inputs=DIRECTORY)
                     for number in range(TASKS // 2)}
        of_template = {f"template-{number}": call("unsafe:work", inputs=DIRECTORY)
                       for number in range(TASKS // 2)}
        recycling = {"recycle_after": 10} if cell.executor == "process" else {}  # many processes begin
        with trial.site(operations={**of_plugin, **of_template}, workflows={"many": "plans:many"},
                        plugins=[plugin], **recycling) as site:
            began = time.monotonic()
            ended = site.launch("start", "--workflow", "many").end(60)
            cell.note(f"{TASKS} tasks in {time.monotonic() - began:.1f} s")
            assert (ended.code, ended.complained) == (0, "")
            site.assert_promises_kept()
            assert [task["attempts"] for task in site.tasks().values()] == [1] * TASKS


# --- 16: what cannot be imported

_RUN = "def run(ctx, directory): ...\n"  # a function that is not there at all is told before anything runs

UNIMPORTABLE = {
    "raises": (f"raise LookupError('at import')\n{_RUN}", "LookupError: at import"),
    "exits": (f"raise SystemExit(3)\n{_RUN}", "SystemExit: 3"),
    "misspelt": ("def run(ctx:\n", "SyntaxError: "),
    "needy": (f"import not_there_at_all\n{_RUN}", "No module named 'not_there_at_all'"),
}
"""Modules, their source, and what must be told of them."""
FINE = "from .noting import note\n\n\ndef run(ctx, directory):\n    note(ctx, directory, 'begin')\n" \
       "    note(ctx, directory, 'end')\n"


@pytest.mark.fault(16, executors=["thread", "process"], databases=["sqlite", "postgresql"], small=1, long=5)
def test_what_cannot_be_imported_fails_its_task_alone(cell: Any) -> None:
    for trial in cell.trials():
        sources = {f"broken.{name}": source for name, (source, _) in UNIMPORTABLE.items()}
        plugin = wagon(trial.directory, "broken", {"broken.__init__": "", "broken.fine": FINE, **sources})
        code = trial.directory / "code"
        code.mkdir()
        for name, (source, _) in UNIMPORTABLE.items():
            (code / f"own_{name}.py").write_text(source)
        with trial.site(operations=operations(), code=code, plugins=[plugin]) as site:
            for name, (_, told) in UNIMPORTABLE.items():
                fail_to_import(site, f"own_{name}", told)
                assert "in the plugin broken: " in fail_to_import(site, f"broken.{name}", told)
            assert run(site, "broken.fine", "neighbour") == 0
            site.assert_promises_kept()
        cell.note(f"{2 * len(UNIMPORTABLE)} modules")


def operations() -> dict[str, OperationSpec]:
    settings: dict[str, Any] = {"max_attempts": MAX_ATTEMPTS, "retry_interval": 0.0, "inputs": DIRECTORY}
    own = {f"own_{name}": call(f"own_{name}:run", **settings) for name in UNIMPORTABLE}
    plugged = {f"broken.{name}": call(f"broken.{name}:run", plugin="broken", **settings)
               for name in (*UNIMPORTABLE, "fine")}
    return {"neighbour": call("aria_core.testing.effects:effect", inputs=DIRECTORY), **own, **plugged}


def fail_to_import(site: CrashSite, module: str, told: str) -> str:
    """Run the operation of this module, and another beside it; why it failed."""
    assert run(site, module, "neighbour") == 1
    task, neighbour = (site.tasks()[node] for node in (module, "neighbour"))
    # Nothing is withdrawn but what has not begun when the other has failed for good.
    assert neighbour["state"] == "success" or "withdrawn" in neighbour["reason"]
    assert (task["state"], task["attempts"], task["failures"]) == ("failed", MAX_ATTEMPTS, MAX_ATTEMPTS)
    attempts = site.judge.rows(f"SELECT * FROM attempt WHERE task_id = {task['id']} ORDER BY number")
    assert [each["outcome"] for each in attempts] == ["failed"] * MAX_ATTEMPTS
    for attempt in attempts:
        assert told in attempt["error"]
        assert f"importing {module} for '{module}:run' failed" in attempt["error"]
        assert "Traceback (most recent call last)" in attempt["traceback"]
        assert f"{module.replace('.', '/')}.py" in attempt["traceback"]
    return str(task["reason"])


def run(site: CrashSite, *nodes: str) -> int:
    """Run the operations of these nodes in an execution of their own; the exit code."""
    inputs = {"interface_name": "Standard", "operation_name": "create", "node_names": nodes}
    words = [word for name, value in inputs.items() for word in ("--input", f"{name}={json.dumps(value)}")]
    ended = site.run("start", "--workflow", "execute_operation", *words)
    assert "Traceback" not in ended.complained, ended.complained
    return ended.code
