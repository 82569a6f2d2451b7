"""Toolbelts: shortcuts that ``@operation(toolbelt=True)`` hands to an operation."""

from __future__ import annotations

from typing import Any


class NodeToolBelt:
    """Shortcuts for operations of a node."""

    def __init__(self, ctx: Any) -> None:
        self._ctx = ctx

    @property
    def host_ip(self) -> Any:
        """The ``ip`` attribute of the node's host (or its own); None if there is none."""
        return self._ctx.node.host_address


class RelationshipToolBelt:
    """Shortcuts for operations of a relationship. There are none yet."""

    def __init__(self, ctx: Any) -> None:
        self._ctx = ctx


_TOOLBELTS: dict[str, type[NodeToolBelt | RelationshipToolBelt]] = {
    "node": NodeToolBelt,
    "relationship": RelationshipToolBelt,
}


def toolbelt(ctx: Any) -> NodeToolBelt | RelationshipToolBelt:
    """The toolbelt that fits an operation's context, by its ``actor_kind``.

    Raises ``RuntimeError`` if `ctx` is not the context of a node or relationship operation.
    """
    kind = getattr(ctx, "actor_kind", None)
    if not isinstance(kind, str) or kind not in _TOOLBELTS:
        raise RuntimeError(f"a {type(ctx).__name__} has no toolbelt; only the contexts of node and "
                           "relationship operations do")
    return _TOOLBELTS[kind](ctx)
