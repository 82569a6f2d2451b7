"""What a value must be: its data type, the types of its entries, and its constraints."""

from __future__ import annotations

from dataclasses import dataclass

from .types import Type, Types, is_native
from .values import Mapping, Value, field, items, text


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A data type as a property uses it.

    `native` is the native type that values are written in, ``any`` if unknown, empty for a data type
    with fields; `data` is the data type unless it is native.
    """

    name: str
    native: str
    data: Type | None = None
    entry: Schema | None = None
    key: Schema | None = None
    constraints: tuple[Value, ...] = ()

    @property
    def simple_name(self) -> str:
        """The type as the core knows it: derived simple types under the name of the native one."""
        return self.native or self.name


ANY = Schema("any", "any")


def schema_of(definition: Mapping, types: Types) -> Schema:
    """The schema of a definition with ``type``, ``entry_schema``, ``key_schema`` and ``constraints``.

    Without ``type`` anything will do; a type that does not exist is a problem.
    """
    value = field(definition, "type")
    if value is None:
        return ANY
    name = text(value) or "any"
    own = tuple(items(field(definition, "constraints")))
    if is_native(name) and types.find("data", value) is None:
        native = name.removeprefix("tosca:")
        return Schema(native, native, None, _part(definition, "entry_schema", types),
                      _part(definition, "key_schema", types), own)
    data = types.need("data", value, "this value has the type")
    return ANY if data is None else _of_data(data, definition, own, types)


def _of_data(data: Type, definition: Mapping, own: tuple[Value, ...], types: Types) -> Schema:
    bodies = [definition, *(each.body for each in data.lineage)]
    inherited = [each for body in bodies[1:] for each in items(field(body, "constraints"))]
    parts = {key: next((found for body in bodies if (found := _part(body, key, types)) is not None), None)
             for key in ("entry_schema", "key_schema")}
    return Schema(data.name, data.native or "", data, parts["entry_schema"], parts["key_schema"],
                  (*own, *inherited))


def _part(definition: Mapping, key: str, types: Types) -> Schema | None:
    value = field(definition, key)
    if value is None:
        return None
    if isinstance(value, Mapping):
        return schema_of(value, types)
    return schema_of(Mapping(value.mark, {"type": value}, {}), types)
