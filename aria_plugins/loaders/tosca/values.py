"""YAML as a tree of values that know where they stand.

PyYAML's C composer does the reading; scalars are resolved by the rules of YAML 1.2 (``yes`` and
``12:30`` are text), because TOSCA asks for it. Anchors, aliases and merge keys work; what they expand
to is limited, as are depth and size, so that no file can use up memory or time.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from yaml.error import MarkedYAMLError, YAMLError
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.reader import ReaderError

from .problems import Place, Problems, TemplateError

try:
    from yaml.cyaml import CParser as _Parser  # type: ignore[attr-defined]
except ImportError:  # PyYAML was built without libyaml
    from .slow_yaml import SlowParser as _Parser  # type: ignore[assignment]

MAX_BYTES = 10_000_000
MAX_DEPTH = 90
MAX_VALUES = 2_000_000

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OLD_BOOLEAN = {"yes": True, "no": False, "on": True, "off": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,400}|[0-9]{1,400}(?:\.[0-9]{0,400})?)(?:[eE][-+]?[0-9]{1,9})?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_PLAIN, _TEXT = "plain", "text"
_TAG = "tag:yaml.org,2002:"


class Scalar:
    """Text, a number, a boolean or null; `text` is how it was written."""

    __slots__ = ("mark", "text", "value")

    def __init__(self, mark: Any, text: str, value: str | float | bool | None) -> None:
        self.mark = mark
        self.text = text
        self.value = value


class Sequence:
    """A list of values."""

    __slots__ = ("items", "mark")

    def __init__(self, mark: Any, items: list[Value]) -> None:
        self.mark = mark
        self.items = items


class Mapping:
    """A map of values; `keys` has the keys as values, for their places."""

    __slots__ = ("entries", "keys", "mark")

    def __init__(self, mark: Any, entries: dict[str, Value], keys: dict[str, Scalar]) -> None:
        self.mark = mark
        self.entries = entries
        self.keys = keys


Value: TypeAlias = Scalar | Sequence | Mapping


def place_of(value: Value) -> Place:
    """Where `value` begins."""
    return _place(value.mark)


def _place(mark: Any) -> Place:
    return Place(mark.name, mark.line + 1, mark.column + 1)


def field(value: Value | None, key: str) -> Value | None:
    """The value under `key`; None if there is none or `value` is no map."""
    return value.entries.get(key) if isinstance(value, Mapping) else None


def fields(value: Value | None) -> dict[str, Value]:
    """The entries of a map; none for anything else."""
    return value.entries if isinstance(value, Mapping) else {}


def items(value: Value | None) -> list[Value]:
    """The items of a list; none for anything else."""
    return value.items if isinstance(value, Sequence) else []


def text(value: Value | None) -> str | None:
    """The text of a text scalar; None for anything else."""
    return value.value if isinstance(value, Scalar) and isinstance(value.value, str) else None


def key_of(value: Mapping, key: str) -> Scalar:
    """The key as a value: its place is where the entry begins."""
    return value.keys[key]


def named(value: Value | None) -> Iterator[tuple[Scalar, Value]]:
    """The entries of a map, or of a list of maps, as TOSCA uses them for ordered names."""
    for each in [value] if isinstance(value, Mapping) else items(value):
        if isinstance(each, Mapping):
            yield from ((each.keys[name], entry) for name, entry in each.entries.items())


def boolean(value: Value | None) -> bool | None:
    """The boolean that a scalar is; the words of YAML 1.1 count too. None for anything else."""
    if not isinstance(value, Scalar):
        return None
    return value.value if isinstance(value.value, bool) else _OLD_BOOLEAN.get(value.text.lower())


def is_null(value: Value | None) -> bool:
    """Whether this is YAML's null."""
    return isinstance(value, Scalar) and value.value is None


def described(value: Value) -> str:
    """What a value is, for sentences."""
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, Sequence):
        return "a list"
    if value.value is None:
        return "null"
    kind = {str: "the text", bool: "the boolean"}.get(type(value.value), "the number")
    shown = value.text if len(value.text) <= 60 else value.text[:60] + "…"
    return f"{kind} `{shown}`"


class _Named(io.BytesIO):
    """Bytes under the name that positions show."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


class _Composer(_Parser):
    """Composes without resolving, and not deeper than anybody needs."""

    def __init__(self, stream: _Named) -> None:
        super().__init__(stream)
        self._file = stream.name
        self._depth = 0

    def descend_resolver(self, parent: Node | None, index: Any) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            place = _place(parent.start_mark) if parent is not None else Place(self._file, 1, 1)
            raise TemplateError(place, f"this is nested deeper than {MAX_DEPTH} levels, which is the limit")

    def ascend_resolver(self) -> None:
        self._depth -= 1

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        return _PLAIN if kind is ScalarNode and implicit[0] else _TEXT


def parse(data: bytes, name: str, problems: Problems) -> Value | None:
    """The only document in `data`, whose places show `name`; None if it is empty.

    Keys that stand twice, keys that are no scalars and the like go to `problems`. Raises
    ``TemplateError`` for what is no YAML at all and for what goes beyond the limits.
    """
    if len(data) > MAX_BYTES:
        raise TemplateError(Place(name, 1, 1), f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} "
                            "are read")
    try:
        root = _Composer(_Named(data, name)).get_single_node()
    except ReaderError as error:
        raise TemplateError(_byte_place(data, name, error.position), f"this is not text that YAML allows: "
                            f"{error.reason}") from None
    except MarkedYAMLError as error:
        raise TemplateError(_marked_place(error, name), f"this is not valid YAML: {_told(error)}") from None
    except (YAMLError, UnicodeError, ValueError) as error:
        raise TemplateError(Place(name, 1, 1), f"this is not valid YAML: {error}") from None
    return None if root is None else _Converter(problems).convert(root)


def _byte_place(data: bytes, name: str, position: int) -> Place:
    before = data[:max(position, 0)]
    return Place(name, before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))


def _marked_place(error: MarkedYAMLError, name: str) -> Place:
    mark = error.problem_mark or error.context_mark
    return Place(name, 1, 1) if mark is None else _place(mark)


def _told(error: MarkedYAMLError) -> str:
    parts = [each for each in (error.problem, error.context) if each]
    return ", ".join(parts) or "it cannot be parsed"


class _Converter:
    """Turns composed nodes into values; nodes that aliases share become shared values."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._done: dict[int, tuple[Value, int]] = {}
        self._open: set[int] = set()
        self._in_metadata = False
        self._count = 0
        """How many values the tree has when every alias is written out."""

    def convert(self, node: Node) -> Value:
        if isinstance(node, ScalarNode):
            self._count += 1
            return self._scalar(node)
        known = self._done.get(id(node))
        if known is not None:
            self._spend(node, known[1])
            return known[0]
        return self._collection(node)

    def _collection(self, node: Node) -> Value:
        if id(node) in self._open:
            raise TemplateError(_place(node.start_mark), "this alias stands inside the value it names")
        self._open.add(id(node))
        before = self._count
        self._spend(node, 1)
        value = self._mapping(node) if isinstance(node, MappingNode) else self._sequence(node)
        self._open.discard(id(node))
        self._done[id(node)] = value, self._count - before
        return value

    def _spend(self, node: Node, count: int) -> None:
        self._count += count
        if self._count > MAX_VALUES:
            raise TemplateError(_place(node.start_mark),
                                f"with its aliases written out the file has more than {MAX_VALUES:,} values")

    def _sequence(self, node: Node) -> Sequence:
        return Sequence(node.start_mark, [self.convert(each) for each in node.value])

    def _mapping(self, node: MappingNode) -> Mapping:
        mapping = Mapping(node.start_mark, {}, {})
        merged = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._problems.add(_place(key_node.start_mark), "a key must be text, not a map or a list")
            elif key_node.value == "<<" and key_node.tag == _PLAIN:
                merged.append(self.convert(value_node))
            else:
                self._entry(mapping, key_node, self._value(key_node.value, value_node))
        for each in merged:
            self._merge(mapping, each)
        return mapping

    def _value(self, key: str, node: Node) -> Value:
        outside = self._in_metadata
        self._in_metadata = outside or key == "metadata"
        value = self.convert(node)
        self._in_metadata = outside
        return value

    def _entry(self, mapping: Mapping, key_node: ScalarNode, value: Value) -> None:
        key = key_node.value
        if key in mapping.entries:
            first = _place(mapping.keys[key].mark)
            sentence = f"the key `{key}` stands here for the second time; the first is on line {first.line}"
            if self._in_metadata:  # they are for people, so nothing goes wrong
                self._problems.warn(_place(key_node.start_mark), f"{sentence}, and is the one that counts")
            else:
                self._problems.add(_place(key_node.start_mark), sentence)
            return
        mapping.entries[key] = value
        mapping.keys[key] = Scalar(key_node.start_mark, key, key)

    def _merge(self, mapping: Mapping, value: Value) -> None:
        for source in items(value) or [value]:
            if not isinstance(source, Mapping):
                self._problems.add(place_of(source), f"`<<` merges maps, but this is {described(source)}")
                continue
            for key, entry in source.entries.items():
                mapping.entries.setdefault(key, entry)
                mapping.keys.setdefault(key, source.keys[key])

    def _scalar(self, node: ScalarNode) -> Scalar:
        written = node.value
        if "\0" in written:
            self._problems.add(_place(node.start_mark),
                               "text with a NUL character cannot be carried anywhere")
        if node.tag == _TEXT:
            return Scalar(node.start_mark, written, written)
        if node.tag == _PLAIN:
            return Scalar(node.start_mark, written, self._plain(node))
        return Scalar(node.start_mark, written, self._tagged(node))

    def _plain(self, node: ScalarNode) -> str | float | bool | None:
        value = resolved(node.value)
        if isinstance(value, float) and not math.isfinite(value):
            self._problems.add(_place(node.start_mark), f"the number `{node.value}` is not finite")
            return 0.0
        return value

    def _tagged(self, node: ScalarNode) -> str | float | bool | None:
        name = node.tag.removeprefix(_TAG)
        if name in ("str", "timestamp"):
            return str(node.value)
        if name not in ("int", "float", "bool", "null"):
            self._problems.add(_place(node.start_mark), f"the YAML tag `{node.tag}` means nothing here; "
                               "leave it out")
        return self._plain(node)


def resolved(written: str) -> str | float | bool | None:
    """What plain text means in YAML 1.2."""
    first = written[:1]
    if first.isalpha() or not first:
        return None if written in _NULL else _BOOLEAN.get(written, written)
    if first not in "0123456789+-.~":
        return written
    if _INTEGER.fullmatch(written):
        return int(written, {"0o": 8, "0x": 16}.get(written[:2], 10))
    if _FLOAT.fullmatch(written) or _NOT_FINITE.fullmatch(written):
        return float(written.replace(".inf", "inf").replace(".nan", "nan").replace(".Inf", "inf")
                     .replace(".INF", "inf").replace(".NaN", "nan").replace(".NAN", "nan"))
    return None if written == "~" else written


def plain(value: Value) -> Any:
    """A value as JSON, as it was written."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.entries.items()}
    if isinstance(value, Sequence):
        return [plain(each) for each in value.items]
    return value.value


__all__ = [
    "Mapping", "Scalar", "Sequence", "Value", "boolean", "described", "field", "fields", "is_null", "items",
    "key_of",
    "named", "parse", "place_of", "plain", "resolved", "text",
]
