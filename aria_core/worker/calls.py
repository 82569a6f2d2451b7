"""What crosses between the engine and whoever runs an operation: calls and reports.

Frozen values that survive JSON. Readers ignore fields they do not know, so that a newer
runner may talk to an older worker (``v`` tells which made it).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Literal, TypeAlias, TypeGuard, get_args

from aria_core.exceptions import NotJsonError
from aria_core.worker.json_values import plain_json

CALL_VERSION = 1
NAME_LIMIT = 255
"""Characters that a storage keeps of an attribute's name."""
LONGEST_WAIT = 30 * 24 * 3600.0
"""Seconds that nobody waits longer for another attempt, whatever was asked for."""

LostReason: TypeAlias = Literal["exited", "killed", "terminated", "unreachable", "timed_out"]


@dataclass(frozen=True, slots=True, order=True)
class CallRef:
    """Which attempt of which task: all that leaves the host."""

    execution: int
    task: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.execution}/{self.task}/{self.attempt}"

    @property
    def token(self) -> str:
        """The idempotency key for the outside world: the same on every attempt."""
        return f"{self.execution}/{self.task}"


def mark_of(ref: CallRef, origin: str) -> str:
    """The value of ``ARIA_ATTEMPT`` for what the attempt starts: ``<execution>/<task>/<attempt>@<origin>``.

    Every database counts from 1, and one user may have several: without `origin` an attempt would be
    taken for its namesake.
    """
    return f"{ref}@{origin}" if origin else str(ref)


@dataclass(frozen=True, slots=True)
class Actor:
    """The node or relationship an operation belongs to."""

    kind: Literal["node", "relationship"]
    id: int
    name: str
    type_name: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a plugin's code lives: its interpreter, its programs and its libraries.

    Without an interpreter its operations run with ours, which then sees the standard library and
    `pythonpath`, and nothing that is installed beside the core. The core sets `archive`, the SHA-256 of
    what was installed: a warm worker serves no other, wherever that lies.
    """

    plugin: str
    python: str | None = None
    path: tuple[str, ...] = ()
    pythonpath: tuple[str, ...] = ()
    archive: str = ""


@dataclass(frozen=True, slots=True)
class ChannelAddress:
    """Where a call that runs elsewhere on this host reaches its runner, and the key that opens it."""

    socket: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of a task, ready to run anywhere.

    `function` is ``package.module:name``; `arguments` are its keyword arguments (strict JSON).
    `code` is a directory that holds the service template's own Python modules, `timeout` is in
    seconds and runs from the moment the operation begins. `origin` tells apart what two databases
    number alike.
    """

    ref: CallRef
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    actor: Actor | None = None
    name: str = ""
    interface: str = ""
    operation: str = ""
    workflow: str = ""
    service: int | None = None
    service_name: str = ""
    max_attempts: int = 1
    plugin: Environment | None = None
    plugin_workdir: str | None = None
    code: str | None = None
    timeout: float | None = None
    wrappers: tuple[str, ...] = ()
    channel: ChannelAddress | None = None
    origin: str = ""
    v: int = CALL_VERSION

    @property
    def mark(self) -> str:
        """What the attempt's processes carry, and no other process of this user: see `mark_of`."""
        return mark_of(self.ref, self.origin)

    def encode(self) -> bytes:
        """The call as one line of JSON."""
        return json.dumps(call_to_json(self), separators=(",", ":"), allow_nan=False).encode()

    @staticmethod
    def decode(data: bytes | str) -> Call:
        """The call that `encode` wrote; unknown fields are ignored."""
        return call_from_json(json.loads(data))


@dataclass(frozen=True, slots=True)
class Edit:
    """A changed attribute of a node or relationship; one row, last writer wins."""

    kind: Literal["node", "relationship"]
    owner: int
    name: str
    value: Any = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The operation has begun, `ago` seconds before this was said. `where` is ``host:pid``, for people."""

    ref: CallRef
    where: str = ""
    ago: float = 0.0


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The operation returned `result` and changed attributes by `edits`."""

    ref: CallRef
    result: Any = None
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The operation raised.

    `error` is ``ClassName: message``. `retry` is None when the policy decides, True after
    ``ctx.task.retry`` (then `after` may be seconds to wait), False after ``ctx.task.abort``. `classes`
    are the names of the error's class and of its bases, nearest first; none where nobody knows them.
    """

    ref: CallRef
    error: str
    traceback: str = ""
    retry: bool | None = None
    after: float | None = None
    edits: tuple[Edit, ...] = ()
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """The attempt vanished without a result."""

    ref: CallRef
    reason: LostReason
    detail: str = ""


Report: TypeAlias = Started | Succeeded | Failed | Lost
FinalReport: TypeAlias = Succeeded | Failed | Lost

_REPORTS: dict[str, type[Started | Succeeded | Failed | Lost]] = {
    kind.__name__.lower(): kind for kind in (Started, Succeeded, Failed, Lost)
}


_NAMES: dict[type[object], tuple[str, ...]] = {
    kind: tuple(each.name for each in fields(kind))
    for kind in (CallRef, Actor, Environment, ChannelAddress, Call, Edit, Started, Succeeded, Failed, Lost)
}


_FIELDS: dict[type[object], Callable[[Any], tuple[Any, ...]]] = {
    kind: attrgetter(*names) for kind, names in _NAMES.items()}


def _known(kind: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in _NAMES[kind] if name in data}


def _plain(value: Any) -> dict[str, Any]:
    """A flat frozen value as an object; `asdict` copies all that is inside, at ten times the cost."""
    kind = type(value)
    return dict(zip(_NAMES[kind], _FIELDS[kind](value), strict=True))


def _environment(data: Mapping[str, Any]) -> Environment:
    known = _known(Environment, data)
    return Environment(**{**known, "path": tuple(known["path"]), "pythonpath": tuple(known["pythonpath"])})


def call_from_json(data: Mapping[str, Any]) -> Call:
    """A call from decoded JSON."""
    known = _known(Call, data)
    ref, actor = known["ref"], known.get("actor")
    known["ref"] = CallRef(ref["execution"], ref["task"], ref["attempt"])
    if actor is not None:
        known["actor"] = Actor(actor["kind"], actor["id"], actor["name"], actor.get("type_name", ""))
    if known.get("channel") is not None:
        known["channel"] = ChannelAddress(**_known(ChannelAddress, known["channel"]))
    if known.get("plugin") is not None:
        known["plugin"] = _environment(known["plugin"])
    if "wrappers" in known:
        known["wrappers"] = tuple(known["wrappers"])
    return Call(**known)


def call_to_json(call: Call) -> dict[str, Any]:
    """A call as a JSON object; what few calls have is there only if this one has it."""
    data = _plain(call)
    for name in _RARE:
        if data[name] in (None, ()):
            del data[name]
    for name in _NESTED & data.keys():
        data[name] = _plain(data[name])
    return data


_RARE = ("actor", "plugin", "plugin_workdir", "code", "timeout", "wrappers", "channel")
_NESTED = frozenset({"ref", "actor", "plugin", "channel"})


def report_to_json(report: Report) -> dict[str, Any]:
    """A report as a JSON object; its kind stands under ``report``."""
    data = {"report": type(report).__name__.lower(), **_plain(report), "ref": _plain(report.ref)}
    if isinstance(report, (Succeeded, Failed)):
        data["edits"] = [_plain(edit) for edit in report.edits]
    return data


def report_from_json(data: Mapping[str, Any]) -> Report:
    """The report that `report_to_json` wrote; raises ``ValueError`` for anything else."""
    kind = _REPORTS.get(str(data.get("report")))
    if kind is None:
        raise ValueError(f"{data.get('report')!r} is no report; known are {', '.join(_REPORTS)}")
    try:
        report = _checked_report(kind, _known(kind, data))
    except (TypeError, LookupError, AttributeError, NotJsonError) as error:
        raise ValueError(f"this is no report: {error}") from error
    return report


def _checked_report(kind: type[Any], known: dict[str, Any]) -> Report:
    """What ran an operation may be the operation itself: the engine relies on every field."""
    known["ref"] = ref = CallRef(**_known(CallRef, known["ref"]))
    if not (_is_number(ref.execution) and _is_number(ref.task) and _is_number(ref.attempt)):
        raise ValueError(f"this is no report: {ref} is no attempt")
    if "edits" in known:
        known["edits"] = tuple(Edit(**_checked(_known(Edit, edit))) for edit in known["edits"])
    if "classes" in known:
        known["classes"] = tuple(known["classes"])
    report: Report = kind(**_checked(known))
    return report


def _checked(known: dict[str, Any]) -> dict[str, Any]:
    """The fields of a report as they are; ``ValueError`` names one that is not what it must be."""
    for name, value in known.items():
        if name not in _IS_VALID:
            continue
        if not _IS_VALID[name](value):
            raise ValueError(f"this is no report: {name} cannot be {str(value)[:80]!r}")
    return known


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def is_duration(value: Any) -> TypeGuard[float]:
    """Whether a value is a sensible number of seconds."""
    return isinstance(value, (int, float)) and 0 <= value <= LONGEST_WAIT


def _is_wait(value: Any) -> bool:
    return value is None or is_duration(value)


def _is_json(value: Any) -> bool:
    """Raises ``NotJsonError`` where it says no."""
    return value is None or plain_json(value) is not None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= NAME_LIMIT and plain_json(value) == value


_IS_VALID: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("value", "result"), _is_json), "owner": _is_number,
    **dict.fromkeys(("error", "traceback", "detail", "where"), lambda value: isinstance(value, str)),
    "retry": lambda value: value is None or isinstance(value, bool), "after": _is_wait, "name": _is_name,
    "ago": is_duration,
    "classes": lambda value: all(isinstance(each, str) for each in value),
    "deleted": lambda value: isinstance(value, bool), "kind": lambda value: value in ("node", "relationship"),
    "reason": lambda value: value in get_args(LostReason),
}
