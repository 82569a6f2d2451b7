"""Workers elsewhere that are told to stop, with real brokers, PostgreSQL and ``aria worker`` processes."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aria_core import TemplateBuilder, call, create_service, script, store_template
from aria_core.modeling.specification import LoadedTemplate
from aria_core.testing.bench import OPERATIONS, is_alive
from aria_core.testing.brokers import Broker
from aria_core.testing.link import linked
from aria_core.testing.sent_calls import wait_until
from aria_core.testing.worker_hosts import Site

A_MINUTE = 60.0
ENDS_WITHIN = 25.0
"""Seconds that a worker may take to end which nothing keeps, on a loaded machine."""
AT_ONCE = 8.0
"""Seconds in which a call begins elsewhere that was given back; a lease takes 15."""
HANGS_AT_FIRST = """#!/bin/sh
case $ARIA_ATTEMPT in */1@*) echo $$ >>"$pids"; while [ ! -e "$gate" ]; do sleep 0.05; done ;; esac
"""

MakeSite = Callable[..., Site]


def add_service(site: Site, template: LoadedTemplate) -> None:
    model, resource = site.application.model_storage, site.application.resource_storage
    create_service(model, store_template(model, resource, template), template.template.name)


def tasks(site: Site) -> list[Any]:
    return [each for each in site.application.model_storage.task if each.function is not None]


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def waiting(site: Site, count: int) -> tuple[Path, Path]:
    """A service with so many operations, which say that they have begun and wait; that file, and the gate."""
    begun, gate = site.shared / "begun", site.shared / "gate"
    builder = TemplateBuilder("waiting")
    for number in range(count):
        builder.node(f"node_{number}", operations={
            "create": call(f"{OPERATIONS}:wait_for_file", path=str(gate), begun=str(begun))})
    add_service(site, builder.load())
    return begun, gate


def ended(runner: subprocess.Popen[str]) -> str:
    """What a command said that must succeed."""
    said, _ = runner.communicate(timeout=A_MINUTE)
    assert runner.returncode == 0, said
    return said


@pytest.mark.parametrize(("make_site", "number"), [
    ("valkey", signal.SIGTERM), ("rabbitmq", signal.SIGINT)], indirect=["make_site"])
def test_the_first_signal_lets_what_runs_end_and_begins_nothing(
        make_site: MakeSite, number: signal.Signals) -> None:
    site = make_site(poll_interval=A_MINUTE)
    begun, gate = waiting(site, 3)
    worker = site.worker(1)
    runner = site.aria("executions", "start", "waiting", "install")
    try:
        wait_until(lambda: len(lines(begun)) == 1)
        worker.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(1.0)
        gate.touch()
        assert worker.wait(ENDS_WITHIN) == 0, site.logs()
        assert [each.rpartition(" ")[2] for each in lines(begun)] == ["begun", "ended"]
        wait_until(lambda: [each.state for each in tasks(site)].count("success") == 1)
        site.worker(1)
        ended(runner)
    finally:
        runner.kill()
        runner.communicate()
    assert {(each.state, each.attempts) for each in tasks(site)} == {("success", 1)}
    assert len(lines(begun)) == 6
    assert "Traceback" not in site.logs()


def test_the_second_signal_gives_back_what_runs_and_it_begins_elsewhere_at_once(
        make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(poll_interval=A_MINUTE)
    pids, gate = site.shared / "pids", site.shared / "gate"
    (tmp_path / "hang.sh").write_text(HANGS_AT_FIRST)
    builder = TemplateBuilder("given back")
    for name in ("one", "two"):
        builder.node(name, operations={"create": script(
            "hang.sh", pids=str(pids), gate=str(gate), retry_interval=0.0)})
    add_service(site, builder.load(tmp_path))
    stopped = site.worker(1, "--grace", "600")
    runner = site.aria("executions", "start", "given back", "install")
    try:
        wait_until(lambda: len(lines(pids)) == 1)
        running = int(lines(pids)[0])
        site.worker(2)
        wait_until(lambda: len(lines(pids)) == 2)  # it is there, and has a slot that is free
        stopped.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            stopped.wait(1.0)
        assert is_alive(running)
        told = time.monotonic()
        stopped.send_signal(signal.SIGTERM)
        wait_until(lambda: "success" in {each.state for each in tasks(site)})
        assert time.monotonic() - told < AT_ONCE
        assert not is_alive(running)
        assert stopped.wait(ENDS_WITHIN) == 0, site.logs()
        gate.touch()
        ended(runner)
    finally:
        runner.kill()
        runner.communicate()
    again, = (each for each in tasks(site) if each.attempts == 2)
    assert (again.state, again.failures, again.lost) == ("success", 0, 0)
    assert "Traceback" not in site.logs()


def test_a_stop_while_the_broker_is_away_ends_and_what_ran_is_reported(
        make_site: MakeSite, site_broker: Broker) -> None:
    site = make_site(poll_interval=1.0)  # nobody can wake the runner
    begun, gate = waiting(site, 1)
    worker = site.worker(1)
    runner = site.aria("executions", "start", "waiting", "install")
    try:
        wait_until(lambda: len(lines(begun)) == 1)
        site_broker.kill()
        late = site.worker(1)
        wait_until(lambda: (site.directory / "worker 1" / "log").read_text().count("trying again") > 0)
        for each in (worker, late):
            each.send_signal(signal.SIGTERM)
        assert late.wait(ENDS_WITHIN) == 0, site.logs()
        gate.touch()
        assert worker.wait(ENDS_WITHIN) == 0, site.logs()
        ended(runner)
    finally:
        runner.kill()
        runner.communicate()
        site_broker.start()
    assert {(each.state, each.attempts) for each in tasks(site)} == {("success", 1)}


# --- cut off

@pytest.mark.parametrize("make_site", ["rabbitmq"], indirect=True)
def test_a_worker_that_only_the_broker_reaches_runs_nothing_and_others_run_it_all(
        make_site: MakeSite) -> None:
    site = make_site(poll_interval=1.0)
    builder = TemplateBuilder("many")
    for number in range(6):
        builder.node(f"node_{number}", operations={"create": f"{OPERATIONS}:environment"})
    add_service(site, builder.load())

    def run() -> set[str]:
        """On which hosts the operations of one more execution ran."""
        runner = site.application.runner(service_id=1, workflow_name="install")
        assert runner.execute() == "succeeded", site.logs()
        ran = [each for each in tasks(site) if each.execution_id == runner.execution_id]
        assert {each.attempts for each in ran} == {1}
        return {Path(each.result["HOME"]).name for each in ran}

    with linked(site.database) as link:
        site.worker(2, database=link.through)
        assert run() == {"worker 0"}
        link.refuse()
        with ThreadPoolExecutor(1) as background:
            others = background.submit(run)
            wait_until(lambda: {each.state for each in tasks(site)} >= {"success", "sent"})
            time.sleep(1.0)
            assert [each.state for each in tasks(site)].count("success") == 6
            other = site.worker(1)
            assert others.result(A_MINUTE) == {"worker 1"}
        wait_until(lambda: "could not be claimed" in site.logs())  # so the broker did reach it
        link.heal()
        other.send_signal(signal.SIGTERM)
        assert other.wait(ENDS_WITHIN) == 0
        assert run() == {"worker 0"}
