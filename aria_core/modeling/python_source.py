"""What the source of a Python module says for certain about its functions, without running any of it.

A function counts only if its name is bound once, by a plain ``def`` at the top of a module that does
nothing with names which a reader cannot follow. All else is left to whoever imports the module.
"""

from __future__ import annotations

import ast
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from aria_core.modeling.signatures import Argument

MAX_BYTES = 1 << 20

_DYNAMIC = frozenset({
    "globals", "locals", "vars", "exec", "eval", "setattr", "delattr", "modules", "__path__"})
"""Whoever says one of these may change what a name means."""
_CHANGING = frozenset({"__signature__", "__defaults__", "__kwdefaults__", "__code__", "__wrapped__"})
"""Whoever sets one of these changes what a function accepts."""

_HARMLESS_WITH = MappingProxyType({"exec": 2, "eval": 2, "vars": 1})
"""With so many arguments they do not mean the names of the module itself."""

_DECORATORS = frozenset(f"{home}.operation" for home in (
    "aria_core", "aria_core.orchestrator.decorators", "aria_core.worker.decorators"))

_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType({
    "builtins.str": (str,), "builtins.int": (int,), "builtins.float": (int, float), "builtins.bool": (bool,),
    "builtins.list": (list,), "builtins.dict": (dict,), "typing.List": (list,), "typing.Dict": (dict,)})
"""What is found in JSON where an annotation says so."""

# `warnings.catch_warnings` changes what belongs to the whole process.
_LOCK = threading.Lock()


class UnreadableSourceError(Exception):
    """This Python cannot read the source; the message says where and why."""


@dataclass(frozen=True, slots=True)
class FunctionHead:
    """The head of a function that an operation can call."""

    line: int
    arguments: Mapping[str, Argument]
    takes_any: bool
    takes_ctx: bool


@dataclass(frozen=True, slots=True)
class ImportedName:
    """``from module import name``; `level` counts the points before the module."""

    module: str
    level: int
    name: str


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """What is certain about a module: `names` are all it binds, unless `is_open` says that nobody knows."""

    names: frozenset[str]
    functions: Mapping[str, FunctionHead]
    imports: Mapping[str, ImportedName]
    is_open: bool


_NOTHING = ModuleFacts(frozenset(), MappingProxyType({}), MappingProxyType({}), is_open=True)


@lru_cache(64)
def read_facts(source: bytes) -> ModuleFacts:
    """The facts about a module; raises ``UnreadableSourceError`` for what this Python cannot read."""
    if len(source) > MAX_BYTES:
        return _NOTHING
    try:
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whoever imports it is warned
            tree = ast.parse(source)
    except SyntaxError as error:
        raise UnreadableSourceError(f"{error.lineno or 1}:{error.offset or 1}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        return _NOTHING
    try:
        return _Reader(tree).facts()
    except RecursionError:
        return _NOTHING


class _Reader:
    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._bound = Counter(_bound(tree))
        self._is_open = "__getattr__" in self._bound
        self._harmless: set[int] = set()
        for each in ast.walk(tree):
            self._look_at(each)
        self._imports: dict[str, tuple[str, int, str | None]] = {}
        for statement in tree.body:
            self._note_imports(statement)

    def _look_at(self, node: Any) -> None:
        """Note what may change the names of the module, wherever in it that stands; callers come first."""
        kind = type(node)
        if kind is ast.Name:
            self._is_open |= node.id in _DYNAMIC and id(node) not in self._harmless
        elif kind is ast.Attribute:
            self._is_open |= node.attr in _DYNAMIC
            if not isinstance(node.ctx, ast.Load):
                self._is_open |= node.attr in _CHANGING
                self._bound[node.attr] += 1  # perhaps the attribute of a module
        elif kind is ast.Call:
            if isinstance(node.func, ast.Name) and len(node.args) >= _HARMLESS_WITH.get(node.func.id, 99):
                self._harmless.add(id(node.func))
        elif kind is ast.alias:
            self._is_open |= node.name in _DYNAMIC or node.name == "*"
        elif kind is ast.Global:
            self._bound.update(node.names)

    def facts(self) -> ModuleFacts:
        if self._is_open:
            return _NOTHING
        heads = {each.name: self._head(each) for each in self._tree.body
                 if isinstance(each, ast.FunctionDef) and self._bound[each.name] == 1}
        imports = {name: ImportedName(module, level, own)
                   for name, (module, level, own) in self._imports.items() if own is not None}
        return ModuleFacts(frozenset(self._bound), {name: head for name, head in heads.items() if head},
                           imports, is_open=False)

    def _note_imports(self, statement: ast.stmt) -> None:
        """Names that are bound once, by an import that is always run."""
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                self._note_import(alias.asname or alias.name,
                                  (statement.module or "", statement.level, alias.name))
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.asname or "." not in alias.name:
                    self._note_import(alias.asname or alias.name, (alias.name, 0, None))

    def _note_import(self, name: str, target: tuple[str, int, str | None]) -> None:
        if self._bound[name] == 1:
            self._imports[name] = target

    # --- functions

    def _head(self, function: ast.FunctionDef) -> FunctionHead | None:
        toolbelt = self._toolbelt(function.decorator_list)
        if toolbelt is None or function.args.posonlyargs:
            return None
        arguments = {each.name: each for each in self._arguments(function.args)}
        takes_any = function.args.kwarg is not None
        takes_ctx = arguments.pop("ctx", None) is not None or takes_any
        if toolbelt:
            arguments.pop("toolbelt", None)
        return FunctionHead(function.lineno, arguments, takes_any, takes_ctx)

    def _toolbelt(self, decorators: list[ast.expr]) -> bool | None:
        """Whether ``@operation`` adds a toolbelt; None if what the decorators do is not known."""
        if not decorators:
            return False
        decorator, keywords = decorators[0], []
        if isinstance(decorator, ast.Call):
            keywords = decorator.keywords
            if decorator.args or any(each.arg is None for each in keywords):
                return None
            decorator = decorator.func
        if len(decorators) > 1 or self._meaning(decorator) not in _DECORATORS:
            return None
        given = next((each.value for each in keywords if each.arg == "toolbelt"), ast.Constant(False))
        return given.value if isinstance(given, ast.Constant) and isinstance(given.value, bool) else None

    def _arguments(self, of: ast.arguments) -> Iterator[Argument]:
        defaults: list[ast.expr | None] = [None] * (len(of.args) - len(of.defaults))
        for each, default in zip([*of.args, *of.kwonlyargs], [*defaults, *of.defaults, *of.kw_defaults],
                                 strict=True):
            kinds = None if each.annotation is None else self._kinds(each.annotation)
            if kinds is not None and isinstance(default, ast.Constant) and default.value is None:
                kinds = (*kinds, type(None))
            written = "" if each.annotation is None else _written(each.annotation)
            yield Argument(each.arg, default is None, written, kinds)

    # --- annotations

    def _kinds(self, annotation: ast.expr) -> tuple[type, ...] | None:
        """The classes of values that fit; None if that is not certain."""
        if isinstance(annotation, ast.Constant):
            return self._kinds_of_constant(annotation.value)
        if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
            return self._any_of([annotation.left, annotation.right])
        if isinstance(annotation, ast.Subscript):
            return self._kinds_of_subscript(self._meaning(annotation.value), annotation)
        return _KINDS.get(self._meaning(annotation))

    def _kinds_of_constant(self, value: Any) -> tuple[type, ...] | None:
        if value is None:
            return (type(None),)
        if not isinstance(value, str):
            return None
        try:
            return self._kinds(ast.parse(value, mode="eval").body)
        except SyntaxError:
            return None

    def _kinds_of_subscript(self, meaning: str, annotation: ast.Subscript) -> tuple[type, ...] | None:
        inner = annotation.slice
        if meaning == "typing.Optional":
            return self._any_of([inner, ast.Constant(None)])
        if meaning == "typing.Union":
            return self._any_of(inner.elts if isinstance(inner, ast.Tuple) else [inner])
        return _KINDS.get(meaning)

    def _any_of(self, annotations: list[ast.expr]) -> tuple[type, ...] | None:
        found: list[type] = []
        for each in annotations:
            kinds = self._kinds(each)
            if kinds is None:
                return None
            found += kinds
        return tuple(dict.fromkeys(found))

    def _meaning(self, expression: ast.expr) -> str:
        """The full name of what is meant; the empty one if that is not certain."""
        if isinstance(expression, ast.Attribute):
            before = self._meaning(expression.value)
            return before and f"{before}.{expression.attr}"
        if not isinstance(expression, ast.Name):
            return ""
        if expression.id not in self._bound:
            return f"builtins.{expression.id}"
        module, level, name = self._imports.get(expression.id, ("", 0, None))
        return "" if level or not module else f"{module}.{name}" if name else module


def _written(annotation: ast.expr) -> str:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation)


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that the code of a module binds or deletes, each as often as that stands there."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.Name):
            if not isinstance(each.ctx, ast.Load):
                yield each.id
        elif isinstance(each, ast.alias):
            yield each.asname or each.name.partition(".")[0]
        elif isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield each.name  # its body has names of its own
        else:
            yield from _bound_beside(each)
            yield from _bound(each)


def _bound_beside(node: ast.AST) -> Iterator[str]:
    """Names that are bound by something else than a `Name`: ``except … as name``, ``case {**name}``."""
    for attribute in ("name", "rest"):
        name = getattr(node, attribute, None)
        if isinstance(name, str):
            yield name
