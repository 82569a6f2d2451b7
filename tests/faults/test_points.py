"""Case 4: whoever is at a named point is killed, at every point."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from aria_core.testing.crash import CRASHES, CRASHES_ELSEWHERE, GOES_ON, check_crash
from aria_core.testing.worker_site import worker_sites


@pytest.mark.fault(4, executors=["thread", "process"], databases=["sqlite", "postgresql"],
                   small=len(CRASHES), long=5 * len(CRASHES))
@pytest.mark.timeout(600)
def test_killed_at_every_named_point(cell: Any) -> None:
    for trial in cell.trials():
        fault = CRASHES[trial.seed % len(CRASHES)]
        with trial.site(prepared=False) as site:
            check_crash(site, fault)
    cell.note(f"{len(CRASHES)} crashes")


@pytest.mark.fault(4, executors=["celery-valkey", "celery-rabbitmq"], databases=["postgresql"],
                   small=len(CRASHES_ELSEWHERE) // 3, long=5 * len(CRASHES_ELSEWHERE), of="workers elsewhere")
@pytest.mark.timeout(600)
def test_killed_at_every_named_point_while_workers_are_elsewhere(
        cell: Any, request: pytest.FixtureRequest) -> None:
    """In small numbers every third point, of which each kind has some."""
    broker = request.getfixturevalue(cell.executor.partition("-")[2])
    for trial in cell.trials():
        fault = CRASHES_ELSEWHERE[3 * trial.seed % len(CRASHES_ELSEWHERE)]
        hosts = [trial.directory / name for name in ("one", "two")]
        with (trial.site(prepared=False, broker=broker.url, queue=f"q{secrets.token_hex(4)}") as site,
              worker_sites(hosts, _text(site.directory)) as workers):
            for each in workers:
                each.launch_faulty(site, slots=1)
            check_crash(site, fault, GOES_ON)
    cell.note(f"{len(CRASHES_ELSEWHERE)} crashes")


def _text(directory: Path) -> str:
    return (directory / "aria.toml").read_text()
