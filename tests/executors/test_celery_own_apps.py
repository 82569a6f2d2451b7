"""Somebody's own Celery app whose workers run calls beside the app's tasks, on real brokers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery

from aria_core import TemplateBuilder, call, create_service, store_template
from aria_core.testing.bench import OPERATIONS, is_alive
from aria_core.testing.brokers import Broker
from aria_core.testing.graphs import SERVICE, graphs_template
from aria_core.testing.sent_calls import wait_until
from aria_core.testing.worker_hosts import Site

POOLS = (("-P", "prefork", "-c", "2"), ("-P", "threads", "-c", "2"))
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "scale-out.md"
SHOWN_BROKER = "redis://broker.example.org:6379/0"
MORE = """
import os

app.conf.update(broker_connection_retry_on_startup=True, task_time_limit=1)
app.conf.update({more!r})


@app.task(name="shop.whoami")
def whoami(file):
    with open(file + ".draft", "w") as draft:
        draft.write(str(os.getpid()))
    os.rename(file + ".draft", file)
"""
CANCELS_WITHIN = 2.0
A_WHILE = 60.0


def app_of_the_page(broker: str) -> str:
    """The app that the page about several hosts shows, on this broker."""
    shown, = re.findall(r"(?ms)^```python\n(# shop\.py.*?)^```$", PAGE.read_text("utf-8"))
    assert SHOWN_BROKER in shown
    return shown.replace(SHOWN_BROKER, broker)


class WaitingCall:
    """An operation that notes when it begins, and waits to be let end."""

    def __init__(self, directory: Path) -> None:
        self.gate, self.notes = directory / "gate", directory / "notes"
        self.notes.touch()
        self.notes.chmod(0o666)

    @property
    def begun(self) -> int:
        """How often it has begun."""
        return self.notes.read_text().count(" begun")

    def let_end(self) -> None:
        """Let it end."""
        self.gate.touch()


class Theirs:
    """A site whose workers are those of somebody's own app."""

    def __init__(self, site: Site, broker: str) -> None:
        self.site = site
        self.broker = broker

    def worker(self, *words: str, **more: object) -> subprocess.Popen[bytes]:
        """Start one."""
        code = app_of_the_page(self.broker) + MORE.format(more=more)
        return self.site.app_worker(code, *words)

    def whoami(self) -> int:
        """The process that runs a task of their own."""
        file = self.site.shared / "whoami"
        with Celery("shop", broker=self.broker, set_as_current=False) as app, app.connection() as connection:
            app.send_task("shop.whoami", [str(file)], connection=connection)
        wait_until(file.exists, A_WHILE)
        return int(file.read_text())

    def waiting_call(self) -> WaitingCall:
        """A service whose one operation waits to be let end."""
        call = WaitingCall(self.site.shared)
        self.service_of("wait_for_file", path=str(call.gate), begun=str(call.notes))
        return call

    def start(self) -> subprocess.Popen[str]:
        """A runner of it, in a process of its own."""
        return self.site.aria("executions", "start", "wait_for_file", "install", "--task-retry-interval", "0")

    def attempts(self) -> list[int]:
        """How often each operation was tried."""
        return [each.attempts for each in self.site.application.model_storage.task.list().items
                if each.function]

    def service_of(self, function: str, **inputs: object) -> int:
        """A service whose one node has this operation as ``create``."""
        builder = TemplateBuilder(function)
        builder.node("one", operations={"create": call(f"{OPERATIONS}:{function}", inputs=inputs)})
        model, resource = self.site.application.model_storage, self.site.application.resource_storage
        return create_service(model, store_template(model, resource, builder.load()), function).id


@pytest.fixture(params=["valkey", "rabbitmq"])
def theirs(request: pytest.FixtureRequest, make_site_on: Callable[[str], Site]) -> Theirs:
    """On each of the brokers."""
    broker: Broker = request.getfixturevalue(request.param)
    return Theirs(make_site_on(request.param), broker.url)


@pytest.mark.parametrize("pool", POOLS, ids=lambda words: words[1])
def test_calls_run_beside_their_own_tasks(theirs: Theirs, pool: tuple[str, ...]) -> None:
    site = theirs.site
    worker = theirs.worker(*pool)
    model, resource = site.application.model_storage, site.application.resource_storage
    service = create_service(model, store_template(model, resource, graphs_template()), SERVICE).id
    runner = site.application.runner(service_id=service, workflow_name="free", inputs={"count": 30})
    assert runner.execute() == "succeeded", site.logs()
    assert theirs.whoami() in _family(worker.pid), site.logs()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(A_WHILE) == 0, site.logs()


@pytest.mark.parametrize("pool", POOLS, ids=lambda words: words[1])
def test_a_cancel_ends_a_call_that_lasts_longer_than_their_time_limit(
        theirs: Theirs, pool: tuple[str, ...]) -> None:
    site, pids = theirs.site, theirs.site.shared / "pids"
    service = theirs.service_of("hang", pids=str(pids))
    theirs.worker(*pool)
    runner = site.aria("executions", "start", "hang", "install")
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) > 0, A_WHILE)
    running = [int(each) for each in pids.read_text().split()]
    time.sleep(2.0)
    assert all(map(is_alive, running)), "the app's time limit of 1 s has ended it"
    execution = site.application.model_storage.execution.list(filters={"service_id": service}).items[0].id
    cancel = site.aria("executions", "cancel", str(execution))
    wait_until(lambda: site.application.model_storage.execution.get(execution).state == "cancelling")
    began = time.monotonic()
    wait_until(lambda: not any(map(is_alive, running)))
    assert time.monotonic() - began <= CANCELS_WITHIN
    for each in (runner, cancel):
        each.communicate(timeout=A_WHILE)
    assert site.application.model_storage.execution.get(execution).state == "cancelled"


@pytest.mark.parametrize("pool", POOLS, ids=lambda words: words[1])
def test_what_runs_on_a_worker_that_is_told_to_stop_ends_and_is_reported(
        theirs: Theirs, pool: tuple[str, ...]) -> None:
    waiting = theirs.waiting_call()
    worker = theirs.worker(*pool)
    runner = theirs.start()
    wait_until(lambda: waiting.begun == 1, A_WHILE)
    worker.send_signal(signal.SIGTERM)
    time.sleep(1.0)
    waiting.let_end()
    said, _ = runner.communicate(timeout=A_WHILE)
    assert runner.returncode == 0, (said, theirs.site.logs())
    assert worker.wait(A_WHILE) == 0, theirs.site.logs()
    assert theirs.attempts() == [1]


@pytest.mark.parametrize("pool", POOLS, ids=lambda words: words[1])
def test_what_ran_on_a_killed_worker_is_tried_again_on_another(
        theirs: Theirs, pool: tuple[str, ...]) -> None:
    waiting = theirs.waiting_call()
    worker = theirs.worker(*pool)
    runner = theirs.start()
    wait_until(lambda: waiting.begun == 1, A_WHILE)
    os.killpg(worker.pid, signal.SIGKILL)
    theirs.worker(*pool)
    wait_until(lambda: waiting.begun == 2, A_WHILE)
    waiting.let_end()
    said, _ = runner.communicate(timeout=A_WHILE)
    assert runner.returncode == 0, (said, theirs.site.logs())
    assert theirs.attempts() == [2]


@pytest.mark.parametrize(("settings", "words", "said"), [
    ({"task_always_eager": True}, (), "task_always_eager is set"),
    ({"accept_content": ["yaml"]}, (), r"accept_content is \['yaml'\]"),
    ({}, ("-P", "solo"), "calls run with -P prefork or -P threads"),
    ({}, ("-Q", "mails"), "the worker serves the queues mails, and none of them has calls"),
])
def test_settings_that_break_promises_are_refused_in_one_sentence(
        theirs: Theirs, settings: dict[str, object], words: tuple[str, ...], said: str) -> None:
    _refused(theirs, theirs.worker(*words, **settings), said)


def test_another_broker_is_refused(theirs: Theirs) -> None:
    theirs.broker = theirs.broker.replace("127.0.0.1", "127.0.0.2").replace("localhost", "127.0.0.2")
    _refused(theirs, theirs.worker(), "configure the same")


def test_threads_on_rabbitmq_may_not_lower_their_prefetch(theirs: Theirs) -> None:
    if not theirs.broker.startswith("amqp"):
        theirs.worker("-P", "threads", "-l", "INFO", worker_enable_prefetch_count_reduction=True)
        wait_until(lambda: "ready." in theirs.site.logs())
        return
    worker = theirs.worker("-P", "threads", "-l", "INFO", worker_enable_prefetch_count_reduction=True)
    _refused(theirs, worker, "worker_enable_prefetch_count_reduction is on")


def _refused(theirs: Theirs, worker: subprocess.Popen[bytes], said: str) -> None:
    assert worker.wait(A_WHILE) == 1, theirs.site.logs()
    logs = theirs.site.logs()
    assert "Traceback" not in logs, logs
    assert "ARIA's calls cannot be served: " in logs, logs
    assert re.search(said, logs), logs


def _family(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {pid}.union(*(_family(int(each)) for each in children))
