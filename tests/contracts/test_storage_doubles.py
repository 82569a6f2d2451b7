"""Every contract test of the friendly tables fails for a storage that breaks what it is about."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from aria_core.exceptions import AlreadyExistsError, NotFoundError, StorageError
from aria_core.modeling.models import Node, Service
from aria_core.storage.model import ListResult
from aria_core.storage.sql import SqlModelStorage
from aria_core.storage.sql.tables import SqlModelTable
from aria_core.testing.doubles import Doubles, swallowing
from aria_core.testing.model_tables import TableContract

DOUBLES = Doubles(TableContract)


class Double(SqlModelStorage):
    """A storage whose tables are of another class."""

    table_class: type[Any] = SqlModelTable

    def table(self, model: Any) -> Any:
        assert self.database
        return self.table_class(self._sessions, model)


DOUBLES.breaks("test_a_missing_row_is_not_found")(swallowing(SqlModelTable, NotFoundError, None, "get"))
DOUBLES.breaks("test_a_missing_row_is_not_found")(
    swallowing(SqlModelTable, NotFoundError, None, "get_by_name"))
DOUBLES.breaks("test_a_table_without_names_refuses_to_look_for_one")(
    swallowing(SqlModelTable, StorageError, None, "get_by_name"))
DOUBLES.breaks("test_a_taken_name_already_exists", "test_a_service_has_one_active_execution_here_too")(
    swallowing(SqlModelTable, AlreadyExistsError, None, "put"))
DOUBLES.breaks("test_a_wrong_type_is_refused_naming_model_column_and_type")(
    swallowing(SqlModelTable, StorageError, None, "put"))
DOUBLES.breaks("test_what_cannot_be_asked_is_named")(
    swallowing(SqlModelTable, StorageError, ListResult([], {}), "list"))
for _method in ("update", "delete", "refresh"):
    DOUBLES.breaks("test_a_row_that_is_gone_is_not_found")(
        swallowing(SqlModelTable, NotFoundError, None, _method))


@DOUBLES.breaks("test_a_row_is_found_by_its_id_and_by_its_name")
class GetGivesSomethingElse(SqlModelTable):
    def get(self, entry_id):
        entry = super().get(entry_id)
        entry.description = "changed"
        return entry


@DOUBLES.breaks("test_a_name_that_several_rows_have_is_refused")
class FirstOfAName(SqlModelTable):
    def get_by_name(self, name):
        return self.list({"name": name})[0]


@DOUBLES.breaks("test_a_row_is_stored_with_what_it_owns_and_stays_usable")
class PutWithoutNodes(SqlModelTable):
    def put(self, entry):
        if isinstance(entry, Service):
            entry.nodes.clear()
        return super().put(entry)


@DOUBLES.breaks("test_a_refused_row_stores_nothing_of_what_hangs_on_it")
class HalfPut(SqlModelTable):
    def put(self, entry):
        try:
            return super().put(entry)
        except StorageError:
            super().put(Service(name=entry.name))
            raise


@DOUBLES.breaks("test_an_update_with_a_wrong_type_is_refused_and_changes_nothing")
class HalfUpdate(SqlModelTable):
    def update(self, entry):
        with self._sessions.current()._database.write() as connection:
            connection.execute(update(Node).values(type_name="New"))
        return super().update(entry)


@DOUBLES.breaks("test_an_update_is_seen_elsewhere", "test_every_call_sees_what_others_have_stored")
class NoUpdate(SqlModelTable):
    def update(self, entry):
        return entry


@DOUBLES.breaks("test_a_change_deep_inside_a_value_is_stored")
class ShallowUpdate(SqlModelTable):
    def update(self, entry):
        if entry.capabilities.get("endpoint", {}).get("ports"):
            return entry
        return super().update(entry)


@DOUBLES.breaks("test_values_come_back_exactly_as_they_were")
class RoundingUpdate(SqlModelTable):
    def update(self, entry):
        for row in entry.attribute_rows.values():
            if row.value == 2**63:
                row.value = float(row.value)
        return super().update(entry)


@DOUBLES.breaks("test_times_come_back_aware_and_in_utc")
class LocalTimes(SqlModelTable):
    def put(self, entry):
        entry.created_at += timedelta(hours=5)
        return super().put(entry)


@DOUBLES.breaks("test_what_hangs_on_a_row_is_read_when_it_is_used")
class DetachedRows(SqlModelTable):
    def list(self, *arguments, **keywords):
        result = super().list(*arguments, **keywords)
        self._sessions.current().expunge_all()
        return result


class StaleSessions:
    def __init__(self, sessions):
        self.current = self.reading = sessions.current


class GreedySessions(StaleSessions):
    def __init__(self, sessions):
        def reading():
            sessions.current().expire_all()
            return sessions.current()

        self.current, self.reading = sessions.current, reading


@DOUBLES.breaks("test_every_call_sees_what_others_have_stored")
class StaleTable(SqlModelTable):
    def __init__(self, sessions, model):
        super().__init__(StaleSessions(sessions), model)


@DOUBLES.breaks("test_changes_not_stored_yet_survive_reading")
class GreedyTable(SqlModelTable):
    def __init__(self, sessions, model):
        super().__init__(GreedySessions(sessions), model)


@DOUBLES.breaks("test_rows_are_filtered_by_values_lists_and_operators", "test_hostile_text_is_only_a_value")
class NoFilters(SqlModelTable):
    def list(self, filters=None, sort=None, pagination=None):
        return super().list(None, sort, pagination)


@DOUBLES.breaks("test_nothing_is_a_value_to_filter_by")
class NothingMeansAnything(SqlModelTable):
    def list(self, filters=None, sort=None, pagination=None):
        kept = {key: value for key, value in (filters or {}).items() if value is not None}
        return super().list(kept, sort, pagination)


@DOUBLES.breaks("test_hostile_text_is_only_a_value")
class Patterns(SqlModelTable):
    def list(self, filters=None, sort=None, pagination=None):
        return super().list(None if filters == {"name": "%"} else filters, sort, pagination)


@DOUBLES.breaks("test_rows_are_sorted_both_ways_and_else_by_id")
class AlwaysAscending(SqlModelTable):
    def list(self, filters=None, sort=None, pagination=None):
        return super().list(filters, dict.fromkeys(sort or {}, "asc"), pagination)


@DOUBLES.breaks("test_a_page_has_its_rows_size_offset_and_total")
class TotalOfThePage(SqlModelTable):
    def list(self, *arguments, **keywords):
        result = super().list(*arguments, **keywords)
        return ListResult(result.items, {**result.metadata, "total": len(result.items)})


@DOUBLES.breaks("test_a_table_is_iterated_row_by_row")
class BackwardIteration(SqlModelTable):
    def iter(self, filters=None, sort=None):
        return reversed([*super().iter(filters, sort)])


@DOUBLES.breaks("test_deleting_a_service_keeps_its_template_only")
class DeleteLeavesNodes(SqlModelTable):
    def delete(self, entry):
        with self._sessions.current()._database.write() as connection:
            connection.execute(update(Node).values(service_id=None))
        super().delete(entry)


@DOUBLES.breaks("test_what_may_be_running_is_not_deleted")
class RecklessDelete(SqlModelTable):
    def delete(self, entry):
        with self._sessions.current()._database.write() as connection:
            connection.execute(delete(type(entry)).where(type(entry).id == entry.id))


@DOUBLES.breaks("test_a_template_with_services_is_not_deleted")
class OrphaningDelete(SqlModelTable):
    def delete(self, entry):
        with self._sessions.current()._database.write() as connection:
            connection.execute(update(Service).values(service_template_id=None))
        super().delete(entry)


@DOUBLES.breaks("test_refresh_drops_what_was_not_stored_and_reads_the_row")
class NoRefresh(SqlModelTable):
    def refresh(self, entry):
        return entry


@DOUBLES.breaks("test_an_execution_moves_only_along_its_transitions")
class AnyTransition(SqlModelTable):
    def update(self, entry):
        kind, state = type(entry), entry.state
        with self._sessions.current()._database.write() as connection:
            connection.execute(update(kind).where(kind.id == entry.id).values(state=state))
        return entry


@DOUBLES.breaks("test_many_threads_write_at_once")
class LosesAThread(SqlModelTable):
    def put(self, entry):
        return entry if entry.name.startswith("3") else super().put(entry)


class WritingSession(Session):
    def close(self):
        self.commit()
        super().close()


@DOUBLES.breaks("test_a_reading_session_stores_nothing")
class SessionThatWrites(Double):
    def read_session(self):
        return WritingSession(self.database.writer)


@DOUBLES.breaks("test_a_storage_made_from_the_spec_has_the_same_rows")
class SpecOfAnother(Double):
    def spec(self):
        return "aria_core.storage.sql:SqlModelStorage", {"url": "sqlite://"}


@DOUBLES.breaks("test_opening_again_keeps_the_rows")
class OpeningForgets(Double):
    def open(self):
        super().open()
        self.drop()
        super().open()


@DOUBLES.breaks("test_after_drop_it_is_opened_empty")
class NoDrop(Double):
    def drop(self):
        return None


@DOUBLES.breaks("test_a_closed_storage_says_so")
class NeverCloses(Double):
    def close(self):
        return None

    def __del__(self):
        super().close()


@pytest.mark.parametrize("name", DOUBLES.names)
def test_a_storage_that_breaks_it_is_found(name: str, tmp_path: Path) -> None:
    for number, kind in enumerate(DOUBLES.of(name)):
        make = kind if issubclass(kind, Double) else type("Broken", (Double,), {"table_class": kind})
        with make(f"sqlite:///{tmp_path}/{number}/aria.db", synchronous="OFF") as storage:
            DOUBLES.check(name, {"storage": storage})
