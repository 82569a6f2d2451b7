"""Operations of plugins on hosts where nobody has installed them: files come from an object store."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aria_core import ModelStorage, Plugin, PluginManager
from aria_core.orchestrator.remote_worker import RemoteWorker
from aria_core.testing.object_server import ObjectServer
from aria_core.testing.sent_calls import SentCalls
from aria_core.testing.wagons import make_wagon, make_wheel, write_wagon
from aria_core.worker.calls import CallRef, Failed, FinalReport, Succeeded
from aria_plugins.storage.objects import ObjectStorage

SOURCE = """\
from aria_core import operation

@operation
def where(ctx):
    return __file__
"""


@pytest.fixture
def objects(object_server: ObjectServer) -> Iterator[ObjectStorage]:
    with ObjectStorage(**object_server.keywords(f"test/{secrets.token_hex(8)}")) as storage:
        yield storage


@pytest.fixture
def plugin(model_storage: ModelStorage, objects: ObjectStorage, tmp_path: Path) -> Plugin:
    """A plugin that the runner's host has installed."""
    wheel = make_wheel("finder", files={"finder.py": SOURCE})
    archive = write_wagon(tmp_path / "finder.wgn", make_wagon("finder", wheels=[wheel]))
    return PluginManager(model_storage, tmp_path / "runner", resources=objects).install(archive)


@pytest.fixture
def worker(model_storage: ModelStorage, objects: ObjectStorage, tmp_path: Path
           ) -> Iterator[Callable[[str], RemoteWorker]]:
    """Call with the name of a host: an open worker there."""
    made: list[RemoteWorker] = []

    def make(host: str) -> RemoteWorker:
        manager = PluginManager(model_storage, tmp_path / host, require_pin=True, resources=objects)
        made.append(RemoteWorker(model_storage, objects, manager, slots=2))
        made[-1].open()
        return made[-1]

    yield make
    for each in made:
        each.close(0.0)


def run(workers: list[RemoteWorker], calls: SentCalls, refs: list[CallRef]) -> list[FinalReport]:
    """Give the calls to the workers in turn, all at once; their reports."""
    with ThreadPoolExecutor(len(refs)) as pool:
        numbers = range(len(refs))
        assert all(pool.map(lambda number: workers[number % len(workers)].run(refs[number]), numbers))
    return [calls.report(ref) for ref in refs]


def test_workers_install_the_plugin_once_for_each_host_and_run_it(
        model_storage: ModelStorage, plugin: Plugin, worker: Callable[[str], RemoteWorker],
        tmp_path: Path) -> None:
    calls = SentCalls(model_storage)
    where = calls.task("where", function="finder:where", values={"plugin_id": plugin.id})
    workers = [worker("one"), worker("one"), worker("two")]
    reports = run(workers, calls, calls.send(*[where] * 9))
    assert [type(each) for each in reports] == [Succeeded] * 9, reports
    places = [Path(each.result).relative_to(tmp_path).parts[:2]
              for each in reports if isinstance(each, Succeeded)]
    assert places == [("one", "finder-1.0"), ("one", "finder-1.0"), ("two", "finder-1.0")] * 3


def test_what_was_changed_in_the_store_is_not_run(
        model_storage: ModelStorage, plugin: Plugin, objects: ObjectStorage,
        worker: Callable[[str], RemoteWorker], tmp_path: Path) -> None:
    (name,) = objects.plugin.list(plugin.sha256)
    changed = write_wagon(tmp_path / "other.wgn", make_wagon("finder")).read_bytes()
    objects.put(f"plugin/{plugin.sha256}/{name}", changed)
    calls = SentCalls(model_storage)
    where = calls.task("where", function="finder:where", values={"plugin_id": plugin.id})
    report, = run([worker("one")], calls, calls.send(where))
    assert isinstance(report, Failed)
    assert "in the resource storage was changed: its SHA-256 is" in report.error
    assert [each.name for each in (tmp_path / "one").iterdir()] == [".lock"]
