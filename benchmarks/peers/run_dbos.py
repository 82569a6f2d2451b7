"""DBOS Transact.

steps   one workflow, every task a step, in topological order
async   one asynchronous workflow: a step begins as soon as its dependencies are done, 4 (16) at a time
queue   every task a child workflow on a queue of that concurrency; the parent enqueues what is ready

The system database: ``sqlite`` as shipped, ``sqlitewal`` with WAL and synchronous=NORMAL set from outside,
which DBOS does not offer, ``pg`` PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from importlib.metadata import version
from typing import Any

if sqlite3.sqlite_version_info < (3, 42):  # DBOS asks for unixepoch('subsec'), which older ones do not know
    import pysqlite3

    sys.modules["sqlite3"] = sys.modules["sqlite3.dbapi2"] = sqlite3 = pysqlite3

import sqlalchemy as sa
from dbos import DBOS

from benchmarks.peers import common

MODES = [f"{how}-{where}" for where in ("sqlite", "sqlitewal", "pg") for how in ("steps", "async", "queue")]

given = common.setup(MODES)
HOW, WHERE = given.mode.split("-")


@DBOS.step()
def step(index: int) -> None:
    """One task."""
    common.touch(index, given.sleep)


@DBOS.step()
async def async_step(index: int) -> None:
    """One task that does not hold the others up."""
    common.touch(index)
    if given.sleep:
        await asyncio.sleep(given.sleep)


@DBOS.workflow()
def steps() -> None:
    """Every task, one after the other."""
    for index in given.g:
        step(index)


@DBOS.workflow()
def warm_up() -> None:
    """A few tasks that are not measured."""
    for index in given.warm_up():
        step(index)


@DBOS.workflow()
async def flow() -> None:
    """Every task as soon as may be."""
    free, done = asyncio.Semaphore(given.threads), {index: asyncio.Event() for index in given.g}

    async def one(index: int, awaited: list[int], place: Any) -> None:
        for each in awaited:
            await done[each].wait()
        async with free:
            await place.run_async(None, async_step, index)
        done[index].set()

    # Places are reserved in a fixed order, so that a recovery would replay the same ones.
    await asyncio.gather(*[one(index, awaited, DBOS.reserve_step()) for index, awaited in given.g.items()])


@DBOS.workflow()
def child(index: int) -> None:
    """One task as a workflow of its own."""
    common.touch(index, given.sleep)


@DBOS.workflow()
def parent() -> None:
    """Enqueue what is ready until all is done."""
    left, handles, done = dict(given.g), {}, set()
    while left or handles:
        for index in [each for each, awaited in left.items() if done.issuperset(awaited)]:
            handles[index] = DBOS.enqueue_workflow("q", child, index)
            del left[index]
        for index in list(handles):  # children finish in about the order of the queue
            handles.pop(index).get_result(polling_interval_sec=0.01)
            done.add(index)
            if any(index in awaited for awaited in left.values()):
                break


def launch() -> None:
    """Open the system database."""
    settings: dict[str, Any] = {"name": "bench", "log_level": "ERROR", "application_version": "1",
                                "max_executor_threads": 64}
    file = given.dir / "dbos.db"
    settings["system_database_url"] = os.environ["PEER_PG"] if WHERE == "pg" else f"sqlite:///{file}"
    if WHERE == "sqlitewal":
        sqlite3.connect(file).execute("PRAGMA journal_mode=WAL").fetchall()  # it stays in the file
        sa.event.listen(sa.Engine, "connect", lambda opened, _: opened.execute("PRAGMA synchronous=NORMAL"))
    DBOS(config=settings)
    DBOS.launch()
    if HOW == "queue":
        DBOS.register_queue("q", worker_concurrency=given.threads, polling_interval_sec=0.01)


def main() -> None:
    began = time.perf_counter()
    launch()
    warm_up()
    common.forget()
    build = time.perf_counter() - began
    for _ in range(given.reps):
        began = time.perf_counter()
        if HOW == "async":
            asyncio.run(flow())
        else:
            (steps if HOW == "steps" else parent)()
        common.finish(given, "dbos", version("dbos"), build, time.perf_counter() - began, True)
    common.reap()


main()
