"""Workers elsewhere run what they win, and nothing else."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aria_core.orchestrator.call_maker import origin_of
from aria_core.orchestrator.remote_worker import RemoteWorker
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import Batch
from aria_core.storage.resource import ResourceStorage
from aria_core.testing.bench import is_alive
from aria_core.testing.sample import at_once, moved
from aria_core.testing.sent_calls import SentCalls, wait_until
from aria_core.worker.calls import CallRef, Edit, Failed, Lost, Succeeded

MakeWorker = Callable[..., RemoteWorker]


@pytest.fixture
def make_worker(model_storage: ModelStorage, resource_storage: ResourceStorage) -> Iterator[MakeWorker]:
    """Makes open workers on the storages; they are closed at the end."""
    made: list[RemoteWorker] = []

    def make(slots: int = 2, **keywords: object) -> RemoteWorker:
        worker = RemoteWorker(model_storage, resource_storage, slots=slots, **keywords)  # type: ignore[arg-type]
        worker.open()
        made.append(worker)
        return worker

    yield make
    for each in made:
        each.close(0.0)


@pytest.fixture
def calls(model_storage: ModelStorage) -> SentCalls:
    return SentCalls(model_storage)


@pytest.fixture
def in_background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def pids_in(path: Path) -> list[int]:
    wait_until(path.exists)
    return [int(each) for each in path.read_text().split()]


# --- what is delivered


def test_a_call_that_is_won_runs_and_its_report_is_stored(calls: SentCalls, make_worker: MakeWorker) -> None:
    ref, = calls.send(calls.task("echo", text="ä", number=1.5))
    worker = make_worker()
    assert worker.run(ref)
    assert calls.report(ref) == Succeeded(ref, {"text": "ä", "number": 1.5})
    row = calls.row(ref)
    assert row is not None
    assert row.where == worker.where
    assert worker.running() == frozenset()


def test_a_call_that_another_database_numbers_alike_is_not_run(
        calls: SentCalls, make_worker: MakeWorker, model_storage: ModelStorage) -> None:
    ref, = calls.send(calls.task("echo", text="ä"))
    worker = make_worker()
    service = model_storage.execution.get(ref.execution).service
    assert not worker.run(ref, "5f0e")
    assert not worker.run(CallRef(ref.execution + 1000, ref.task, ref.attempt), origin_of(service))
    assert calls.row(ref) is None
    assert worker.run(ref, origin_of(service))
    assert calls.report(ref) == Succeeded(ref, {"text": "ä"})


def test_its_slot_is_free_before_its_report_is_stored(calls: SentCalls, make_worker: MakeWorker) -> None:
    ref, other = calls.send(calls.task("echo", text="ä"), calls.task("echo", text="ö"))
    worker = make_worker(slots=1)
    heard: list[object] = []

    def run_another() -> None:
        row = calls.row(ref)
        heard.append(row and row.report)
        thread.start()

    thread = threading.Thread(target=lambda: heard.append(worker.run(other)))
    assert worker.run(ref, free=run_another)
    thread.join()
    assert heard == [None, True]
    assert not worker.run(ref, free=lambda: heard.append("again"))
    assert heard == [None, True]
    assert calls.report(other) == Succeeded(other, {"text": "ö"})


def test_a_failure_is_reported_with_its_edits(calls: SentCalls, make_worker: MakeWorker) -> None:
    ref, = calls.send(calls.task("edit", name="port", value=80, message="after the edit"))
    make_worker().run(ref)
    report = calls.report(ref)
    assert isinstance(report, Failed)
    assert report.error == "OperationError: after the edit"
    assert report.edits == (Edit("node", calls.nodes["web"].id, "port", 80),)


def test_arguments_are_evaluated_when_the_call_begins(calls: SentCalls, make_worker: MakeWorker) -> None:
    ask = {"$get_attribute": ["db", "ip"]}
    ref, = calls.send(calls.task("echo", address=ask, values={"dynamic": ("address",)}))
    make_worker().run(ref)
    assert calls.report(ref) == Succeeded(ref, {"address": "10.0.0.1"})


def test_an_argument_that_cannot_be_evaluated_fails_the_call(
        calls: SentCalls, make_worker: MakeWorker) -> None:
    ask = {"$get_attribute": ["nobody", "ip"]}
    ref, = calls.send(calls.task("echo", address=ask, values={"dynamic": ("address",)}))
    make_worker().run(ref)
    report = calls.report(ref)
    assert isinstance(report, Failed)
    assert "nobody" in report.error


def test_the_code_of_the_template_is_fetched_and_removed(
        calls: SentCalls, make_worker: MakeWorker, resource_storage: ResourceStorage, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def where(ctx):\n    return __file__\n")
    resource_storage.service_template.upload(calls.service.service_template_id or 0, tmp_path / "mine.py")
    refs = calls.send(*(calls.task("where", function="mine:where") for _ in range(3)))
    worker = make_worker()
    for ref in refs:
        worker.run(ref)
    places = {calls.report(ref).result for ref in refs}  # type: ignore[union-attr]
    assert len(places) == 1
    worker.close(1.0)
    assert not Path(places.pop()).exists()


def test_operations_read_resources(calls: SentCalls, make_worker: MakeWorker,
                                   resource_storage: ResourceStorage, tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("hello")
    resource_storage.service.upload(calls.service.id, tmp_path / "motd")
    ref, = calls.send(calls.task("ask", path="motd"))
    make_worker().run(ref)
    assert calls.report(ref) == Succeeded(ref, "hello")


def test_logs_are_complete_and_in_order_before_the_report_is_stored(
        calls: SentCalls, make_worker: MakeWorker) -> None:
    lines = [f"line {number}" for number in range(50)]
    ref, = calls.send(calls.task("tell", messages=lines))
    make_worker().run(ref)
    assert calls.logs() == lines


# --- who may run


def test_a_message_that_comes_twice_starts_one_call(calls: SentCalls, make_worker: MakeWorker,
                                                    tmp_path: Path) -> None:
    refs = calls.send(*(calls.task("note", path=str(tmp_path / "effects"), line=f"call {each}")
                        for each in range(10)))
    workers = [make_worker(4), make_worker(4)]
    won = at_once(lambda number: [workers[number % 2].run(ref) for ref in refs])
    assert sum(map(sum, won)) == len(refs)
    effects = (tmp_path / "effects").read_text().splitlines()
    assert sorted(effects) == sorted(f"call {each}" for each in range(10))


def test_what_was_not_sent_is_not_run(calls: SentCalls, make_worker: MakeWorker) -> None:
    ref, = calls.send(calls.task("nothing"))
    worker = make_worker()
    assert not worker.run(CallRef(ref.execution, ref.task, 2))
    assert not worker.run(CallRef(ref.execution + 1, ref.task, 1))
    assert not worker.run(CallRef(ref.execution, 2**40, 1))
    assert calls.row(ref) is None


def test_nothing_runs_once_the_execution_is_being_cancelled(
        calls: SentCalls, make_worker: MakeWorker) -> None:
    ref, = calls.send(calls.task("nothing"))
    calls.model.ledger.request_cancel(ref.execution)
    assert not make_worker().run(ref)
    assert calls.row(ref) is None


def test_only_as_many_calls_are_claimed_as_there_are_slots(
        calls: SentCalls, make_worker: MakeWorker, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    refs = calls.send(*(calls.task("wait_for_file", path=str(gate)) for _ in range(4)))
    worker = make_worker(2)
    runs = [in_background.submit(worker.run, ref) for ref in refs]
    wait_until(lambda: len(calls.model.ledger.claimed_calls(refs[0].execution)) == 2)
    time.sleep(0.3)
    assert len(calls.model.ledger.claimed_calls(refs[0].execution)) == 2
    gate.touch()
    assert all(each.result(30) for each in runs)


# --- how it ends


def test_a_terminated_call_ends_with_all_it_started(
        calls: SentCalls, make_worker: MakeWorker, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ref, = calls.send(calls.task("hang", pids=str(pids)))
    worker = make_worker()
    run = in_background.submit(worker.run, ref)
    started = pids_in(pids)
    assert worker.terminate(ref, 1.0)
    assert run.result(30)
    report = calls.report(ref)
    assert isinstance(report, Lost)
    assert report.reason == "terminated"
    assert not any(map(is_alive, started))
    assert not worker.terminate(ref, 1.0)


def test_an_order_for_a_call_that_another_database_numbers_alike_ends_nothing(
        calls: SentCalls, make_worker: MakeWorker, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ref, = calls.send(calls.task("hang", pids=str(pids)))
    worker, origin = make_worker(), origin_of(calls.service)
    run = in_background.submit(worker.run, ref, origin)
    started = pids_in(pids)
    assert not worker.terminate(ref, 0.0, "f00")
    assert all(map(is_alive, started))
    assert worker.terminate(ref, 0.0, origin)
    assert run.result(30)
    assert not any(map(is_alive, started))


def test_an_order_finds_its_call_while_a_second_message_about_it_is_looked_into(
        calls: SentCalls, make_worker: MakeWorker, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ref, = calls.send(calls.task("hang", pids=str(pids)))
    worker = make_worker(slots=2)
    run = in_background.submit(worker.run, ref)
    started = pids_in(pids)
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.is_set():
            worker.run(ref)

    again = [in_background.submit(repeat) for _ in range(4)]
    began = time.monotonic()
    for _ in range(20):
        worker.terminate(ref, 0.0)
    wait_until(lambda: not any(map(is_alive, started)))
    assert time.monotonic() - began < 2.0
    is_over.set()
    assert run.result(30)
    for each in again:
        each.result(30)


def test_a_cancel_of_the_execution_ends_the_call(
        calls: SentCalls, make_worker: MakeWorker, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ref, = calls.send(calls.task("hang", pids=str(pids)))
    worker = make_worker()
    run = in_background.submit(worker.run, ref)
    started = pids_in(pids)
    calls.model.ledger.request_cancel(ref.execution)
    assert run.result(30)
    assert isinstance(calls.report(ref), Lost)
    assert not any(map(is_alive, started))


def test_a_call_that_is_no_longer_the_current_attempt_is_ended(
        calls: SentCalls, make_worker: MakeWorker, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ref, = calls.send(calls.task("hang", pids=str(pids)))
    worker = make_worker()
    run = in_background.submit(worker.run, ref)
    started = pids_in(pids)
    lost = moved(ref.task, "started", "retrying", due_at=None)
    calls.claim = calls.model.ledger.record_batch(calls.claim, Batch([lost], calls=[ref]))
    assert run.result(30)
    assert not any(map(is_alive, started))
    assert calls.row(ref) is None


def test_a_timeout_is_kept_by_the_worker(calls: SentCalls, make_worker: MakeWorker, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ref, = calls.send(calls.task("hang", pids=str(pids), values={"timeout": 1.0}))
    began = time.monotonic()
    make_worker().run(ref)
    assert 1.0 <= time.monotonic() - began < 15
    report = calls.report(ref)
    assert isinstance(report, Lost)
    assert report.reason == "timed_out"
    assert not any(map(is_alive, pids_in(pids)))


def test_silence_is_ended_by_the_worker(calls: SentCalls, make_worker: MakeWorker, tmp_path: Path) -> None:
    ref, = calls.send(calls.task("hang", pids=str(tmp_path / "pids"), values={"heartbeat_timeout": 0.5}))
    make_worker().run(ref)
    report = calls.report(ref)
    assert isinstance(report, Lost)
    assert "no heartbeat for 0.5 s" in report.detail


def test_a_process_that_is_killed_loses_its_call_at_once_and_no_other(
        calls: SentCalls, make_worker: MakeWorker, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    gate, pids = tmp_path / "gate", tmp_path / "pids"
    victim, neighbour = calls.send(calls.task("hang", pids=str(pids)),
                                   calls.task("wait_for_file", path=str(gate)))
    worker = make_worker()
    runs = [in_background.submit(worker.run, ref) for ref in (victim, neighbour)]
    started = pids_in(pids)
    os.kill(started[0], signal.SIGKILL)
    began = time.monotonic()
    assert runs[0].result(30)
    assert time.monotonic() - began < 5
    report = calls.report(victim)
    assert isinstance(report, Lost)
    assert report.reason == "killed"
    assert not any(map(is_alive, started))
    gate.touch()
    assert runs[1].result(30)
    assert isinstance(calls.report(neighbour), Succeeded)


def test_a_worker_that_is_closed_lets_calls_end_within_the_grace(
        calls: SentCalls, make_worker: MakeWorker, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    gate, there = tmp_path / "gate", tmp_path / "there"
    there.touch()
    first, *others = calls.send(
        *(calls.task("wait_for_file", path=str(each)) for each in (gate, *[there] * 300)))
    worker = make_worker()
    run = in_background.submit(worker.run, first)
    wait_until(lambda: calls.row(first) is not None)
    closing = in_background.submit(worker.close, 30.0)
    wait_until(lambda: not worker.run(others.pop()))  # those before the closing has begun end at once
    second = others.pop()
    assert not worker.run(second)
    gate.touch()
    assert run.result(30)
    closing.result(30)
    assert isinstance(calls.report(first), Succeeded)
    assert calls.row(second) is None


def test_what_runs_longer_than_the_grace_is_ended_and_reported(
        calls: SentCalls, make_worker: MakeWorker, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ref, = calls.send(calls.task("hang", pids=str(pids)))
    worker = make_worker()
    run = in_background.submit(worker.run, ref)
    started = pids_in(pids)
    hurry = threading.Event()
    closing = in_background.submit(worker.close, 600.0, hurry)
    hurry.set()
    closing.result(30)
    assert run.result(30)
    report = calls.report(ref)
    assert isinstance(report, Lost)
    assert report.reason == "terminated"
    assert not any(map(is_alive, started))


# --- what others see meanwhile


def test_beats_go_on_while_a_call_runs_and_tell_its_progress(
        calls: SentCalls, make_worker: MakeWorker, in_background: ThreadPoolExecutor,
        resource_storage: ResourceStorage, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "mine.py").write_text(
        "import time, os\n"
        "def work(ctx, gate):\n"
        "    ctx.task.heartbeat(0.5, 'half')\n"
        "    while not os.path.exists(gate):\n"
        "        time.sleep(0.01)\n")
    resource_storage.service_template.upload(calls.service.service_template_id or 0, tmp_path / "mine.py")
    ref, = calls.send(calls.task("work", function="mine:work", gate=str(gate)))
    worker = make_worker()
    run = in_background.submit(worker.run, ref)
    wait_until(lambda: (row := calls.row(ref)) is not None and row.progress == 0.5)
    row = calls.row(ref)
    assert row is not None
    assert (row.message, row.heard) == ("half", 1)
    wait_until(lambda: (now := calls.row(ref)) is not None and now.beat > row.beat)
    gate.touch()
    assert run.result(30)


def test_the_runner_is_woken_when_reports_are_stored_and_when_calls_last(
        calls: SentCalls, make_worker: MakeWorker, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    ref, = calls.send(calls.task("wait_for_file", path=str(gate)))
    woken: list[int] = []
    run = in_background.submit(make_worker(wake=woken.append).run, ref)
    wait_until(lambda: bool(woken))
    assert calls.row(ref) is not None
    gate.touch()
    assert run.result(30)
    assert woken == [ref.execution] * 2


# --- secrets


def test_secrets_are_masked_in_reports_and_logs(calls: SentCalls, make_worker: MakeWorker) -> None:
    secret = {"secret": ("message",)}
    failing, telling = calls.send(calls.task("fail", message="k0rrekt-h0rse", values=secret),
                                  calls.task("tell", messages=["say k0rrekt-h0rse"]))
    worker = make_worker()
    worker.run(failing)
    worker.run(telling)
    report = calls.report(failing)
    assert isinstance(report, Failed)
    assert "k0rrekt-h0rse" not in report.error + report.traceback
    assert calls.logs() == ["say ***"]
