"""The last step of a dispatch: from a committed attempt to a call that its executor has."""

from __future__ import annotations

from aria_core.exceptions import AriaError, StorageUnavailableError
from aria_core.orchestrator.patience import ride_out
from aria_core.orchestrator.progress import ALWAYS_CUT_OFF, TaskProgress
from aria_core.orchestrator.surroundings import Surroundings
from aria_core.worker.calls import Failed
from aria_core.worker.outcomes import class_names


def send(around: Surroundings, task: TaskProgress) -> None:
    """Submit the call of a task's current attempt; what makes that impossible comes back as a report.

    Raises ``StorageUnavailableError`` if the storage stays away.
    """
    if task.was_cut_off_too_often:
        around.inbox(Failed(task.ref, ALWAYS_CUT_OFF, retry=False))
        return
    try:
        around.executor.submit(ride_out(around.clock, lambda _: around.calls.make(task)))
    except StorageUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever an extension raises fails this task, not the runner
        name = "" if isinstance(error, AriaError) else f"{type(error).__name__}: "
        around.inbox(Failed(task.ref, f"{name}{error}", classes=class_names(error)))
