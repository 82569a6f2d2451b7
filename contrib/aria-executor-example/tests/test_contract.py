"""What ARIA promises of every executor holds for this one, too."""

from __future__ import annotations

import pytest
from aria_executor_example import ExampleExecutor

from aria_core.testing.executor import ExecutorContract


class TestExampleExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self) -> ExampleExecutor:
        return ExampleExecutor(slots=2)
