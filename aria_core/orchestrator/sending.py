"""The last step of a dispatch: from committed attempts to calls that their executor has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from aria_core.exceptions import AriaError, StorageUnavailableError
from aria_core.modeling.expressions import MissingValueError
from aria_core.orchestrator.patience import ride_out
from aria_core.orchestrator.progress import ALWAYS_CUT_OFF, TaskProgress
from aria_core.orchestrator.surroundings import Surroundings
from aria_core.worker.calls import Call, CallRef, Failed
from aria_core.worker.outcomes import class_names


def send(around: Surroundings, tasks: Iterable[TaskProgress]) -> None:
    """Submit the calls of the tasks' current attempts; what makes one impossible comes back as a report.

    An executor that survives its runner is given outlines: who claims a call makes it.

    Raises ``StorageUnavailableError`` if the storage stays away.
    """
    calls: list[Call] = []
    survives = around.executor.survives_runner
    for task in tasks:
        if task.row.dynamic and not survives:  # it is read for, which those before it need not wait for
            _submit(around, calls)
            calls = []
        calls += _made(around, task, around.calls.outline if survives else around.calls.make)
    _submit(around, calls)


def _submit(around: Surroundings, calls: Sequence[Call]) -> None:
    if not calls:
        return
    try:
        refused = around.executor.submit_all(calls)
    except Exception as error:  # noqa: BLE001 - it has begun none of them, and that concerns them alone
        refused = [(call.ref, error) for call in calls]
    for ref, why in refused:
        _refuse(around, ref, why)


def _made(around: Surroundings, task: TaskProgress, make: Callable[[TaskProgress], Call]) -> list[Call]:
    if task.was_cut_off_too_often:
        around.inbox(Failed(task.ref, ALWAYS_CUT_OFF, retry=False))
        return []
    try:
        if task.row.dynamic or task.row.plugin_id is not None:  # something must be read
            return [ride_out(around.clock, lambda _: make(task))]
        return [make(task)]
    except StorageUnavailableError:
        raise
    except MissingValueError as error:
        if not around.executor.runs_operations:  # it waits for what operations would have set
            return [around.calls.outline(task)]
        _refuse(around, task.ref, error)
        return []
    except Exception as error:  # noqa: BLE001 - whatever an extension raises fails this task, not the runner
        _refuse(around, task.ref, error)
        return []


def _refuse(around: Surroundings, ref: CallRef, error: Exception) -> None:
    name = "" if isinstance(error, AriaError) else f"{type(error).__name__}: "
    around.inbox(Failed(ref, f"{name}{error}", classes=class_names(error)))
