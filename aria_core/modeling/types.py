"""Column types: JSON text, UTC times."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

from aria_core.exceptions import StorageError
from aria_core.modeling.values import dump_json


class JsonText(TypeDecorator[Any]):
    """Strict JSON kept as text (JSONB rewrites numbers and refuses some strings); None is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Python value -> text."""
        return None if value is None else dump_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Text -> Python value."""
        try:
            return None if value is None else json.loads(value)
        except (ValueError, TypeError, RecursionError) as error:
            raise StorageError(f"a row of the database is damaged: it holds no JSON ({error})") from error


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware moment, kept and returned in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """As the dialect does it, but what is no time is told in a sentence."""
        process: Any = super().result_processor(dialect, coltype)

        def explained(value: Any) -> Any:
            try:
                return process(value)
            except (ValueError, TypeError, OverflowError) as error:
                raise StorageError("a row of the database is damaged: it holds what is no time") from error
        return explained

    def bind_processor(self, dialect: Dialect) -> Any:
        """Aware -> what the dialect stores; SQLite has text, which is made here at a third of the price."""
        return _as_text if dialect.name == "sqlite" else _as_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What the dialect stores -> aware."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _as_utc(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no timezone; times are kept in UTC")
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def _as_text(value: datetime | None) -> str | None:
    moment = _as_utc(value)
    return None if moment is None else moment.replace(tzinfo=None).isoformat(" ", "microseconds")
