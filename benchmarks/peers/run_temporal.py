"""Temporal: the development server in one binary, and one Python worker with a pool of 4 (16) threads.

activity  every task an activity
local     every task a local activity: the history learns of them when the workflow task ends, so a kill loses
          those since then (durable = "late")

``file`` keeps the history in SQLite, ``memory`` nowhere.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from socket import create_server

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks.peers import common

MODES = ["activity-file", "activity-memory", "local-file"]

given = common.setup(MODES)


@activity.defn
def touch(index: int) -> None:
    """One task."""
    common.touch(index, given.sleep)


@workflow.defn
class Dag:
    """The whole graph."""

    @workflow.run
    async def run(self) -> None:
        """Every task as soon as may be."""
        tasks: dict[int, asyncio.Future[None]] = {}
        is_local = given.mode.startswith("local")
        call = workflow.execute_local_activity if is_local else workflow.execute_activity
        free = asyncio.Semaphore(given.threads * 4)

        async def one(index: int, awaited: list[int]) -> None:
            for each in awaited:
                await tasks[each]
            async with free:
                await call(touch, index, start_to_close_timeout=timedelta(seconds=60))

        for index, awaited in given.g.items():
            tasks[index] = asyncio.ensure_future(one(index, awaited))
        await asyncio.gather(*tasks.values())


async def main() -> None:
    began = time.perf_counter()
    client = await started()
    durable = "late" if given.mode.startswith("local") else given.mode.endswith("file")
    async with Worker(
            client, task_queue="q", workflows=[Dag], activities=[touch],
            max_concurrent_activities=given.threads, max_concurrent_local_activities=given.threads,
            activity_executor=ThreadPoolExecutor(given.threads), workflow_runner=UnsandboxedWorkflowRunner()):
        build = time.perf_counter() - began
        for number in range(given.reps):
            began = time.perf_counter()
            await client.execute_workflow(
                Dag.run, id=f"w{number}", task_queue="q", task_timeout=timedelta(seconds=100))
            run = time.perf_counter() - began
            common.finish(given, "temporal", version("temporalio"), build, run, durable)
        common.reap()


async def started() -> Client:
    """A client of a server that was started for it."""
    with create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    program = str(Path(sys.executable).with_name("temporal"))
    command = [program, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port),
               "--log-level", "never"]
    if given.mode.endswith("file"):
        command += ["--db-filename", str(given.dir / "temporal.db")]
    subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            return await Client.connect(f"127.0.0.1:{port}")
        except RuntimeError:
            await asyncio.sleep(0.1)
    raise TimeoutError("the server does not answer")


asyncio.run(main())
