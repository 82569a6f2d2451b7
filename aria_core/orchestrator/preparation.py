"""From a workflow's name to its function with checked inputs, and from that to a task graph."""

from __future__ import annotations

import inspect
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import inspect as state_of
from sqlalchemy.orm import Session

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.models import Node, Relationship, Service
from aria_core.modeling.parameters import Attribute
from aria_core.modeling.retries import RetryPolicy
from aria_core.modeling.specification import ParameterSpec, WorkflowSpec
from aria_core.orchestrator.builtin import BUILTIN_WORKFLOWS
from aria_core.orchestrator.compiler import compile_graph
from aria_core.orchestrator.context.workflow import WorkflowContext
from aria_core.orchestrator.exceptions import UndeclaredWorkflowError, WorkflowImplementationNotFoundError
from aria_core.orchestrator.log_writer import ExecutionLogHandler, LogWriter
from aria_core.orchestrator.plugin_use import plugin_finder
from aria_core.orchestrator.steps import steps_workflow
from aria_core.orchestrator.task_graph import TaskGraph
from aria_core.orchestrator.topology import check_inputs, own_workflows, workflow_inputs
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import NewExecution, TaskRow
from aria_core.storage.resource import ResourceStorage
from aria_core.worker.arguments import WORKFLOW_DECORATOR_RESERVED_ARGUMENTS
from aria_core.worker.calls import Edit
from aria_core.worker.functions import FunctionImportError, forget_code, import_function
from aria_core.worker.scratch import scratch_directory

WorkflowFunction = Callable[..., Any]
CheckTasks = Callable[[Session, Sequence[TaskRow]], None]
"""Raises ``AriaError`` for tasks that cannot be run."""

_TYPE_NAMES = {"bool": "boolean", "int": "integer", "float": "float", "str": "string", "Sequence": "list",
               "list": "list", "Mapping": "map", "dict": "map"}
"""Annotation of a workflow function's argument (as written) -> type of the input."""


@dataclass(frozen=True, slots=True)
class PreparedWorkflow:
    """A workflow that is ready to be run: its function, and a value for each of its inputs."""

    name: str
    function: WorkflowFunction
    inputs: Mapping[str, Any]


@contextmanager
def template_code(resource: ResourceStorage, service: Service) -> Iterator[str | None]:
    """A private directory with the template's files if it has Python modules; None if it has none."""
    template = service.service_template_id
    if template is None or not any(path.endswith(".py") for path in resource.service_template.list(template)):
        yield None
        return
    directory = scratch_directory("code")
    try:
        resource.service_template.download(template, directory)
        yield str(directory)
    finally:
        forget_code(directory)  # or a process that runs many executions would keep the modules of each
        shutil.rmtree(directory, ignore_errors=True)


def prepare(model: ModelStorage, service: Service, name: str, inputs: Mapping[str, Any], *,
            code: str | None, contributed: Mapping[str, WorkflowSpec]) -> PreparedWorkflow:
    """Find a workflow and check its inputs; the template's own go first, then built-in, then contributed.

    Raises ``UndeclaredWorkflowError``, ``WorkflowImplementationNotFoundError`` and what `check_inputs`
    raises.
    """
    own = service.workflows.get(name)
    if own is not None:
        declared = workflow_inputs(model, service, own)
        function = (_import_workflow(name, own.function, code) if own.function
                    else steps_workflow(name, own_workflows(model, service)))
    elif name in BUILTIN_WORKFLOWS:
        function = BUILTIN_WORKFLOWS[name]
        declared = _signature_inputs(function)
    elif name in contributed:
        function = _import_workflow(name, contributed[name].function, None)
        declared = contributed[name].inputs or _signature_inputs(function)
    else:
        known = sorted({*service.workflows, *contributed, *BUILTIN_WORKFLOWS})
        raise UndeclaredWorkflowError(
            f"service {service.name!r} has no workflow {name!r}; it has: {', '.join(known)}")
    return PreparedWorkflow(name, function, check_inputs(declared, inputs, f"workflow {name!r}"))


def _import_workflow(name: str, function: str, code: str | None) -> WorkflowFunction:
    try:
        return import_function(function, code)
    except FunctionImportError as error:
        raise WorkflowImplementationNotFoundError(
            f"the workflow {name!r} cannot be imported: {error}") from error


def _signature_inputs(function: WorkflowFunction) -> dict[str, ParameterSpec]:
    parameters = inspect.signature(inspect.unwrap(function)).parameters
    return {name: ParameterSpec(type=_TYPE_NAMES.get(str(each.annotation).partition("[")[0], "any"),
                                required=each.default is each.empty,
                                value=None if each.default is each.empty else each.default)
            for name, each in parameters.items()
            if name not in WORKFLOW_DECORATOR_RESERVED_ARGUMENTS and each.kind is not each.VAR_KEYWORD}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a workflow function wants: tasks, and attributes it changed while it made them."""

    tasks: list[TaskRow]
    edits: list[Edit]


def make_plan(model: ModelStorage, resource: ResourceStorage, workflow: PreparedWorkflow, *,
              execution: int, new: NewExecution, writer: LogWriter, check: CheckTasks) -> Plan:
    """Run the workflow function, compile its graph, `check` it. Nothing is stored; raises what they raise."""
    with model.read_session() as session:
        ctx = WorkflowContext(
            workflow.name, session.get_one(Service, new.service_id), model=model, resource=resource,
            execution_id=execution, parameters=workflow.inputs, task_max_attempts=new.task_max_attempts,
            task_retry_interval=new.task_retry_interval, logger=_logger(execution, writer),
            task_retry=RetryPolicy.from_json(new.task_retry))
        graph = workflow.function(ctx=ctx, **workflow.inputs)
        if not isinstance(graph, TaskGraph):
            raise InvalidInputError(f"the workflow {workflow.name!r} returned a {type(graph).__name__}, not "
                                    "a task graph; decorate its function with @workflow")
        find = plugin_finder(session, session.get_one(Service, new.service_id))
        tasks = compile_graph(graph, find, new.pools or ())
        check(session, tasks)
        return Plan(tasks, _changed_attributes(session))


def _logger(execution: int, writer: LogWriter) -> logging.Logger:
    logger = logging.Logger(f"aria.executions.{execution}")  # not registered: it ends with its execution
    logger.addHandler(ExecutionLogHandler(writer))
    return logger


def _changed_attributes(session: Session) -> list[Edit]:
    """What the function changed, as edits; anything but attributes is refused."""
    others = {type(each).__name__ for each in session.dirty
              if not isinstance(each, Attribute) and session.is_modified(each, include_collections=False)}
    others |= {type(each).__name__ for each in session.new if not isinstance(each, Attribute)}
    if others:
        raise InvalidInputError(f"a workflow function may change attributes and nothing else; it changed a "
                                f"{', a '.join(sorted(others))}")
    edits = [_edit_of_row(each) for each in session.dirty
             if isinstance(each, Attribute) and session.is_modified(each)]
    return edits + [edit for each in list(session) if isinstance(each, (Node, Relationship))
                    for edit in _edits_of_owner(each)]


def _edit_of_row(row: Attribute) -> Edit:
    if row.node_id is not None:
        return Edit("node", row.node_id, row.name, row.value)
    return Edit("relationship", row.relationship_id or 0, row.name, row.value)


def _edits_of_owner(owner: Node | Relationship) -> Iterator[Edit]:
    """Attributes that were added to or removed from a node or relationship."""
    kind: Literal["node", "relationship"] = "node" if isinstance(owner, Node) else "relationship"
    state: Any = state_of(owner)
    changes = state.attrs.attribute_rows.history
    for row in changes.added or ():
        yield Edit(kind, owner.id, row.name, row.value)
    kept = {row.name for row in changes.added or ()}
    for row in changes.deleted or ():
        if row.name not in kept:
            yield Edit(kind, owner.id, row.name, deleted=True)
