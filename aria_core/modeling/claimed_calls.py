"""The calls that workers elsewhere have claimed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from aria_core.modeling.base import Model, owner
from aria_core.modeling.types import UtcDateTime


class ClaimedCall(Model):
    """One attempt of a task that a worker elsewhere runs, or has run until the engine takes its report."""

    __tablename__ = "claimed_call"
    __table_args__ = (UniqueConstraint("task_id", "attempt"),)

    execution_id: Mapped[int | None] = owner("execution")
    task_id: Mapped[int] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    location: Mapped[str] = mapped_column(String(255), default="")
    """``host:pid`` of the worker, for people."""
    claim_key: Mapped[str] = mapped_column(String(64), default="")
    """What the worker claimed it with; who does not know whether a claim was committed tries it again."""
    beat: Mapped[int] = mapped_column(default=0)
    """Grows while the worker runs it and reaches the database."""
    claimed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heard: Mapped[int] = mapped_column(default=0)
    """How often the operation itself has said that it lives (``ctx.heartbeat``)."""
    progress: Mapped[float | None]
    progress_message: Mapped[str | None] = mapped_column(Text)
    report: Mapped[Any] = mapped_column(Text, nullable=True)
    """Its final report as JSON text; None while it runs."""
