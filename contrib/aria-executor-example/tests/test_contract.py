"""What ARIA promises of every executor holds for this one, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from aria_executor_example import ExampleExecutor

from aria_core.testing.crash import CrashContract, CrashSite, check_crash
from aria_core.testing.executor import ExecutorContract
from aria_core.testing.fault_points import Fault


class TestExampleExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self) -> ExampleExecutor:
        return ExampleExecutor(slots=2)


CONFIGURATION = """\
[executor]
use = "example"
slots = 2
[model_storage]
use = "sql"
url = "sqlite:///aria.db"
[resource_storage]
use = "file"
directory = "resources"
"""
POINTS = (Fault("before-sent"), Fault("after-sent"), Fault("after-report"), Fault("after-success"))
"""Some of ``CRASHES``, so that this takes seconds; leave the test below out to run them all."""


class TestExampleExecutorCrashes(CrashContract):
    @pytest.fixture
    def crash_configuration(self) -> str:
        return CONFIGURATION

    @pytest.fixture
    def crash_database(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/aria.db"

    @pytest.mark.parametrize("fault", POINTS, ids=lambda fault: fault.point)
    def test_promises_are_kept_whatever_dies(self, site: CrashSite, fault: Fault) -> None:
        check_crash(site, fault)
