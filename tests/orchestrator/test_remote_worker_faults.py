"""Workers elsewhere while the storage is away, and while others change what is theirs."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from aria_core.modeling.models import Node
from aria_core.modeling.parameters import Attribute
from aria_core.orchestrator.ownership import GIVES_UP_AFTER
from aria_core.orchestrator.plugin import PluginManager
from aria_core.orchestrator.remote_worker import RemoteWorker
from aria_core.orchestrator.surroundings import NoHooks
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import Batch
from aria_core.storage.resource import ResourceStorage
from aria_core.storage.sql import SqlModelStorage
from aria_core.testing.bench import is_alive
from aria_core.testing.link import Link, linked
from aria_core.testing.sample import moved
from aria_core.testing.sent_calls import SentCalls, wait_until
from aria_core.testing.wagons import write_wagon
from aria_core.worker.calls import Call, Failed, Lost, Succeeded


@pytest.fixture
def calls(model_storage: ModelStorage) -> SentCalls:
    return SentCalls(model_storage)


@pytest.fixture
def worker(model_storage: ModelStorage, resource_storage: ResourceStorage) -> Iterator[RemoteWorker]:
    worker = RemoteWorker(model_storage, resource_storage, slots=2)
    worker.open()
    yield worker
    worker.close(0.0)


@pytest.fixture
def in_background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


class Far:
    """An execution, and a worker that has nothing but a `Link` to its database."""

    def __init__(self, url: str, resource: ResourceStorage, stack: ExitStack) -> None:
        self.link: Link = stack.enter_context(linked(url))
        self.calls = SentCalls(stack.enter_context(SqlModelStorage(url)))
        theirs = stack.enter_context(SqlModelStorage(self.link.through))
        self.worker = RemoteWorker(theirs, resource, slots=2)
        self.worker.open()
        stack.callback(self.worker.close, 0.0)
        stack.callback(self.link.heal)


@pytest.fixture
def far(postgresql_url: str, resource_storage: ResourceStorage) -> Iterator[Far]:
    with ExitStack() as stack:
        yield Far(postgresql_url, resource_storage, stack)


def pids_in(path: Path) -> list[int]:
    wait_until(path.exists)
    return [int(each) for each in path.read_text().split()]


def upload_code(calls: SentCalls, resource: ResourceStorage, folder: Path, code: str) -> None:
    (folder / "mine.py").write_text(code)
    resource.service_template.upload(calls.service.service_template_id or 0, folder / "mine.py")


# --- the storage is away


def test_a_worker_that_is_cut_off_ends_what_runs_and_reports_it_later(
        far: Far, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ref, = far.calls.send(far.calls.task("hang", pids=str(pids)))
    run = in_background.submit(far.worker.run, ref)
    started = pids_in(pids)
    far.link.fall_silent()
    wait_until(lambda: not any(map(is_alive, started)), GIVES_UP_AFTER + 5)
    far.link.heal()
    assert run.result(60)
    report = far.calls.report(ref)
    assert isinstance(report, Lost)
    assert report.reason == "unreachable"


def test_a_worker_that_is_cut_off_runs_nothing(far: Far, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    first, second = far.calls.send(*(far.calls.task("note", path=str(effects), line=f"{each}")
                                     for each in range(2)))
    far.link.fall_silent()
    assert not far.worker.run(first)
    assert not effects.exists()
    far.link.heal()
    wait_until(lambda: far.worker.run(second))
    assert effects.read_text() == "1\n"


def test_a_claim_whose_commit_is_unknown_runs_once(far: Far, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    ref, = far.calls.send(far.calls.task("note", path=str(effects), line="ran"))
    far.link.break_at_next_commit(b"INSERT INTO claimed_call")
    assert far.worker.run(ref)
    assert far.link.commits_broken == 1
    assert isinstance(far.calls.report(ref), Succeeded)
    assert not far.worker.run(ref)
    assert effects.read_text() == "ran\n"


def test_a_report_outlasts_an_outage(far: Far, in_background: ThreadPoolExecutor, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    ref, = far.calls.send(far.calls.task("wait_for_file", path=str(gate)))
    run = in_background.submit(far.worker.run, ref)
    wait_until(lambda: far.calls.row(ref) is not None)
    wait_until(lambda: bool(far.worker.running()))
    time.sleep(1.0)
    far.link.fall_silent()
    gate.touch()
    time.sleep(3.0)
    assert not run.done()
    far.link.heal()
    assert run.result(60)
    assert isinstance(far.calls.report(ref), Succeeded)


# --- what an operation does meanwhile


def test_attributes_are_flushed_only_by_the_current_attempt(
        calls: SentCalls, worker: RemoteWorker, in_background: ThreadPoolExecutor,
        resource_storage: ResourceStorage, tmp_path: Path) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    upload_code(calls, resource_storage, tmp_path, (
        "import os, time\n"
        "def work(ctx, gate, begun):\n"
        "    ctx.node.attributes['port'] = 1\n"
        "    ctx.flush()\n"
        "    open(begun, 'w').close()\n"
        "    while not os.path.exists(gate):\n"
        "        time.sleep(0.005)\n"
        "    ctx.node.attributes['port'] = 2\n"
        "    ctx.flush()\n"))
    ref, = calls.send(calls.task("work", function="mine:work", gate=str(gate), begun=str(begun)))
    run = in_background.submit(worker.run, ref)
    wait_until(begun.exists)
    assert port(calls) == 1
    retrying = moved(ref.task, "started", "retrying", due_at=None)
    calls.claim = calls.model.ledger.record_batch(calls.claim, Batch([retrying]))
    gate.touch()
    assert run.result(60)
    report = calls.report(ref)
    assert isinstance(report, Failed | Lost)
    assert port(calls) == 1


def port(calls: SentCalls) -> object:
    node: Node = calls.model.node.get(calls.nodes["web"].id)
    return dict(node.attributes).get("port")


def test_a_secret_that_others_have_changed_is_masked(
        calls: SentCalls, worker: RemoteWorker, model_storage: ModelStorage) -> None:
    row: Attribute = model_storage.attribute.put(
        Attribute(name="password", value="former-s3cret", type_name="secret", node_id=calls.nodes["db"].id))
    first, second = calls.send(calls.task("tell", messages=["it was former-s3cret"]),
                               calls.task("tell", messages=["it is n3w-s3cret"]))
    assert worker.run(first)
    row.value = "n3w-s3cret"
    model_storage.attribute.update(row)
    assert worker.run(second)
    assert calls.logs() == ["it was ***", "it is ***"]


class WritesDown(NoHooks):
    """One wrapper around every operation."""

    def wrappers(self, call: Call) -> tuple[str, ...]:
        """See `RunnerHooks.wrappers`."""
        return ("aria_core.testing.operations:writing_down",)


def test_the_wrappers_of_the_worker_go_around_operations(
        calls: SentCalls, resource_storage: ResourceStorage, tmp_path: Path) -> None:
    file = tmp_path / "file"
    ref, = calls.send(calls.task("echo", file=str(file)))
    with RemoteWorker(calls.model, resource_storage, slots=1, hooks=WritesDown()) as worker:
        assert worker.run(ref)
    assert calls.report(ref) == Succeeded(ref, {"file": str(file)})
    assert file.read_text() == "before\nafter\n"


@contextmanager
def installs_last(plugins: Path) -> Iterator[None]:
    """A block in which every install into this directory waits."""
    plugins.mkdir()
    with (plugins / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("how", ["order", "cancel", "close"])
def test_a_call_whose_plugin_is_being_installed_ends_at_once(
        calls: SentCalls, resource_storage: ResourceStorage, in_background: ThreadPoolExecutor,
        tmp_path: Path, how: str) -> None:
    here = PluginManager(calls.model, tmp_path / "runner", resources=resource_storage)
    there = PluginManager(calls.model, tmp_path / "worker", resources=resource_storage)
    plugin = here.install(write_wagon(tmp_path / "greeter.wgn"))
    ref, other = calls.send(*(calls.task("greet", function="greeter:greet", values={"plugin_id": plugin.id})
                              for _ in range(2)))
    worker = RemoteWorker(calls.model, resource_storage, there, slots=1)
    worker.open()
    with installs_last(tmp_path / "worker"):
        run = in_background.submit(worker.run, ref)
        wait_until(lambda: calls.row(ref) is not None)
        if how == "order":
            wait_until(lambda: worker.terminate(ref, 30.0))
        elif how == "cancel":
            calls.model.ledger.request_cancel(ref.execution)
        else:
            worker.close(0.0)
        assert run.result(10)
        ended = calls.report(ref)
        assert isinstance(ended, Lost)
        assert ended.reason == "terminated"
    if how == "order":  # the install went on, and the next call has it
        assert worker.run(other)
        assert isinstance(calls.report(other), Succeeded)
    worker.close(5.0)


def test_a_plugin_is_installed_on_the_worker_when_it_is_needed_and_once(
        calls: SentCalls, resource_storage: ResourceStorage, tmp_path: Path) -> None:
    here = PluginManager(calls.model, tmp_path / "runner", resources=resource_storage)
    there = PluginManager(calls.model, tmp_path / "worker", resources=resource_storage)
    plugin = here.install(write_wagon(tmp_path / "greeter.wgn"))
    refs = calls.send(*(calls.task("greet", function="greeter:greet", values={"plugin_id": plugin.id})
                        for _ in range(4)))
    with RemoteWorker(calls.model, resource_storage, there, slots=2) as worker, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(worker.run, refs))
    reports = [calls.report(ref) for ref in refs]
    assert all(isinstance(each, Succeeded) for each in reports), reports
    assert Path(there.get_plugin_dir(plugin)).is_dir()
