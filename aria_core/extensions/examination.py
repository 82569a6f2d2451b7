"""Trying an extension without using it, for ``aria extensions doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aria_core.distribution import OURS, extra_of
from aria_core.exceptions import AriaError
from aria_core.extensions.drivers import driver_class, load_provider
from aria_core.extensions.kinds import (
    EXECUTORS,
    INSTALLERS,
    LOADERS,
    MODEL_STORAGES,
    RESOURCE_STORAGES,
    DriverKind,
)
from aria_core.extensions.registration import new_manager, register
from aria_core.extensions.scan import WORDS, Catalogue, ExtensionRow, Provider

_KINDS: Mapping[str, DriverKind[Any]] = {
    each.group: each for each in (EXECUTORS, MODEL_STORAGES, RESOURCE_STORAGES, INSTALLERS, LOADERS)
}


def examine(catalogue: Catalogue, provider: Provider) -> ExtensionRow:
    """The provider's row after importing and checking it; nothing is made and no hook but its own called."""
    row = ExtensionRow(WORDS[provider.group], provider.name, provider.distribution, provider.version,
                       provider.value, *catalogue.problem(provider))
    if row.status != "available":
        return row
    try:
        _try(catalogue, provider)
    except AriaError as error:
        extra = _missing_extra(error) if provider.distribution == OURS else None
        return replace(row, status="broken" if extra is None else "not installed", problem=str(error))
    return row


def _missing_extra(error: AriaError) -> str | None:
    """The extra of ours that an extension of ours would need: most installations do without."""
    cause = error.__cause__
    return extra_of(cause.name) if isinstance(cause, ImportError) and cause.name else None


def _try(catalogue: Catalogue, provider: Provider) -> None:
    if provider.group in _KINDS:
        driver_class(catalogue, _KINDS[provider.group], provider.name)
        return
    found = load_provider(provider)
    if provider.group == "aria.hooks" and not isinstance(found, type):
        register(new_manager(), found, str(provider), str(provider))
