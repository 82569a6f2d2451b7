"""Whether the arguments of tasks fit the functions they call, before any task is stored.

The functions are read, not imported: those of plugins and templates have no business in a runner. What
is not certain is left to the worker, which binds the arguments anyway.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from aria_core.exceptions import AriaError, InvalidInputError
from aria_core.modeling.code_search import CodeSearch, own_folder, search_path
from aria_core.modeling.models import Node, NodeTemplate, Relationship
from aria_core.modeling.plugins import Plugin
from aria_core.modeling.signatures import Refusal, Signature
from aria_core.orchestrator.plugin import PluginManager
from aria_core.storage.records import TaskRow

_MOST_TOLD = 20


class _Accepted(NamedTuple):
    """A signature in the form in which it is asked a million times."""

    signature: Signature
    required: frozenset[str]
    names: frozenset[str]
    typed: tuple[tuple[str, tuple[type, ...]], ...]

    def fits(self, row: TaskRow) -> bool:
        given = row.arguments
        if not (self.signature.takes_ctx and given.keys() >= self.required):
            return False
        if not self.signature.takes_any and not given.keys() <= self.names:
            return False
        return all(isinstance(given[name], kinds) or name in row.dynamic
                   for name, kinds in self.typed if name in given)


class ArgumentCheck:
    """Checks tasks; each function is read once.

    `code` is the directory of the template's own modules. With `plugins` None, functions of plugins are
    not checked; with `installed` False, those that are installed beside this runner are not.
    """

    def __init__(self, session: Session, plugins: PluginManager | None, code: str | None, *,
                 installed: bool = True) -> None:
        self._session = session
        self._plugins = plugins
        self._own = None if code is None else own_folder(Path(code))
        self._installed = search_path(sys.path) if installed else ()
        self._searches: dict[int | None, CodeSearch | None] = {}
        self._known: dict[tuple[str, int | None], _Accepted | str | None] = {}

    def check(self, tasks: Iterable[TaskRow]) -> None:
        """Raise ``InvalidInputError`` with a sentence for everything that does not fit."""
        problems: dict[str, None] = {}
        untold = 0
        for row in tasks:
            if not row.function:
                continue
            key = (row.function, row.plugin_id)
            if key not in self._known:
                self._known[key] = self._look_up(row.function, row.plugin_id)
            accepted = self._known[key]
            if accepted is None or (isinstance(accepted, _Accepted) and accepted.fits(row)):
                continue
            if len(problems) < _MOST_TOLD:
                problems.update(dict.fromkeys(self._told(row, accepted)))
            else:
                untold += 1
        if problems:
            more = [f"and so it is with {untold} more tasks"] if untold else []
            raise InvalidInputError("\n".join([*problems, *more]))

    # --- signatures

    def _look_up(self, function: str, plugin: int | None) -> _Accepted | str | None:
        if plugin not in self._searches:
            self._searches[plugin] = self._search(plugin)
        search = self._searches[plugin]
        found = None if search is None else search.look_up(function)
        if not isinstance(found, Signature):
            return found
        arguments = found.arguments.values()
        return _Accepted(
            found, frozenset(each.name for each in arguments if each.is_required), frozenset(found.arguments),
            tuple((each.name, each.kinds) for each in arguments if each.kinds is not None))

    def _search(self, plugin: int | None) -> CodeSearch | None:
        if plugin is None:
            return CodeSearch(self._own, self._installed)
        if self._plugins is None:
            return None
        try:
            environment = self._plugins.environment(self._session.get_one(Plugin, plugin))
        except AriaError:
            return None  # its files are gone, as its tasks will say
        path = list(environment.pythonpath)
        if environment.python is not None:
            home = Path(environment.python).parent.parent
            path += [str(each) for each in home.glob("lib/python3*/site-packages")]
        return CodeSearch(self._own, search_path(path))

    # --- words

    def _told(self, row: TaskRow, accepted: _Accepted | str) -> Iterator[str]:
        whose, operation = self._declared(row)
        where = f"operation {row.interface_name}.{row.operation_name} of {whose}"
        for refusal in _refusals(row, accepted):
            inputs = operation.get("inputs", {})
            place = inputs.get(refusal.argument, {}).get("location") or operation.get("location")
            yield f"{place}: {where}: {refusal.sentence}" if place else f"{where}: {refusal.sentence}"

    def _declared(self, row: TaskRow) -> tuple[str, Mapping[str, Any]]:
        """Whose operation it is, and what its template says of it."""
        if row.relationship_id is None:
            node = self._session.get_one(Node, row.node_id)
            return f"node {node.name!r}", _operation_of(self._content(node), row)
        tie = self._session.get_one(Relationship, row.relationship_id)
        whose = f"requirement {tie.name!r} of node {tie.source_node.name!r}"
        ties = self._content(tie.source_node).get("relationships", [])
        return whose, _operation_of(ties[tie.position] if tie.position < len(ties) else {}, row)

    def _content(self, node: Node) -> Mapping[str, Any]:
        template = self._session.get(NodeTemplate, node.node_template_id)
        return {} if template is None else template.content


def _refusals(row: TaskRow, accepted: _Accepted | str) -> Iterator[Refusal]:
    if isinstance(accepted, str):
        yield Refusal(None, accepted)
    else:
        yield from accepted.signature.refusals(row.arguments, unknown_values=row.dynamic, secret=row.secret)


def _operation_of(content: Mapping[str, Any], row: TaskRow) -> Mapping[str, Any]:
    interface = content.get("interfaces", {}).get(row.interface_name, {})
    found: Mapping[str, Any] = interface.get("operations", {}).get(row.operation_name, {})
    return found
