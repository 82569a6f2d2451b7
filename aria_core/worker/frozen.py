"""Values that may be read and not changed, yet are dicts and lists to everybody who reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn


def _refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
    raise TypeError("this value is read-only inside an operation; what may be changed are the attributes "
                    "of nodes and relationships, e.g. ctx.node.attributes")


class FrozenDict(dict[str, Any]):
    """A dict that refuses changes."""

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


class FrozenList(list[Any]):
    """A list that refuses changes."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse


def freeze(value: Any) -> Any:
    """A read-only copy of a JSON value."""
    if isinstance(value, dict):
        return FrozenDict({key: freeze(each) for key, each in value.items()})
    if isinstance(value, (list, tuple)):
        return FrozenList(freeze(each) for each in value)
    return value


class Record(Mapping[str, Any]):
    """A row or template as a read-only mapping whose keys are attributes, too."""

    def __init__(self, kind: str, values: Mapping[str, Any]) -> None:
        self._kind = kind
        self._values: Mapping[str, Any] = freeze(dict(values))

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._values:
            return self._values[name]
        known = "" if name.startswith("_") else f"; it has {', '.join(sorted(self._values))}"
        raise AttributeError(f"this {self.__dict__.get('_kind', 'record')} has no {name!r}{known}")

    def __repr__(self) -> str:
        return f"<{self._kind} {self._values.get('name', self._values.get('id', ''))!r}>"
