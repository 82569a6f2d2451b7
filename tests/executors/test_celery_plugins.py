"""Plugins on workers elsewhere, with real brokers, PostgreSQL and ``aria worker`` processes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aria_core import ExecutionFailedError, TemplateBuilder, call, create_service, store_template
from aria_core.modeling.specification import LoadedTemplate
from aria_core.testing.other_user import NOBODY
from aria_core.testing.sent_calls import wait_until
from aria_core.testing.wagons import make_wagon, make_wheel, write_wagon
from aria_core.testing.worker_hosts import Site

A_MINUTE = 60.0
CANCELS_WITHIN = 2.0
FINDER = """\
import os

def where(ctx, greeting=""):
    return {"file": __file__, "greeting": greeting, "variables": sorted(os.environ)}
"""
HARMS = """\
from pathlib import Path
Path({harmed!r}).touch()

def where(ctx, greeting=""):
    return {{}}
"""
WRAPS = """\
from contextlib import contextmanager
from aria_core import hookimpl

@hookimpl
def aria_wrap_operation(call):
    return f"{__name__}:told"

@contextmanager
def told(call):
    with open(OUT, "a") as out:
        print("before", call.function, file=out, flush=True)
        yield
        print("after", file=out)
"""
TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
imports: [aria-1.0]
topology_template:
  node_templates:
    one:
      type: tosca.nodes.Root
      interfaces:
        Standard:
          operations:
            create:
              implementation: finder > finder.places.where
              inputs: {greeting: good day}
  policies:
  - finder:
      type: aria.Plugin
      properties: {version: "1.0"}
"""

MakeSite = Callable[..., Site]


def wagon(place: Path, files: dict[str, str]) -> Path:
    """An archive of the plugin ``finder`` with these modules."""
    return write_wagon(place, make_wagon("finder", wheels=[make_wheel("finder", files=files)]))


def finding(function: str = "finder:where") -> LoadedTemplate:
    """A service with one operation of the plugin."""
    builder = TemplateBuilder("finding")
    builder.plugin("finder")
    builder.node("one", operations={"create": call(function, plugin="finder", max_attempts=1)})
    return builder.load()


def add_service(site: Site, template: LoadedTemplate) -> None:
    model, resource = site.application.model_storage, site.application.resource_storage
    create_service(model, store_template(model, resource, template), template.template.name)


def the_task(site: Site) -> Any:
    return [each for each in site.application.model_storage.task if each.function is not None][-1]


@pytest.mark.parametrize("make_site", ["valkey"], indirect=True)
def test_an_archive_that_was_tampered_with_is_refused_and_nothing_of_it_runs(
        make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(poll_interval=A_MINUTE)
    plugin = site.application.plugin_manager.install(wagon(tmp_path / "finder.wgn", {"finder.py": FINDER}))
    harmed = site.shared / "harmed"
    kept, = (each for each in site.shared.rglob("*") if each.is_file() and plugin.sha256 in str(each))
    other = wagon(tmp_path / "other.wgn", {"finder.py": HARMS.format(harmed=str(harmed))})
    kept.write_bytes(other.read_bytes())
    add_service(site, finding())
    site.worker(1)
    runner = site.application.runner(service_id=1, workflow_name="install")
    with pytest.raises(ExecutionFailedError, match=r"the archive of plugin finder 1\.0 .* was changed"):
        runner.execute()
    assert (the_task(site).state, the_task(site).attempts) == ("failed", 1)
    assert not harmed.exists()
    assert [each.name for each in (site.directory / "worker 0" / "plugins").iterdir()] == [".lock"]
    assert "Traceback" not in site.logs()


@pytest.mark.parametrize("make_site", ["rabbitmq"], indirect=True)
def test_a_worker_runs_operations_of_plugins_with_the_wrappers_around_them(
        make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(poll_interval=A_MINUTE)
    out, extension = site.shared / "wrapped", site.shared / "extension"
    info = extension / "aria_wraps-1.0.dist-info"
    info.mkdir(parents=True)
    (extension / "wraps.py").write_text(f"OUT = {str(out)!r}\n{WRAPS}")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aria-wraps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[aria.hooks]\nwraps = wraps\n")
    site.application.plugin_manager.install(wagon(
        tmp_path / "finder.wgn", {"finder/__init__.py": "", "finder/places.py": FINDER}))
    (site.runner / "service.yaml").write_text(TEMPLATE)
    site.variables["PYTHONPATH"] = str(extension)
    site.worker(1)
    runner = site.aria("run", "service.yaml")
    said, _ = runner.communicate(timeout=A_MINUTE)
    assert runner.returncode == 0, said + site.logs()
    told = the_task(site).result
    assert told["greeting"] == "good day"
    assert Path(told["file"]).is_relative_to(site.directory / "worker 0" / "plugins" / "finder-1.0")
    assert "PYTHONPATH" not in told["variables"]
    assert out.read_text() == "before finder.places:where\nafter\n"


@contextmanager
def installs_last(plugins: Path) -> Iterator[None]:
    """A block in which every install into this directory waits."""
    plugins.mkdir()
    lock = plugins / ".lock"
    lock.touch()
    if os.geteuid() == 0:
        for each in (plugins, lock):
            os.chown(each, NOBODY, NOBODY)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def test_an_install_on_demand_does_not_delay_a_cancel(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(poll_interval=A_MINUTE)
    site.application.plugin_manager.install(wagon(tmp_path / "finder.wgn", {"finder.py": FINDER}))
    add_service(site, finding())
    site.worker(1)
    model = site.application.model_storage
    with installs_last(site.directory / "worker 0" / "plugins"):
        runner = site.aria("executions", "start", "finding", "install")
        wait_until(lambda: len(model.execution.list()) > 0 and len(model.ledger.claimed_calls(1)) > 0)
        cancelled = site.application.runner(execution_id=1)
        began = time.monotonic()
        cancelled.cancel()
        wait_until(lambda: model.execution.get(1).state == "cancelled")
        assert time.monotonic() - began <= CANCELS_WITHIN
        runner.communicate(timeout=A_MINUTE)
    again = site.application.runner(service_id=1, workflow_name="install")
    assert again.execute() == "succeeded", site.logs()
