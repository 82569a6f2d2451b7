"""The friendly tables (MAPI) on SQLAlchemy's ORM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import func, inspect, select
from sqlalchemy.exc import IntegrityError

from aria_core.exceptions import NotFoundError, StorageError
from aria_core.modeling.base import Model
from aria_core.storage.model import ListResult, ModelTable
from aria_core.storage.sql.queries import matching, ordered, page
from aria_core.storage.sql.sessions import Sessions, TableSession
from aria_core.storage.sql.statements import is_key
from aria_core.storage.sql.violations import explain, still_needed

M = TypeVar("M", bound=Model)

_AT_ONCE = 500


class SqlModelTable(ModelTable[M]):
    """One table.

    The objects it gives belong to the thread that asked and load what hangs on them when it is used,
    as it is then; a later call of the same thread makes them read their row again, unless they were
    changed. Every write stores all that this thread has changed on such objects, in one transaction.
    """

    def __init__(self, sessions: Sessions, model: type[M]) -> None:
        self._sessions = sessions
        self._model = model
        self.name = model.__tablename__

    def get(self, entry_id: int) -> M:
        """The row with this id."""
        entry = self._sessions.reading().get(self._model, entry_id) if is_key(entry_id) else None
        if entry is None:
            raise NotFoundError(f"there is no {self._title} {entry_id!r}")
        return entry

    def get_by_name(self, name: str) -> M:
        """The only row with this name."""
        if "name" not in self._model.__mapper__.columns:
            raise StorageError(f"rows of {self.name} have no name; use get with an id, or list with filters")
        session = self._sessions.reading()
        found = session.scalars(matching(self._model, {"name": name}).limit(2)).all()
        if len(found) > 1:
            raise StorageError(f"there are several rows of {self.name} named {name!r}; use get with an id, "
                               "or list with filters")
        for entry in self._load(session, found):
            return entry
        raise NotFoundError(f"there is no {self._title} named {name!r}")

    def list(self, filters: Mapping[str, Any] | None = None, sort: Mapping[str, str] | None = None,
             pagination: Mapping[str, int] | None = None) -> ListResult[M]:
        """Rows that pass, in order, a page of them."""
        query = matching(self._model, filters)
        size, offset = page(pagination)
        session = self._sessions.reading()
        wanted = ordered(query, self._model, sort).offset(offset or None).limit(size)
        items = [*self._load(session, session.scalars(wanted).all())]
        shown = len(items)
        if size is None and not offset:
            return ListResult(items, {"total": shown, "size": shown, "offset": 0})
        total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
        return ListResult(items, {"total": total, "size": shown if size is None else size, "offset": offset})

    def iter(self, filters: Mapping[str, Any] | None = None,
             sort: Mapping[str, str] | None = None) -> Iterator[M]:
        """Rows that pass when it begins, as they are when their turn comes; few are held at once."""
        query = ordered(matching(self._model, filters), self._model, sort)
        return self._each(self._sessions.reading().scalars(query).all())

    def _each(self, ids: Sequence[int]) -> Iterator[M]:
        for some in _batches(ids):
            yield from self._load(self._sessions.reading(), some)

    def _load(self, session: TableSession, ids: Sequence[int]) -> Iterator[M]:
        for some in _batches(ids):
            rows = session.scalars(select(self._model).where(self._model.id.in_(some)))
            found = {entry.id: entry for entry in rows}
            yield from (found[each] for each in some if each in found)

    def put(self, entry: M) -> M:
        """Store a new row and what it owns."""
        self._write(entry)
        return entry

    def update(self, entry: M) -> M:
        """Store the changes of a row and of what hangs on it, also those made inside JSON values."""
        if inspect(entry).key is None:
            raise StorageError(f"{entry!r} was never stored; use put")
        self._write(entry)
        return entry

    def delete(self, entry: M) -> None:
        """Remove a row and what it owns; refused while others need it."""
        self._check_kind(entry)
        key, session = inspect(entry).identity, self._sessions.current()
        try:
            if key is not None and entry in session:
                session.load_whole(entry)  # afterwards it can be looked at, but not read
            if key is None or not session.remove(self._model, key[0]):
                raise NotFoundError(f"the {self._title} {entry!r} is not stored")
        except IntegrityError as error:
            raise still_needed(session, entry) from error
        if entry in session:
            session.expunge(entry)
        session.forget_unchanged()

    def refresh(self, entry: M) -> M:
        """Read the row again; changes that were not stored are dropped."""
        self._check_kind(entry)
        session = self._sessions.reading()
        session.adopt(entry)
        session.read_again(entry)
        return entry

    @property
    def _title(self) -> str:
        return self.name.replace("_", " ")

    def _check_kind(self, entry: M) -> None:
        if not isinstance(entry, self._model):
            raise StorageError(f"{self.name} takes a {self._model.__name__}, not a {type(entry).__name__}")

    def _write(self, entry: M) -> None:
        self._check_kind(entry)
        try:
            self._sessions.current().write(entry)
        except IntegrityError as error:
            raise explain(error, entry) from error


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start:start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))
