"""A database that is taken away from a runner for good: it stops at once, and ends what it runs."""

from __future__ import annotations

import time
from typing import Any

import pytest

from aria_core.exceptions import StorageLostError
from aria_core.storage.sql import SqlModelStorage

pytestmark = [pytest.mark.parametrize("executor", ["process"], indirect=True),
              pytest.mark.parametrize("model_storage_url", ["sqlite"], indirect=True)]


@pytest.mark.parametrize("take_away", ["rename", "unlink"])
def test_a_runner_whose_database_file_is_taken_away_stops_within_a_beat(
        lab: Any, model_storage_url: str, take_away: str) -> None:
    with SqlModelStorage(model_storage_url) as storage:
        away = type(lab)(storage, lab.resource, lab.directory, lab.executor, name="away")
        runner = away.runner(steps=[{"label": "a", "do": "wait_for", "arguments": {"file": "/nowhere/gate"}},
                                    {"label": "b", "after": ["a"]}])
        wait = away.in_thread(runner)
        away.wait_for_effect("a")
        file = storage.database.file
        assert file is not None
        began = time.monotonic()
        file.rename(file.with_suffix(".old")) if take_away == "rename" else file.unlink()
        assert isinstance(wait(), StorageLostError)
        assert time.monotonic() - began < 5 + 5  # a heartbeat, and what a loaded machine adds
        assert lab.effects == ["a"]


def test_a_runner_whose_database_file_was_put_back_can_be_resumed(
        lab: Any, model_storage_url: str) -> None:
    gate = lab.directory / "gate"
    with SqlModelStorage(model_storage_url) as storage:
        away = type(lab)(storage, lab.resource, lab.directory, lab.executor, name="away")
        runner = away.runner(steps=[{"label": "a", "do": "wait_for", "arguments": {"file": str(gate)}}])
        wait = away.in_thread(runner)
        away.wait_for_effect("a")
        file = storage.database.file
        assert file is not None
        file.rename(file.with_suffix(".old"))
        assert isinstance(wait(), StorageLostError)
        number = runner.execution_id
    file.with_suffix(".old").rename(file)
    gate.touch()
    with SqlModelStorage(model_storage_url) as storage:
        away = type(lab)(storage, lab.resource, lab.directory, lab.executor, name="again")
        assert away.runner(execution_id=number).execute() == "succeeded"
