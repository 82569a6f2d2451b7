"""The operations that custom-workflow.yaml names. They run wherever the executor runs them."""

from __future__ import annotations

from pathlib import Path

from aria_core import NodeOperationContext, operation


@operation
def measure(ctx: NodeOperationContext, path: str, pattern: str) -> int:
    """Count files and bytes; both become attributes of the node."""
    if not Path(path).is_dir():
        ctx.task.abort(f"there is no folder {path}")
    sizes = [each.stat().st_size for each in Path(path).rglob(pattern) if each.is_file()]
    ctx.node.attributes["files"] = len(sizes)
    ctx.node.attributes["bytes"] = sum(sizes)
    ctx.logger.info("%s has %d files", path, len(sizes))
    return len(sizes)


@operation
def summarise(ctx: NodeOperationContext) -> None:
    """One line about everything that was measured, as an attribute of the report."""
    folders = [each for each in ctx.model.node.iter({"service_id": ctx.service.id})
               if each.attributes.get("bytes") is not None]
    total = sum(each.attributes["bytes"] for each in folders)
    files = sum(each.attributes["files"] for each in folders)
    ctx.node.attributes["summary"] = f"{files} files with {total} bytes in {len(folders)} folders"
    ctx.logger.info("%s", ctx.node.attributes["summary"])
