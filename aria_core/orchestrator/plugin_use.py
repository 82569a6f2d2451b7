"""Which version of a plugin a service runs in, and who needs a plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec
from packaging.version import InvalidVersion, Version
from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.orm import Session

from aria_core.modeling.models import Execution, Interface, Node, Operation, Relationship, Service, Task
from aria_core.modeling.plugins import Plugin
from aria_core.modeling.specification import TemplateSpec
from aria_core.modeling.states import ACTIVE_EXECUTION_STATES, ExecutionState, TaskState
from aria_core.orchestrator.exceptions import PluginNotFoundError

FindPlugin: TypeAlias = Callable[[str], int | None]
"""A plugin's name -> the id of its row; None if it is not installed."""


def plugin_finder(session: Session, service: Service) -> FindPlugin:
    """How operations of a service find their plugins: see `chosen_plugin`. Reads only when asked."""
    def find(name: str) -> int | None:
        there, version = _versions(session, name), _wanted_version(service, name)
        chosen = chosen_plugin(there, version)
        if there and chosen is None:
            installed = ", ".join(each.package_version for each in there)
            raise PluginNotFoundError(
                f"the template of service {service.name!r} asks for version {version} of the plugin "
                f"{name!r}, which is not installed; installed: {installed}")
        return None if chosen is None else chosen.id

    return find


def chosen_plugin(there: Iterable[Plugin], version: str | None) -> Plugin | None:
    """Of several versions of a plugin the one that is asked for, or else the highest."""
    fitting = [each for each in there
               if version is None or _order(each.package_version) == _order(version)]
    return max(fitting, key=lambda each: (_order(each.package_version), each.id), default=None)


def users_of(session: Session, plugin: Plugin) -> list[str]:
    """Who needs an installed plugin, in words: services, and executions that run or can be resumed."""
    there = _versions(session, plugin.name)
    chosen = ((each.name, chosen_plugin(there, _wanted_version(each, plugin.name)))
              for each in session.scalars(_services_with(plugin.name)))
    services = [f"service {name!r}" for name, found in chosen if found is not None and found.id == plugin.id]
    return [*services, *_executions_with(session, plugin)]


def _versions(session: Session, name: str) -> Sequence[Plugin]:
    return session.scalars(select(Plugin).where(Plugin.name == name).order_by(Plugin.id)).all()


def _wanted_version(service: Service, name: str) -> str | None:
    if service.service_template is None:
        return None
    spec = msgspec.convert(service.service_template.content, TemplateSpec).plugins.get(name)
    return None if spec is None else spec.version


def _order(version: str) -> tuple[bool, Version | str]:
    """Versions that Python's packages have, before them what other installers call a version."""
    try:
        return True, Version(version)
    except InvalidVersion:
        return False, version


def _services_with(name: str) -> Select[Service]:
    """Services with an operation, or a workflow, that names this plugin."""
    source = select(Node.service_id).join(Relationship, Relationship.source_id == Node.id)
    interfaces = select(Interface.id).join(Operation).where(Operation.plugin_name == name)
    of_nodes = select(Node.service_id).join(Interface).where(Interface.id.in_(interfaces))
    of_ties = source.join(Interface, Interface.relationship_id == Relationship.id).where(
        Interface.id.in_(interfaces))
    workflows = select(Operation.service_id).where(Operation.plugin_name == name)
    return select(Service).order_by(Service.name).where(or_(
        Service.id.in_(of_nodes), Service.id.in_(of_ties),
        Service.id.in_(workflows.where(Operation.service_id.is_not(None)))))


def _executions_with(session: Session, plugin: Plugin) -> Iterator[str]:
    """Executions with tasks of the plugin that run, or that a resume would run."""
    tasks = exists().where(Task.execution_id == Execution.id, Task.plugin_id == plugin.id)
    unfinished = tasks.where(Task.state != TaskState.SUCCESS)
    last = select(func.max(Execution.id)).group_by(Execution.service_id)
    active = Execution.state.in_([str(each) for each in ACTIVE_EXECUTION_STATES]) & tasks
    resumable = (Execution.state.in_([ExecutionState.FAILED, ExecutionState.CANCELLED])
                 & Execution.id.in_(last) & unfinished)
    for each in session.scalars(select(Execution).where(active | resumable).order_by(Execution.id)):
        yield f"execution {each.id} of service {each.service.name!r}, which is {each.state}"
