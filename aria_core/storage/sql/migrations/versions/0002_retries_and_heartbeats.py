"""Retry policies, budgets of retries, heartbeats and progress."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"


def upgrade(op: Operations) -> None:
    """0001 -> 0002."""
    for table in ("operation", "task"):
        op.add_column(table, sa.Column("retry", sa.Text(), nullable=True))
        op.add_column(table, sa.Column("heartbeat_timeout", sa.Double(), nullable=True))
    op.add_column("task", sa.Column("progress", sa.Double(), nullable=True))
    op.add_column("task", sa.Column("progress_message", sa.Text(), nullable=True))
    op.add_column("execution", sa.Column("task_retry", sa.Text(), nullable=True))
    op.add_column("execution", sa.Column("retry_budget", sa.Integer(), nullable=True))
    op.add_column("execution", sa.Column("failed_attempts", sa.Integer(), nullable=True))
