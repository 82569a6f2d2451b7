"""What an operation sees of the service: nodes, relationships and the rest, read when first looked at.

Each actor is asked for once a call and is one object however it was reached, so an attribute changed
through ``ctx.node.host`` is the one that ``ctx.model.node.get`` shows; all changed attributes count.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

from aria_core.exceptions import NotJsonError
from aria_core.worker.attributes import TrackedAttributes
from aria_core.worker.calls import Edit
from aria_core.worker.channel import Channel
from aria_core.worker.frozen import Record, freeze

V = TypeVar("V", bound="ActorView")


class ActorView:
    """What nodes and relationships have in common."""

    kind: ClassVar[Literal["node", "relationship"]]

    def __init__(self, actors: Actors, id: int, name: str | None = None) -> None:  # noqa: A002 - the seed's word
        self.id = id
        self._actors = actors
        self._name = name
        self._data: Mapping[str, Any] | None = None
        self._stored: Mapping[str, Any] = {}
        self._attributes: TrackedAttributes | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self._name if self._name is not None else str(self._get("name"))

    @property
    def type_name(self) -> str:
        """The name of its type."""
        return str(self._get("type_name"))

    @property
    def types(self) -> list[str]:
        """The type and its ancestors, nearest first."""
        found: list[str] = self._get("types")
        return found

    @property
    def properties(self) -> dict[str, Any]:
        """Its properties; read-only."""
        found: dict[str, Any] = self._get("properties")
        return found

    @property
    def attributes(self) -> dict[str, Any]:
        """Its attributes: change them as any dict, also what lies nested in them."""
        return self.tracked.live

    @property
    def tracked(self) -> TrackedAttributes:
        """The attributes with what is known of their changes."""
        with self._actors.lock:
            if self._attributes is None:
                self._load()
                self._attributes = TrackedAttributes(self.kind, self.id, self.name, self._stored)
            return self._attributes

    @property
    def edits(self) -> tuple[list[Edit], list[str]]:
        """The changed attributes, and a sentence for each that cannot be stored."""
        return ([], []) if self._attributes is None else self._attributes.edits()

    def refresh(self) -> None:
        """Read it again; changed attributes keep the values given here."""
        with self._actors.lock:
            self._data = None
            self._load()
            if self._attributes is not None:
                self._attributes.reread(self._stored)

    def _get(self, name: str) -> Any:
        with self._actors.lock:
            return self._load()[name]

    def _load(self) -> Mapping[str, Any]:
        if self._data is None:
            data = dict(self._actors.read(self.kind, self.id))
            self._stored = data.pop("attributes")
            self._data = freeze(data)
        return self._data

    def __repr__(self) -> str:
        return f"<{self.kind} {self._name or self.id}>"


class CapabilityView:
    """Something a node offers others; read-only."""

    def __init__(self, name: str, data: Mapping[str, Any]) -> None:
        self.name = name
        self.type_name = str(data.get("type", ""))
        self.properties: dict[str, Any] = freeze(data.get("properties") or {})
        self.attributes: dict[str, Any] = freeze(data.get("attributes") or {})


class NodeView(ActorView):
    """A node."""

    kind = "node"

    @property
    def state(self) -> str:
        """Where it is in its life, e.g. ``creating``."""
        return str(self._get("state"))

    @property
    def host(self) -> NodeView | None:
        """The node it lives on, if any."""
        host = self._get("host")
        return None if host is None else self._actors.node(host)

    @property
    def host_address(self) -> Any:
        """The ``ip`` attribute of its host (or its own), as edited here; None if there is none."""
        host = self.host or self
        return host.attributes.get("ip") if host.edits[0] else self._get("host_address")

    @property
    def capabilities(self) -> dict[str, CapabilityView]:
        """What it offers, by name."""
        return {name: CapabilityView(name, data) for name, data in self._get("capabilities").items()}

    @property
    def artifacts(self) -> dict[str, Any]:
        """Its files, by name; read-only."""
        found: dict[str, Any] = self._get("artifacts")
        return found

    @property
    def node_template(self) -> Record:
        """The template it was made from."""
        return self._actors.template(str(self._get("template")))


class RelationshipView(ActorView):
    """A directed tie: the source requires the target."""

    kind = "relationship"

    @property
    def capability(self) -> str:
        """The target's capability it uses."""
        return str(self._get("capability"))

    @property
    def source_node(self) -> NodeView:
        """The node that requires."""
        return self._actors.node(self._get("source"))

    @property
    def target_node(self) -> NodeView:
        """The node that is required."""
        return self._actors.node(self._get("target"))


class Actors:
    """Every node and relationship seen in one call."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._seen: dict[tuple[str, int], ActorView] = {}
        self._templates: dict[str | None, Record] = {}
        self.lock = threading.RLock()

    def node(self, id: int, name: str | None = None) -> NodeView:  # noqa: A002 - the seed's word
        """The node; nothing is asked yet."""
        return self._view(NodeView, id, name)

    def relationship(self, id: int, name: str | None = None) -> RelationshipView:  # noqa: A002
        """The relationship; nothing is asked yet."""
        return self._view(RelationshipView, id, name)

    def _view(self, kind: type[V], id: int, name: str | None) -> V:  # noqa: A002
        with self.lock:
            view = self._seen.setdefault((kind.kind, id), kind(self, id, name))
            assert isinstance(view, kind)  # noqa: S101 - the key holds the kind
            return view

    def read(self, kind: str, id: int) -> Mapping[str, Any]:  # noqa: A002
        """What the runner knows of it."""
        data: Mapping[str, Any] = self._channel.ask({"ask": kind, "id": id})
        return data

    def template(self, node: str | None) -> Record:
        """A node template, or with None the service template."""
        with self.lock:
            if node not in self._templates:
                kind = "service template" if node is None else "node template"
                found = self._channel.ask({"ask": "template", "node": node})
                self._templates[node] = Record(kind, found)
            return self._templates[node]

    def edits(self) -> tuple[list[Edit], list[str]]:
        """All changed attributes, and a sentence for each that cannot be stored."""
        found = [each.edits for each in list(self._seen.values())]
        return [edit for edits, _ in found for edit in edits], [text for _, texts in found for text in texts]

    def flush(self) -> None:
        """Store the changed attributes now.

        Raises ``NotJsonError`` for what cannot be stored, ``ChannelError`` if the attempt is not current.
        """
        with self.lock:
            edits, problems = self.edits()
            if problems:
                raise NotJsonError("; ".join(problems))
            if edits:
                self._channel.ask({"ask": "flush", "edits": [_as_json(each) for each in edits]})
            for view in self._seen.values():
                mine = [each for each in edits if (each.kind, each.owner) == (view.kind, view.id)]
                if mine:
                    view.tracked.saved(mine)


def _as_json(edit: Edit) -> dict[str, Any]:
    return {"kind": edit.kind, "owner": edit.owner, "name": edit.name, "value": edit.value,
            "deleted": edit.deleted}


class ServiceView:
    """The service; its id and name are known, the rest is asked for once."""

    def __init__(self, channel: Channel, id: int | None, name: str) -> None:  # noqa: A002 - the seed's word
        self.id = id
        self.name = name
        self._channel = channel
        self._data: Mapping[str, Any] | None = None

    @property
    def description(self) -> str:
        """What it is for."""
        return str(self._get("description"))

    @property
    def template(self) -> str:
        """The name of its service template."""
        return str(self._get("template"))

    @property
    def inputs(self) -> dict[str, Any]:
        """Its inputs; read-only."""
        found: dict[str, Any] = self._get("inputs")
        return found

    def _get(self, name: str) -> Any:
        if self._data is None:
            self._data = freeze(self._channel.ask({"ask": "service"}))
        return self._data[name]
