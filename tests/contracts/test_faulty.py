"""A storage and an executor with fault points leave out nothing of what they stand around."""

from __future__ import annotations

import pytest

from aria_core.orchestrator.executor import Executor
from aria_core.storage.model import Ledger, ModelStorage
from aria_core.testing.faulty import FaultyExecutor, FaultyLedger, FaultyStorage

TABLES = {"service_template", "node_template", "service", "node", "relationship", "interface", "operation",
          "parameter", "attribute", "execution", "task", "attempt", "claimed_call", "log", "plugin"}
SET_BY_OTHERS = {"api", "name", "lent_to", "origin", "reach", "poll_interval"}
"""What is no method, or what whoever uses them sets."""


@pytest.mark.parametrize(("kind", "base"), [
    (FaultyLedger, Ledger), (FaultyStorage, ModelStorage), (FaultyExecutor, Executor)])
def test_everything_is_passed_on(kind: type, base: type) -> None:
    offered = {name for name in vars(base) if not name.startswith("_")}
    copied = {name for name in offered if isinstance(getattr(base, name), (bool, str))}
    assert offered - copied - TABLES - SET_BY_OTHERS <= set(vars(kind))
