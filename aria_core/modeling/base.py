"""What all models have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ForeignKey, MetaData, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from aria_core.modeling.mutable import track_json


def utc_now() -> datetime:
    """This moment, timezone-aware, in UTC."""
    return datetime.now(UTC)


def owner(target: str) -> Mapped[int | None]:
    """The column that names a row's owner; the row is removed with it."""
    return mapped_column(ForeignKey(f"{target}.id", ondelete="CASCADE"), index=True)


class Model(DeclarativeBase):
    """Base of all models: an integer id and readable constraint names.

    Its metadata are complete once `aria_core.modeling.models` is imported.
    """

    metadata = MetaData(naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    })

    id: Mapped[int] = mapped_column(primary_key=True, sort_order=-1)

    def to_dict(self) -> dict[str, Any]:
        """The columns by name."""
        return {each.key: getattr(self, each.key) for each in type(self).__mapper__.column_attrs}

    def __repr__(self) -> str:
        identity, name = inspect(self).identity, self.__dict__.get("name")  # without reading a row
        return f"<{type(self).__name__} {identity[0] if identity else None}{f' {name!r}' if name else ''}>"


track_json(Model)
