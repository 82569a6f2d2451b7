"""The first tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0001"
down_revision = None

_ACTIVE = "state IN ('pending', 'started', 'cancelling')"


def upgrade(op: Operations) -> None:
    """An empty database -> 0001."""
    _table(op, "schema", sa.Column("version", sa.Integer(), nullable=False))
    _plugin(op)
    _templates(op)
    _service(op)
    _nodes(op)
    _interfaces(op)
    _values(op)
    _execution(op)
    _task(op)
    _attempt(op)
    _log(op)


def _table(op: Operations, name: str, *parts: sa.schema.SchemaItem, indexed: Sequence[str] = ()) -> None:
    key = sa.Column("id", sa.Integer(), nullable=False)
    op.create_table(name, key, *parts, sa.PrimaryKeyConstraint("id", name=f"pk_{name}"))
    for column in indexed:
        op.create_index(f"ix_{name}_{column}", name, [column])


def _number(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _real(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Double(), nullable=nullable)


def _truth(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=nullable)


def _word(name: str, length: int = 255, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _text(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _moment(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _refers(table: str, column: str, target: str,
            ondelete: str | None = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{target}.id"], name=f"fk_{table}_{column}", ondelete=ondelete)


def _one_owner(table: str, *columns: str) -> sa.CheckConstraint:
    if len(columns) == 2:
        condition = f"({columns[0]} IS NULL) <> ({columns[1]} IS NULL)"
    else:
        condition = " + ".join(f"(CASE WHEN {each} IS NULL THEN 0 ELSE 1 END)" for each in columns) + " = 1"
    return sa.CheckConstraint(condition, name=f"ck_{table}_one_owner")


def _plugin(op: Operations) -> None:
    _table(op, "plugin",
           _word("name"), _word("package_name"), _word("package_version", 64), _text("package_source", True),
           _text("archive_name"), _word("installer"), _word("sha256", 64), _word("distribution", 255, True),
           _word("distribution_release", 255, True), _word("distribution_version", 255, True),
           _word("supported_platform", 255, True), _text("supported_py_versions"), _text("wheels"),
           _text("environment", True), _moment("uploaded_at"),
           _unique("plugin", "package_name", "package_version"))


def _templates(op: Operations) -> None:
    _table(op, "service_template",
           _word("name"), _text("description"), _text("main_file"), _moment("created_at"), _text("content"),
           _unique("service_template", "name"))
    _table(op, "node_template",
           _number("service_template_id", True), _word("name"), _word("type_name"), _text("content"),
           _refers("node_template", "service_template_id", "service_template"),
           _unique("node_template", "service_template_id", "name"), indexed=["service_template_id"])


def _service(op: Operations) -> None:
    _table(op, "service",
           _number("service_template_id", True), _word("name"), _text("description"), _moment("created_at"),
           _refers("service", "service_template_id", "service_template", None),
           _unique("service", "name"), indexed=["service_template_id"])


def _nodes(op: Operations) -> None:
    _table(op, "node",
           _number("service_id", True), _number("node_template_id", True), _number("host_id", True),
           _word("name"), _word("type_name"), _text("types"), _word("state", 16), _text("capabilities"),
           _text("artifacts"),
           _refers("node", "service_id", "service"),
           _refers("node", "node_template_id", "node_template", "SET NULL"),
           _refers("node", "host_id", "node", "SET NULL"),
           _unique("node", "service_id", "name"), indexed=["service_id", "host_id"])
    _table(op, "relationship",
           _number("source_id", True), _number("target_id", True), _word("name"), _number("position"),
           _word("type_name"), _text("types"), _word("capability"),
           _refers("relationship", "source_id", "node"), _refers("relationship", "target_id", "node"),
           indexed=["source_id", "target_id"])


def _interfaces(op: Operations) -> None:
    _table(op, "interface",
           _number("node_id", True), _number("relationship_id", True), _word("name"), _word("type_name"),
           _refers("interface", "node_id", "node"), _refers("interface", "relationship_id", "relationship"),
           _unique("interface", "node_id", "name"), _unique("interface", "relationship_id", "name"),
           _one_owner("interface", "node_id", "relationship_id"), indexed=["node_id", "relationship_id"])
    _table(op, "operation",
           _number("interface_id", True), _number("service_id", True), _word("name"), _text("function", True),
           _word("plugin_name", 255, True), _real("timeout", True), _number("max_attempts", True),
           _real("retry_interval", True), _truth("ignore_failure", True),
           _refers("operation", "interface_id", "interface"), _refers("operation", "service_id", "service"),
           _unique("operation", "interface_id", "name"), _unique("operation", "service_id", "name"),
           _one_owner("operation", "interface_id", "service_id"), indexed=["interface_id", "service_id"])


def _values(op: Operations) -> None:
    owners = {"service_id": "service", "node_id": "node", "relationship_id": "relationship",
              "operation_id": "operation"}
    _table(op, "parameter",
           *[_number(each, True) for each in owners], _word("role", 16), _word("name"), _word("type_name"),
           _text("description"), _truth("required"), _truth("dynamic"), _truth("secret"),
           _text("value", True), *[_refers("parameter", column, target) for column, target in owners.items()],
           _unique("parameter", "service_id", "role", "name"),
           *[_unique("parameter", each, "name") for each in owners if each != "service_id"],
           _one_owner("parameter", *owners), indexed=[*owners])
    _table(op, "attribute",
           _number("node_id", True), _number("relationship_id", True), _word("name"), _word("type_name"),
           _text("value", True),
           _refers("attribute", "node_id", "node"), _refers("attribute", "relationship_id", "relationship"),
           _unique("attribute", "node_id", "name"), _unique("attribute", "relationship_id", "name"),
           _one_owner("attribute", "node_id", "relationship_id"), indexed=["node_id", "relationship_id"])


def _execution(op: Operations) -> None:
    _table(op, "execution",
           _number("service_id", True), _word("workflow_name"), _word("state", 16), _text("inputs"),
           _word("executor"), _truth("dry"), _number("task_max_attempts"), _real("task_retry_interval"),
           _moment("created_at"), _moment("started_at", True), _moment("ended_at", True),
           _text("error", True), _number("epoch"), _number("batch"), _number("beat"), _text("owner", True),
           _refers("execution", "service_id", "service"), indexed=["service_id"])
    op.create_index("uq_execution_one_active_per_service", "execution", ["service_id"], unique=True,
                    sqlite_where=sa.text(_ACTIVE), postgresql_where=sa.text(_ACTIVE))


def _task(op: Operations) -> None:
    _table(op, "task",
           _number("execution_id"), _number("position"), _text("name"), _word("stub", 24, True),
           _word("state", 16), _text("reason", True), _text("waits_for"), _text("function", True),
           _text("arguments"), _text("dynamic", True), _text("secret", True), _number("node_id", True),
           _number("relationship_id", True), _number("plugin_id", True), _word("interface_name"),
           _word("operation_name"), _number("max_attempts"), _real("retry_interval"),
           _truth("ignore_failure"), _real("timeout", True), _number("attempts"), _number("failures"),
           _number("lost"), _number("interruptions"), _moment("due_at", True), _moment("sent_at", True),
           _moment("started_at", True), _moment("ended_at", True), _text("result", True),
           _refers("task", "execution_id", "execution"), _refers("task", "node_id", "node"),
           _refers("task", "relationship_id", "relationship"), _refers("task", "plugin_id", "plugin", None),
           _unique("task", "execution_id", "position"))


def _attempt(op: Operations) -> None:
    _table(op, "attempt",
           _number("task_id"), _number("number"), _word("outcome", 16), _text("error"), _text("traceback"),
           _word("location"), _moment("ended_at"),
           _refers("attempt", "task_id", "task"), _unique("attempt", "task_id", "number"))


def _log(op: Operations) -> None:
    _table(op, "log",
           _number("execution_id", True), _number("task_id", True), _number("attempt", True),
           _word("level", 16), _text("message"), _text("traceback", True), _moment("created_at"),
           _refers("log", "execution_id", "execution"), _refers("log", "task_id", "task"),
           indexed=["execution_id", "task_id"])
