"""Queues of calls with real brokers, PostgreSQL and workers: who serves which, and what nobody serves."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aria_core import TemplateBuilder, call, create_service, store_template
from aria_core.modeling.specification import LoadedTemplate
from aria_core.testing.bench import OPERATIONS
from aria_core.testing.sent_calls import wait_until
from aria_core.testing.wagons import make_wagon, make_wheel, write_wagon
from aria_core.testing.worker_hosts import Site

A_MINUTE = 60.0
SLOTS, PLAIN, BIG = 4, 12, 6
FINDER = """\
import os
from aria_core import operation

@operation
def where(ctx):
    return dict(os.environ)
"""

MakeSite = Callable[..., Site]


def queue_names(*names: str) -> list[str]:
    """Names of queues that no other test has at this broker."""
    return [f"{each}-{secrets.token_hex(4)}" for each in names]


def add_service(site: Site, template: LoadedTemplate) -> None:
    model, resource = site.application.model_storage, site.application.resource_storage
    create_service(model, store_template(model, resource, template), template.template.name)


def tasks(site: Site, kind: str = "") -> list[Any]:
    """The tasks with an operation whose name has this in it."""
    return [each for each in site.application.model_storage.task
            if each.function is not None and kind in each.name]


def warnings(site: Site, queue: str) -> list[str]:
    return [each.message for each in site.application.model_storage.log.list()
            if each.level == "WARNING" and queue in each.message]


def place(task: Any) -> str:
    """The directory of the worker that ran an operation which returned its environment."""
    return Path(task.result["HOME"]).name


def mixed(directory: Path) -> LoadedTemplate:
    """Nodes whose type has a queue of its own, which are sent first, and more without."""
    builder = TemplateBuilder("mixed")
    for number in range(BIG):
        builder.node(f"big_{number}", type="test.Big", operations={"create": f"{OPERATIONS}:environment"})
    for number in range(PLAIN):
        builder.node(f"plain_{number}", operations={"create": call(
            f"{OPERATIONS}:count_at_once", inputs={"directory": str(directory), "seconds": 1.0})})
    return builder.load()


def test_calls_that_nobody_serves_take_no_places_and_go_on_when_somebody_does(make_site: MakeSite) -> None:
    big, = queue_names("big")
    site = make_site(poll_interval=A_MINUTE, queues={"type:test.Big": big})
    counted = site.shared / "counted"
    counted.mkdir()
    counted.chmod(0o777)
    add_service(site, mixed(counted))
    site.worker(SLOTS)
    runner = site.aria("executions", "start", "mixed", "install")
    try:
        wait_until(lambda: len([each for each in tasks(site, "plain") if each.state == "success"]) == PLAIN)
        assert max(each.result for each in tasks(site, "plain")) == SLOTS
        assert {(each.state, each.attempts) for each in tasks(site, "big")} == {("pending", 0)}
        wait_until(lambda: warnings(site, big) != [])
        site.worker(2, "--queue", big)
        said, _ = runner.communicate(timeout=A_MINUTE)
        assert runner.returncode == 0, said
    finally:
        runner.kill()
        runner.communicate()
    assert {(each.state, each.attempts, place(each)) for each in tasks(site, "big")} == {
        ("success", 1, "worker 1")}
    warned, = warnings(site, big)
    assert f"nobody serves the queue '{big}'" in warned
    assert "Standard.create" in warned


def test_a_call_runs_on_a_worker_of_its_queue_alone(make_site: MakeSite, tmp_path: Path) -> None:
    builders, big, edge = queue_names("builders", "big", "edge")
    site = make_site(poll_interval=A_MINUTE, queues={
        "operation:Standard.configure": builders, "type:test.Big": big, "plugin:finder": edge})
    wheel = make_wheel("finder", files={"finder.py": FINDER})
    site.application.plugin_manager.install(write_wagon(
        tmp_path / "finder.wgn", make_wagon("finder", wheels=[wheel])))
    builder = TemplateBuilder("spread")
    builder.plugin("finder")
    for number in range(4):
        builder.node(f"plain_{number}", operations={
            "create": f"{OPERATIONS}:environment", "configure": f"{OPERATIONS}:environment"})
        builder.node(f"big_{number}", type="test.Big", operations={
            "configure": f"{OPERATIONS}:environment", "start": call("finder:where", plugin="finder")})
        builder.node(f"edgy_{number}", operations={"create": call("finder:where", plugin="finder")})
    add_service(site, builder.load())
    site.worker(1)
    for name in (builders, big, edge):
        site.worker(1, "--queue", name)
    execution = site.application.runner(service_id=1, workflow_name="install")
    assert execution.execute() == "succeeded", site.logs()
    ran = {(each.node.name.partition("_")[0], each.operation_name, place(each)) for each in tasks(site)}
    assert ran == {("plain", "create", "worker 0"), ("plain", "configure", "worker 1"),
                   ("big", "configure", "worker 1"), ("big", "start", "worker 2"),
                   ("edgy", "create", "worker 3")}


def test_a_worker_of_several_queues_runs_the_calls_of_each(make_site: MakeSite) -> None:
    big, = queue_names("big")
    site = make_site(poll_interval=A_MINUTE, queues={"type:test.Big": big})
    counted = site.shared / "counted"
    counted.mkdir()
    counted.chmod(0o777)
    add_service(site, mixed(counted))
    site.worker(SLOTS, "--queue", site.queue, "--queue", big)
    execution = site.application.runner(service_id=1, workflow_name="install")
    assert execution.execute() == "succeeded", site.logs()
    assert {each.attempts for each in tasks(site)} == {1}
