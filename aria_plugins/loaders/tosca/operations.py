"""Operations: from interface assignments and implementation strings to what ARIA runs.

An implementation is one of

- ``scripts/start.sh``, a file of the template (or the name of an artifact of the node): a script;
- ``https://host/start.sh``, which is downloaded when it is run: a script, too;
- ``package.module:function`` or ``package.module.function``: a Python function;
- ``plugin > package.module.function``: a function in the environment of a plugin.

How it is run can be said with entries of ``dependencies`` of the form ``setting > value``:

====================================  =================================================================
``aria.max_attempts > 5``             how often it is tried; -1: until it works
``aria.retry_interval > 2.5``         seconds between attempts
``aria.retry_backoff > 2``            how many times as long each wait is as the one before
``aria.retry_max_interval > 60``      seconds that no wait is longer than; 0: no cap
``aria.retry_jitter > 0.3``           fraction of a wait that chance may take away
``aria.retry_on > [TimeoutError]``    the only exceptions (and their subclasses) after which it is tried again
``aria.abort_on > [ValueError]``      exceptions (and their subclasses) after which it is not
``aria.ignore_failure > true``        whether the workflow goes on when it fails
``aria.timeout > 60``                 seconds an attempt may take; the keyname ``timeout`` says the same
``aria.heartbeat_timeout > 10``       seconds without ``ctx.task.heartbeat`` after which an attempt is lost
``aria.priority > 5``                 of what is ready, the highest is sent first; 0 where nothing is said
``aria.pool > database``              only so many operations of one pool run at once as its size allows
``process.cwd > /tmp``                the directory in which a script runs
``process.args > [--verbose, "2"]``   arguments of a script
``process.env > {LANG: C}``           environment variables of a script; ``process.env.LANG > C`` for one
``process.command_prefix > sudo``     what is written before a script
``process.eval_python > true``        whether a Python script is run inside the worker
``ssh.user > admin``                  with any ``ssh`` setting a script runs on the host of its node, over SSH
====================================  =================================================================

The value is YAML; those of ``process`` and ``ssh`` may call functions such as ``{ get_input: user }``. Other
entries are files that the implementation needs.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aria_core import (
    PROCESS_SETTINGS,
    SSH_SETTINGS,
    LoadError,
    OperationSpec,
    Read,
    RetryPolicy,
    has_expression,
    is_url,
)

from .problems import Place, Problems, TemplateError, suggestion
from .values import Mapping, Scalar, Value, field, items, parse, place_of, plain, text

_FUNCTION = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_DOTTED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\.([A-Za-z_]\w*)")
_MODULE_FILE = re.compile(r"([A-Za-z_]\w*(?:/[A-Za-z_]\w*)*)\.py:([A-Za-z_]\w*)")
_PLUGIN = re.compile(r"\s*([^>\s][^>]*?)\s*>\s*(\S.*?)\s*")
_SETTING = re.compile(r"\s*((?:aria|process|ssh)\.[\w.]+)\s*>\s*(.*)", re.DOTALL)
_FILE_ENDINGS = frozenset({
    "sh", "bash", "zsh", "ksh", "fish", "py", "pl", "rb", "js", "lua", "tcl", "ps1", "bat", "cmd", "exe",
    "yaml",
    "yml", "json", "jar", "war", "zip", "tar", "gz", "tgz", "bz2", "xz", "deb", "rpm", "txt", "xml", "conf",
    "cfg",
    "sql", "pp", "j2"})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value,
                                                              bool) and math.isfinite(value) and value >= 0


def _is_priority(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


def _is_pool(value: Any) -> bool:
    fits = isinstance(value, str) and 1 <= len(value) <= 255 and value.isprintable()
    return fits and value == value.strip()


def _is_a(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


_POLICY = MappingProxyType({
    "retry_backoff": "backoff", "retry_max_interval": "max_interval", "retry_jitter": "jitter",
    "retry_on": "retry_on", "abort_on": "abort_on"})
"""Setting -> field of a `RetryPolicy`."""


def _of_policy(name: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: RetryPolicy.refusal(name, value) is None, RetryPolicy.refusal(name, None) or ""


_SETTINGS: MappingProxyType[str, tuple[Callable[[Any], bool], str]] = MappingProxyType({
    "aria.max_attempts": (lambda value: isinstance(value, int) and not isinstance(value, bool)
                          and (value == -1 or value > 0), "a whole number from 1, or -1"),
    "aria.retry_interval": (_is_number, "a number of seconds"),
    **{f"aria.{name}": _of_policy(field) for name, field in _POLICY.items()},
    "aria.ignore_failure": (lambda value: isinstance(value, bool), "true or false"),
    "aria.timeout": (_is_number, "a number of seconds"),
    "aria.heartbeat_timeout": (_is_number, "a number of seconds"),
    "aria.priority": (_is_priority, "a whole number"),
    "aria.pool": (_is_pool, "the name of a pool"),
    **{f"process.{name}": (_is_a(*kinds), takes) for name, (kinds, takes) in PROCESS_SETTINGS.items()},
})


class Files:
    """The template's own files: the folder of its main file and what lies below."""

    def __init__(self, directory: Path, read: Read) -> None:
        self._directory = directory
        self._read = read
        self._known: dict[str, bool] = {}

    def find(self, name: str, place: Place) -> str | None:
        """`name`, seen from the file that names it or from the folder, as a path below the folder.

        A name that begins with a slash is seen from the folder only.
        """
        if "\0" in name or "://" in name:
            return None
        root = posixpath.normpath(self._directory.as_posix())
        bases = [root] if posixpath.isabs(name) else [posixpath.dirname(Path(place.file).as_posix()), root]
        name = name.lstrip("/")
        for base in bases:
            path = posixpath.normpath(posixpath.join(base, name))
            below = _below(root, path)
            if below is not None and self._exists(path):
                return below
        return None

    def where(self, name: str, place: Place) -> str | None:
        """Where the file would lie below the folder, seen from the file that names it; None outside of it."""
        if "\0" in name or "://" in name:
            return None
        root = posixpath.normpath(self._directory.as_posix())
        base = root if posixpath.isabs(name) else posixpath.dirname(Path(place.file).as_posix())
        return _below(root, posixpath.normpath(posixpath.join(base, name.lstrip("/"))))

    def read(self, path: str) -> bytes | None:
        """The file of that path below the folder; None if there is none that can be read."""
        return self._bytes(self._directory / path)

    def _exists(self, path: str) -> bool:
        if path not in self._known:
            self._known[path] = self._bytes(Path(path)) is not None
        return self._known[path]

    def _bytes(self, path: Path) -> bytes | None:
        try:
            return self._read(path)
        except (OSError, ValueError, LoadError):
            return None


def _below(root: str, path: str) -> str | None:
    below = path if root == "." else posixpath.relpath(path, root)
    return None if below.startswith("..") or posixpath.isabs(below) else below


class Implementations:
    """Reads implementations."""

    def __init__(self, files: Files, problems: Problems) -> None:
        self._files = files
        self._problems = problems
        self.missing: dict[str, None] = {}
        """A sentence for each script that is not there."""
        self.plugins: list[tuple[str, Place]] = []
        """Every plugin that an implementation names, and where."""

    def read(self, value: Value | None, operation: OperationSpec, artifacts: dict[str, Value],
             convert: Callable[[Value], Any] = plain) -> None:
        """Say in `operation` what an implementation says; `artifacts` are those of its node, by name.

        `convert` makes JSON of the value of a setting that may call functions.
        """
        primary = value if isinstance(value, Scalar) else field(value, "primary")
        if isinstance(primary, Mapping):
            primary = field(primary, "file")
        if primary is not None and text(primary):
            self._read_primary(primary, operation, artifacts)
        self._read_timeout(field(value, "timeout"), operation)
        for dependency in items(field(value, "dependencies")):
            self._read_dependency(dependency, operation, convert)
        host = field(value, "operation_host")
        if host is not None and text(host) not in ("SELF", "ORCHESTRATOR"):
            self._problems.warn(place_of(host), "`operation_host` has no effect yet; operations run where "
                                "the "
                                "executor runs them")

    def _read_primary(self, value: Value, operation: OperationSpec, artifacts: dict[str, Value]) -> None:
        written = (text(value) or "").strip()
        plugin = _PLUGIN.fullmatch(written)
        if plugin is not None:
            operation.plugin, operation.function = plugin[1], function_name(plugin[2])
            self.plugins.append((plugin[1], place_of(value)))
            if operation.function is None:
                self._problems.add(place_of(value), f"`{plugin[2]}` is no function; after the name of the "
                                   "plugin "
                                   "comes package.module.function")
        elif _FUNCTION.fullmatch(written):
            operation.function = written
        else:
            self._read_file(value, written, operation, artifacts)

    def _read_file(self, value: Value, written: str, operation: OperationSpec,
                   artifacts: dict[str, Value]) -> None:
        if written in artifacts:
            value = artifacts[written]
            written = text(value) or ""
        operation.script = written if is_url(written) else self._files.find(written, place_of(value))
        if operation.script is not None:
            return
        if "/" not in written and written.rpartition(".")[2].lower() not in _FILE_ENDINGS:
            operation.function = function_name(written)
        if operation.function is None:
            self._read_missing(value, written, operation)

    def _read_missing(self, value: Value, written: str, operation: OperationSpec) -> None:
        """A script may still come; one that could never lie among the template's files is refused."""
        operation.script = self._files.where(written, place_of(value))
        sentence = f"there is no script `{written}` among the template's files"
        if operation.script is None:
            self._problems.add(place_of(value), sentence)
        else:
            self._problems.warn(place_of(value), f"{sentence}; the operation fails when it is run")
            self.missing[f"{place_of(value)}: {sentence}"] = None

    def _read_timeout(self, value: Value | None, operation: OperationSpec) -> None:
        if isinstance(value, Scalar) and _is_number(value.value):
            operation.timeout = float(value.value or 0)

    def _read_dependency(self, value: Value, operation: OperationSpec,
                         convert: Callable[[Value], Any]) -> None:
        match = _SETTING.fullmatch(text(value) or "")
        if match is None:
            return
        name = match[1]
        group, key, *rest = name.split(".")
        if group == "ssh":
            self._read_ssh(value, match, operation, convert)
            return
        setting = self._setting(value, name, match[2], convert if group == "process" else plain)
        if rest and (group, key, len(rest)) == ("process", "env", 1):
            operation.process.setdefault("env", {})[rest[0]] = setting
            return
        self._apply(value, name, setting, operation)

    def _read_ssh(self, value: Value, match: re.Match[str], operation: OperationSpec,
                  convert: Callable[[Value], Any]) -> None:
        key = match[1].partition(".")[2]
        if key not in SSH_SETTINGS:
            known = {f"ssh.{name}": None for name in SSH_SETTINGS}
            self._problems.add(place_of(value), f"there is no setting `{match[1]}`"
                               + suggestion(match[1], known, "the settings"))
            return
        operation.ssh[key] = self._setting(value, match[1], match[2], convert)

    def _setting(self, value: Value, name: str, written: str, convert: Callable[[Value], Any]) -> Any:
        """The YAML after ``name >``."""
        problems = Problems()
        try:
            found = parse(_at(place_of(value), written).encode(), place_of(value).file, problems)
        except TemplateError as error:
            problems.keep(error)
            found = None
        if len(problems):
            self._problems.add(place_of(value), f"the value of the setting `{name}` is not valid YAML")
        return None if found is None else convert(found)

    def _apply(self, value: Value, name: str, setting: Any, operation: OperationSpec) -> None:
        if name not in _SETTINGS:
            self._problems.add(place_of(value), f"there is no setting `{name}`"
                               + suggestion(name, _SETTINGS, "the settings"))
            return
        accepts, takes = _SETTINGS[name]
        group, key = name.split(".")
        if not (accepts(setting) or (group == "process" and has_expression(setting))):
            self._problems.add(place_of(value), f"the setting `{name}` takes {takes}")
        elif group == "process":
            operation.process[key] = setting
        elif key in _POLICY:
            operation.retry = RetryPolicy(**{_POLICY[key]: setting}).over(operation.retry or RetryPolicy())
        else:
            setattr(operation, key, setting)


def _at(place: Place, written: str) -> str:
    """A line of YAML where it stands in its file, so that problems in it are told with their place."""
    if "\n" in written:
        return written
    return "\n" * (place.line - 1) + " " * (place.column - 1) + written


def function_name(written: str) -> str | None:
    """``package.module:function`` for the ways of writing a function; None for anything else."""
    if _FUNCTION.fullmatch(written):
        return written
    module_file = _MODULE_FILE.fullmatch(written)
    if module_file is not None:
        return f"{module_file[1].replace('/', '.')}:{module_file[2]}"
    dotted = _DOTTED.fullmatch(written)
    return f"{dotted[1]}:{dotted[2]}" if dotted is not None else None


