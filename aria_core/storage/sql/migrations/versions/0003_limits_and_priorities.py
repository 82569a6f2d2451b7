"""Limits of executions and nodes, pools and priorities."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0003"
down_revision = "0002"


def upgrade(op: Operations) -> None:
    """0002 -> 0003."""
    for table in ("operation", "task"):
        op.add_column(table, sa.Column("priority", sa.Integer(), nullable=True))
        op.add_column(table, sa.Column("pool", sa.String(255), nullable=True))
    for table in ("execution", "node"):
        op.add_column(table, sa.Column("max_concurrency", sa.Integer(), nullable=True))
    op.add_column("execution", sa.Column("max_per_node", sa.Integer(), nullable=True))
    op.add_column("execution", sa.Column("pools", sa.Text(), nullable=True))
