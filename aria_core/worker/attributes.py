"""Attributes as a plain dict, and what was changed in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from aria_core.exceptions import NotJsonError
from aria_core.worker.calls import NAME_LIMIT, Edit
from aria_core.worker.json_values import plain_json


class TrackedAttributes:
    """The attributes of one node or relationship.

    `live` is an ordinary dict for the operation; changes anywhere in it are found by comparing each
    attribute with the JSON that was read. So ``attributes["list"].append(1)`` counts, and writing
    an equal value does not.
    """

    def __init__(self, kind: Literal["node", "relationship"], owner: int, name: str,
                 values: Mapping[str, Any]) -> None:
        self._kind = kind
        self._owner = owner
        self._name = name
        self.live: dict[str, Any] = dict(values)
        self._read = _texts(self.live)

    def edits(self) -> tuple[list[Edit], list[str]]:
        """What changed since it was read, and a sentence for each value that JSON cannot carry."""
        removed = sorted(self._read.keys() - self.live.keys())
        edits = [Edit(self._kind, self._owner, name, deleted=True) for name in removed]
        problems = []
        for name, value in list(self.live.items()):
            try:
                _check_length(name, f"{self._kind} {self._name}")
                plain = plain_json({name: value}, f"{self._kind} {self._name}: attributes")[name]
                if self._read.get(name) != _text(plain):
                    edits.append(Edit(self._kind, self._owner, name, plain))
            except (NotJsonError, ValueError) as error:
                problems.append(str(error))
        return edits, problems

    def saved(self, edits: list[Edit]) -> None:
        """Count `edits` as read: they are stored."""
        for edit in edits:
            if edit.deleted:
                self._read.pop(edit.name, None)
            else:
                self._read[edit.name] = _text(edit.value)

    def reread(self, values: Mapping[str, Any]) -> None:
        """Take what is stored now and keep the changes made here on top of it.

        Raises ``NotJsonError`` if one of the changes could never be stored.
        """
        edits, problems = self.edits()
        if problems:
            raise NotJsonError("; ".join(problems))
        self._read = _texts(values)
        self.live.clear()
        self.live.update(values)
        for edit in edits:
            if edit.deleted:
                self.live.pop(edit.name, None)
            else:
                self.live[edit.name] = edit.value


def _check_length(name: Any, owner: str) -> None:
    if isinstance(name, str) and len(name) > NAME_LIMIT:
        raise NotJsonError(f"{owner}: the attribute {name[:40]}… has a name of {len(name)} characters; "
                           f"at most {NAME_LIMIT} are kept")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in values.items()}
