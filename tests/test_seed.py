"""The manual of ``aria.orchestrator``, entry by entry: each exists under ``aria_core.orchestrator``.

The lists are the manual. Beyond them a signature may only grow where a caller of old does not notice.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

from aria_core.exceptions import AriaError
from aria_core.orchestrator import exceptions
from aria_core.orchestrator.plugin import PluginManager
from aria_core.orchestrator.workflow_runner import WorkflowRunner

REQUIRED = inspect.Parameter.empty

MODULES = ["decorators", "events", "exceptions", "plugin", "workflow_runner"]

SIGNATURES: dict[str, dict[str, Any]] = {
    "decorators.operation": {
        "func": None, "toolbelt": False, "suffix_template": "", "logging_handlers": None},
    "decorators.workflow": {"func": None, "suffix_template": ""},
    "exceptions.ProcessException": {
        "command": REQUIRED, "stderr": None, "stdout": None, "return_code": None},
    "exceptions.TaskRetryException": {"message": REQUIRED, "retry_interval": None},
    "plugin.PluginManager": {"model": REQUIRED, "plugins_dir": REQUIRED},
    "plugin.PluginManager.get_plugin_dir": {"self": REQUIRED, "plugin": REQUIRED},
    "plugin.PluginManager.install": {"self": REQUIRED, "source": REQUIRED},
    "plugin.PluginManager.load_plugin": {"self": REQUIRED, "plugin": REQUIRED, "env": None},
    "plugin.PluginManager.validate_plugin": {"source": REQUIRED},
    "workflow_runner.WorkflowRunner": {
        "model_storage": REQUIRED, "resource_storage": REQUIRED, "plugin_manager": REQUIRED,
        "execution_id": None, "service_id": None, "workflow_name": None, "inputs": None,
        "executor": None, "task_max_attempts": 30, "task_retry_interval": 30},
    "workflow_runner.WorkflowRunner.cancel": {"self": REQUIRED},
    "workflow_runner.WorkflowRunner.execute": {"self": REQUIRED},
}

EXCEPTIONS = {
    "ActiveExecutionsError": AriaError,
    "InvalidPluginError": AriaError,
    "InvalidWorkflowRunnerParams": AriaError,
    "OrchestratorError": AriaError,
    "PluginAlreadyExistsError": AriaError,
    "ProcessException": RuntimeError,
    "TaskAbortException": RuntimeError,
    "TaskRetryException": RuntimeError,
    "UndeclaredWorkflowError": AriaError,
    "WorkflowImplementationNotFoundError": AriaError,
}

SIGNALS = [
    "sent_task_signal", "start_task_signal", "on_success_task_signal", "on_failure_task_signal",
    "start_workflow_signal", "on_cancelling_workflow_signal", "on_cancelled_workflow_signal",
    "on_success_workflow_signal", "on_failure_workflow_signal", "on_resume_workflow_signal",
]
"""The manual has the module only; the names are those the original sent."""


def find(path: str) -> Any:
    module, *names = path.split(".")
    found: Any = import_module(f"aria_core.orchestrator.{module}")
    for name in names:
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_module_exists_and_says_what_it_is_for(module):
    assert import_module(f"aria_core.orchestrator.{module}").__doc__


@pytest.mark.parametrize("path", SIGNATURES)
def test_every_parameter_has_its_name_its_place_and_its_default(path):
    parameters = inspect.signature(find(path)).parameters.values()
    seed = SIGNATURES[path]
    assert {each.name: each.default for each in list(parameters)[:len(seed)]} == seed
    assert [each.name for each in parameters][:len(seed)] == list(seed)
    assert all(each.default is not REQUIRED for each in list(parameters)[len(seed):])


@pytest.mark.parametrize("path", SIGNATURES)
def test_every_parameter_may_be_given_by_name_and_by_place(path):
    parameters = list(inspect.signature(find(path)).parameters.values())[:len(SIGNATURES[path])]
    assert {each.kind for each in parameters} <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_every_exception_has_its_base(name):
    assert getattr(exceptions, name).__bases__ == (EXCEPTIONS[name],)


@pytest.mark.parametrize("owner", [PluginManager, WorkflowRunner])
def test_the_classes_have_no_other_base(owner):
    assert owner.__bases__ == (object,)


def test_a_retry_keeps_its_message_and_its_interval():
    assert str(exceptions.TaskRetryException("later")) == "later"
    assert exceptions.TaskRetryException("later", retry_interval=1.5).retry_interval == 1.5
    assert exceptions.TaskRetryException("later").retry_interval is None


def test_a_script_that_ended_badly_is_explained():
    error = exceptions.ProcessException("run.sh", stderr="bad\n", stdout="out\n", return_code=3)
    assert str(error) == "run.sh ended with 3: bad"
    assert (error.command, error.stderr, error.stdout, error.return_code, error.exit_code) == (
        "run.sh", "bad\n", "out\n", 3, 3)
    assert error.explanation == 'Command "run.sh" ended with 3\nerror: bad\n\noutput: out\n'
    assert str(exceptions.ProcessException("run.sh", return_code=-9)) == "run.sh was ended by SIGKILL"
    assert str(exceptions.ProcessException("run.sh")) == "run.sh did not end well"


def test_validating_a_plugin_needs_no_manager():
    assert isinstance(inspect.getattr_static(PluginManager, "validate_plugin"), staticmethod)


@pytest.mark.parametrize("name", ["execution", "execution_id", "service"])
def test_what_a_runner_runs_is_a_property(name):
    assert isinstance(inspect.getattr_static(WorkflowRunner, name), property)


@pytest.mark.parametrize("name", SIGNALS)
def test_every_signal_of_the_original_can_be_connected(name):
    assert callable(find(f"events.{name}").connect)
