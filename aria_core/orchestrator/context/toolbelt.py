"""Toolbelts under the name of the manual; workers have them, too."""

from __future__ import annotations

from aria_core.worker.toolbelt import NodeToolBelt, RelationshipToolBelt, toolbelt

__all__ = ["NodeToolBelt", "RelationshipToolBelt", "toolbelt"]
