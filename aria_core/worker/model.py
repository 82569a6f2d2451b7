"""``ctx.model`` inside an operation: every table, read-only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

from aria_core.worker.channel import Channel
from aria_core.worker.frozen import Record
from aria_core.worker.views import Actors, ActorView

TABLES = ("service_template", "node_template", "service", "node", "relationship", "interface", "operation",
          "parameter", "attribute", "execution", "task", "attempt", "claimed_call", "log", "plugin")

_WRITES = ("put", "create", "update", "delete", "drop")
_PAGE = 500

Row: TypeAlias = Any
"""A `NodeView`, a `RelationshipView`, or for all other tables a `Record`."""


class Model:
    """The tables, as ``ctx.model.node``, ``ctx.model.service`` and so on."""

    def __init__(self, channel: Channel, actors: Actors) -> None:
        self._channel = channel
        self._actors = actors

    def __getattr__(self, name: str) -> Table:
        if name not in TABLES:
            raise AttributeError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
        return Table(name, self._channel, self._actors)


class Table:
    """One table. Rows of nodes and relationships are their views, others are read-only records."""

    def __init__(self, name: str, channel: Channel, actors: Actors) -> None:
        self.name = name
        self._channel = channel
        self._actors = actors

    def get(self, id: int) -> Row:  # noqa: A002 - the seed's word
        """The row with this id; ``NotFoundError`` if there is none."""
        return self._row(self._ask("get", {"id": id}))

    def get_by_name(self, name: str) -> Row:
        """The row with this name; ``NotFoundError`` if there is none."""
        return self._row(self._ask("get_by_name", {"name": name}))

    def list(self, filters: Mapping[str, Any] | None = None, sort: Mapping[str, str] | None = None,
             pagination: Mapping[str, int] | None = None) -> list[Row]:
        """The rows that fit; the arguments are those of the storage's own tables."""
        given = {"filters": filters, "sort": sort, "pagination": pagination}
        rows = self._ask("list", {name: each for name, each in given.items() if each is not None})
        return [self._row(each) for each in rows]

    def iter(self, filters: Mapping[str, Any] | None = None, sort: Mapping[str, str] | None = None
             ) -> Iterator[Row]:
        """The rows that fit, read page by page; by id if `sort` does not say otherwise."""
        offset = 0
        while rows := self.list(filters, sort or {"id": "asc"}, {"size": _PAGE, "offset": offset}):
            yield from rows
            offset += len(rows)

    def refresh(self, row: Row) -> Row:
        """Read a row again. A node or relationship is changed in place and keeps its edited attributes."""
        if isinstance(row, ActorView):
            row.refresh()
            return row
        return self.get(row["id"])

    def __iter__(self) -> Iterator[Row]:
        return self.iter()

    def __getattr__(self, name: str) -> NoReturn:
        if name in _WRITES:
            raise AttributeError(f"ctx.model.{self.name}.{name}: the model is read-only inside an operation; "
                                 "change the attributes of nodes and relationships instead")
        raise AttributeError(f"a table has no {name!r}; it has get, get_by_name, list, iter, refresh")

    def _ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        return self._channel.ask(
            {"ask": "model", "table": self.name, "method": method, "arguments": arguments})

    def _row(self, data: Mapping[str, Any]) -> Row:
        if self.name == "node":
            return self._actors.node(data["id"], data.get("name"))
        if self.name == "relationship":
            return self._actors.relationship(data["id"], data.get("name"))
        return Record(self.name, data)
