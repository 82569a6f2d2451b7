"""What operations import stays where they run: a runner with worker processes is as it was."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("executor", ["process"], indirect=True)
@pytest.mark.parametrize("model_storage_url", ["sqlite"], indirect=True)
def test_a_hundred_operations_leave_modules_path_and_environment_of_the_runner_alone(lab: Any) -> None:
    lab.run({"label": "warm"})  # the runner imports the workflow function, under a name of its own
    before = set(sys.modules), list(sys.path), dict(os.environ), Path.cwd()
    lab.run(*({"label": f"t{number}"} for number in range(100)))
    assert len(lab.effects) == 101
    assert set(sys.modules) - before[0] == set()
    assert (list(sys.path), dict(os.environ), Path.cwd()) == before[1:]
    assert "ops" not in sys.modules
    assert str(lab.code) not in sys.path
