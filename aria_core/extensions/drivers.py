"""Drivers: one class, chosen by name or by ``module:Class``, imported, checked and given."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

from stevedore.driver import DriverManager

from aria_core.distribution import explain
from aria_core.exceptions import ExtensionBrokenError, ExtensionIncompatibleError
from aria_core.extensions.kinds import DriverKind
from aria_core.extensions.registration import new_manager, register
from aria_core.extensions.scan import Catalogue, Provider

T = TypeVar("T")


class _OneProvider(DriverManager[Any]):
    """stevedore's driver manager over our own scan: its cache on disk was seen to be stale."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        super().__init__(provider.group, provider.name, on_missing_entrypoints_callback=None)

    def list_entry_points(self) -> list[EntryPoint]:
        return [self._provider.entry_point]

    def _load_one_plugin(self, *arguments: Any) -> Any:
        # stevedore lets SystemExit and AssertionError through, and hides the cause of the others
        try:
            return super()._load_one_plugin(*arguments)
        except (Exception, SystemExit) as error:
            raise ExtensionBrokenError(f"{self._provider} cannot be imported: {explain(error)}") from error


def load_provider(provider: Provider) -> Any:
    """What the entry point names; ``ExtensionBrokenError`` if it cannot be imported."""
    return _OneProvider(provider).driver


def driver_class(catalogue: Catalogue, kind: DriverKind[T], use: str) -> type[T]:
    """The class that `use` names: an extension's name, or ``module:Class``.

    Raises the error that says what is wrong: not found, broken, incompatible or conflict.
    """
    if ":" in use:
        who = f"the {kind.word} {use!r}"
        return _checked(kind, _named_class(use, who), who)
    provider = catalogue.choose(kind.group, use)
    return _checked(kind, _given_class(kind, load_provider(provider), str(provider)), str(provider))


def _named_class(path: str, who: str) -> Any:
    module, _, name = path.partition(":")
    try:
        found: Any = import_module(module)
    except (Exception, SystemExit) as error:
        raise ExtensionBrokenError(f"{who} cannot be imported: {explain(error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            holder = getattr(found, "__name__", found)
            raise ExtensionBrokenError(f"{who} cannot be imported: {holder} has no {part!r}")
        found = getattr(found, part)
    return found


def _given_class(kind: DriverKind[Any], extension: object, who: str) -> Any:
    manager = new_manager()
    register(manager, extension, f"{kind.group}:{who}", who)
    caller = getattr(manager.hook, kind.hook)
    if not caller.get_hookimpls():
        raise ExtensionBrokenError(f"{who} has no function {kind.hook} marked @hookimpl")
    try:
        given: Sequence[Any] = caller()
    except (Exception, SystemExit) as error:
        raise ExtensionBrokenError(f"{who} fails in {kind.hook}: {explain(error)}") from error
    if len(given) != 1:
        raise ExtensionBrokenError(f"{who} gives {len(given)} classes from {kind.hook}; one is expected")
    return given[0]


def _checked(kind: DriverKind[T], given: Any, who: str) -> type[T]:
    module, _, name = kind.base.partition(":")
    base = getattr(import_module(module), name)
    if not (isinstance(given, type) and issubclass(given, base)):
        raise ExtensionBrokenError(f"{who} gives {given!r}, which is no subclass of aria_core.{name}")
    if inspect.isabstract(given):
        missing = ", ".join(sorted(getattr(given, "__abstractmethods__", ())))
        raise ExtensionBrokenError(f"{who} gives {given.__name__}, which lacks {missing}")
    spoken, current = getattr(given, "api", None), getattr(base, "api", None)
    if spoken not in _accepted(current):
        accepted = " and ".join(map(str, _accepted(current)))
        raise ExtensionIncompatibleError(
            f"{who} speaks version {spoken} of aria_core.{name}; accepted: {accepted}")
    return given


def _accepted(current: Any) -> list[Any]:
    return [current - 1, current] if isinstance(current, int) and current > 1 else [current]
