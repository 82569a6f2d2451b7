"""What configuration chooses: files, environment, flags and arguments, and which of them won.

A later layer wins: default, user file, project file, environment, flag, call. In a section that
chooses an extension, ``use`` is its name and every other key a keyword of its class; a layer that
chooses another extension drops the keywords given for the one before.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_type_hints

from aria_core.config_layers import (
    DEFAULT_SOURCE,
    Layer,
    environment_layer,
    file_layer,
    flag_layer,
    hook_section,
    merged,
    project_file,
    table_layer,
    user_file,
)
from aria_core.exceptions import ConfigurationError
from aria_core.modeling.limits import limit_refusal, pool_refusal
from aria_core.modeling.retries import RetryPolicy
from aria_core.settings import Setting, convert, masked

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]
LogFormat: TypeAlias = Literal["text", "json"]
DriverSection: TypeAlias = Literal["executor", "model_storage", "resource_storage"]

S = TypeVar("S", "PluginSettings", "WorkflowSettings", "RunnerSettings", "LoggingSettings", "HookSettings")


LONGEST_POLL = 3600.0
"""Seconds between two looks at the queue of who has all the time in the world."""


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """``[plugins]``: where the code of installed plugins lies, and whether their archives must be pinned."""

    directory: Path
    require_pin: bool = False


@dataclass(frozen=True, slots=True)
class WorkflowSettings:
    """``[workflow]``: what a task gets that asks for nothing else, and how much an execution may do.

    -1 is without end.
    """

    task_max_attempts: int = 30
    task_retry_interval: float = 30.0
    task_retry_backoff: float = 1.0
    task_retry_max_interval: float = 0.0
    task_retry_jitter: float = 0.0
    task_retry_on: list[str] = field(default_factory=list)
    task_abort_on: list[str] = field(default_factory=list)
    retry_budget: int = -1
    max_concurrency: int = -1
    max_per_node: int = -1

    def __post_init__(self) -> None:
        for name in ("task_max_attempts", "retry_budget"):
            value = getattr(self, name)
            if value < 1 and value != -1:
                raise ValueError(f"{name} is {value}; accepted are 1 and more, or -1")
        for name in ("max_concurrency", "max_per_node"):
            if accepted := limit_refusal(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}; accepted is {accepted}")
        for name, key in _POLICY_KEYS.items():
            if accepted := RetryPolicy.refusal(name, getattr(self, key)):
                raise ValueError(f"{key} is {getattr(self, key)!r}; accepted is {accepted}")

    @property
    def task_retry(self) -> RetryPolicy:
        """How failed attempts are followed by others, where neither task nor operation say."""
        return RetryPolicy(**{name: getattr(self, key) for name, key in _POLICY_KEYS.items()})


_POLICY_KEYS = MappingProxyType({
    "interval": "task_retry_interval", "backoff": "task_retry_backoff",
    "max_interval": "task_retry_max_interval", "jitter": "task_retry_jitter", "retry_on": "task_retry_on",
    "abort_on": "task_abort_on"})
"""Field of a `RetryPolicy` -> its key in ``[workflow]``."""


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """``[runner]``: how ``aria runner`` serves the queue."""

    executions: int = 4
    poll_interval: float = 0.5
    grace: float = 30.0

    def __post_init__(self) -> None:
        if self.executions < 1:
            raise ValueError(f"executions is {self.executions}; accepted is 1 and more")
        if not 0 < self.poll_interval <= LONGEST_POLL:
            raise ValueError(f"poll_interval is {self.poll_interval}; accepted is a number of seconds "
                             f"above 0, at most {LONGEST_POLL:g}")
        if not 0 <= self.grace < math.inf:
            raise ValueError(f"grace is {self.grace}; accepted is a number of seconds")


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """``[logging]``: the program's own log, on standard error or in a file."""

    level: LogLevel = "warning"
    format: LogFormat = "text"
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class HookSettings:
    """``[hooks]``: which hook extensions are left alone, by extension or distribution name."""

    disable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """One value as ``aria config`` shows it: dotted name, value with secrets masked, source."""

    name: str
    value: Any
    source: str


class Config:
    """Every setting and where it came from. Made by `load` or `of`; never changes."""

    def __init__(self, settings: Layer, files: tuple[Path, ...] = ()) -> None:
        self._settings = settings
        self.files = files
        """The files that were read, the user's first."""
        self.plugins = self._section(PluginSettings, "plugins")
        self.workflow = self._section(WorkflowSettings, "workflow")
        self.runner = self._section(RunnerSettings, "runner")
        self.logging = self._section(LoggingSettings, "logging")
        self.pools = self._pools()
        """The sizes of pools, by name."""
        self.hooks = self._section(HookSettings, "hooks")
        for section in get_args(DriverSection):
            self.use(section)

    @classmethod
    def load(cls, file: str | Path | None = None, *, flags: Mapping[str, Any] | None = None,
             values: Mapping[str, Mapping[str, Any]] | None = None,
             environ: Mapping[str, str] = os.environ, directory: str | Path | None = None) -> Config:
        """The configuration of a program.

        `file` (else ``$ARIA_CONFIG``, else the nearest ``aria.toml`` from `directory` upwards) is the
        project file, `flags` maps dotted names to what stood on the command line, `values` are call
        arguments by section. Raises ``ConfigurationError`` naming the source and the key of what is
        wrong, and what would be accepted.
        """
        here = Path(directory or Path.cwd()).absolute()
        project = project_file(file or environ.get("ARIA_CONFIG"), here)
        files = tuple(each for each in (user_file(), project) if each is not None)
        layers = [
            _defaults(),
            *(file_layer(each) for each in files),
            environment_layer(environ, here),
            flag_layer(flags or {}, here),
            table_layer(values or {}, "call", here),
        ]
        return cls(merged(layers), files)

    @classmethod
    def of(cls, values: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
        """The defaults and these values by section; no file and no environment is read."""
        return cls(merged([_defaults(), table_layer(values or {}, "call", Path.cwd())]))

    def use(self, section: DriverSection) -> str:
        """The name of the extension a section chooses."""
        setting = self._settings[section, "use"]
        if not isinstance(setting.value, str) or not setting.value:
            raise ConfigurationError(
                f"{setting.source}: [{section}] use is {setting.value!r}; it is the name of an extension")
        return setting.value

    def keywords(self, section: DriverSection) -> dict[str, Setting]:
        """The keywords a section gives to the class of its extension."""
        return {key: each for key, each in self._of(section).items() if key != "use"}

    def hook_keywords(self, name: str) -> dict[str, Setting]:
        """The keywords of ``[hooks.<name>]``."""
        return self._of(hook_section(name))

    @property
    def hook_names(self) -> frozenset[str]:
        """The hook extensions that have a section, with ``_`` for ``-``."""
        return frozenset(section[6:] for section, _ in self._settings if section.startswith("hooks."))

    def rows(self) -> list[ConfigRow]:
        """Every value, secrets masked, in the order of the sections."""
        return [
            ConfigRow(f"{section}.{key}", masked(key, each.value), each.source)
            for (section, key), each in self._settings.items()
        ]

    def _pools(self) -> dict[str, int]:
        pools = {}
        for name, setting in self._of("pools").items():
            pools[name] = size = _value(setting, int, "pools", name)
            accepted = pool_refusal(name) or limit_refusal(size)
            if accepted:
                raise ConfigurationError(f"{setting.source}: [pools] {name} = {size}; accepted is {accepted}")
        return pools

    def _of(self, section: str) -> dict[str, Setting]:
        return {key: each for (name, key), each in self._settings.items() if name == section}

    def _section(self, kind: type[S], section: str) -> S:
        hints, keywords = get_type_hints(kind), {}
        for key, setting in self._of(section).items():
            if key not in hints:
                accepted = ", ".join(hints)
                raise ConfigurationError(
                    f"{setting.source}: [{section}] has no key {key!r}; accepted are {accepted}")
            keywords[key] = _value(setting, hints[key], section, key)
        try:
            return kind(**keywords)
        except ValueError as error:
            raise ConfigurationError(f"[{section}] {error}") from error


def _value(setting: Setting, annotation: Any, section: str, key: str) -> Any:
    try:
        return convert(setting, annotation)
    except ValueError as error:
        accepted = get_args(annotation) if all(isinstance(each, str) for each in get_args(annotation)) else ()
        hint = f"; accepted are {', '.join(accepted)}" if accepted else ""
        raise ConfigurationError(f"{setting.source}: [{section}] {key}: {error}{hint}") from error


def _defaults() -> Layer:
    """What holds without any file: an embedded database and folders in the user's data directory."""
    from platformdirs import user_data_path

    data = user_data_path("aria", appauthor=False)
    values = {
        "executor": {"use": "process"},
        "model_storage": {"use": "sql", "url": f"sqlite:///{data / 'aria.db'}"},
        "resource_storage": {"use": "file", "directory": str(data / "resources")},
        "plugins": {"directory": str(data / "plugins"), "require_pin": False},
        "workflow": _field_defaults(WorkflowSettings),
        "runner": _field_defaults(RunnerSettings),
        "logging": _field_defaults(LoggingSettings),
        "hooks": {"disable": []},
    }
    return table_layer(values, DEFAULT_SOURCE, data)


def _field_defaults(kind: type[WorkflowSettings | RunnerSettings | LoggingSettings]) -> dict[str, Any]:
    made = kind()
    return {each.name: getattr(made, each.name) for each in fields(kind)}
