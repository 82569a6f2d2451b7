"""A channel without a runner: try an operation against a service made of dicts.

::

    channel = MemoryChannel(nodes={1: {"name": "web", "properties": {"port": 80}}})
    report = run_call(Call(CallRef(1, 1, 1), "my_operations:start", actor=Actor("node", 1, "web")), channel)
    assert channel.nodes[1]["attributes"] == {}          # what is edited stands in report.edits
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from aria_core.exceptions import NotFoundError

PIECE = 4 * 1024 * 1024

_NODE: Mapping[str, Any] = {
    "type_name": "", "types": [], "state": "initial", "host": None, "host_address": None, "template": "",
    "properties": {}, "attributes": {}, "capabilities": {}, "artifacts": {}}
_RELATIONSHIP: Mapping[str, Any] = {
    "type_name": "", "types": [], "capability": "", "properties": {}, "attributes": {}}


class MemoryChannel:
    """Answers the verbs of `aria_core.worker.channel` from what it was given.

    `render` replaces each ``{{ name }}`` by a variable and nothing more. Everything asked stands in
    `asked`, every log line in `logs`, every heartbeat in `heartbeats`; every flushed edit is applied to
    the nodes and relationships.
    """

    def __init__(self, nodes: Mapping[int, Mapping[str, Any]] | None = None,
                 relationships: Mapping[int, Mapping[str, Any]] | None = None,
                 service: Mapping[str, Any] | None = None,
                 templates: Mapping[str | None, Mapping[str, Any]] | None = None,
                 resources: Mapping[str, bytes] | None = None,
                 rows: Mapping[str, list[dict[str, Any]]] | None = None) -> None:
        self.nodes = {key: _complete(_NODE, key, each) for key, each in (nodes or {}).items()}
        self.relationships = {
            key: _complete(_RELATIONSHIP, key, each) for key, each in (relationships or {}).items()}
        self.service = {"id": 1, "name": "service", "description": "", "template": "", "inputs": {},
                        **(service or {})}
        self.templates = dict(templates or {})
        self.resources = dict(resources or {})
        self.rows = dict(rows or {})
        self.asked: list[dict[str, Any]] = []
        self.logs: list[dict[str, Any]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._verbs: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "node": lambda request: _found(self.nodes, request["id"], "node"),
            "relationship": lambda request: _found(self.relationships, request["id"], "relationship"),
            "service": lambda request: self.service,
            "template": lambda request: _found(self.templates, request["node"], "template"),
            "model": self._model, "resource": self._resource, "resources": self._resources,
            "render": self._render, "flush": self._flush}

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Answer as a runner would."""
        with self._lock:
            self.asked.append(deepcopy(dict(request)))
            return deepcopy(self._verbs[request["ask"]](request))

    def tell(self, message: Mapping[str, Any]) -> None:
        """Keep a log line or a heartbeat."""
        kept = self.heartbeats if message["tell"] == "heartbeat" else self.logs
        kept.append(dict(message))

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Level and text of each log line."""
        return [(each["level"], each["message"]) for each in self.logs]

    def _model(self, request: Mapping[str, Any]) -> Any:
        rows = self._table(request["table"])
        arguments = request["arguments"]
        if request["method"] == "list":
            return _page(rows, arguments)
        key = "id" if request["method"] == "get" else "name"
        return _found({each[key]: each for each in rows}, arguments[key], request["table"])

    def _table(self, name: str) -> list[dict[str, Any]]:
        own = {"node": self.nodes, "relationship": self.relationships}
        return list(own[name].values()) if name in own else self.rows.get(name, [])

    def _resource(self, request: Mapping[str, Any]) -> Any:
        data: bytes = _found(self.resources, request["path"], "resource")
        piece = data[request["offset"]:request["offset"] + PIECE]
        return {"data": base64.b64encode(piece).decode(), "size": len(data), "executable": False}

    def _resources(self, request: Mapping[str, Any]) -> list[str]:
        top = request["path"].strip("/")
        return sorted(path for path in self.resources if not top or path == top or path.startswith(f"{top}/"))

    def _render(self, request: Mapping[str, Any]) -> str:
        data: bytes = _found(self.resources, request["path"], "resource")
        text = data.decode()
        for name, value in (request["variables"] or {}).items():
            text = text.replace("{{ " + name + " }}", str(value))
        return text

    def _flush(self, request: Mapping[str, Any]) -> bool:
        for edit in request["edits"]:
            owners = self.nodes if edit["kind"] == "node" else self.relationships
            attributes = owners[edit["owner"]]["attributes"]
            if edit["deleted"]:
                attributes.pop(edit["name"], None)
            else:
                attributes[edit["name"]] = edit["value"]
        return True


def _complete(defaults: Mapping[str, Any], key: int, given: Mapping[str, Any]) -> dict[str, Any]:
    return deepcopy({**defaults, "id": key, "name": f"actor{key}", **given})


def _found(known: Mapping[Any, Any], key: Any, kind: str) -> Any:
    if key not in known:
        raise NotFoundError(f"there is no {kind} {key!r}")
    return known[key]


def _page(rows: list[dict[str, Any]], arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    wanted = arguments.get("filters", {})
    kept = [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]
    page = arguments.get("pagination", {"size": len(kept), "offset": 0})
    return kept[page["offset"]:page["offset"] + page["size"]]
