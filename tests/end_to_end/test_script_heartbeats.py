"""A script that shows that it lives, and one that falls silent, through a whole runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aria_core import (
    Executor,
    ModelStorage,
    ResourceStorage,
    TemplateBuilder,
    WorkflowRunner,
    create_service,
    store_template,
)
from aria_core.modeling.builder import script
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor

HEARTBEAT_TIMEOUT = 1.5
SCRIPT = """
case $ARIA_ATTEMPT in */1@*) ctx task heartbeat 0.1; sleep 1000 ;; esac
for step in 1 2 3 4 5; do
    ctx task heartbeat 0.$step "step $step"
    sleep 0.5
done
"""
"""The first attempt falls silent; the second takes longer than it may be silent."""


@pytest.fixture(params=["thread", "process"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with ThreadExecutor(slots=2) if request.param == "thread" else ProcessExecutor(slots=2) as executor:
        yield executor


def test_a_script_that_falls_silent_is_lost_and_one_that_shows_that_it_lives_goes_on(
        model_storage: ModelStorage, resource_storage: ResourceStorage, executor: Executor,
        tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "beat.sh").write_text(SCRIPT)
    builder = TemplateBuilder("beats")
    builder.node("node", operations={"create": script(
        "beat.sh", heartbeat_timeout=HEARTBEAT_TIMEOUT, max_attempts=1, retry_interval=0.0)})
    template = store_template(model_storage, resource_storage, builder.load(tmp_path / "code"))
    service = create_service(model_storage, template, "beats", {})
    runner = WorkflowRunner(model_storage, resource_storage, None, service_id=service.id,
                            workflow_name="install", executor=executor)
    assert runner.execute() == "succeeded"
    (lost,) = model_storage.attempt.iter()
    assert (lost.number, lost.outcome) == (1, "lost")
    assert lost.error == f"the attempt was lost: no heartbeat for {HEARTBEAT_TIMEOUT} s"
    (task,) = [each for each in model_storage.task.iter() if each.stub is None]
    assert (task.state, task.attempts, task.failures, task.lost) == ("success", 2, 0, 1)
    assert (task.progress, task.progress_message) == (0.5, "step 5")
