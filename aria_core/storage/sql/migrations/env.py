"""Run by ``alembic check`` and ``alembic revision --autogenerate``, for those who change the models.

They compare the models with what the revisions make of a new SQLite database. ARIA itself does not
come by here: it applies the revisions to a connection of its own (`apply_revisions`).
"""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import create_engine

from aria_core.modeling.models import Schema
from aria_core.modeling.types import JsonText, UtcDateTime
from aria_core.storage.sql.migrations import Revisions, apply_revisions

_WRITTEN = {JsonText: "sa.Text()", UtcDateTime: "sa.DateTime(timezone=True)"}


def _render(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Revisions say what a column is in the database: our own types may change, revisions may not."""
    return _WRITTEN.get(type(item), False) if kind == "type" else False


def _compare() -> None:
    newest = int(context.script.get_current_head() or 0)
    with create_engine("sqlite://").begin() as connection:
        apply_revisions(connection, 0, Revisions(newest))
        context.configure(connection, target_metadata=Schema.metadata, render_as_batch=True,
                          render_item=_render, compare_server_default=True)
        context.get_context().stamp(context.script, "heads")
        context.run_migrations()


_compare()
