"""The operation of service.yaml."""

from __future__ import annotations

import threading

from aria_core import NodeOperationContext, operation


@operation
def note_thread(ctx: NodeOperationContext) -> None:
    """Keep the name of the thread this runs in."""
    ctx.node.attributes["thread"] = threading.current_thread().name
