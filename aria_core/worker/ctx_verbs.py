"""What the ``ctx`` command may do: a list of what can be read, written and called, and nothing else.

`aria_core.worker.ctx_command` describes the grammar.
"""

from __future__ import annotations

import math
import posixpath
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aria_core.exceptions import InvalidInputError
from aria_core.worker.context import (
    CurrentTask,
    NodeOperationContext,
    OperationContext,
    RelationshipOperationContext,
)
from aria_core.worker.json_values import plain_json
from aria_core.worker.outcomes import TaskAbortException, TaskRetryException
from aria_core.worker.views import ActorView, CapabilityView, NodeView, RelationshipView, ServiceView

ONCE = "ctx may only abort or retry once"

_EVERYWHERE = (
    "name", "execution_id", "workflow_name", "plugin_workdir", "task", "service", "service_template")
_ACTOR = ("id", "name", "type_name", "types", "properties", "attributes")

_READABLE: Mapping[type, Sequence[str]] = {
    OperationContext: _EVERYWHERE,
    NodeOperationContext: (*_EVERYWHERE, "node", "node_template"),
    RelationshipOperationContext: (
        *_EVERYWHERE, "relationship", "source_node", "target_node", "source_node_template",
        "target_node_template"),
    NodeView: (*_ACTOR, "state", "host", "host_address", "capabilities", "artifacts", "node_template"),
    RelationshipView: (*_ACTOR, "capability", "source_node", "target_node"),
    CapabilityView: ("name", "type_name", "properties", "attributes"),
    ServiceView: ("id", "name", "description", "template", "inputs"),
    CurrentTask: ("id", "name", "attempt", "token", "max_attempts", "interface_name", "operation_name",
                  "function", "arguments", "cancelled"),
}

_LEVELS = ("debug", "info", "warning", "error", "critical")


class ContextVerbs:
    """Does what ``ctx`` commands say, one at a time.

    `directory`, on the host of the script, takes downloads that have no destination. `verdict` is what
    ``ctx task retry`` or ``abort`` decided, `twice` whether a script tried to decide again.
    """

    def __init__(self, ctx: OperationContext, directory: str) -> None:
        self._ctx = ctx
        self._directory = directory
        self._lock = threading.Lock()
        self.verdict: TaskRetryException | TaskAbortException | None = None
        self.twice = False
        self._verbs: Mapping[tuple[str, ...], tuple[Callable[..., Any], int, int]] = {
            **{("logger", level): (self._logger(level), 1, 1000) for level in _LEVELS},
            ("get_resource",): (self._get, 1, 1),
            ("get_resource_and_render",): (self._render, 1, 2),
            ("download_resource",): (self._download, 1, 2),
            ("download_resource_and_render",): (self._download_rendered, 1, 3),
            ("task", "retry"): (self._retry, 0, 2),
            ("task", "abort"): (self._abort, 0, 1),
            ("task", "heartbeat"): (self._heartbeat, 0, 2),
        }

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to ``{"ask": "ctx", "words": […]}``.

        It is ``{"value": …}``; ``{"stop": sentence}`` for a script that should end now; or ``{"save": …}``,
        what the command writes where it runs: a ``text``, or ``files``, each what lies below and its path,
        which it gets bit by bit with ``{"ask": "resource", "path": …, "offset": …}``. Raises
        ``InvalidInputError`` for words that are not on the list, and what the verbs raise.
        """
        words = request.get("words")
        if request.get("ask") == "resource":
            return self._piece(request.get("path"), request.get("offset"))
        if request.get("ask") != "ctx" or not isinstance(words, list) or not words:
            raise InvalidInputError("a script may only ask for ctx, with words")
        with self._lock:
            return self._do(words)

    def _piece(self, path: Any, offset: Any) -> dict[str, Any]:
        if not isinstance(offset, int) or offset < 0:
            raise InvalidInputError(f"{offset!r} is no place in a file")
        return self._ctx.resources.piece(_text(path, "a path"), offset)

    def _do(self, words: list[Any]) -> dict[str, Any]:
        for length in (2, 1):
            name = tuple(_plain(word) for word in words[:length])
            if name in self._verbs:
                return self._call(" ".join(map(str, words[:length])), name, words[length:])
        if "=" in words:
            place = words.index("=")
            self._set(_steps(words[:place]), words[place + 1:])
            return {"value": None}
        steps = _steps(words)
        value: Any = self._ctx
        for step in steps:
            value = _step(value, step)
        return {"value": _shown(value, steps)}

    def _call(self, shown: str, name: tuple[str, ...], words: list[Any]) -> dict[str, Any]:
        if words and words[0] == "[" and words[-1] == "]":
            words = words[1:-1]
        function, least, most = self._verbs[name]
        if not least <= len(words) <= most:
            raise InvalidInputError(f"ctx {shown} takes {least} to {most} words, not {len(words)}")
        before = self.verdict
        value = function(*words)
        if "download" in name[0]:
            return {"save": value}
        return {"value": value} if self.verdict is before else {"stop": str(self.verdict) or shown}

    def _logger(self, level: str) -> Callable[..., None]:
        def log(*words: Any) -> None:
            getattr(self._ctx.logger, level)("%s", " ".join(str(each) for each in words))

        return log

    def _get(self, path: Any) -> str:
        try:
            return self._ctx.get_resource(_text(path, "a path")).decode()
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"{path} is not text; use ctx download-resource") from error

    def _render(self, path: Any, variables: Any = None) -> str:
        return self._ctx.get_resource_and_render(_text(path, "a path"), _variables(variables))

    def _download(self, path: Any, destination: Any = None) -> dict[str, Any]:
        top = posixpath.normpath(_text(path, "a path")).strip("/")
        found = self._ctx.resources.below(path)
        files = [["" if each == top else posixpath.relpath(each, top), each] for each in found]
        return self._saved(path, destination, files=files)

    def _download_rendered(self, path: Any, destination: Any = None, variables: Any = None) -> dict[str, Any]:
        if isinstance(destination, dict) and variables is None:
            destination, variables = None, destination
        return self._saved(path, destination, text=self._render(path, variables))

    def _saved(self, path: str, destination: Any, files: Any = (), text: str | None = None) -> dict[str, Any]:
        if destination is not None:
            _text(destination, "a destination")
        return {"name": posixpath.basename(posixpath.normpath(path)) or "resources", "to": destination,
                "into": self._directory, "files": files, "text": text}

    def _retry(self, message: Any = "", interval: Any = None) -> None:
        seconds = None if interval is None else _seconds(interval)
        self._decide(TaskRetryException(str(message), seconds))

    def _abort(self, message: Any = "") -> None:
        self._decide(TaskAbortException(str(message)))

    def _heartbeat(self, progress: Any = None, message: Any = None) -> None:
        self._ctx.task.heartbeat(None if progress is None else _number(progress, "progress"), message)

    def _decide(self, verdict: TaskRetryException | TaskAbortException) -> None:
        if self.verdict is not None:
            self.twice = True
            raise InvalidInputError(ONCE)
        self.verdict = verdict

    def _set(self, path: list[Any], values: list[Any]) -> None:
        if len(values) == 2 and values[1] == "]":  # of brackets around all of it
            values = values[:1]
        if len(values) != 1 or len(path) < 3:
            raise InvalidInputError("setting is written: ctx node attributes NAME… = VALUE")
        value = plain_json(values[0], " ".join(map(str, path)))
        parent: Any = self._ctx
        inside = False
        for step in path[:-1]:
            if inside:
                parent = _step_or_make(parent, step)
            else:
                inside = isinstance(parent, ActorView) and _plain(step) == "attributes"
                parent = _step(parent, step)
        if not inside:
            raise InvalidInputError(f"{' '.join(map(str, path))} cannot be set; only attributes can")
        _store(parent, path[-1], value)


def _steps(words: list[Any]) -> list[Any]:
    return [word for word in words if word not in ("[", "]")]


def _plain(word: Any) -> str:
    return word.replace("-", "_") if isinstance(word, str) else ""


def _step(value: Any, word: Any) -> Any:
    if isinstance(value, Mapping):
        key = _key(value, word)
        if key not in value:
            raise InvalidInputError(f"there is no {word!r}; there is {_listed(value)}")
        return value[key]
    if isinstance(value, list):
        return value[_index(value, word)]
    allowed = _READABLE.get(type(value), ())
    name = _plain(word)
    if name not in allowed:
        known = f"; it has {_listed(each.replace('_', '-') for each in allowed)}" if allowed else ""
        raise InvalidInputError(f"{word!r} cannot be read here{known}")
    return getattr(value, name)


def _step_or_make(value: Any, word: Any) -> Any:
    if isinstance(value, dict) and _key(value, word) not in value:
        value[str(word)] = {}
    return _step(value, word)


def _store(parent: Any, word: Any, value: Any) -> None:
    if isinstance(parent, list):
        parent[_index(parent, word)] = value
    elif isinstance(parent, dict):
        parent[_key(parent, word)] = value
    else:
        raise InvalidInputError(f"{word!r} cannot be set in {parent!r}, which is neither a map nor a list")


def _key(known: Mapping[str, Any], word: Any) -> str:
    return _plain(word) if word not in known and _plain(word) in known else str(word)


def _index(values: list[Any], word: Any) -> int:
    try:
        index = int(word)
        values[index]
    except (ValueError, TypeError, IndexError) as error:
        raise InvalidInputError(f"{word!r} picks nothing from a list of {len(values)}") from error
    return index


def _shown(value: Any, steps: list[Any]) -> Any:
    if type(value) in _READABLE:
        allowed = (each.replace("_", "-") for each in _READABLE[type(value)])
        raise InvalidInputError(f"ctx {' '.join(map(str, steps))} needs one more word: {_listed(allowed)}")
    if isinstance(value, Mapping) and any(type(each) in _READABLE for each in value.values()):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInputError(f"{value!r} is not {what}")
    return value


def _variables(value: Any) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    raise InvalidInputError(f"variables are a JSON object, e.g. '@{{\"port\": 80}}', not {value!r}")


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{value!r} is no {what}") from error


def _seconds(value: Any) -> float:
    seconds = _number(value, "number of seconds")
    if not (0 <= seconds < math.inf):
        raise InvalidInputError(f"{value!r} is no number of seconds to wait")
    return seconds


def _listed(names: Any) -> str:
    return ", ".join(str(each) for each in names) or "nothing"
