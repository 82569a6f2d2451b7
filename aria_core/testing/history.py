"""What happened to the rows of executions, tasks and nodes, kept by triggers of the database itself.

Imports nothing of ARIA: whoever judges must not believe what he judges. The table and column names
are those of the schema's page in the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, text

TABLE = "judge_history"
_COLUMNS = "kind, row_id, before, after, first, second, third, at"

_NUMBERS = {
    "execution": ("epoch", "batch", "service_id"),
    "task": ("attempts", "failures", "lost"),
    "node": ("id", "id", "id"),
}
"""What is kept of each kind of row besides its state, as `first`, `second` and `third`."""

_NOW = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch from clock_timestamp())",
}
_TABLE = {
    "sqlite": "id INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgresql": "id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One row was inserted (`before` is empty) or updated."""

    number: int
    """Which change it is, counted in the order in which they were made."""
    kind: str
    row: int
    before: str
    after: str
    first: int
    second: int
    third: int
    at: float
    """Seconds since the epoch, by the database's clock, a moment before the commit."""


def keep_history(engine: Engine) -> None:
    """Make the table and the triggers, once the tables they watch are there. Idempotent."""
    dialect = engine.dialect.name
    with engine.begin() as connection:
        connection.execute(text(
            f"CREATE TABLE IF NOT EXISTS {TABLE} ({_TABLE[dialect]}, kind TEXT NOT NULL, "
            "row_id INTEGER NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, "
            "first INTEGER, second INTEGER, third INTEGER, at DOUBLE PRECISION NOT NULL)"))
        for kind in _NUMBERS:
            for statement in _triggers(dialect, kind):
                connection.execute(text(statement))


def read_history(engine: Engine) -> list[Change]:
    """Every change in order."""
    with engine.connect() as connection:
        rows = connection.execute(text(
            f"SELECT id, {_COLUMNS} FROM {TABLE} ORDER BY id"))  # noqa: S608  # nosec B608 # names of ours
        return [Change(*row) for row in rows]


def _triggers(dialect: str, kind: str) -> list[str]:
    return _sqlite(kind) if dialect == "sqlite" else _postgresql(kind)


def _insert(dialect: str, kind: str, before: str) -> str:
    numbers = ", ".join(f"NEW.{name}" for name in _NUMBERS[kind])
    return (f"INSERT INTO {TABLE} ({_COLUMNS}) "  # noqa: S608  # nosec B608 # names of ours
            f"VALUES ('{kind}', NEW.id, {before}, NEW.state, {numbers}, {_NOW[dialect]});")


def _changed(kind: str) -> str:
    watched = {"execution": ("state", "epoch"), "task": ("state", "attempts"), "node": ("state",)}[kind]
    return " OR ".join(f"NEW.{name} <> OLD.{name}" for name in watched)


def _sqlite(kind: str) -> list[str]:
    return [
        f"CREATE TRIGGER IF NOT EXISTS judge_{kind}_new AFTER INSERT ON {kind} "
        f"BEGIN {_insert('sqlite', kind, _NOTHING)} END",
        f"CREATE TRIGGER IF NOT EXISTS judge_{kind}_change AFTER UPDATE ON {kind} WHEN {_changed(kind)} "
        f"BEGIN {_insert('sqlite', kind, 'OLD.state')} END",
    ]


def _postgresql(kind: str) -> list[str]:
    function = f"judge_{kind}"
    return [
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger AS $$ BEGIN "
        f"IF TG_OP = 'INSERT' THEN {_insert('postgresql', kind, _NOTHING)} "
        f"ELSIF {_changed(kind)} THEN {_insert('postgresql', kind, 'OLD.state')} END IF; "
        "RETURN NULL; END $$ LANGUAGE plpgsql",
        f"DROP TRIGGER IF EXISTS {function} ON {kind}",
        f"CREATE TRIGGER {function} AFTER INSERT OR UPDATE ON {kind} FOR EACH ROW "
        f"EXECUTE FUNCTION {function}()",
    ]


_NOTHING = "''"
