"""The operation that runs scripts: ``aria_plugins.operations.script:run_script_locally``."""

from __future__ import annotations

from aria_plugins.operations.script.local import run_script_locally

__all__ = ["run_script_locally"]
