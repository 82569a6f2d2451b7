"""One value of the configuration, where it came from, and how it becomes a keyword of a class."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from aria_core.distribution import explain
from aria_core.exceptions import AriaError, ExtensionBrokenError, ExtensionSettingsError

MASK = "***"

_SECRET_KEY = re.compile(
    r"(?i)(pass(word|wd|phrase)?|secret|token|credentials?|(private|secret|access|api)_?key)$")
_URL_PASSWORD = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^/@\s:]*:)[^/\s]+(?=@)", re.IGNORECASE)

T = TypeVar("T")


class Secret:
    """Text that shows itself only to those who ask for it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> typing.NoReturn:
        raise TypeError("a Secret is not pickled: reveal() it where it is needed")


@dataclass(frozen=True, slots=True)
class Setting:
    """A value, its source in words (a file, ``ARIA_EXECUTOR__SLOTS``, …) and what its paths count from.

    `text` is what stood in the environment or on the command line before it was read as JSON: a
    keyword annotated ``str`` gets it untouched.
    """

    value: Any
    source: str = "call"
    base: Path = field(default_factory=Path.cwd)
    text: str | None = None


def anchored(path: Path, base: Path) -> Path:
    """`path` counted from `base`, with ``~`` expanded."""
    try:
        return base / path.expanduser()
    except RuntimeError:  # there is no such user, but a folder may well be called ~name
        return base / path


def masked(key: str, value: Any) -> Any:
    """`value` as it may be shown: passwords in URLs and whatever has a secret's name are hidden."""
    if isinstance(value, Secret) or (value is not None and _SECRET_KEY.search(key)):
        return MASK
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\g<head>{MASK}", value)
    if isinstance(value, Mapping):
        return {name: masked(str(name), each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(key, each) for each in value]
    return value


def convert(setting: Setting, annotation: Any) -> Any:
    """The setting's value as `annotation` asks; ``ValueError`` says what was expected.

    Relative paths count from the setting's base.
    """
    try:
        return _converted(setting.value, annotation, setting.base)
    except ValueError:
        if setting.text is None:
            raise
        return _converted(setting.text, annotation, setting.base)


def _converted(value: Any, annotation: Any, base: Path) -> Any:
    import msgspec

    def custom(wanted: type, given: Any) -> Any:
        if isinstance(given, wanted):
            return anchored(given, base) if isinstance(given, Path) else given
        if isinstance(given, str) and issubclass(wanted, Path):
            return anchored(Path(given), base)
        if isinstance(given, str) and wanted is Secret:
            return Secret(given)
        raise ValueError(f"Expected `{wanted.__name__}`, got `{type(given).__name__}`")

    return msgspec.convert(value, _without_text(annotation), dec_hook=custom)


def _without_text(annotation: Any) -> Any:
    """``str | Path`` is ``Path`` here: TOML writes both alike, and the path must find its base."""
    arguments = typing.get_args(annotation)
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    if not union or not {Path, Secret} & set(arguments):
        return annotation
    return typing.Union[tuple(each for each in arguments if each is not str)]  # noqa: UP007


def make(made: type[T], settings: Mapping[str, Setting], section: str) -> T:
    """An instance of `made` with `settings` as its keywords, each converted by its annotation.

    `section` is the part of the configuration to name in errors. Raises ``ExtensionSettingsError``
    for a keyword the class does not take, lacks or refuses, ``ExtensionBrokenError`` if the class
    itself fails.
    """
    parameters = _parameters(made, section)
    _check_keys(made, parameters, settings, section)
    hints = _hints(made, section)
    keywords = {
        name: _keyword(made, hints.get(name, Any), name, each, section) for name, each in settings.items()
    }
    try:
        return made(**keywords)
    except AriaError:
        raise
    except (ValueError, TypeError) as error:
        raise ExtensionSettingsError(f"[{section}] {error}; it is {signature_of(made)}") from error
    except Exception as error:
        raise ExtensionBrokenError(
            f"[{section}] {made.__name__} cannot be made: {explain(error)}") from error


def signature_of(made: type) -> str:
    """How a class is made, for people: ``ThreadExecutor(slots: int = 4)``."""
    return f"{made.__name__}({', '.join(_shown(each) for each in _named(made))})"


def _shown(parameter: inspect.Parameter) -> str:
    text, annotation = parameter.name, parameter.annotation
    if annotation is not parameter.empty:
        plain = isinstance(annotation, type) and not typing.get_args(annotation)
        text += f": {annotation.__name__ if plain else annotation}"
    if parameter.default is not parameter.empty:
        text += f" = {masked(parameter.name, parameter.default)!r}"
    return text


def _named(made: type) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [each for each in inspect.signature(made).parameters.values() if each.kind in kinds]


def _parameters(made: type, section: str) -> dict[str, inspect.Parameter]:
    try:
        return {each.name: each for each in _named(made)}
    except (TypeError, ValueError) as error:
        raise ExtensionBrokenError(
            f"[{section}] {made.__name__} does not say which keywords it takes") from error


def _check_keys(made: type, parameters: Mapping[str, inspect.Parameter], settings: Mapping[str, Setting],
                section: str) -> None:
    for name, setting in settings.items():
        if name not in parameters:
            raise ExtensionSettingsError(
                f"{setting.source}: [{section}] has no key {name!r}; it is {signature_of(made)}")
    needed = [name for name, each in parameters.items() if each.default is each.empty]
    missing = [name for name in needed if name not in settings]
    if missing:
        raise ExtensionSettingsError(f"[{section}] lacks {', '.join(missing)}; it is {signature_of(made)}")


def _hints(made: type, section: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(getattr(made, "__init__"))  # noqa: B009
    except (NameError, TypeError) as error:
        raise ExtensionBrokenError(
            f"[{section}] the annotations of {signature_of(made)} cannot be read: {error}") from error


def _keyword(made: type, annotation: Any, name: str, setting: Setting, section: str) -> Any:
    try:
        return convert(setting, annotation)
    except ValueError as error:
        raise ExtensionSettingsError(
            f"{setting.source}: [{section}] {name}: {error}; it is {signature_of(made)}") from error
    except TypeError as error:
        raise ExtensionBrokenError(
            f"[{section}] {name} of {signature_of(made)} has a type no setting can have: {error}") from error
