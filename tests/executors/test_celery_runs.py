"""Whole executions through real brokers, PostgreSQL and workers: wakes, workers that come later, cancels."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from aria_core import TemplateBuilder, call, create_service, script, store_template
from aria_core.testing.bench import OPERATIONS, is_alive
from aria_core.testing.graphs import SERVICE, graphs_template
from aria_core.testing.sent_calls import wait_until
from aria_core.testing.worker_hosts import Site
from aria_plugins.cli.root import aria

A_MINUTE = 60.0
CANCELS_WITHIN = 2.0


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """Hosts that look into the database once a minute if nobody wakes them."""
    return make_site(poll_interval=A_MINUTE)


@pytest.fixture
def graphs(site: Site) -> int:
    """A service with workflows of every shape."""
    model, resource = site.application.model_storage, site.application.resource_storage
    return create_service(model, store_template(model, resource, graphs_template()), SERVICE).id


def seconds_for(site: Site, service: int, shape: str, count: int) -> float:
    """How long so many tasks take that do nothing."""
    began = time.monotonic()
    runner = site.application.runner(service_id=service, workflow_name=shape, inputs={"count": count})
    assert runner.execute() == "succeeded", site.logs()
    return time.monotonic() - began


def test_two_hundred_tasks_need_no_polling(site: Site, graphs: int) -> None:
    site.worker(2)
    site.worker(2)
    assert seconds_for(site, graphs, "free", 200) < A_MINUTE / 2
    assert seconds_for(site, graphs, "chain", 20) < A_MINUTE / 2


def test_a_worker_that_comes_later_is_used_at_once(site: Site, graphs: int) -> None:
    runner = site.aria("executions", "start", SERVICE, "free", "--input", "count=5")
    wait_until(lambda: any("no worker" in each.message for each in site.application.model_storage.log.list()))
    began = time.monotonic()
    site.worker(1)
    said, _ = runner.communicate(timeout=A_MINUTE)
    assert runner.returncode == 0, said
    assert time.monotonic() - began < A_MINUTE / 2


def test_a_cancel_from_elsewhere_ends_what_a_worker_runs(site: Site) -> None:
    builder = TemplateBuilder("hanging")
    pids = site.shared / "pids"
    builder.node("one", operations={"create": call(f"{OPERATIONS}:hang", inputs={"pids": str(pids)})})
    model, resource = site.application.model_storage, site.application.resource_storage
    create_service(model, store_template(model, resource, builder.load()), "hanging")
    site.worker(2)
    runner = site.aria("executions", "start", "hanging", "install")
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) > 0)
    running = [int(each) for each in pids.read_text().split()]
    execution = model.execution.list().items[0].id
    cancel = site.aria("executions", "cancel", str(execution))
    wait_until(lambda: model.execution.get(execution).state == "cancelling")
    began = time.monotonic()
    wait_until(lambda: not any(map(is_alive, running)))
    assert time.monotonic() - began <= CANCELS_WITHIN
    runner.communicate(timeout=30)
    cancel.communicate(timeout=30)
    assert model.execution.get(execution).state == "cancelled"


CLIMBS = """#!/bin/sh
trap 'exit 1' TERM
setsid sh -c 'echo $$ >>"$1"; while :; do sleep 1; done' daemon "$pids" &
echo $$ >>"$pids"
while :; do sleep 0.1; done
"""


def test_a_script_and_what_it_started_are_gone_two_seconds_after_the_command_to_cancel(
        site: Site, tmp_path: Path) -> None:
    (tmp_path / "climb.sh").write_text(CLIMBS)
    pids = site.shared / "pids"
    builder = TemplateBuilder("climbing")
    builder.node("one", operations={"create": script("climb.sh", pids=str(pids))})
    model, resource = site.application.model_storage, site.application.resource_storage
    create_service(model, store_template(model, resource, builder.load(tmp_path)), "climbing")
    site.worker(1)
    runner = site.aria("executions", "start", "climbing", "install")
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    running = [int(each) for each in pids.read_text().split()]
    execution = model.execution.list().items[0].id

    def gone_at() -> float:
        wait_until(lambda: not any(map(is_alive, running)))
        return time.monotonic()

    with ThreadPoolExecutor(1) as background:
        gone = background.submit(gone_at)
        began = time.monotonic()
        # In this process: a loaded machine takes a second and more until a new one can say anything.
        done = CliRunner().invoke(aria, ["--config", str(site.runner / "aria.toml"), "executions", "cancel",
                                         str(execution)])
        took = gone.result() - began
    sys.stderr.write(f"gone {took:.2f} s after the command\n")
    assert done.exit_code == 0, done.output
    assert took <= CANCELS_WITHIN
    runner.communicate(timeout=30)
    assert model.execution.get(execution).state == "cancelled"
