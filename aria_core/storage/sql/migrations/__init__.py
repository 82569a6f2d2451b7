"""How the tables of one revision become those of the next: the scripts in ``versions``, run by Alembic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from aria_core.modeling.models import SCHEMA_VERSION

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revision of the tables that this ARIA works with, and the folders of the scripts that lead there.

    Revision 7 is named ``0007`` in its script and is 7 in the database's table ``schema``.
    """

    newest: int = SCHEMA_VERSION
    folders: tuple[Path, ...] = (_HERE / "versions",)


def apply_revisions(connection: Connection, found: int, revisions: Revisions) -> None:
    """Change the tables from revision `found` (0: there are none) to the newest, in the open transaction.

    Each script is given Alembic's operations instead of taking them from ``alembic.op``, which all
    threads share.
    """
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(_HERE), version_locations=[str(each) for each in revisions.folders])
    operations = Operations(MigrationContext.configure(connection))
    steps = scripts.iterate_revisions(_name(revisions.newest), _name(found))
    for step in reversed([*steps]):
        step.module.upgrade(operations)


def _name(revision: int) -> str:
    return f"{revision:04}" if revision else "base"
