"""Tables of an older revision: upgraded when they are opened, by one, if nobody works on them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect, text, update

from aria_core.clock import SystemClock
from aria_core.exceptions import StorageUnavailableError
from aria_core.modeling.base import Model
from aria_core.modeling.builder import TemplateBuilder, call
from aria_core.modeling.models import SCHEMA_VERSION, Execution
from aria_core.orchestrator.topology import create_service, store_template
from aria_core.orchestrator.workflow_runner import WorkflowRunner
from aria_core.storage.model import ModelStorage
from aria_core.storage.owners import this_process
from aria_core.storage.resource import ResourceStorage
from aria_core.storage.sql import SqlModelStorage
from aria_core.storage.sql.database import Database
from aria_core.storage.sql.migrations import Revisions, apply_revisions
from aria_core.storage.sql.runners import Runners
from aria_core.testing.sample import NEW_OWNER, OWNER, add_service, claim_service, start_service
from aria_plugins.executors.thread import ThreadExecutor

NEXT = SCHEMA_VERSION + 1
EARLIER = sorted(Path(__file__).parent.glob("revision_*.sql"))
"""What killed runners of earlier releases left, named after the revision of their tables."""

# On SQLite another type of column means another table, into which the rows are copied.
NEXT_SCRIPT = f'''
import time
from pathlib import Path
import sqlalchemy as sa

revision = "{NEXT:04}"
down_revision = "{SCHEMA_VERSION:04}"

def upgrade(op):
    with op.batch_alter_table("execution") as batch:
        batch.add_column(sa.Column("anything_new", sa.Integer(), nullable=True))
        batch.alter_column("workflow_name", existing_type=sa.String(255), type_=sa.Text())
    op.execute("UPDATE execution SET anything_new = id")
    if Path(__file__).with_name("hold").exists():
        Path(__file__).with_name("held").touch()
        time.sleep(600)
'''

OPEN_AS_NEXT = """
import sys
from pathlib import Path
from aria_core.storage.sql import SqlModelStorage
from aria_core.storage.sql.migrations import Revisions

class NextStorage(SqlModelStorage):
    revisions = Revisions(int(sys.argv[2]), (*Revisions().folders, Path(sys.argv[3])))

print("ready", flush=True)
sys.stdin.readline()
with NextStorage(sys.argv[1]):
    pass
"""

RUN = """
import sys
from pathlib import Path
from aria_core.orchestrator.workflow_runner import WorkflowRunner
from aria_core.storage.sql import SqlModelStorage
from aria_plugins.executors.thread import ThreadExecutor
from aria_plugins.storage.file import FileStorage

resources = FileStorage(directory=Path(sys.argv[2]))
resources.open()
with SqlModelStorage(sys.argv[1]) as storage, ThreadExecutor(slots=1) as executor:
    WorkflowRunner(storage, resources, None, service_id=int(sys.argv[3]), workflow_name="install",
                   executor=executor).execute()
"""

OPEN_TWICE = """
import sys
from aria_core.storage.sql import SqlModelStorage
for _ in range(2):
    with SqlModelStorage(sys.argv[1]) as storage:
        storage.service.list()
print("alembic" in sys.modules)
"""


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """The folder with the script of the next revision."""
    folder = tmp_path / "versions"
    folder.mkdir()
    (folder / f"{NEXT:04}_next.py").write_text(NEXT_SCRIPT)
    return folder


@pytest.fixture
def next_storage(versions: Path) -> type[SqlModelStorage]:
    """The storage of a release whose tables are one revision further."""
    class NextStorage(SqlModelStorage):
        revisions = Revisions(NEXT, (*Revisions().folders, versions))

    return NextStorage


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("postgresql_url"))


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """The database alone: nobody makes tables."""
    storage = SqlModelStorage(url)
    try:
        yield storage._opened()
    finally:
        storage.close()


def revision(url: str) -> Any:
    with opened(url) as database, database.read() as connection:
        return connection.scalar(text("SELECT version FROM schema"))


def apply(database: Database, newest: int = SCHEMA_VERSION) -> None:
    with database.rebuild() as connection:
        apply_revisions(connection, 0, Revisions(newest))
        connection.execute(text(f"INSERT INTO schema (version) VALUES ({newest})"))


def shape(connection: Any) -> dict[str, Any]:
    """All that the database tells of its tables, but for the order of columns."""
    inspector = inspect(connection)
    return {name: _table(inspector, name) for name in inspector.get_table_names()}


def _table(inspector: Any, name: str) -> dict[str, Any]:
    constraints = {
        kind: sorted(getattr(inspector, f"get_{kind}")(name), key=lambda each: each["name"])
        for kind in ("foreign_keys", "unique_constraints", "check_constraints", "indexes")}
    columns = {each["name"]: {**each, "type": str(each["type"])} for each in inspector.get_columns(name)}
    return {"columns": columns, "key": inspector.get_pk_constraint(name),
            **json.loads(json.dumps(constraints, default=str))}


def program(text: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", text, *map(str, arguments)], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not file.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"{file.name} does not appear"
        time.sleep(0.01)


@contextmanager
def each_statement(tell: Callable[[str], object]) -> Iterator[None]:
    """Tells every statement of this process before it is executed."""
    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        tell(" ".join(statement.split()))

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", before)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


# --- the revisions and the models


def test_the_revisions_make_the_tables_of_the_models(empty_url: str, tmp_path: Path) -> None:
    with opened(empty_url) as database:
        apply(database)
        with database.read() as connection:
            made = shape(connection)
            assert compare_metadata(MigrationContext.configure(
                connection, opts={"compare_server_default": True}), Model.metadata) == []
        with database.write() as connection:
            Model.metadata.drop_all(connection)
            Model.metadata.create_all(connection)
        with database.read() as connection:
            assert made == shape(connection)


def test_the_revisions_are_one_line_that_ends_where_the_models_are() -> None:
    folder = str(*Revisions().folders)
    scripts = ScriptDirectory(str(Path(folder).parent), version_locations=[folder])
    names = [each.revision for each in scripts.walk_revisions()]
    assert names == [f"{number:04}" for number in range(SCHEMA_VERSION, 0, -1)]


def test_alembics_own_check_finds_nothing_to_do() -> None:
    done = subprocess.run([sys.executable, "-m", "alembic", "check"], cwd=Path(__file__).parents[2],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- opening


def test_tables_that_are_up_to_date_cost_one_select(model_storage_url: str) -> None:
    with SqlModelStorage(model_storage_url):  # makes the tables
        pass
    statements: list[str] = []
    with each_statement(statements.append), SqlModelStorage(model_storage_url):
        assert statements == ["SELECT schema.version FROM schema"]


def test_alembic_is_not_imported_for_new_tables_nor_for_those_that_are_up_to_date(empty_url: str) -> None:
    done = subprocess.run([sys.executable, "-c", OPEN_TWICE, empty_url],
                          capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_an_upgrade_keeps_every_row_and_says_what_it_did(
        model_storage_url: str, next_storage: type[SqlModelStorage],
        caplog: pytest.LogCaptureFixture) -> None:
    with SqlModelStorage(model_storage_url) as storage:
        start_service(storage, add_service(storage))
        pretend_vanished(storage)
        before = {name: [row.to_dict() for row in storage.table(mapper.class_)]
                  for mapper in Model.registry.mappers if (name := mapper.class_.__name__) != "Schema"}
        with storage.database.read() as connection:
            old = shape(connection)
    with next_storage(model_storage_url) as storage:
        for mapper in Model.registry.mappers:
            if (name := mapper.class_.__name__) != "Schema":
                assert [row.to_dict() for row in storage.table(mapper.class_)] == before[name]
        with storage.database.read() as connection:
            new = shape(connection)
            assert connection.scalars(text("SELECT anything_new FROM execution")).all() == [1]
    assert revision(model_storage_url) == NEXT
    assert [each.getMessage() for each in caplog.records if each.name == "aria.storage"] == [
        f"upgraded the tables of the database {storage.url.render_as_string()} "
        f"from revision {SCHEMA_VERSION} to {NEXT}"]
    added = new["execution"]["columns"].pop("anything_new")
    assert (added["type"], added["nullable"]) == ("INTEGER", True)
    old["execution"]["columns"]["workflow_name"]["type"] = "TEXT"
    assert new == old  # the index that allows one active execution among it


def pretend_vanished(storage: ModelStorage) -> None:
    assert isinstance(storage, SqlModelStorage)
    with storage.database.write() as connection:
        connection.execute(update(Execution).values(owner={**this_process(), "started": "1"}))


def test_processes_that_open_older_tables_at_once_upgrade_them_once(
        model_storage_url: str, versions: Path) -> None:
    with SqlModelStorage(model_storage_url):
        pass
    processes = [program(OPEN_AS_NEXT, model_storage_url, NEXT, versions) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    told = [process.communicate("go\n")[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, told
    assert "".join(told).count("upgraded the tables") == 1, told
    assert revision(model_storage_url) == NEXT


def test_who_was_not_the_first_to_upgrade_leaves_the_tables_alone(
        model_storage_url: str, next_storage: type[SqlModelStorage],
        caplog: pytest.LogCaptureFixture) -> None:
    with SqlModelStorage(model_storage_url):
        pass
    told: list[str] = []

    def overtake(statement: str) -> None:
        told.append(statement)
        if len(told) == 2:  # the revision has been read, the tables are not locked yet
            with next_storage(model_storage_url):
                pass

    with each_statement(overtake), next_storage(model_storage_url) as storage:
        assert len(storage.execution.list()) == 0
    assert caplog.text.count("upgraded the tables") == 1
    assert revision(model_storage_url) == NEXT


def test_a_process_that_is_killed_in_the_middle_leaves_the_older_tables(
        model_storage_url: str, versions: Path, next_storage: type[SqlModelStorage]) -> None:
    with SqlModelStorage(model_storage_url) as storage:
        add_service(storage)
        with storage.database.read() as connection:
            before = shape(connection)
    (versions / "hold").touch()
    process = program(OPEN_AS_NEXT, model_storage_url, NEXT, versions)
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    wait_for(versions / "held", process)
    kill(process)
    with SqlModelStorage(model_storage_url) as storage:
        assert storage.service.get_by_name("shop")
        with storage.database.read() as connection:
            assert shape(connection) == before
    (versions / "hold").unlink()
    with next_storage(model_storage_url) as storage:
        assert storage.service.get_by_name("shop")
    assert revision(model_storage_url) == NEXT


BROKEN_SCRIPT = f'''
revision = "{NEXT:04}"
down_revision = "{SCHEMA_VERSION:04}"

def upgrade(op):
    op.execute("DELETE FROM service_template")
'''


def test_an_upgrade_that_would_break_a_reference_changes_nothing(
        model_storage_url: str, versions: Path, next_storage: type[SqlModelStorage]) -> None:
    (versions / f"{NEXT:04}_next.py").write_text(BROKEN_SCRIPT)
    with SqlModelStorage(model_storage_url) as storage:
        add_service(storage)
    with pytest.raises(StorageUnavailableError, match="service"):
        next_storage(model_storage_url).open()
    with SqlModelStorage(model_storage_url) as storage:
        assert storage.service.get_by_name("shop").service_template is not None
        with pytest.raises(StorageUnavailableError), storage.database.rebuild() as connection:
            connection.execute(text("DELETE FROM service_template"))
        with pytest.raises(Exception, match="needed"):  # foreign keys are enforced again
            storage.service_template.delete(storage.service_template.get_by_name("template of shop"))


# --- older and newer releases


def test_an_older_release_refuses_and_names_both_revisions(
        model_storage_url: str, next_storage: type[SqlModelStorage]) -> None:
    for kind in (SqlModelStorage, next_storage):
        with kind(model_storage_url):
            pass
    with pytest.raises(StorageUnavailableError) as refused:
        SqlModelStorage(model_storage_url).open()
    assert f"has revision {NEXT} of the tables, made by a newer ARIA" in str(refused.value)
    assert f"works with revision {SCHEMA_VERSION}: use the ARIA that made them" in str(refused.value)
    assert revision(model_storage_url) == NEXT


def test_an_older_release_that_was_open_during_the_upgrade_claims_nothing(
        model_storage_url: str, next_storage: type[SqlModelStorage]) -> None:
    with SqlModelStorage(model_storage_url) as older:
        claim = start_service(older, add_service(older))
        idle = add_service(older, "idle")
        pretend_vanished(older)
        with next_storage(model_storage_url) as newer:
            seen = older.ledger.pulse(claim.execution)
            for attempt in (lambda: claim_service(older, idle),
                            lambda: older.ledger.claim_existing(seen, NEW_OWNER, retry_failed=False)):
                with pytest.raises(StorageUnavailableError, match="newer ARIA"):
                    attempt()
            assert newer.ledger.active(idle.id) is None
            assert newer.ledger.claim_existing(seen, NEW_OWNER, retry_failed=False).epoch == 2


# --- runners


class Site:
    """A service of three operations; the second waits for a gate."""

    def __init__(self, directory: Path, resources: ResourceStorage) -> None:
        self.gate, self.effects = directory / "gate", directory / "effects"
        self.resources, self.resource_directory = resources, directory / "resources"

    def add_service(self, storage: ModelStorage) -> int:
        place, gate = str(self.effects), str(self.gate)
        operations = "aria_core.testing.operations:"
        builder = TemplateBuilder("site")
        builder.node("web", operations={
            "create": call(f"{operations}note", inputs={"path": place, "line": "create"}),
            "configure": call(f"{operations}wait_for_file", inputs={"path": gate, "begun": place}),
            "start": call(f"{operations}note", inputs={"path": place, "line": "start"})})
        template = store_template(storage, self.resources, builder.load())
        return create_service(storage, template, "site", {}).id

    def start(self, url: str, service: int) -> subprocess.Popen[str]:
        """A process that runs ``install`` and has come to the second operation."""
        process = program(RUN, url, self.resource_directory, service)
        deadline = time.monotonic() + 60
        while "begun" not in self.lines("begun"):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "the second operation does not begin"
            time.sleep(0.01)
        return process

    def lines(self, *words: str) -> list[str]:
        """The last words of the effects, of these kinds."""
        lines = self.effects.read_text().splitlines() if self.effects.exists() else []
        return [each.split()[-1] for each in lines if not words or each.split()[-1] in words]

    def resume(self, storage: ModelStorage) -> None:
        self.gate.touch()
        with ThreadExecutor(slots=1) as executor:
            runner = WorkflowRunner(storage, self.resources, None, execution_id=1, executor=executor)
            assert runner.execute() == "succeeded"


@pytest.fixture
def site(tmp_path: Path, resource_storage: ResourceStorage) -> Site:
    return Site(tmp_path, resource_storage)


def test_the_execution_of_a_killed_runner_is_resumed_by_the_next_release(
        model_storage_url: str, next_storage: type[SqlModelStorage], site: Site) -> None:
    with SqlModelStorage(model_storage_url) as storage:
        service = site.add_service(storage)
    kill(site.start(model_storage_url, service))
    with next_storage(model_storage_url) as storage:
        site.resume(storage)
    assert site.lines() == ["create", "begun", "begun", "ended", "start"]
    assert revision(model_storage_url) == NEXT


def test_nothing_is_upgraded_under_a_living_runner(
        model_storage_url: str, next_storage: type[SqlModelStorage], site: Site) -> None:
    with SqlModelStorage(model_storage_url) as storage:
        service = site.add_service(storage)
    process = site.start(model_storage_url, service)
    with pytest.raises(StorageUnavailableError, match=f"process {process.pid} on .* runs execution 1"):
        next_storage(model_storage_url).open()
    assert revision(model_storage_url) == SCHEMA_VERSION
    site.gate.touch()
    assert process.communicate()[1] == ""
    with next_storage(model_storage_url) as storage:
        assert storage.execution.get(1).state == "succeeded"


class Watcher(SystemClock):
    """A clock on which waiting takes no time; `meanwhile` happens at the third look."""

    def __init__(self, meanwhile: Callable[[], object] = int) -> None:
        self.waits, self._meanwhile = 0, meanwhile

    def monotonic(self) -> float:
        return float(self.waits)

    def sleep(self, seconds: float) -> None:
        self.waits += 1
        if self.waits == 3:
            self._meanwhile()

    def now(self) -> datetime:
        raise AssertionError("decisions need no date")


def test_a_runner_that_cannot_be_seen_from_here_is_watched(model_storage: ModelStorage) -> None:
    assert isinstance(model_storage, SqlModelStorage)
    claim = start_service(model_storage, add_service(model_storage))
    assert OWNER["boot"] != this_process()["boot"]
    living = Watcher(lambda: model_storage.ledger.beat(claim))
    with pytest.raises(StorageUnavailableError, match="process 2 on here runs execution 1"):
        Runners(model_storage.database, NEXT, living).vanished()
    silent = Watcher()
    assert Runners(model_storage.database, NEXT, silent).vanished() == {(1, 1, 1, 1)}
    assert silent.waits == 15


def test_a_runner_that_comes_back_before_the_upgrade_begins_stops_it(model_storage: ModelStorage) -> None:
    assert isinstance(model_storage, SqlModelStorage)
    claim = start_service(model_storage, add_service(model_storage))
    runners = Runners(model_storage.database, NEXT, Watcher())
    vanished = runners.vanished()
    model_storage.ledger.beat(claim)
    with (model_storage.database.rebuild() as connection,
          pytest.raises(StorageUnavailableError, match="runs execution 1")):
        runners.refuse_others(connection, vanished)


# --- what earlier releases left


@pytest.mark.parametrize("left", EARLIER, ids=lambda left: left.stem)
def test_what_an_earlier_release_left_in_the_middle_of_an_execution_is_resumed(
        empty_url: str, site: Site, left: Path) -> None:
    number = int(left.stem.rpartition("_")[2])
    with opened(empty_url) as database:
        apply(database, number)
        with database.write() as connection:
            insert_left(connection, site, left.read_text())
    with SqlModelStorage(empty_url) as storage:
        site.resume(storage)
        assert storage.execution.get(1).epoch == 2
        assert storage.service.get_by_name("site").nodes["web"].state == "started"
        if number >= 2:
            assert storage.execution.get(1).retry_budget == 5
            assert storage.task.get(4).retry == {"backoff": 2, "jitter": 0.5, "abort_on": ["ValueError"]}
        if number >= 3:
            assert (storage.execution.get(1).max_concurrency, storage.task.get(4).pool) == (3, "database")
        assert storage.execution.get(1).queued is False
    assert site.lines() == ["begun", "ended", "start"]  # `create` had succeeded
    assert revision(empty_url) == SCHEMA_VERSION


def insert_left(connection: Any, site: Site, dump: str) -> None:
    """What a killed runner left, with the places of this test and a process of this machine that is gone."""
    owner = json.dumps({**this_process(), "started": "1"})
    for mark, value in {"@effects@": site.effects, "@gate@": site.gate, "@owner@": owner}.items():
        dump = dump.replace(mark, str(value))
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql:
        connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))
    for statement in dump.splitlines():
        connection.exec_driver_sql(statement)
    for name in inspect(connection).get_table_names() if is_postgresql else ():  # new rows come behind these
        connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name} "
                                "HAVING max(id) > 0"))
