"""Operations that keep a file as a template wants it.

Both may be run again after a crash: what is done already is left as it is.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from aria_core import operation

if TYPE_CHECKING:
    from aria_core import OperationContext


@operation
def write(ctx: OperationContext, path: str, content: str) -> None:
    """Have `content` stand in the file `path`, and its SHA-256 in the node's attribute ``sha256``."""
    file, data = Path(path), content.encode()
    if not file.is_absolute():
        ctx.task.abort(f"{path} is no absolute path: it would depend on where the operation runs")
    if not file.is_file() or file.read_bytes() != data:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f"{file.name}.new")
        fresh.write_bytes(data)
        fresh.replace(file)
        ctx.logger.info("wrote %d bytes to %s", len(data), path)
    ctx.node.attributes["sha256"] = hashlib.sha256(data).hexdigest()


@operation
def remove(ctx: OperationContext, path: str) -> None:
    """Have no file `path`."""
    Path(path).unlink(missing_ok=True)
    ctx.logger.info("removed %s", path)
