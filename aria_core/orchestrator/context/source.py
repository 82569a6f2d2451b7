"""Answers what running operations ask their runner; `aria_core.worker.channel` lists the verbs."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from aria_core.exceptions import InvalidInputError, NotFoundError
from aria_core.modeling.base import Model
from aria_core.modeling.masking import SecretValues
from aria_core.modeling.models import MODELS, Node, NodeTemplate, Relationship, Service
from aria_core.orchestrator.rendering import Renderer
from aria_core.orchestrator.scope import ServiceScope
from aria_core.storage.model import ListResult, ModelStorage
from aria_core.storage.resource import ResourceStorage
from aria_core.worker.calls import CallRef, Edit

CHUNK = 4 * 1024 * 1024
READ_METHODS = frozenset({"get", "get_by_name", "list"})

Flush = Callable[[CallRef, list[Edit]], None]
TakeLog = Callable[[CallRef, Mapping[str, Any]], None]


class ContextSource:
    """Reads for the operations of one execution. Every answer sees what is committed when it is made."""

    def __init__(self, model: ModelStorage, resource: ResourceStorage, service: int, *,
                 take_log: TakeLog, flush: Flush, secrets: SecretValues | None = None) -> None:
        self._model = model
        self._resource = resource
        self._service = service
        self._renderer = Renderer()
        self._take_log = take_log
        self._flush = flush
        self._secrets = secrets or SecretValues()
        self._asks: Mapping[str, Callable[[CallRef, Mapping[str, Any]], Any]] = {
            "node": self._node, "relationship": self._relationship, "service": self._whole_service,
            "template": self._template, "model": self._rows, "resource": self._file,
            "resources": self._files, "render": self._render, "flush": self._flush_edits,
        }

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        """See `Inbox.answer`; ``InvalidInputError`` for a verb that does not exist."""
        if request.get("tell") == "log":
            return self._take_log(ref, request)
        ask = self._asks.get(str(request.get("ask")))
        if ask is None:
            raise InvalidInputError(
                f"{request.get('ask')!r} cannot be asked; known are {', '.join(self._asks)}")
        return ask(ref, request)

    def close(self) -> None:
        """Let go of what rendering needs. Idempotent."""
        self._renderer.close()

    def _node(self, _: CallRef, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._model.read_session() as session:
            node = self._of_service(session, Node, request["id"])
            told = node_to_json(node, ServiceScope(node.service, node))
            self._note_secrets(node, told["properties"])
            return told

    def _relationship(self, _: CallRef, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._model.read_session() as session:
            tie = self._of_service(session, Relationship, request["id"])
            scope = ServiceScope(tie.source_node.service, tie)
            properties = scope.properties(tie)
            self._note_secrets(tie, properties)
            return {
                "id": tie.id, "name": tie.name, "type_name": tie.type_name, "types": tie.types,
                "capability": tie.capability, "source": tie.source_id, "target": tie.target_id,
                "properties": properties, "attributes": scope.attributes(tie)}

    def _note_secrets(self, owner: Node | Relationship, properties: Mapping[str, Any]) -> None:
        """A computed secret may have another value than it had when the execution began."""
        self._secrets.add(*(properties.get(name) for name, row in owner.property_parameters.items()
                            if row.secret and row.dynamic))

    def _of_service(self, session: Session, model: type[Any], row_id: Any) -> Any:
        row: Any = session.get(model, int(row_id))
        owner = row.source_node if isinstance(row, Relationship) else row
        if row is None or owner.service_id != self._service:
            raise NotFoundError(f"this service has no {model.__tablename__} {row_id}")
        return row

    def _whole_service(self, _: CallRef, __: Mapping[str, Any]) -> dict[str, Any]:
        with self._model.read_session() as session:
            service = session.get_one(Service, self._service)
            template = service.service_template
            return {"id": service.id, "name": service.name, "description": service.description,
                    "template": template.name if template else None, "inputs": dict(service.inputs)}

    def _template(self, _: CallRef, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._model.read_session() as session:
            template = session.get_one(Service, self._service).service_template
            if template is None:
                raise NotFoundError("this service has no template any more")
            if request.get("node") is None:
                return {**template.content, "id": template.id, "name": template.name,
                        "description": template.description, "main_file": template.main_file}
            node: NodeTemplate | None = template.node_templates.get(request["node"])
            if node is None:
                raise NotFoundError(f"the template {template.name} has no node template {request['node']!r}")
            return {**node.content, "id": node.id, "name": node.name, "type_name": node.type_name}

    def _rows(self, _: CallRef, request: Mapping[str, Any]) -> Any:
        model, method = MODELS.get(request["table"]), request["method"]
        if model is None or method not in READ_METHODS:
            raise InvalidInputError(
                f"an operation cannot call {request['table']}.{method}; it may read {', '.join(MODELS)} with "
                f"{', '.join(sorted(READ_METHODS))}")
        arguments = dict(request.get("arguments") or {})
        if method == "get":
            arguments["entry_id"] = arguments.pop("id")
        found = getattr(self._model.table(model), method)(**arguments)
        if isinstance(found, ListResult):
            return [row_to_json(row) for row in found.items]
        return row_to_json(found)

    def _file(self, _: CallRef, request: Mapping[str, Any]) -> dict[str, Any]:
        data, executable = self._read(request["path"])
        offset = int(request.get("offset") or 0)
        return {"data": base64.b64encode(data[offset:offset + CHUNK]).decode(), "size": len(data),
                "executable": executable}

    def _files(self, _: CallRef, request: Mapping[str, Any]) -> list[str]:
        path = request.get("path") or None
        own = self._resource.service.list(self._service, path)
        template = self._template_id()
        of_template = self._resource.service_template.list(template, path) if template else []
        return sorted({*own, *of_template})

    def _read(self, path: str) -> tuple[bytes, bool]:
        """A file of the service, or else of its template."""
        template = self._template_id()
        try:
            kind, entry = self._resource.service, self._service
            return kind.read(entry, path), kind.is_executable(entry, path)
        except NotFoundError:
            if template is None:
                raise
        kind = self._resource.service_template
        return kind.read(template, path), kind.is_executable(template, path)

    def _template_id(self) -> int | None:
        with self._model.read_session() as session:
            return session.get_one(Service, self._service).service_template_id

    def _render(self, ref: CallRef, request: Mapping[str, Any]) -> str:
        data, _ = self._read(request["path"])
        variables = request.get("variables")
        facts = self._facts(ref) if variables is None else variables
        return self._renderer.render(data.decode("utf-8", "replace"), facts, request["path"])

    def _facts(self, ref: CallRef) -> dict[str, Any]:
        """Plain data under ``ctx``, in the shape of the operation's own context."""
        row = self._model.task.get(ref.task)
        ctx: dict[str, Any] = {
            "service": self._whole_service(ref, {}),
            "task": {"id": ref.task, "name": row.name, "attempt": ref.attempt, "token": ref.token}}
        if row.node_id is not None:
            ctx["node"] = self._node(ref, {"id": row.node_id})
        elif row.relationship_id is not None:
            tie = self._relationship(ref, {"id": row.relationship_id})
            ctx |= {"relationship": tie, "source_node": self._node(ref, {"id": tie["source"]}),
                    "target_node": self._node(ref, {"id": tie["target"]})}
        return {"ctx": ctx}

    def _flush_edits(self, ref: CallRef, request: Mapping[str, Any]) -> bool:
        edits = [Edit(**edit) for edit in request["edits"]]
        with self._model.read_session() as session:
            for edit in edits:
                self._of_service(session, Node if edit.kind == "node" else Relationship, edit.owner)
        self._flush(ref, edits)
        return True


def node_to_json(node: Node, scope: ServiceScope) -> dict[str, Any]:
    """A node as an operation sees it: every expression evaluated."""
    return {
        "id": node.id, "name": node.name, "type_name": node.type_name, "types": node.types,
        "state": node.state, "host": node.host_id, "host_address": node.host_address,
        "template": node.node_template.name if node.node_template else None,
        "properties": scope.properties(node), "attributes": scope.attributes(node),
        "capabilities": scope.capabilities(node), "artifacts": node.artifacts}


def row_to_json(row: Model) -> dict[str, Any]:
    """A row's columns, and the attributes and properties of a node or relationship."""
    values = {name: value.isoformat() if isinstance(value, datetime) else value
              for name, value in row.to_dict().items()}
    if isinstance(row, (Node, Relationship)):
        values |= {"attributes": dict(row.attributes), "properties": dict(row.properties)}
    return values
