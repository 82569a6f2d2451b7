"""What happened to the rows of executions, tasks and nodes, kept by triggers of the database itself.

Imports nothing of ARIA: whoever judges must not believe what he judges. The table and column names
are those of the schema's page in the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, text

TABLE = "judge_history"
_COLUMNS = "kind, row_id, before, after, first, second, third, at, execution, batch"

_NUMBERS = {
    "execution": ("epoch", "batch", "service_id"),
    "task": ("attempts", "failures", "lost"),
    "node": ("id", "id", "id"),
}
"""What is kept of each kind of row besides its state, as `first`, `second` and `third`."""

_TRANSACTION = {
    "execution": ("{row}.id", "{row}.batch"),
    "task": ("{row}.execution_id", "(SELECT batch FROM execution WHERE id = {row}.execution_id)"),
    "node": ("(SELECT max(id) FROM execution WHERE service_id = {row}.service_id)",
             "(SELECT batch FROM execution WHERE service_id = {row}.service_id ORDER BY id DESC LIMIT 1)"),
}
"""The execution to which a row belongs, and the count of its transactions at that moment."""

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
    """One row was inserted (`before` is empty) or updated, or an execution was deleted (`after` says so)."""

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
    execution: int
    """The execution it belongs to; of a node, the newest of its service (0: none yet)."""
    batch: int
    """Which transaction of that execution it was part of: what has the same number was committed together."""


def keep_history(engine: Engine) -> None:
    """Make the table and the triggers, once the tables they watch are there. Idempotent."""
    dialect = engine.dialect.name
    with engine.begin() as connection:
        connection.execute(text(
            f"CREATE TABLE IF NOT EXISTS {TABLE} ({_TABLE[dialect]}, kind TEXT NOT NULL, "
            "row_id INTEGER NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, "
            "first INTEGER, second INTEGER, third INTEGER, at DOUBLE PRECISION NOT NULL, "
            "execution INTEGER NOT NULL, batch INTEGER NOT NULL)"))
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


def _insert(dialect: str, kind: str, row: str, before: str, after: str) -> str:
    numbers = ", ".join(f"{row}.{name}" for name in _NUMBERS[kind])
    transaction = ", ".join(f"coalesce({each.format(row=row)}, 0)" for each in _TRANSACTION[kind])
    values = ", ".join([f"'{kind}'", f"{row}.id", before, after, numbers, _NOW[dialect], transaction])
    return f"INSERT INTO {TABLE} ({_COLUMNS}) VALUES ({values});"  # noqa: S608  # nosec B608 # names of ours


_WRITTEN = {"execution": "state, epoch, batch", "task": "state, attempts", "node": "state"}
"""What is kept whenever it is written, for executions and tasks even if it is what it was before."""
_WHEN = {"execution": "1 = 1", "task": "1 = 1", "node": "NEW.state <> OLD.state"}


def _sqlite(kind: str) -> list[str]:
    def trigger(name: str, moment: str, statement: str) -> str:
        return f"CREATE TRIGGER IF NOT EXISTS judge_{kind}_{name} AFTER {moment} BEGIN {statement} END"

    made = trigger("new", f"INSERT ON {kind}", _insert("sqlite", kind, "NEW", _NOTHING, "NEW.state"))
    changed = trigger("change", f"UPDATE OF {_WRITTEN[kind]} ON {kind} WHEN {_WHEN[kind]}",
                      _insert("sqlite", kind, "NEW", "OLD.state", "NEW.state"))
    gone = trigger("gone", f"DELETE ON {kind}", _insert("sqlite", kind, "OLD", "OLD.state", _DELETED))
    return [made, changed, *([gone] if kind == "execution" else [])]


def _postgresql(kind: str) -> list[str]:
    function = f"judge_{kind}"
    moments = f"INSERT OR UPDATE OF {_WRITTEN[kind]}" + (" OR DELETE" if kind == "execution" else "")
    return [
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger AS $$ BEGIN "
        f"IF TG_OP = 'INSERT' THEN {_insert('postgresql', kind, 'NEW', _NOTHING, 'NEW.state')} "
        f"ELSIF TG_OP = 'DELETE' THEN {_insert('postgresql', kind, 'OLD', 'OLD.state', _DELETED)} "
        f"ELSIF {_WHEN[kind]} THEN {_insert('postgresql', kind, 'NEW', 'OLD.state', 'NEW.state')} END IF; "
        "RETURN NULL; END $$ LANGUAGE plpgsql",
        f"DROP TRIGGER IF EXISTS {function} ON {kind}",
        f"CREATE TRIGGER {function} AFTER {moments} ON {kind} FOR EACH ROW "
        f"EXECUTE FUNCTION {function}()",
    ]


_NOTHING, _DELETED = "''", "'deleted'"
