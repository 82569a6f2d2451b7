"""Maps and lists in JSON columns that notice when they are changed in place, at any depth.

``node.attributes["disks"][0]["size"] = 20`` marks the attribute's row as changed, so that the next
``update`` stores it. Values are copied when they are assigned to a column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import flag_modified, set_attribute

from aria_core.modeling.types import JsonText


class Origin:
    """Which column of which row a value belongs to."""

    __slots__ = ("_instance", "_key", "_value")

    def __init__(self, instance: Any, key: str) -> None:
        self._instance = instance  # not weakly: who changes a part of the value has nothing but that part
        self._key = key
        self._value: Any = None

    def adopt(self, value: Any) -> Any:
        """A copy of `value` that tells this row about its changes; other than maps and lists as they are."""
        self._value = self.tracked(value)
        return self._value

    def tracked(self, value: Any) -> Any:
        """A part of the value, tracked."""
        if isinstance(value, dict):
            return TrackedDict(self, {key: self.tracked(each) for key, each in value.items()})
        if isinstance(value, (list, tuple)):
            return TrackedList(self, [self.tracked(each) for each in value])
        return value

    def holds(self, instance: Any, key: str, value: Any) -> bool:
        """Whether `value` is what this row has in this column."""
        return self._instance is instance and self._key == key and self._value is value

    def changed(self) -> None:
        """Mark the column as changed; if the row was read anew meanwhile, give it this value back."""
        if self._instance is None:
            return
        if self._instance.__dict__.get(self._key) is self._value:
            flag_modified(self._instance, self._key)
        else:
            set_attribute(self._instance, self._key, self._value)

    def let_go(self) -> None:
        """The row has another value now; changes of this one are nobody's business."""
        self._instance = None


def _telling(name: str, kind: type) -> Callable[..., Any]:
    plain: Callable[..., Any] = getattr(kind, name)

    def change(self: Any, *arguments: Any, **keywords: Any) -> Any:
        result = plain(self, *arguments, **keywords)
        self.origin.changed()
        return result

    change.__name__ = name
    return change


class TrackedDict(dict[str, Any]):
    """A map in a JSON column; everything else sees a dict. Copies of it are plain."""

    __slots__ = ("origin",)
    __delitem__ = _telling("__delitem__", dict)
    pop = _telling("pop", dict)
    popitem = _telling("popitem", dict)
    clear = _telling("clear", dict)

    def __init__(self, origin: Origin, content: dict[str, Any]) -> None:
        super().__init__(content)
        self.origin = origin

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, self.origin.tracked(value))
        self.origin.changed()

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As in a dict."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Any, **more: Any) -> None:
        """As in a dict."""
        super().update({key: self.origin.tracked(each) for key, each in dict(*others, **more).items()})
        self.origin.changed()

    def __ior__(self, other: Any) -> TrackedDict:  # type: ignore[override,misc]
        self.update(other)
        return self

    def copy(self) -> dict[str, Any]:
        """A plain dict."""
        return dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class TrackedList(list[Any]):
    """A list in a JSON column; everything else sees a list. Copies of it are plain."""

    __slots__ = ("origin",)
    __delitem__ = _telling("__delitem__", list)
    __imul__ = _telling("__imul__", list)
    pop = _telling("pop", list)
    remove = _telling("remove", list)
    clear = _telling("clear", list)
    sort = _telling("sort", list)
    reverse = _telling("reverse", list)

    def __init__(self, origin: Origin, content: list[Any]) -> None:
        super().__init__(content)
        self.origin = origin

    def __setitem__(self, index: Any, value: Any) -> None:
        new = self._all(value) if isinstance(index, slice) else self.origin.tracked(value)
        super().__setitem__(index, new)
        self.origin.changed()

    def append(self, value: Any) -> None:
        """As in a list."""
        super().append(self.origin.tracked(value))
        self.origin.changed()

    def insert(self, index: Any, value: Any) -> None:
        """As in a list."""
        super().insert(index, self.origin.tracked(value))
        self.origin.changed()

    def extend(self, values: Iterable[Any]) -> None:
        """As in a list."""
        super().extend(self._all(values))
        self.origin.changed()

    def __iadd__(self, values: Iterable[Any]) -> TrackedList:  # type: ignore[misc]
        self.extend(values)
        return self

    def copy(self) -> list[Any]:
        """A plain list."""
        return list(self)

    def _all(self, values: Iterable[Any]) -> list[Any]:
        return [self.origin.tracked(each) for each in values]

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def track_json(base: type[Any]) -> None:
    """Make every JSON column of the models derived from `base` notice changes in place."""
    event.listen(base, "mapper_configured", _track_mapper, propagate=True)


def _track_mapper(mapper: Mapper[Any], model: type[Any]) -> None:
    keys = tuple(each.key for each in mapper.column_attrs if isinstance(each.columns[0].type, JsonText))
    for key in keys:
        event.listen(getattr(model, key), "set", _on_set(key), retval=True)
    if keys:
        for happening in ("load", "refresh", "refresh_flush"):
            event.listen(model, happening, _on_load(keys))


def _on_set(key: str) -> Callable[..., Any]:
    def wrap(instance: Any, value: Any, old: Any, _initiator: Any) -> Any:
        new = _of(instance, key, value)
        if isinstance(old, (TrackedDict, TrackedList)) and old is not new:
            old.origin.let_go()
        return new

    return wrap


def _on_load(keys: tuple[str, ...]) -> Callable[..., None]:
    def wrap(instance: Any, *_: Any) -> None:
        values = instance.__dict__
        for key in keys:
            if isinstance(values.get(key), (dict, list)):
                values[key] = _of(instance, key, values[key])

    return wrap


def _of(instance: Any, key: str, value: Any) -> Any:
    if isinstance(value, (TrackedDict, TrackedList)) and value.origin.holds(instance, key, value):
        return value
    return Origin(instance, key).adopt(value)
