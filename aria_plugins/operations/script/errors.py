"""What goes wrong with scripts, besides that they end badly."""

from __future__ import annotations

from aria_core import InvalidInputError


class ScriptSettingsError(InvalidInputError):
    """A script cannot be started as the template asks; another attempt would meet the same."""
