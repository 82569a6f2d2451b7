"""The ORM sessions behind the friendly tables: one a thread, holding no connection between statements."""

from __future__ import annotations

import threading
import warnings
from typing import Any

from sqlalchemy import Connection, Engine, delete, event, inspect
from sqlalchemy.exc import DataError, InvalidRequestError, SAWarning, SQLAlchemyError
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, object_session
from sqlalchemy.orm.exc import StaleDataError

from aria_core.exceptions import NotFoundError, StorageError
from aria_core.modeling.base import Model
from aria_core.modeling.models import Execution, Service
from aria_core.modeling.plugins import Plugin
from aria_core.storage.sql.checks import check_row
from aria_core.storage.sql.database import Database
from aria_core.storage.sql.statements import forget_plugin, refuse_if_active


class Sessions:
    """Gives each thread its session."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._of_thread = threading.local()

    def current(self) -> TableSession:
        """This thread's session."""
        session: TableSession | None = getattr(self._of_thread, "session", None)
        if session is None:
            session = self._of_thread.session = TableSession(self._database)
        return session

    def reading(self) -> TableSession:
        """This thread's session; whatever it has read before will be read again."""
        session = self.current()
        session.forget_unchanged()
        return session

    def forget(self) -> None:
        """Let every thread begin with nothing."""
        self._of_thread = threading.local()


class ReadSession(Session):
    """Reads in AUTOCOMMIT, holding a connection for one statement only; never writes.

    So objects load lazily long after the call that gave them, no statement sees an old snapshot, and
    no transaction stays open meanwhile.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(autoflush=False, expire_on_commit=False)
        self._database = database
        self._writer: Connection | None = None
        event.listen(self, "do_orm_execute", self._execute)

    def get_bind(self, *_: Any, **__: Any) -> Engine | Connection:
        """The write transaction, if there is one, otherwise the reader."""
        return self._writer if self._writer is not None else self._database.reader

    def flush(self, objects: Any = None) -> None:
        """Only inside a write transaction; ``StorageError`` otherwise."""
        if self._writer is None:
            raise StorageError("this session only reads; use put, update and delete of the storage to write")
        super().flush(objects)

    def _execute(self, state: ORMExecuteState) -> Any:
        if self._writer is not None:
            return None
        try:
            return state.invoke_statement().freeze()()
        except SQLAlchemyError as error:
            raise self._database.told(error) from error
        except UnicodeDecodeError as error:
            raise self._database.garbled(error) from error
        finally:
            self._release()

    def _release(self) -> None:
        transaction = self.get_transaction()
        if transaction is not None:
            transaction.close()


class TableSession(ReadSession):
    """The session of one thread's friendly tables; writes in one real transaction."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._keys: dict[Mapper[Any], frozenset[str]] = {}

    def write(self, entry: Model) -> None:
        """Write `entry` and everything changed in this session in one transaction: all of it or nothing.

        Integrity errors pass. ``StorageError`` for values that columns do not take, ``NotFoundError`` if a
        row is gone; then the session's objects are as if never changed, new ones as if never added.
        """
        self._release()
        self.begin()
        self.adopt(entry)
        try:
            with self._database.write() as connection:
                self._writer = connection
                self._write_checked()
        except BaseException:
            self._writer = None
            self._roll_back()
            raise
        self._writer = None
        self.commit()

    def _roll_back(self) -> None:
        with warnings.catch_warnings():  # of a connection that broke: its transaction has ended with it
            warnings.simplefilter("ignore", SAWarning)
            self.rollback()

    def _write_checked(self) -> None:
        for each in (*self.new, *self.dirty):
            if isinstance(each, Model):
                check_row(each)
        try:
            self.flush()
        except StaleDataError as error:
            raise NotFoundError("a row to be changed was removed by somebody else") from error
        except DataError as error:
            raise StorageError(f"the database does not take a value: {error.orig}") from error

    def remove(self, model: type[Model], key: int) -> bool:
        """Remove a row and, by the database's own rules, what it owns; False if there is none.

        Raises ``StorageError`` for a service or an execution that somebody may be running.
        """
        statement = delete(model).where(model.id == key)
        with self._database.write() as connection:
            if model in (Service, Execution):
                refuse_if_active(connection, model, key)
            if model is Plugin:
                connection.execute(forget_plugin(key))
            return connection.execute(statement).rowcount == 1

    def read_again(self, entry: Model) -> None:
        """Read a row of this session, dropping its changes; ``NotFoundError`` if it is gone."""
        try:
            self.expire(entry)
            self.refresh(entry)
        except InvalidRequestError as error:
            raise NotFoundError(f"{entry!r} is not stored, or was removed") from error

    def load_whole(self, entry: Model) -> None:
        """Have every column of a row of this session; ``NotFoundError`` if it is gone."""
        columns = {each.key for each in inspect(entry).mapper.column_attrs}
        if not columns <= inspect(entry).dict.keys():
            self.read_again(entry)

    def forget_unchanged(self) -> None:
        """Expire what was read and not changed since: its next use reads it again."""
        for entry in self.identity_map.values():
            state: Any = inspect(entry)
            loaded = not state.modified and self._keys_of(state.mapper).intersection(state.dict)
            if loaded:  # to expire no keys would mean to expire all, and what hangs on the row
                self.expire(entry, loaded)

    def _keys_of(self, mapper: Mapper[Any]) -> frozenset[str]:
        if mapper not in self._keys:
            self._keys[mapper] = frozenset(mapper.attrs.keys())
        return self._keys[mapper]

    def adopt(self, entry: Model) -> None:
        """Take `entry`, and what hangs on it, over from other threads' sessions."""
        for each in _reachable(entry):
            other = object_session(each)
            if other is self:
                continue
            if other is not None:
                other.expunge(each)
            self._make_room(each)
        self.add(entry)

    def _make_room(self, entry: Model) -> None:
        key = inspect(entry).key
        twin = self.identity_map.get(key) if key is not None else None
        if twin is not None and twin is not entry:
            self.expunge(twin)


def _reachable(entry: Model) -> list[Model]:
    state = inspect(entry)
    found: list[Any] = [each[0] for each in state.mapper.cascade_iterator("save-update", state)]
    return [entry, *found]
