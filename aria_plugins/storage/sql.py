"""Model storage in SQLite, or in PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aria_core import ConfigurationError, ModelStorage, SqlModelStorage, hookimpl


class SqlStorage(SqlModelStorage):
    """Rows in the database that `url` names.

    ``sqlite:///aria.db`` is a file, ``sqlite://`` vanishes at the end, ``postgresql://user:password@host/name``
    needs the extra ``postgres``. With `durability` ``full`` a commit survives a power cut; with
    ``normal`` SQLite may lose the last commits then (never when only a process dies). PostgreSQL has
    settings of its own for that.
    """

    def __init__(self, url: str, durability: Literal["full", "normal"] = "full") -> None:
        super().__init__(url, synchronous=durability.upper())
        self._durability = durability
        if self.url.get_backend_name() not in ("sqlite", "postgresql"):
            raise ConfigurationError(
                f"the sql storage knows sqlite:///file and postgresql://user:password@host/database, not "
                f"{self.url.drivername}://")

    def spec(self) -> tuple[str, Mapping[str, Any]]:
        """Its class, URL (password included) and durability."""
        place, keywords = super().spec()
        return place, {"url": keywords["url"], "durability": self._durability}


@hookimpl
def aria_model_storage() -> type[ModelStorage]:
    """SQLite and PostgreSQL."""
    return SqlStorage
