"""Case 4: whoever is at a named point is killed, at every point."""

from __future__ import annotations

from typing import Any

import pytest

from aria_core.testing.crash import CRASHES, check_crash
from aria_core.testing.fault_points import POINTS


@pytest.mark.fault(4, executors=["thread", "process"], databases=["sqlite", "postgresql"],
                   small=len(CRASHES), long=5 * len(CRASHES))
@pytest.mark.timeout(600)
def test_killed_at_every_named_point(cell: Any) -> None:
    for trial in cell.trials():
        fault = CRASHES[trial.seed % len(CRASHES)]
        with trial.site(prepared=False) as site:
            check_crash(site, fault)
    cell.note(f"{len(POINTS)} points")
