"""Putting a module or object into a pluggy manager, with errors that say what is wrong with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pluggy

from aria_core import hookspecs
from aria_core.exceptions import ExtensionBrokenError


def new_manager() -> pluggy.PluginManager:
    """A manager that knows every hook and no extension."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def known_hooks() -> list[str]:
    """The names of all hooks."""
    return sorted(name for name in vars(hookspecs) if name.startswith("aria_"))


def register(manager: pluggy.PluginManager, extension: object, name: str, who: str) -> None:
    """Register `extension` as `name`; raises ``ExtensionBrokenError`` about `who` if it does not fit."""
    try:
        marked = list(_marked(manager, extension))
    except Exception as error:
        raise ExtensionBrokenError(f"{who} cannot be looked at: {type(error).__name__}: {error}") from error
    if not marked:
        raise ExtensionBrokenError(f"{who} has no function marked @hookimpl ({extension!r})")
    for hook, function, options in marked:
        _check(hook, function, options, who)
    try:
        manager.register(extension, name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        raise ExtensionBrokenError(f"{who} does not fit the hooks of ARIA") from error


def _marked(manager: pluggy.PluginManager, extension: object,
            ) -> Iterator[tuple[str, Callable[..., Any], pluggy.HookimplOpts]]:
    for name in dir(extension):
        options = manager.parse_hookimpl_opts(extension, name)
        if options is not None:
            yield options.get("specname") or name, getattr(extension, name), options


def _check(hook: str, function: Callable[..., Any], options: pluggy.HookimplOpts, who: str) -> None:
    refuse = partial(_refuse, who, hook)
    if hook not in known_hooks():
        if not options.get("optionalhook"):
            refuse(f"which ARIA does not know; known are {', '.join(known_hooks())}")
        return
    if options.get("wrapper") or options.get("hookwrapper"):
        refuse("a wrapper, but ARIA calls each extension by itself")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        refuse("a coroutine, but ARIA calls it from a plain thread")
    given = list(inspect.signature(getattr(hookspecs, hook)).parameters)
    unknown = [name for name in _required(function) if name not in given]
    if unknown:
        refuse(f"taking {', '.join(unknown)}, but ARIA gives {', '.join(given) or 'nothing'}")


def _refuse(who: str, hook: str, why: str) -> None:
    raise ExtensionBrokenError(f"{who} has the hook {hook}, {why}")


def _required(function: Callable[..., Any]) -> list[str]:
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [
        each.name for each in inspect.signature(function).parameters.values()
        if each.default is each.empty and each.kind not in variable
    ]
