"""The public names of ARIA. Everybody outside the core imports from here, and only from here.

Each name is imported when it is first asked for, so that ``import aria_core`` costs next to nothing.
To publish a name, add a line to each of the two tables (a test compares them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aria_core.application import Application as Application
    from aria_core.archives import ArchiveBudget as ArchiveBudget
    from aria_core.archives import ArchiveError as ArchiveError
    from aria_core.archives import ArchiveMember as ArchiveMember
    from aria_core.archives import archive_kind as archive_kind
    from aria_core.archives import archive_members as archive_members
    from aria_core.archives import zip_members as zip_members
    from aria_core.config import Config as Config
    from aria_core.exceptions import AlreadyExistsError as AlreadyExistsError
    from aria_core.exceptions import AriaError as AriaError
    from aria_core.exceptions import ConfigurationError as ConfigurationError
    from aria_core.exceptions import ExecutionFailedError as ExecutionFailedError
    from aria_core.exceptions import ExecutionOwnedError as ExecutionOwnedError
    from aria_core.exceptions import ExtensionBrokenError as ExtensionBrokenError
    from aria_core.exceptions import ExtensionConflictError as ExtensionConflictError
    from aria_core.exceptions import ExtensionError as ExtensionError
    from aria_core.exceptions import ExtensionIncompatibleError as ExtensionIncompatibleError
    from aria_core.exceptions import ExtensionNotFoundError as ExtensionNotFoundError
    from aria_core.exceptions import ExtensionSettingsError as ExtensionSettingsError
    from aria_core.exceptions import FencedError as FencedError
    from aria_core.exceptions import InvalidInputError as InvalidInputError
    from aria_core.exceptions import LoadError as LoadError
    from aria_core.exceptions import MissingInputsError as MissingInputsError
    from aria_core.exceptions import NotFoundError as NotFoundError
    from aria_core.exceptions import NotJsonError as NotJsonError
    from aria_core.exceptions import ResumeRefusedError as ResumeRefusedError
    from aria_core.exceptions import StorageError as StorageError
    from aria_core.exceptions import StorageLostError as StorageLostError
    from aria_core.exceptions import StorageUnavailableError as StorageUnavailableError
    from aria_core.exceptions import UndeclaredInputsError as UndeclaredInputsError
    from aria_core.exceptions import WrongTypeInputsError as WrongTypeInputsError
    from aria_core.extensions import Extensions as Extensions
    from aria_core.extensions.scan import ExtensionRow as ExtensionRow
    from aria_core.hookspecs import hookimpl as hookimpl
    from aria_core.installer import Installer as Installer
    from aria_core.installer import PluginInfo as PluginInfo
    from aria_core.loader import ImportedFile as ImportedFile
    from aria_core.loader import Loader as Loader
    from aria_core.loader import Read as Read
    from aria_core.logs import logging_as as logging_as
    from aria_core.modeling.builder import TemplateBuilder as TemplateBuilder
    from aria_core.modeling.calculations import CALCULATIONS as CALCULATIONS
    from aria_core.modeling.checks import check_template as check_template
    from aria_core.modeling.constraints import broken_constraints as broken_constraints
    from aria_core.modeling.constraints import comparable as comparable
    from aria_core.modeling.expressions import Expression as Expression
    from aria_core.modeling.expressions import escape as escape
    from aria_core.modeling.expressions import has_expression as has_expression
    from aria_core.modeling.masking import SecretValues as SecretValues
    from aria_core.modeling.models import Execution as Execution
    from aria_core.modeling.models import Log as Log
    from aria_core.modeling.models import Node as Node
    from aria_core.modeling.models import Service as Service
    from aria_core.modeling.models import ServiceTemplate as ServiceTemplate
    from aria_core.modeling.models import Task as Task
    from aria_core.modeling.own_code import own_code_problems as own_code_problems
    from aria_core.modeling.parameters import Parameter as Parameter
    from aria_core.modeling.plugins import Plugin as Plugin
    from aria_core.modeling.retries import RetryPolicy as RetryPolicy
    from aria_core.modeling.specification import ActivitySpec as ActivitySpec
    from aria_core.modeling.specification import ArtifactSpec as ArtifactSpec
    from aria_core.modeling.specification import CapabilitySpec as CapabilitySpec
    from aria_core.modeling.specification import ConditionSpec as ConditionSpec
    from aria_core.modeling.specification import InterfaceSpec as InterfaceSpec
    from aria_core.modeling.specification import LoadedTemplate as LoadedTemplate
    from aria_core.modeling.specification import NodeSpec as NodeSpec
    from aria_core.modeling.specification import OperationSpec as OperationSpec
    from aria_core.modeling.specification import ParameterSpec as ParameterSpec
    from aria_core.modeling.specification import PluginSpec as PluginSpec
    from aria_core.modeling.specification import RelationshipSpec as RelationshipSpec
    from aria_core.modeling.specification import StepSpec as StepSpec
    from aria_core.modeling.specification import TemplateSpec as TemplateSpec
    from aria_core.modeling.specification import WorkflowSpec as WorkflowSpec
    from aria_core.modeling.ssh_settings import SSH_SETTINGS as SSH_SETTINGS
    from aria_core.modeling.ssh_settings import ssh_refusal as ssh_refusal
    from aria_core.modeling.states import ExecutionState as ExecutionState
    from aria_core.modeling.states import NodeState as NodeState
    from aria_core.modeling.states import TaskState as TaskState
    from aria_core.orchestrator.builtin import BUILTIN_WORKFLOWS as BUILTIN_WORKFLOWS
    from aria_core.orchestrator.collector import collector_at_rest as collector_at_rest
    from aria_core.orchestrator.context.workflow import WorkflowContext as WorkflowContext
    from aria_core.orchestrator.decorators import workflow as workflow
    from aria_core.orchestrator.events import Event as Event
    from aria_core.orchestrator.events import TaskEvent as TaskEvent
    from aria_core.orchestrator.events import WorkflowEvent as WorkflowEvent
    from aria_core.orchestrator.exceptions import ActiveExecutionsError as ActiveExecutionsError
    from aria_core.orchestrator.exceptions import InvalidPluginError as InvalidPluginError
    from aria_core.orchestrator.exceptions import PluginAlreadyExistsError as PluginAlreadyExistsError
    from aria_core.orchestrator.exceptions import PluginInUseError as PluginInUseError
    from aria_core.orchestrator.exceptions import UndeclaredWorkflowError as UndeclaredWorkflowError
    from aria_core.orchestrator.executor import Executor as Executor
    from aria_core.orchestrator.executor import Inbox as Inbox
    from aria_core.orchestrator.executor import Station as Station
    from aria_core.orchestrator.future_executor import FutureExecutor as FutureExecutor
    from aria_core.orchestrator.inbox_channel import InboxChannel as InboxChannel
    from aria_core.orchestrator.plugin import PluginManager as PluginManager
    from aria_core.orchestrator.plugin_environment import install_wheels as install_wheels
    from aria_core.orchestrator.remote_worker import RemoteWorker as RemoteWorker
    from aria_core.orchestrator.runner_service import RunnerEvent as RunnerEvent
    from aria_core.orchestrator.runner_service import RunnerService as RunnerService
    from aria_core.orchestrator.secret_values import secret_values as secret_values
    from aria_core.orchestrator.task_graph import TaskGraph as TaskGraph
    from aria_core.orchestrator.tasks import OperationTask as OperationTask
    from aria_core.orchestrator.tasks import StubTask as StubTask
    from aria_core.orchestrator.tasks import WorkflowTask as WorkflowTask
    from aria_core.orchestrator.tasks import create_relationship_tasks as create_relationship_tasks
    from aria_core.orchestrator.tasks import create_relationships_tasks as create_relationships_tasks
    from aria_core.orchestrator.tasks import create_task as create_task
    from aria_core.orchestrator.tasks import has_operation as has_operation
    from aria_core.orchestrator.topology import check_inputs as check_inputs
    from aria_core.orchestrator.topology import create_service as create_service
    from aria_core.orchestrator.topology import delete_service as delete_service
    from aria_core.orchestrator.topology import delete_template as delete_template
    from aria_core.orchestrator.topology import outputs as outputs
    from aria_core.orchestrator.topology import store_template as store_template
    from aria_core.orchestrator.topology import template_spec as template_spec
    from aria_core.orchestrator.worker_pool import WorkerPool as WorkerPool
    from aria_core.orchestrator.workflow_runner import WorkflowRunner as WorkflowRunner
    from aria_core.settings import MASK as MASK
    from aria_core.settings import Secret as Secret
    from aria_core.storage.model import ModelStorage as ModelStorage
    from aria_core.storage.owners import describe_owner as describe_owner
    from aria_core.storage.owners import is_gone as is_gone
    from aria_core.storage.resource import ResourceStorage as ResourceStorage
    from aria_core.storage.sql import SqlModelStorage as SqlModelStorage
    from aria_core.worker.calls import Actor as Actor
    from aria_core.worker.calls import Call as Call
    from aria_core.worker.calls import CallRef as CallRef
    from aria_core.worker.calls import Edit as Edit
    from aria_core.worker.calls import Environment as Environment
    from aria_core.worker.calls import Failed as Failed
    from aria_core.worker.calls import Lost as Lost
    from aria_core.worker.calls import Report as Report
    from aria_core.worker.calls import Started as Started
    from aria_core.worker.calls import Succeeded as Succeeded
    from aria_core.worker.channel import Channel as Channel
    from aria_core.worker.channel import ChannelError as ChannelError
    from aria_core.worker.channel_server import ChannelServer as ChannelServer
    from aria_core.worker.context import NodeOperationContext as NodeOperationContext
    from aria_core.worker.context import OperationContext as OperationContext
    from aria_core.worker.context import RelationshipOperationContext as RelationshipOperationContext
    from aria_core.worker.ctx_server import ContextServer as ContextServer
    from aria_core.worker.current import ctx as ctx
    from aria_core.worker.decorators import operation as operation
    from aria_core.worker.outcomes import PluginOperationError as PluginOperationError
    from aria_core.worker.outcomes import ProcessException as ProcessException
    from aria_core.worker.outcomes import TaskAbortException as TaskAbortException
    from aria_core.worker.outcomes import TaskRetryException as TaskRetryException
    from aria_core.worker.process_settings import PROCESS_SETTINGS as PROCESS_SETTINGS
    from aria_core.worker.process_settings import process_refusal as process_refusal
    from aria_core.worker.processes import find_marked as find_marked
    from aria_core.worker.processes import kill_marked as kill_marked
    from aria_core.worker.processes import kill_session as kill_session
    from aria_core.worker.run import run_call as run_call
    from aria_core.worker.run import run_encoded as run_encoded
    __version__: str
    from aria_core.modeling.builder import call as call
    from aria_core.modeling.builder import parameter as parameter
    from aria_core.modeling.builder import script as script
    from aria_core.modeling.expressions import concat as concat
    from aria_core.modeling.expressions import get_attribute as get_attribute
    from aria_core.modeling.expressions import get_input as get_input
    from aria_core.modeling.expressions import get_nodes_of_type as get_nodes_of_type
    from aria_core.modeling.expressions import get_operation_output as get_operation_output
    from aria_core.modeling.expressions import get_property as get_property
    from aria_core.modeling.expressions import get_secret as get_secret
    from aria_core.modeling.expressions import join as join
    from aria_core.modeling.expressions import token as token
    from aria_core.worker.scratch import scratch_directory as scratch_directory
    from aria_core.worker.urls import is_url as is_url
    from aria_core.worker.urls import shown_url as shown_url

_HOMES = {
    "ActiveExecutionsError": "aria_core.orchestrator.exceptions",
    "Actor": "aria_core.worker.calls",
    "AlreadyExistsError": "aria_core.exceptions",
    "Application": "aria_core.application",
    "ArchiveBudget": "aria_core.archives",
    "ArchiveError": "aria_core.archives",
    "ArchiveMember": "aria_core.archives",
    "AriaError": "aria_core.exceptions",
    "ArtifactSpec": "aria_core.modeling.specification",
    "BUILTIN_WORKFLOWS": "aria_core.orchestrator.builtin",
    "Call": "aria_core.worker.calls",
    "CallRef": "aria_core.worker.calls",
    "CapabilitySpec": "aria_core.modeling.specification",
    "Channel": "aria_core.worker.channel",
    "ChannelError": "aria_core.worker.channel",
    "ChannelServer": "aria_core.worker.channel_server",
    "Config": "aria_core.config",
    "ConfigurationError": "aria_core.exceptions",
    "ContextServer": "aria_core.worker.ctx_server",
    "Edit": "aria_core.worker.calls",
    "Environment": "aria_core.worker.calls",
    "Event": "aria_core.orchestrator.events",
    "Execution": "aria_core.modeling.models",
    "ExecutionFailedError": "aria_core.exceptions",
    "ExecutionOwnedError": "aria_core.exceptions",
    "ExecutionState": "aria_core.modeling.states",
    "Executor": "aria_core.orchestrator.executor",
    "Expression": "aria_core.modeling.expressions",
    "ExtensionBrokenError": "aria_core.exceptions",
    "ExtensionConflictError": "aria_core.exceptions",
    "ExtensionError": "aria_core.exceptions",
    "ExtensionIncompatibleError": "aria_core.exceptions",
    "ExtensionNotFoundError": "aria_core.exceptions",
    "ExtensionRow": "aria_core.extensions.scan",
    "ExtensionSettingsError": "aria_core.exceptions",
    "Extensions": "aria_core.extensions",
    "Failed": "aria_core.worker.calls",
    "FencedError": "aria_core.exceptions",
    "FutureExecutor": "aria_core.orchestrator.future_executor",
    "ImportedFile": "aria_core.loader",
    "Inbox": "aria_core.orchestrator.executor",
    "InboxChannel": "aria_core.orchestrator.inbox_channel",
    "Installer": "aria_core.installer",
    "InterfaceSpec": "aria_core.modeling.specification",
    "InvalidInputError": "aria_core.exceptions",
    "InvalidPluginError": "aria_core.orchestrator.exceptions",
    "LoadError": "aria_core.exceptions",
    "LoadedTemplate": "aria_core.modeling.specification",
    "Loader": "aria_core.loader",
    "Log": "aria_core.modeling.models",
    "Lost": "aria_core.worker.calls",
    "MASK": "aria_core.settings",
    "MissingInputsError": "aria_core.exceptions",
    "ModelStorage": "aria_core.storage.model",
    "Node": "aria_core.modeling.models",
    "NodeOperationContext": "aria_core.worker.context",
    "NodeSpec": "aria_core.modeling.specification",
    "NodeState": "aria_core.modeling.states",
    "NotFoundError": "aria_core.exceptions",
    "NotJsonError": "aria_core.exceptions",
    "OperationContext": "aria_core.worker.context",
    "OperationSpec": "aria_core.modeling.specification",
    "OperationTask": "aria_core.orchestrator.tasks",
    "Parameter": "aria_core.modeling.parameters",
    "PROCESS_SETTINGS": "aria_core.worker.process_settings",
    "ParameterSpec": "aria_core.modeling.specification",
    "Plugin": "aria_core.modeling.plugins",
    "PluginAlreadyExistsError": "aria_core.orchestrator.exceptions",
    "PluginInUseError": "aria_core.orchestrator.exceptions",
    "PluginInfo": "aria_core.installer",
    "PluginManager": "aria_core.orchestrator.plugin",
    "PluginOperationError": "aria_core.worker.outcomes",
    "PluginSpec": "aria_core.modeling.specification",
    "ProcessException": "aria_core.worker.outcomes",
    "Read": "aria_core.loader",
    "RelationshipOperationContext": "aria_core.worker.context",
    "RelationshipSpec": "aria_core.modeling.specification",
    "RemoteWorker": "aria_core.orchestrator.remote_worker",
    "Report": "aria_core.worker.calls",
    "ResourceStorage": "aria_core.storage.resource",
    "ResumeRefusedError": "aria_core.exceptions",
    "RetryPolicy": "aria_core.modeling.retries",
    "Secret": "aria_core.settings",
    "RunnerEvent": "aria_core.orchestrator.runner_service",
    "RunnerService": "aria_core.orchestrator.runner_service",
    "SecretValues": "aria_core.modeling.masking",
    "Service": "aria_core.modeling.models",
    "ServiceTemplate": "aria_core.modeling.models",
    "SSH_SETTINGS": "aria_core.modeling.ssh_settings",
    "SqlModelStorage": "aria_core.storage.sql",
    "Started": "aria_core.worker.calls",
    "Station": "aria_core.orchestrator.executor",
    "StorageError": "aria_core.exceptions",
    "StorageLostError": "aria_core.exceptions",
    "StorageUnavailableError": "aria_core.exceptions",
    "StubTask": "aria_core.orchestrator.tasks",
    "Succeeded": "aria_core.worker.calls",
    "Task": "aria_core.modeling.models",
    "TaskAbortException": "aria_core.worker.outcomes",
    "TaskEvent": "aria_core.orchestrator.events",
    "TaskGraph": "aria_core.orchestrator.task_graph",
    "TaskRetryException": "aria_core.worker.outcomes",
    "TaskState": "aria_core.modeling.states",
    "TemplateBuilder": "aria_core.modeling.builder",
    "TemplateSpec": "aria_core.modeling.specification",
    "UndeclaredInputsError": "aria_core.exceptions",
    "UndeclaredWorkflowError": "aria_core.orchestrator.exceptions",
    "WorkerPool": "aria_core.orchestrator.worker_pool",
    "WorkflowContext": "aria_core.orchestrator.context.workflow",
    "WorkflowEvent": "aria_core.orchestrator.events",
    "WorkflowRunner": "aria_core.orchestrator.workflow_runner",
    "ActivitySpec": "aria_core.modeling.specification",
    "ConditionSpec": "aria_core.modeling.specification",
    "StepSpec": "aria_core.modeling.specification",
    "WorkflowSpec": "aria_core.modeling.specification",
    "WorkflowTask": "aria_core.orchestrator.tasks",
    "WrongTypeInputsError": "aria_core.exceptions",
    "archive_kind": "aria_core.archives",
    "archive_members": "aria_core.archives",
    "broken_constraints": "aria_core.modeling.constraints",
    "call": "aria_core.modeling.builder",
    "check_inputs": "aria_core.orchestrator.topology",
    "CALCULATIONS": "aria_core.modeling.calculations",
    "check_template": "aria_core.modeling.checks",
    "collector_at_rest": "aria_core.orchestrator.collector",
    "comparable": "aria_core.modeling.constraints",
    "concat": "aria_core.modeling.expressions",
    "create_relationship_tasks": "aria_core.orchestrator.tasks",
    "create_relationships_tasks": "aria_core.orchestrator.tasks",
    "create_service": "aria_core.orchestrator.topology",
    "create_task": "aria_core.orchestrator.tasks",
    "ctx": "aria_core.worker.current",
    "delete_service": "aria_core.orchestrator.topology",
    "delete_template": "aria_core.orchestrator.topology",
    "describe_owner": "aria_core.storage.owners",
    "escape": "aria_core.modeling.expressions",
    "find_marked": "aria_core.worker.processes",
    "get_attribute": "aria_core.modeling.expressions",
    "get_input": "aria_core.modeling.expressions",
    "get_nodes_of_type": "aria_core.modeling.expressions",
    "get_operation_output": "aria_core.modeling.expressions",
    "get_property": "aria_core.modeling.expressions",
    "get_secret": "aria_core.modeling.expressions",
    "has_expression": "aria_core.modeling.expressions",
    "has_operation": "aria_core.orchestrator.tasks",
    "hookimpl": "aria_core.hookspecs",
    "install_wheels": "aria_core.orchestrator.plugin_environment",
    "is_gone": "aria_core.storage.owners",
    "is_url": "aria_core.worker.urls",
    "join": "aria_core.modeling.expressions",
    "kill_marked": "aria_core.worker.processes",
    "kill_session": "aria_core.worker.processes",
    "logging_as": "aria_core.logs",
    "operation": "aria_core.worker.decorators",
    "outputs": "aria_core.orchestrator.topology",
    "own_code_problems": "aria_core.modeling.own_code",
    "parameter": "aria_core.modeling.builder",
    "process_refusal": "aria_core.worker.process_settings",
    "run_call": "aria_core.worker.run",
    "run_encoded": "aria_core.worker.run",
    "scratch_directory": "aria_core.worker.scratch",
    "script": "aria_core.modeling.builder",
    "secret_values": "aria_core.orchestrator.secret_values",
    "shown_url": "aria_core.worker.urls",
    "ssh_refusal": "aria_core.modeling.ssh_settings",
    "store_template": "aria_core.orchestrator.topology",
    "template_spec": "aria_core.orchestrator.topology",
    "token": "aria_core.modeling.expressions",
    "workflow": "aria_core.orchestrator.decorators",
    "zip_members": "aria_core.archives",
}
"""Public name -> the module that defines it."""

__all__ = sorted(_HOMES)  # noqa: PLE0605 - a name is published in one place


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
    return sorted({*globals(), *_HOMES, "__version__"})
