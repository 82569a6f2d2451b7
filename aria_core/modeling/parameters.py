"""Values that services, nodes, relationships and operations own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from aria_core.modeling.base import Model, owner
from aria_core.modeling.types import JsonText


class Parameter(Model):
    """A declared value: an input, output, property or argument."""

    __tablename__ = "parameter"
    __table_args__ = (
        UniqueConstraint("service_id", "role", "name"), UniqueConstraint("node_id", "name"),
        UniqueConstraint("relationship_id", "name"), UniqueConstraint("operation_id", "name"),
        CheckConstraint(
            "(CASE WHEN service_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN node_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN relationship_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN operation_id IS NULL THEN 0 ELSE 1 END) = 1", name="one_owner"))

    service_id: Mapped[int | None] = owner("service")
    node_id: Mapped[int | None] = owner("node")
    relationship_id: Mapped[int | None] = owner("relationship")
    operation_id: Mapped[int | None] = owner("operation")
    role: Mapped[str] = mapped_column(String(16), default="property")
    """``input``, ``output``, ``property`` or ``argument``."""
    name: Mapped[str] = mapped_column(String(255))
    type_name: Mapped[str] = mapped_column(String(255), default="any")
    description: Mapped[str] = mapped_column(Text, default="")
    required: Mapped[bool] = mapped_column(default=False)
    dynamic: Mapped[bool] = mapped_column(default=False)
    """The value is an expression, evaluated on the live service."""
    secret: Mapped[bool] = mapped_column(default=False)
    value: Mapped[Any] = mapped_column(JsonText, nullable=True)


class Attribute(Model):
    """A value that operations change: one row per name, last writer wins."""

    __tablename__ = "attribute"
    __table_args__ = (
        UniqueConstraint("node_id", "name"), UniqueConstraint("relationship_id", "name"),
        CheckConstraint("(node_id IS NULL) <> (relationship_id IS NULL)", name="one_owner"))

    node_id: Mapped[int | None] = owner("node")
    relationship_id: Mapped[int | None] = owner("relationship")
    name: Mapped[str] = mapped_column(String(255))
    type_name: Mapped[str] = mapped_column(String(255), default="any")
    value: Mapped[Any] = mapped_column(JsonText, nullable=True)
