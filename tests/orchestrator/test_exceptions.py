"""The orchestrator's errors, as the manual and the command line know them."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from aria_core.exceptions import AriaError
from aria_core.orchestrator import exceptions
from aria_core.orchestrator.exceptions import CyclicGraphError, TaskAbortException, TaskRetryException
from aria_core.worker import outcomes

SEED = {
    "ActiveExecutionsError": AriaError,
    "InvalidPluginError": AriaError,
    "InvalidWorkflowRunnerParams": AriaError,
    "OrchestratorError": AriaError,
    "PluginAlreadyExistsError": AriaError,
    "TaskAbortException": RuntimeError,
    "TaskRetryException": RuntimeError,
    "UndeclaredWorkflowError": AriaError,
    "WorkflowImplementationNotFoundError": AriaError,
}


@pytest.mark.parametrize(("name", "base"), SEED.items())
def test_the_nine_of_the_manual_have_the_bases_of_the_manual(name, base):
    assert getattr(exceptions, name).__bases__ == (base,)


@pytest.mark.parametrize("name", ["ContextError", "CyclicGraphError", "OperationNotFoundError",
                                  "PluginNotFoundError", "TaskNotInGraphError"])
def test_ours_are_orchestrator_errors(name):
    assert issubclass(getattr(exceptions, name), exceptions.OrchestratorError)


@pytest.mark.parametrize("name", exceptions.__all__)
def test_the_tree_at_the_top_draws_every_error(name):
    assert f"── {name} " in exceptions.__doc__


def test_exit_codes_tell_bad_input_from_another_runner():
    assert exceptions.ActiveExecutionsError.exit_code == 3
    assert exceptions.UndeclaredWorkflowError.exit_code == 2
    assert exceptions.InvalidWorkflowRunnerParams.exit_code == 2
    assert exceptions.OrchestratorError.exit_code == 1


def test_a_retry_carries_its_interval():
    assert TaskRetryException("later").retry_interval is None
    error = pickle.loads(pickle.dumps(TaskRetryException("later", retry_interval=0.1)))
    assert (str(error), error.retry_interval) == ("later", 0.1)


def test_workers_raise_and_catch_the_two_with_the_standard_library_alone():
    assert outcomes.TaskAbortException is TaskAbortException
    assert outcomes.TaskRetryException is TaskRetryException
    code = ("import sys; before = set(sys.modules); import aria_core.worker.outcomes; "
            "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
            "print(sorted(new - sys.stdlib_module_names))")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "['aria_core']"


def test_a_long_cycle_is_shown_in_part_and_kept_whole():
    error = CyclicGraphError("g", [f"t{index}" for index in range(1000)])
    assert len(error.cycle) == 1000
    assert "t9 waits for (990 more) waits for t0" in str(error)
