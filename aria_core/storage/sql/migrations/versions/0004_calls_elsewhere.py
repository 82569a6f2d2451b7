"""Calls that workers elsewhere have claimed, and executions that wait for a runner."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0004"
down_revision = "0003"


def upgrade(op: Operations) -> None:
    """0003 -> 0004."""
    op.add_column("execution", sa.Column("queued", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_execution_queued", "execution", ["id"],
                    sqlite_where=sa.text("queued = 1 AND state = 'pending'"),
                    postgresql_where=sa.text("queued AND state = 'pending'"))
    op.create_table(
        "claimed_call",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("execution_id", sa.Integer(), nullable=True),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("location", sa.String(255), nullable=False),
        sa.Column("claim_key", sa.String(64), nullable=False),
        sa.Column("beat", sa.Integer(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Double(), nullable=True),
        sa.Column("progress_message", sa.Text(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_claimed_call"),
        sa.ForeignKeyConstraint(["execution_id"], ["execution.id"], name="fk_claimed_call_execution_id",
                                ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name="fk_claimed_call_task_id", ondelete="CASCADE"),
        sa.UniqueConstraint("task_id", "attempt", name="uq_claimed_call_task_id_attempt"))
    op.create_index("ix_claimed_call_execution_id", "claimed_call", ["execution_id"])
