"""Where settings are written: files, environment, flags; each becomes one layer of settings."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from aria_core.exceptions import ConfigurationError
from aria_core.settings import Setting, anchored

FILE_NAME = "aria.toml"
DEFAULT_SOURCE = "default"

DRIVER_SECTIONS = ("executor", "model_storage", "resource_storage")
SECTIONS = (*DRIVER_SECTIONS, "plugins", "workflow", "pools", "runner", "logging", "hooks")

_VARIABLE = re.compile(r"ARIA_(?!SECRET_)(?P<path>[A-Za-z0-9]\w*?__\w+)")
_SQLITE = re.compile(r"(?P<scheme>sqlite(?:\+\w+)?:///)(?P<path>(?!/|:memory:|file:)[^?]+)(?P<rest>.*)")

Layer: TypeAlias = dict[tuple[str, str], Setting]
"""(section, key) -> setting; the section of a hook extension is ``hooks.<name>``."""


def hook_section(name: str) -> str:
    """The section of a hook extension. ``-`` counts as ``_``: variables cannot spell the former."""
    return f"hooks.{name.lower().replace('-', '_')}"


def user_file() -> Path | None:
    """The user's own ``aria.toml``, if there is one."""
    from platformdirs import user_config_path

    path = user_config_path("aria", appauthor=False) / FILE_NAME
    return path if _is_file(path) else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def project_file(named: str | Path | None, directory: Path) -> Path | None:
    """The file that is named, or the nearest ``aria.toml`` from `directory` upwards.

    A file above `directory` must belong to this user or root: whoever may write to a shared parent
    folder must not choose what runs here.
    """
    if named:
        return anchored(Path(named), directory)
    for folder in (directory, *directory.parents):
        path = folder / FILE_NAME
        if _is_file(path):
            if folder != directory and path.stat().st_uid not in (os.getuid(), 0):
                raise ConfigurationError(
                    f"{path} belongs to another user; name it with --config if its settings are to hold")
            return path
    return None


def file_layer(path: Path) -> Layer:
    """The settings of a TOML file; paths in it count from its folder."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: there is no such file") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    return table_layer(tables, str(path), path.absolute().parent)


def environment_layer(environ: Mapping[str, str], directory: Path) -> Layer:
    """``ARIA_EXECUTOR__SLOTS=2`` and its like; names are taken in lower case."""
    layer: Layer = {}
    for variable, text in sorted(environ.items()):
        match = _VARIABLE.fullmatch(variable)
        if match:
            key = _key(match["path"].lower().split("__"), variable)
            layer[key] = _read(key, text, variable, directory)
    return layer


def flag_layer(flags: Mapping[str, Any], directory: Path) -> Layer:
    """``{"executor.slots": "2"}``; text is read as in the environment, other values stay as they are."""
    layer: Layer = {}
    for name, value in flags.items():
        source = f"flag {name}"
        key = _key(name.split("."), source)
        text = isinstance(value, str)
        layer[key] = _read(key, value, source, directory) if text else Setting(value, source, directory)
    return layer


def table_layer(tables: Mapping[str, Any], source: str, directory: Path) -> Layer:
    """Settings by section, as TOML has them."""
    layer: Layer = {}
    for section, table in tables.items():
        _check_section(section, source)
        for key, value in _table(table, section, source).items():
            if section == "hooks" and key != "disable":
                inner = _table(value, f"hooks.{key}", source)
                name = hook_section(key)
                layer |= {(name, each): _setting(inner[each], source, directory) for each in inner}
            else:
                layer[section, key] = _setting(value, source, directory)
    return layer


def merged(layers: Sequence[Layer]) -> Layer:
    """All layers in one; the last wins. Another ``use`` drops the keywords given for the one before."""
    result: Layer = {}
    for layer in layers:
        for section in DRIVER_SECTIONS:
            old, new = result.get((section, "use")), layer.get((section, "use"))
            if old and new and old.value != new.value:
                result = {key: each for key, each in result.items() if key[0] != section}
        result |= layer
    return {key: result[key] for key in sorted(result, key=_place)}


def _place(key: tuple[str, str]) -> tuple[int, str]:
    section = key[0]
    return SECTIONS.index(section.split(".")[0]), section


def _key(parts: Sequence[str], source: str) -> tuple[str, str]:
    _check_section(parts[0], source)
    if parts[0] == "hooks" and len(parts) == 3:
        return hook_section(parts[1]), parts[2]
    if len(parts) != 2:
        raise ConfigurationError(
            f"{source} names no setting; it takes a section and a key, or hooks, a name and a key")
    return parts[0], parts[1]


def _check_section(section: str, source: str) -> None:
    if section not in SECTIONS:
        accepted = ", ".join(SECTIONS)
        raise ConfigurationError(f"{source}: there is no section [{section}]; accepted are {accepted}")


def _table(value: Any, section: str, source: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{source}: {section} is a section of keys, not {value!r}")
    return value


def _read(key: tuple[str, str], text: str, source: str, directory: Path) -> Setting:
    """JSON if it parses, else text; ``hooks.disable`` may be names with commas between."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = [each.strip() for each in text.split(",")] if key == ("hooks", "disable") else text
    return _setting(value, source, directory, text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _setting(value: Any, source: str, directory: Path, text: str | None = None) -> Setting:
    return Setting(_anchored(value, directory), source, directory, text)


def _anchored(value: Any, directory: Path) -> Any:
    match = _SQLITE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    return f"{match['scheme']}{anchored(Path(match['path']), directory)}{match['rest']}"
