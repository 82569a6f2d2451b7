"""The archives whose operations services call."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from aria_core.modeling.base import Model, utc_now
from aria_core.modeling.types import JsonText, UtcDateTime


class Plugin(Model):
    """An installed archive that holds operations."""

    __tablename__ = "plugin"
    __table_args__ = (UniqueConstraint("package_name", "package_version"),)

    name: Mapped[str] = mapped_column(String(255))
    package_name: Mapped[str] = mapped_column(String(255))
    package_version: Mapped[str] = mapped_column(String(64))
    package_source: Mapped[str | None] = mapped_column(Text)
    archive_name: Mapped[str] = mapped_column(Text)
    installer: Mapped[str] = mapped_column(String(255), default="")
    sha256: Mapped[str] = mapped_column(String(64), default="")
    distribution: Mapped[str | None] = mapped_column(String(255))
    distribution_release: Mapped[str | None] = mapped_column(String(255))
    distribution_version: Mapped[str | None] = mapped_column(String(255))
    supported_platform: Mapped[str | None] = mapped_column(String(255))
    supported_py_versions: Mapped[Any] = mapped_column(JsonText, default=list)
    wheels: Mapped[Any] = mapped_column(JsonText, default=list)
    environment: Mapped[Any] = mapped_column(JsonText, nullable=True)
    """How its code is reached, relative to the plugin's directory."""
    uploaded_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
