"""Turns a task into the call an executor runs: names, evaluated arguments, the plugin's environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import literal, select
from sqlalchemy.orm import Session

from aria_core.modeling.models import Node, Relationship, Service
from aria_core.orchestrator.exceptions import PluginNotFoundError
from aria_core.orchestrator.plugin import PluginManager
from aria_core.orchestrator.progress import TaskProgress
from aria_core.orchestrator.scope import ServiceScope
from aria_core.orchestrator.secret_values import ServiceSecrets
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import TaskRow
from aria_core.worker.calls import Actor, Call, Edit, Environment


def origin_of(service: Service) -> str:
    """What tells calls of this service from those of services that other databases number alike."""
    return format(int(service.created_at.timestamp() * 1_000_000), "x")


class CallMaker:
    """Makes the calls of one execution. Names and environments are read once."""

    def __init__(self, model: ModelStorage, plugins: PluginManager | None, service: Service, workflow: str, *,
                 code: str | None, wrappers: Callable[[Call], tuple[str, ...]],
                 secrets: ServiceSecrets) -> None:
        self._model = model
        self._plugins = plugins
        self._service = service.id
        self._origin = origin_of(service)
        self._service_name = service.name
        self._workflow = workflow
        self._code = code
        self._wrappers = wrappers
        self._secrets = secrets
        self._names = self._read_names()
        self._environments: dict[int, tuple[Environment, str]] = {}
        self._plugin_names: dict[int, str] = {}

    def _read_names(self) -> Mapping[tuple[str, int], Actor]:
        of_service = Node.service_id == self._service
        nodes = select(literal("node"), Node.id, Node.name, Node.type_name).where(of_service)
        ties = select(literal("relationship"), Relationship.id, Relationship.name,
                      Relationship.type_name).join(Relationship.source_node).where(of_service)
        with self._model.read_session() as session:
            found = session.execute(nodes.union_all(ties)).all()
        return {(kind, key): Actor("node" if kind == "node" else "relationship", key, name, type_name)
                for kind, key, name, type_name in found}

    def make(self, task: TaskProgress) -> Call:
        """See `Calls.make`; raises what an argument's expression or a missing plugin raises."""
        row = task.row
        arguments = self._evaluated(row) if row.dynamic else row.arguments
        self._secrets.learn_arguments(row, arguments)
        plugin, workdir = (None, None) if row.plugin_id is None else self._environment(row.plugin_id)
        call = self._call(task, arguments=arguments, plugin=plugin, plugin_workdir=workdir, code=self._code)
        wrappers = self._wrappers(call)
        return replace(call, wrappers=wrappers) if wrappers else call

    def is_ready_for(self, task: TaskProgress) -> bool:
        """Whether `make` need not ask for the environment of a plugin, which may have to be installed."""
        return task.row.plugin_id is None or task.row.plugin_id in self._environments

    def outline(self, task: TaskProgress) -> Call:
        """See `Calls.outline`; raises ``NotFoundError`` for a plugin that is not there any more."""
        plugin = task.row.plugin_id
        return self._call(task, plugin=None if plugin is None else Environment(self._plugin_name(plugin)))

    def _call(self, task: TaskProgress, **more: Any) -> Call:
        row = task.row
        return Call(
            ref=task.ref, function=row.function or "", name=row.name, interface=row.interface_name,
            operation=row.operation_name, workflow=self._workflow, service=self._service,
            service_name=self._service_name, max_attempts=row.max_attempts, timeout=row.timeout,
            actor=self._actor(row), origin=self._origin, **more)

    def _plugin_name(self, plugin: int) -> str:
        if plugin not in self._plugin_names:
            self._plugin_names[plugin] = self._model.plugin.get(plugin).name
        return self._plugin_names[plugin]

    def owns(self, edit: Edit) -> bool:
        """See `Calls.owns`."""
        return (edit.kind, edit.owner) in self._names

    def _actor(self, row: TaskRow) -> Actor | None:
        if row.node_id is not None:
            return self._names[("node", row.node_id)]
        return None if row.relationship_id is None else self._names[("relationship", row.relationship_id)]

    def _evaluated(self, row: TaskRow) -> dict[str, Any]:
        with self._model.read_session() as session:
            service = session.get_one(Service, self._service)
            scope = ServiceScope(service, _actor_row(session, row))
            return {name: scope.evaluate(value) if name in row.dynamic else value
                    for name, value in row.arguments.items()}

    def _environment(self, plugin_id: int) -> tuple[Environment, str]:
        if plugin_id not in self._environments:
            if self._plugins is None:
                raise PluginNotFoundError(
                    "this operation runs in a plugin, but its runner was made without a plugin manager")
            plugin = self._model.plugin.get(plugin_id)
            self._environments[plugin_id] = (
                self._plugins.environment(plugin), str(self._plugins.workdir(self._service, plugin)))
        return self._environments[plugin_id]


def _actor_row(session: Session, row: TaskRow) -> Node | Relationship | None:
    if row.node_id is not None:
        return session.get_one(Node, row.node_id)
    return None if row.relationship_id is None else session.get_one(Relationship, row.relationship_id)
