"""The public names of ARIA. Everybody outside the core imports from here, and only from here.

Each name is imported when it is first asked for, so that ``import aria_core`` costs next to nothing.
To publish a name, add it to the table and to the block for type checkers (a test compares the two).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aria_core.application import Application
    from aria_core.config import Config
    from aria_core.exceptions import (
        AlreadyExistsError,
        AriaError,
        ConfigurationError,
        ExecutionCancelledError,
        ExecutionFailedError,
        ExecutionOwnedError,
        ExtensionBrokenError,
        ExtensionConflictError,
        ExtensionError,
        ExtensionIncompatibleError,
        ExtensionNotFoundError,
        ExtensionSettingsError,
        FencedError,
        InvalidInputError,
        LoadError,
        MissingInputsError,
        NotFoundError,
        NotJsonError,
        StorageError,
        StorageUnavailableError,
        UndeclaredInputsError,
        WrongTypeInputsError,
    )
    from aria_core.hookspecs import hookimpl
    from aria_core.installer import Installer, PluginInfo
    from aria_core.loader import Loader, Read
    from aria_core.modeling.builder import TemplateBuilder
    from aria_core.modeling.specification import (
        ArtifactSpec,
        CapabilitySpec,
        InterfaceSpec,
        LoadedTemplate,
        NodeSpec,
        OperationSpec,
        ParameterSpec,
        PluginSpec,
        RelationshipSpec,
        TemplateSpec,
        WorkflowSpec,
    )
    from aria_core.orchestrator.decorators import operation, workflow
    from aria_core.orchestrator.executor import Executor, Inbox
    from aria_core.orchestrator.future_executor import FutureExecutor
    from aria_core.orchestrator.plugin import PluginManager
    from aria_core.orchestrator.task_graph import TaskGraph
    from aria_core.orchestrator.tasks import OperationTask, StubTask, WorkflowTask
    from aria_core.orchestrator.workflow_runner import WorkflowRunner
    from aria_core.settings import Secret
    from aria_core.storage.model import ModelStorage
    from aria_core.storage.resource import ResourceStorage
    from aria_core.storage.sql import SqlModelStorage
    from aria_core.worker.calls import (
        Actor,
        Call,
        CallRef,
        Edit,
        Environment,
        Failed,
        Lost,
        Report,
        Started,
        Succeeded,
    )
    from aria_core.worker.run import run_call, run_encoded

    __version__: str

_MODULES = {
    "aria_core.application": ("Application",),
    "aria_core.config": ("Config",),
    "aria_core.exceptions": (
        "AlreadyExistsError",
        "AriaError",
        "ConfigurationError",
        "ExecutionCancelledError",
        "ExecutionFailedError",
        "ExecutionOwnedError",
        "ExtensionBrokenError",
        "ExtensionConflictError",
        "ExtensionError",
        "ExtensionIncompatibleError",
        "ExtensionNotFoundError",
        "ExtensionSettingsError",
        "FencedError",
        "InvalidInputError",
        "LoadError",
        "MissingInputsError",
        "NotFoundError",
        "NotJsonError",
        "StorageError",
        "StorageUnavailableError",
        "UndeclaredInputsError",
        "WrongTypeInputsError",
    ),
    "aria_core.hookspecs": ("hookimpl",),
    "aria_core.installer": ("Installer", "PluginInfo"),
    "aria_core.loader": ("Loader", "Read"),
    "aria_core.modeling.builder": ("TemplateBuilder",),
    "aria_core.modeling.specification": (
        "ArtifactSpec",
        "CapabilitySpec",
        "InterfaceSpec",
        "LoadedTemplate",
        "NodeSpec",
        "OperationSpec",
        "ParameterSpec",
        "PluginSpec",
        "RelationshipSpec",
        "TemplateSpec",
        "WorkflowSpec",
    ),
    "aria_core.orchestrator.decorators": ("operation", "workflow"),
    "aria_core.orchestrator.executor": ("Executor", "Inbox"),
    "aria_core.orchestrator.future_executor": ("FutureExecutor",),
    "aria_core.orchestrator.plugin": ("PluginManager",),
    "aria_core.orchestrator.task_graph": ("TaskGraph",),
    "aria_core.orchestrator.tasks": ("OperationTask", "StubTask", "WorkflowTask"),
    "aria_core.orchestrator.workflow_runner": ("WorkflowRunner",),
    "aria_core.settings": ("Secret",),
    "aria_core.storage.model": ("ModelStorage",),
    "aria_core.storage.resource": ("ResourceStorage",),
    "aria_core.storage.sql": ("SqlModelStorage",),
    "aria_core.worker.calls": (
        "Actor",
        "Call",
        "CallRef",
        "Edit",
        "Environment",
        "Failed",
        "Lost",
        "Report",
        "Started",
        "Succeeded",
    ),
    "aria_core.worker.run": ("run_call", "run_encoded"),
}
"""Module -> the public names it defines."""

_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - computed, so that a name is published in one place


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("aria-core")
    if name not in _HOMES:
        raise AttributeError(f"module 'aria_core' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
