"""The Celery executor and its brokers, without a database: what travels, who is there, what is refused."""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from aria_core import Actor, Call, CallRef, ConfigurationError, Environment, Secret
from aria_core.testing.brokers import Broker
from aria_plugins.executors.celery import CeleryExecutor, aria_executor
from aria_plugins.executors.celery.connections import Listener, make_app
from aria_plugins.executors.celery.messages import (
    LONGEST_GRACE,
    MOST_SLOTS,
    ORDERS,
    WORKERS,
    Posting,
    announcement,
    termination,
)
from aria_plugins.executors.celery.presence import Presence
from aria_plugins.executors.celery.publishing import Publisher

PATIENCE = 20.0
FUNCTION = "m:f"


class Inbox:
    """Counts looks, and is told nothing else."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self, report: object) -> None:
        raise AssertionError(f"reports come through the database: {report}")

    def answer(self, ref: CallRef, request: object) -> Any:
        raise AssertionError("workers answer from the database")

    def look(self) -> None:
        self.looks += 1


class Calls:
    """Notes whom it is to end."""

    def __init__(self) -> None:
        self.ended: list[tuple[CallRef, float]] = []
        self.origins: set[str] = set()

    def terminate(self, ref: CallRef, grace: float, origin: str) -> bool:
        self.ended.append((ref, grace))
        self.origins.add(origin)
        return True


def wait_until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, f"waited {patience} s in vain"
        time.sleep(0.005)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def executor(broker: Broker, inbox: Inbox) -> Iterator[CeleryExecutor]:
    executor = CeleryExecutor(Secret(broker.url), queue=f"aria-{secrets.token_hex(4)}")
    executor.lent_to, executor.origin = 5, "f00"
    executor.open(inbox)
    yield executor
    executor.close(1.0)


def opened_presence(executor: CeleryExecutor, slots: int, *queues: str) -> tuple[Presence, Calls]:
    calls = Calls()
    presence = Presence(executor.app(), executor.queue, slots, queues or (executor.queue,))
    presence.open(calls)
    return presence, calls


# --- what it is

def test_it_declares_what_it_can() -> None:
    assert (CeleryExecutor.can_terminate, CeleryExecutor.isolates_calls) == (True, True)
    assert (CeleryExecutor.survives_runner, CeleryExecutor.runs_operations) == (True, True)
    assert CeleryExecutor.needs_reach == "network"


def test_the_hook_gives_the_class() -> None:
    assert aria_executor() is CeleryExecutor


WITHOUT_CELERY = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("celery", "kombu"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from aria_core import AriaError, Secret
from aria_plugins.executors.celery import CeleryExecutor
try:
    CeleryExecutor(Secret("redis://localhost"))
except AriaError as error:
    print(error)
"""


def test_a_missing_extra_is_one_sentence_with_the_command() -> None:
    said = subprocess.run([sys.executable, "-c", WITHOUT_CELERY], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == (
        "the executor 'celery' needs Celery: pip install 'aria-core[celery]' brings it")


def test_making_it_imports_nothing_of_celery() -> None:
    program = ("import sys; from aria_core import Secret; from aria_plugins.executors.celery import "
               "CeleryExecutor; CeleryExecutor(Secret('redis://localhost')); print(*sys.modules)")
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"celery", "kombu", "redis", "amqp"} & set(loaded.stdout.split())


@pytest.mark.parametrize("url", ["memory://", "sqla+sqlite:///x", "filesystem://", "localhost:6379", ""])
def test_a_broker_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"redis://.*amqp://"):
        CeleryExecutor(Secret(url))


def test_a_refused_broker_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as refused:
        CeleryExecutor(Secret("kafka://me:hunter2@host"))
    assert "hunter2" not in str(refused.value)


def test_queues_are_chosen_by_operation_then_type_then_plugin() -> None:
    executor = CeleryExecutor(Secret("redis://localhost"), queue="main", queues={
        "operation:Standard.create": "creators", "type:Gpu": "gpu", "plugin:books": "books"})
    node = Actor("node", 1, "n", "Gpu") if "type_name" in Actor.__dataclass_fields__ else None

    def queue(operation: str, plugin: str | None = None, actor: Actor | None = None) -> str:
        return executor.queue_of(Call(
            CallRef(1, 1, 1), FUNCTION, {}, actor, interface="Standard", operation=operation,
            plugin=None if plugin is None else Environment(plugin)))

    assert queue("start") == "main"
    assert queue("start", "books") == "books"
    assert queue("create", "books", node) == "creators"
    assert queue("start", "books", node) == ("gpu" if node else "books")


@pytest.mark.parametrize("key", ["Standard.create", "node:web", "operation:"])
def test_a_key_of_queues_that_means_nothing_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="operation:"):
        CeleryExecutor(Secret("redis://localhost"), queues={key: "q"})


# --- who is there

def test_slots_follow_the_workers(executor: CeleryExecutor, inbox: Inbox) -> None:
    assert executor.slots == 0
    first, _ = opened_presence(executor, 8)
    wait_until(lambda: executor.slots == 8)
    second, _ = opened_presence(executor, 3, executor.queue, "other")
    elsewhere, _ = opened_presence(executor, 100, "not ours")
    wait_until(lambda: executor.slots == 11)
    assert inbox.looks >= 3  # at the beginning, and whenever there were more
    first.leave()
    wait_until(lambda: executor.slots == 3)
    for each in (first, second, elsewhere):
        each.close()


def test_who_is_there_already_is_asked(broker: Broker, executor: CeleryExecutor) -> None:
    presence, _ = opened_presence(executor, 4)
    wait_until(lambda: executor.slots == 4)
    late = CeleryExecutor(Secret(broker.url), queue=executor.queue)
    late.open(Inbox())
    wait_until(lambda: late.slots == 4, 3.0)  # sooner than a worker says it by itself
    late.close(1.0)
    presence.close()


def test_a_worker_that_falls_silent_is_counted_no_more(
        executor: CeleryExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aria_plugins.executors.celery.executor.GONE_AFTER", 1.0)
    presence, _ = opened_presence(executor, 4)
    wait_until(lambda: executor.slots == 4)
    presence.close()  # without a word
    wait_until(lambda: executor.slots == 0)


# --- wakes and orders

def test_news_of_its_execution_have_the_engine_look(executor: CeleryExecutor, inbox: Inbox) -> None:
    presence, _ = opened_presence(executor, 1)
    wait_until(lambda: executor.slots == 1)
    before = inbox.looks
    presence.wake(6)  # another's
    presence.wake(5)
    wait_until(lambda: inbox.looks > before)
    time.sleep(0.2)
    assert inbox.looks == before + 1
    presence.close()


def test_an_order_to_end_a_call_arrives(executor: CeleryExecutor) -> None:
    presence, calls = opened_presence(executor, 1)
    wait_until(lambda: executor.slots == 1)
    assert executor.terminate(CallRef(5, 6, 7), 2.5)
    wait_until(lambda: calls.ended == [(CallRef(5, 6, 7), 2.5)])
    assert calls.origins == {"f00"}
    presence.close()


def say(executor: CeleryExecutor, exchange: str, *bodies: dict[str, Any]) -> None:
    """What anybody might say who may write to the broker."""
    app = executor.app()
    with app.connection_for_write() as connection:
        Publisher(app, connection).publish([Posting(exchange, executor.queue, each) for each in bodies])


def test_what_is_no_order_of_ours_ends_nothing_and_deafens_nobody(executor: CeleryExecutor) -> None:
    presence, calls = opened_presence(executor, 1)
    wait_until(lambda: executor.slots == 1)
    right = termination(CallRef(5, 6, 7), "f00", 1.0)
    say(executor, ORDERS, {}, {**right, "origin": None}, {**right, "grace": float("nan")},
        {**right, "grace": True}, {**right, "grace": "1"}, {**right, "task": "6"}, {**right, "order": "tidy"},
        {**right, "grace": 10**400, "attempt": 8}, {**right, "grace": -1, "attempt": 9})
    wait_until(lambda: len(calls.ended) == 2)
    assert calls.ended == [(CallRef(5, 6, 8), LONGEST_GRACE), (CallRef(5, 6, 9), 0.0)]
    presence.close()


def test_what_is_told_of_workers_is_believed_within_limits(
        executor: CeleryExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aria_plugins.executors.celery.executor.MOST_WORKERS", 3)
    right = announcement("one", 3, [executor.queue])

    def hears() -> bool:
        say(executor, WORKERS, {**right, "slots": True}, {**right, "slots": -5}, {**right, "slots": 1.5},
            {**right, "worker": ""}, {**right, "worker": "x" * 256}, {**right, "queues": executor.queue},
            {**right, "queues": [executor.queue, ["deep"]]}, {**right, "worker": "huge", "slots": 10**300},
            right)
        # Said again until all was heard: somebody may have begun to listen in the middle.
        return executor.slots == executor.slots_of(executor.queue) == 3 + MOST_SLOTS

    wait_until(hears)
    say(executor, WORKERS, *({**right, "worker": name} for name in ("two", "three", "four")))
    wait_until(lambda: executor.slots == 6 + MOST_SLOTS)
    say(executor, WORKERS, {**right, "slots": 0})
    wait_until(lambda: executor.slots == 3 + MOST_SLOTS)


def test_both_ends_find_each_other_again_after_the_broker_died(
        broker: Broker, executor: CeleryExecutor, inbox: Inbox) -> None:
    presence, calls = opened_presence(executor, 2)
    wait_until(lambda: executor.slots == 2)
    broker.kill()
    executor.terminate(CallRef(5, 6, 7), 1.0)  # it waits
    assert executor.submit_all([Call(CallRef(5, 1, 1), FUNCTION)]) == []
    looks = inbox.looks
    broker.start()
    wait_until(lambda: inbox.looks > looks)  # something may have been missed

    def ordered() -> bool:
        executor.terminate(CallRef(5, 8, 1), 1.0)  # as a first one may have been said to nobody
        time.sleep(0.2)
        return (CallRef(5, 8, 1), 1.0) in calls.ended

    wait_until(ordered)
    before = inbox.looks

    def heard() -> bool:
        presence.wake(5)
        time.sleep(0.2)
        return inbox.looks > before

    wait_until(heard)
    presence.close()


def test_nothing_of_a_runner_is_left_at_the_broker(valkey: Broker) -> None:
    import redis

    executor = CeleryExecutor(Secret(valkey.url))
    executor.open(Inbox())
    client = redis.Redis.from_url(valkey.url)
    wait_until(lambda: client.pubsub_numpat() > 0)
    executor.close(1.0)
    wait_until(lambda: client.pubsub_numpat() == 0)
    assert not client.exists("_kombu.binding_permanent.aria.wake")  # all other bindings are swept in time
    client.close()


# --- messages

WORKER = """
import logging, os, signal, sys, time
from aria_core import Secret
from aria_plugins.executors.celery import CeleryExecutor
from aria_plugins.executors.celery.worker import CeleryWorker, add_task

logging.basicConfig(level=logging.INFO)
url, queue = sys.stdin.read().split()
app = CeleryExecutor(Secret(url), queue=queue).app()
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def run(ref, origin):
    os.write(out, f"{ref} {origin}\\n".encode())
    if origin.startswith("/"):
        while not os.path.exists(origin):
            time.sleep(0.01)


add_task(app, run)
worker = CeleryWorker(app, f"test{os.getpid()}@here", 2, [queue])
signal.signal(signal.SIGTERM, lambda *_: worker.leave())
worker.start()
"""


@pytest.fixture
def worker(broker: Broker, executor: CeleryExecutor, tmp_path: Path) -> Iterator[Path]:
    """A Celery worker that writes down what it was told to run; its file, beside which is its log."""
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path / "ran")],
                                   stdin=subprocess.PIPE, stdout=log, stderr=log)
    assert process.stdin is not None
    process.stdin.write(f"{broker.url} {executor.queue}".encode())
    process.stdin.close()
    try:
        yield tmp_path / "ran"
        process.terminate()
        assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()[-3000:]
    finally:
        process.kill()
        process.wait()


def ran(worker: Path) -> list[str]:
    return worker.read_text().splitlines() if worker.exists() else []


def test_a_message_says_which_call_and_nothing_else(executor: CeleryExecutor, worker: Path) -> None:
    executor.submit(Call(CallRef(5, 6, 7), FUNCTION, {"password": "hunter2"}, origin="f00"))
    wait_until(lambda: ran(worker) == ["5/6/7 f00"])


def test_what_is_no_message_of_ours_runs_nothing_and_harms_nobody(
        broker: Broker, executor: CeleryExecutor, worker: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    with Connection(broker.url) as connection:
        app = make_app(broker.url, executor.queue)
        for kwargs in ({}, {"execution": "5; DROP", "task": 1, "attempt": 1, "origin": ""},
                       {"execution": 5, "task": True, "attempt": 1, "origin": ""},
                       {"execution": 5, "task": 1, "attempt": -1, "origin": ""},
                       {"execution": 5, "task": 1, "attempt": 1, "origin": None}):
            app.send_task("aria.run", kwargs=kwargs, queue=executor.queue)
        app.send_task("os.system", args=[f"touch {trap}"], queue=executor.queue)
        producer = connection.Producer()
        for body, kind, encoding in (
                (pickle.dumps(Trap(str(trap))), "application/x-python-serialize", "binary"),
                (b"\x00\xff garbage", "application/json", "utf-8"), (b"[]", "application/json", "utf-8"),
                (b"{}", "text/strange", "utf-8"), (b"", "application/data", "binary")):
            producer.publish(body, routing_key=executor.queue, exchange="", content_type=kind,
                             content_encoding=encoding)
    executor.submit(Call(CallRef(5, 6, 7), FUNCTION, origin="after"))
    wait_until(lambda: ran(worker) == ["5/6/7 after"])
    assert not trap.exists()


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_the_password_is_neither_logged_nor_seen_among_processes(
        broker: Broker, executor: CeleryExecutor, worker: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    executor.submit(Call(CallRef(5, 6, 7), FUNCTION))
    wait_until(lambda: len(ran(worker)) == 1)
    broker.kill()
    wait_until(lambda: "does not serve" in caplog.text)
    shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    broker.start()
    encoded = base64.b64encode(broker.password.encode()).decode()
    for text in (caplog.text, shown, (worker.parent / "log").read_text(), repr(vars(executor)),
                 json.dumps(str(executor))):
        assert broker.password not in text
        assert encoded not in text


def test_a_worker_outlives_its_broker_with_what_it_runs(
        broker: Broker, executor: CeleryExecutor, worker: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    executor.submit(Call(CallRef(5, 1, 1), FUNCTION, origin=str(gate)))
    wait_until(lambda: ran(worker) == [f"5/1/1 {gate}"])
    broker.kill()
    broker.start()

    def serves() -> bool:
        executor.submit(Call(CallRef(5, 2, 1), FUNCTION, origin="after"))  # as the engine sends again
        time.sleep(0.5)
        return "5/2/1 after" in ran(worker)

    wait_until(serves)
    gate.touch()


def test_what_is_said_once_a_listener_says_that_it_listens_is_heard(
        broker: Broker, executor: CeleryExecutor) -> None:
    app, heard = executor.app(), []

    def say() -> None:
        with app.connection_for_write() as connection:
            Publisher(app, connection).publish([Posting("aria.test", "key", {"number": 7})])

    listener = Listener(app, {"aria.test": "key"}, lambda _, said: heard.append(dict(said)), say)
    try:
        wait_until(lambda: heard == [{"number": 7}])
    finally:
        listener.close()


def test_closing_waits_for_nobody(executor: CeleryExecutor) -> None:
    began = time.monotonic()
    executor.close(5.0)
    executor.close(5.0)
    assert time.monotonic() - began < 3.0
    with pytest.raises(RuntimeError, match="closed"):
        executor.submit(Call(CallRef(5, 6, 7), FUNCTION))
