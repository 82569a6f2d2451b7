"""Case 46: an execution that one release has begun is ended by the next, and left alone by the one before."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from aria_core.modeling.base import Model
from aria_core.modeling.models import SCHEMA_VERSION
from aria_core.storage.owners import this_process
from aria_core.storage.sql.migrations import Revisions, apply_revisions
from aria_core.testing.crash import KILLED, CrashSite
from aria_core.testing.crash_runner import SERVICE
from aria_core.testing.effects import EFFECTS
from aria_core.testing.fault_points import Fault, append_line, plan_fault
from aria_core.testing.history import TABLE, keep_history, read_history

ON_ALL = {"executors": ["process"], "databases": ["sqlite", "postgresql"]}
UNAVAILABLE = 5
TABLES = [table.name for table in Model.metadata.sorted_tables]
HISTORY = ("kind", "row_id", "before", "after", "first", "second", "third", "at", "execution", "batch")


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def earlier_tables(url: str, number: int) -> Iterator[Connection]:
    """A transaction in which there are the tables of an earlier revision, and nobody keeps a history yet."""
    with opened(url) as engine:
        with engine.begin() as connection:
            apply_revisions(connection, 0, Revisions(number))
            insert(connection, "schema", [{"version": number}])
            yield connection
            number_new_rows_behind(connection)
        keep_history(engine)


def insert(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    """Rows that have the same columns."""
    if rows:
        columns = ", ".join(f'"{name}"' for name in rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), rows)


def number_new_rows_behind(connection: Connection) -> None:
    known = inspect(connection)
    for name in filter(known.has_table, TABLES) if connection.dialect.name == "postgresql" else ():
        connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name} "
                                "HAVING max(id) > 0"))


def revision(site: CrashSite) -> int:
    return int(site.judge.rows("SELECT version FROM schema")[0]["version"])


def kill_somewhere(trial: Any, site: CrashSite) -> None:
    """A runner that has done some of its work, and dies with all its processes."""
    point = trial.random.choice(("after-sent", "before-success", "after-success"))
    plan_fault(site.directory, Fault(point, "everything", nth=trial.random.randint(1, 8)))
    assert site.run("start").code == KILLED


# --- the release before ours

@pytest.mark.fault(46, **ON_ALL, small=1, long=100)
def test_what_the_release_before_left_is_resumed(cell: Any) -> None:
    for trial in cell.trials():
        aside = trial.directory / "aside"
        aside.mkdir()
        url = cell.new_database(aside)
        with trial.site(url=url) as site:
            kill_somewhere(trial, site)
        with trial.site(prepared=False) as site:
            copy_as_written_before(url, trial.url)
            assert revision(site) == SCHEMA_VERSION - 1
            site.assert_promises_kept()
            assert site.resume() == "succeeded"
            site.assert_promises_kept()
            assert revision(site) == SCHEMA_VERSION
    cell.note(f"from revision {SCHEMA_VERSION - 1} to {SCHEMA_VERSION}")


def copy_as_written_before(url: str, to: str) -> None:
    """What the release before would have written: all but the tables and columns that it does not know."""
    with opened(url) as source, source.connect() as reading:
        with earlier_tables(to, SCHEMA_VERSION - 1) as writing:
            known = inspect(writing)
            for table in (each for each in TABLES if each != "schema" and known.has_table(each)):
                columns = ", ".join(f'"{column["name"]}"' for column in known.get_columns(table))
                rows = reading.execute(text(f"SELECT {columns} FROM {table} ORDER BY id"))
                insert(writing, table, [dict(row._mapping) for row in rows])
        with opened(to) as target, target.begin() as writing:
            insert(writing, TABLE, [dict(zip(HISTORY, astuple(each)[1:], strict=True))
                                    for each in read_history(source)])


# --- the first release, as it really was

DUMP = Path(__file__).parents[1] / "storage" / "revision_1.sql"
LEFT = (
    ("execution", 1, "", "pending", 1), ("execution", 1, "pending", "started", 1),
    *(("task", task, "", "pending", 0) for task in range(1, 8)), ("node", 1, "", "initial", 1),
    ("execution", 1, "started", "started", 1), ("task", 1, "pending", "success", 0),
    ("task", 2, "pending", "success", 0), ("task", 3, "pending", "sent", 1),
    ("node", 1, "initial", "creating", 1), ("effect", 3, "", "begin", 1),
    ("effect", 3, "", "end", 1), ("execution", 1, "started", "started", 1), ("task", 3, "sent", "success", 1),
    ("node", 1, "creating", "created", 1),
    ("task", 4, "pending", "sent", 1), ("node", 1, "created", "configuring", 1),
    ("execution", 1, "started", "started", 1), ("task", 4, "sent", "started", 1),
    ("effect", 4, "", "begin", 1))
"""What had happened by the time that these rows were written down, in order, with numbers of attempts.

Each transaction begins with the execution.
"""


@pytest.mark.fault(46, **ON_ALL, small=1, long=1, of="revision 1")
def test_what_the_first_release_left_is_resumed(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site(prepared=False) as site:
            restore_dump(trial.url, site.directory)
            write_what_happened(trial.url, site.directory)
            assert revision(site) == 1
            site.assert_promises_kept()
            assert site.resume() == "succeeded"
            site.assert_promises_kept()
            assert revision(site) == SCHEMA_VERSION


def restore_dump(url: str, directory: Path) -> None:
    """The stored rows, with a dead runner of this machine, and operations whose effects can be judged."""
    dump = DUMP.read_text().replace("@owner@", json.dumps({**this_process(), "started": "1"}))
    with earlier_tables(url, 1) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))
        for statement in dump.splitlines():
            connection.exec_driver_sql(statement.replace("%", "%%"))
        connection.execute(text("UPDATE service SET name = :name"), {"name": SERVICE})
        connection.execute(
            text("UPDATE task SET function = :function, arguments = :arguments WHERE function IS NOT NULL"),
            {"function": "aria_core.testing.effects:effect",
             "arguments": json.dumps({"directory": str(directory)})})


def write_what_happened(url: str, directory: Path) -> None:
    moment, batch = time.time() - 60, -1
    rows: list[dict[str, Any]] = []
    for kind, row, before, after, first in LEFT:
        moment += 0.01
        if kind == "effect":
            append_line(directory / EFFECTS, f"1/{row}/{first} {after} 1 {moment:.6f}")
        else:
            batch += kind == "execution"
            second, third = (batch, 1) if kind == "execution" else (0, 0)
            values = (kind, row, before, after, first, second, third, moment, 1, batch)
            rows.append(dict(zip(HISTORY, values, strict=True)))
    with opened(url) as target, target.begin() as writing:
        insert(writing, TABLE, rows)


# --- the release after ours

@pytest.mark.fault(46, **ON_ALL, small=1, long=20, of="newer")
def test_what_a_newer_release_has_upgraded_is_left_alone(cell: Any) -> None:
    for trial in cell.trials():
        with trial.site() as site:
            kill_somewhere(trial, site)
            before = site.judge.history()
            set_revision(trial.url, SCHEMA_VERSION + 1)
            refused = site.run("resume")
            assert refused.code == UNAVAILABLE
            assert f"revision {SCHEMA_VERSION + 1} of the tables, made by a newer ARIA" in refused.complained
            for command in (["executions", "resume", "1"], ["executions", "list"]):
                told = aria(site, *command)
                assert told.returncode == UNAVAILABLE, told
                assert "made by a newer ARIA" in told.stderr
                assert "Traceback" not in told.stderr
            assert site.judge.history() == before
            set_revision(trial.url, SCHEMA_VERSION)
            assert site.resume() == "succeeded"
            site.assert_promises_kept()


def set_revision(url: str, number: int) -> None:
    """As an upgrade would, with tables that nobody here can know."""
    with opened(url) as engine, engine.begin() as connection:
        connection.execute(text(f"UPDATE schema SET version = {number}"))


def aria(site: CrashSite, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("aria", path=sysconfig.get_path("scripts"))
    assert program is not None, "install this distribution: its command aria is not there"
    return subprocess.run([program, *arguments], cwd=site.directory, capture_output=True, text=True,
                          check=False)
