"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade(op: Operations) -> None:
    """${down_revision} -> ${up_revision}."""
    ${upgrades if upgrades else "pass"}
