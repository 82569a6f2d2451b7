"""The cells of the fault matrix: what each test declares, how often it tries, and what it prints.

A test of a fault case names its cells in its mark and asks for `cell`::

    @pytest.mark.fault(11, executors=["process"], databases=["sqlite", "postgresql"], small=1, long=50)
    def test_an_operation_that_kills_itself(cell: Cell) -> None:
        for trial in cell.trials():
            with trial.site() as site: ...

It runs once for each executor and database, with N trials: `small` ordinarily, `long` when the environment
variable ``ARIA_FAULTS`` is ``long``. A long run appends each trial with its seed to the file
``ARIA_FAULTS_RESULTS`` (``.faults/results.jsonl``) and passes over those that are there: it can be stopped at
any moment and goes on where it was. The matrix is printed at the end, by `tests/conftest.py`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from aria_core.modeling.builder import TemplateBuilder
from aria_core.modeling.specification import LoadedTemplate, OperationSpec
from aria_core.testing.crash import CrashSite

LONG = os.environ.get("ARIA_FAULTS") == "long"
LONGEST_TEST = 6 * 3600
CODE = Path(__file__).parent / "service"
"""Operations that harm."""
WAYS_ELSEWHERE = {"mail": {"use": "aria_core.testing.mail:MailExecutor", "directory": "mail"}}
"""Executors for tests alone, whose calls go on without their runner."""


def configuration(executor: str, url: str, resources: Path | None = None, **more: Any) -> str:
    """The text of an ``aria.toml``; `more` are further keywords of the executor.

    An executor on a broker is named with it, as ``celery-valkey``. Hosts share the directory `resources`.
    """
    use, _, broker = executor.partition("-")
    keywords = {**WAYS_ELSEWHERE.get(executor, {"use": use}),
                **({} if broker or use == "dry" else {"slots": 2}), **more}
    lines = [f"{name} = {json.dumps(value)}" for name, value in keywords.items()]
    files = [f'directory = "{resources or "resources"}"', *([] if resources is None else ["shared = true"])]
    return "\n".join(["[executor]", *lines, "[model_storage]", 'use = "sql"', f'url = "{url}"',
                      "[resource_storage]", 'use = "file"', *files, "[plugins]", 'directory = "plugins"', ""])


def template_of(operations: Mapping[str, OperationSpec], code: Path,
                workflows: Mapping[str, str]) -> LoadedTemplate:
    """A node for each of these operations, which creates it."""
    builder = TemplateBuilder("harm")
    builder.input("directory", "string")
    for name, operation in operations.items():
        builder.node(name, operations={"create": operation})
    for name, function in workflows.items():
        builder.workflow(name, function)
    return builder.load(code)


class Trial:
    """One try of a cell, with random numbers of its own."""

    def __init__(self, cell: Cell, seed: int) -> None:
        self.cell = cell
        self.seed = seed
        self.random = random.Random(f"{cell.case} {cell.executor} {cell.database} {seed}")
        self.tally: Counter[str] = Counter()
        """What was seen how often; also that of earlier runs comes to the cell's."""
        self.directory = cell.directory / f"trial-{seed}"
        self.directory.mkdir()
        self._url = ""

    @property
    def url(self) -> str:
        """The URL of this trial's own database, which is empty at first."""
        if not self._url:
            self._url = self.cell.new_database(self.directory)
        return self._url

    @property
    def configuration(self) -> str:
        """The text of an ``aria.toml`` for the cell's executor and the trial's database."""
        return configuration(self.cell.executor, self.url)

    @contextmanager
    def site(self, *, prepared: bool = True, operations: Mapping[str, OperationSpec] | None = None,
             workflows: Mapping[str, str] = MappingProxyType({}), code: Path = CODE,
             plugins: Iterable[Path] = (), url: str = "", through: str = "",
             **executor: Any) -> Iterator[CrashSite]:
        """A `CrashSite`, closed at the end of the block.

        With `operations`, each creates a node of its name; they and `workflows` (functions by name) may
        stand in `code`, operations also in `plugins`. `url` is another database than that of the trial,
        `through` is how runners come to it. `executor` are keywords of the executor.
        """
        url = url or self.url
        resources = self.directory / "resources" if "-" in self.cell.executor else None
        written = configuration(self.cell.executor, through or url, resources, **executor)
        site = CrashSite(self.directory, written, url)
        try:
            if operations is not None:
                site.offer(template_of(operations, code, workflows), plugins)
            elif prepared:
                site.prepare()
            yield site
        finally:
            site.close()


class Cell:
    """One fault case on one executor and one database."""

    def __init__(self, mark: pytest.Mark, executor: str, database: str, directory: Path,
                 make_database: Callable[[], str], results: Path, variant: str = "") -> None:
        self.case: int = mark.args[0]
        self.executor, self.database, self.directory = executor, database, directory
        self.is_long = LONG
        self.wanted: int = mark.kwargs.get("long" if LONG else "small", 1)
        self._make_database = make_database
        self._results = results
        self._title: str = f"{mark.kwargs.get('of', '')} {variant}".strip()
        self.tally: Counter[str] = Counter()
        """What all trials saw, also those of a long run that was stopped."""
        self.row: dict[str, Any] = {"case": self.case, "executor": executor, "database": database, "n": 0,
                                    "notes": [], "variant": variant}

    def new_database(self, directory: Path) -> str:
        """The URL of a new database; a file in `directory` on SQLite."""
        return f"sqlite:///{directory / 'aria.db'}" if self.database == "sqlite" else self._make_database()

    def note(self, text: str) -> None:
        """Have something be printed beside the result: a figure, as it was seen."""
        self.row["notes"].append(text)

    def trials(self) -> Iterator[Trial]:
        """Each trial in turn; an exception in between fails the cell with its seed."""
        done = self._done() if LONG else set()
        self.row["n"] += len(done)
        for seed in (each for each in range(1, self.wanted + 1) if each not in done):
            trial, began = Trial(self, seed), time.monotonic()
            self.row["seed"] = seed
            yield trial
            self.row["n"] += 1
            self.tally += trial.tally
            if LONG:
                self._append(trial, time.monotonic() - began)
            shutil.rmtree(trial.directory, ignore_errors=True)
        self.row.pop("seed", None)

    @property
    def _key(self) -> list[Any]:
        return [self.case, self._title, self.executor, self.database]

    def _done(self) -> set[int]:
        if not self._results.exists():
            return set()
        rows = [json.loads(line) for line in self._results.read_text().splitlines()]
        ours = {row["seed"]: row for row in rows
                if row["cell"] == self._key and 1 <= row["seed"] <= self.wanted}
        for row in ours.values():
            self.tally += Counter(row.get("tally", {}))
        return set(ours)

    def _append(self, trial: Trial, seconds: float) -> None:
        row = {"cell": self._key, "seed": trial.seed, "result": "kept", "seconds": round(seconds, 2),
               "at": datetime.now(UTC).isoformat(timespec="seconds"), "notes": self.row["notes"][-1:],
               "tally": trial.tally}
        self._results.parent.mkdir(parents=True, exist_ok=True)
        with self._results.open("a") as file:
            file.write(json.dumps(row) + "\n")


# --- how pytest comes to know the cells

def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(case, executors, databases, small, long, of): a case of the "
                                       "fault matrix, its cells, and how often each is tried")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("fault")
    if mark is not None and "cell" in metafunc.fixturenames:
        cells = [(executor, database) for executor in mark.kwargs["executors"]
                 for database in mark.kwargs["databases"]]
        metafunc.parametrize("cell", cells, ids=["-".join(each) for each in cells], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here if LONG else ():
        item.add_marker(pytest.mark.timeout(LONGEST_TEST), append=False)  # it counts before its own
    if told := os.environ.get(TELL_CELLS):
        marked = [(item.get_closest_marker("fault"), getattr(item, "callspec", None)) for item in here]
        cells = [[mark.args[0], *callspec.params["cell"]] for mark, callspec in marked
                 if mark is not None and callspec is not None and "cell" in callspec.params]
        Path(told).write_text(json.dumps(cells))


TELL_CELLS = "ARIA_FAULTS_TELL_CELLS"
"""Names the file in which a collection leaves its cells."""


@pytest.fixture
def cells_collected(tmp_path: Path) -> set[tuple[int, str, str]]:
    """Every cell that the tests of this directory have, whichever of them were chosen to run."""
    told = tmp_path / "cells.json"
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider",
               str(Path(__file__).parent)]
    subprocess.run(collect, env={**os.environ, TELL_CELLS: str(told)}, check=True, stdout=subprocess.DEVNULL)
    return {(case, executor, database) for case, executor, database in json.loads(told.read_text())}


@pytest.fixture
def cell(request: pytest.FixtureRequest, tmp_path: Path, record_property: Callable[[str, object], None],
         pytestconfig: pytest.Config) -> Cell:
    """The cell that the test is run for."""
    executor, database = request.param

    def make_database() -> str:
        databases = request.getfixturevalue("postgresql_databases")
        name = databases.create()
        request.addfinalizer(lambda: databases.drop(name))
        return str(databases.url(name))

    results = os.environ.get("ARIA_FAULTS_RESULTS") or pytestconfig.rootpath / ".faults" / "results.jsonl"
    mark = request.node.get_closest_marker("fault")
    others = [str(value) for name, value in request.node.callspec.params.items() if name != "cell"]
    cell = Cell(mark, executor, database, tmp_path, make_database, Path(results), " ".join(others))
    record_property("cell", cell.row)
    return cell
