"""Finding the function an operation or workflow names: in the template's own code, or installed.

A template's modules are imported under a private name that holds their directory, so modules of two
templates with the same name never meet, nothing of them is reachable under a plain name, and
``sys.path`` stays as it is. Their absolute imports of each other still work, also inside functions:
such a module has its own ``__import__``. A module is imported once and again after a file changed.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from aria_core.exceptions import AriaError

_PREFIX = "_aria_template_"

# sys.modules belongs to the process, and so must the lock that guards our part of it.
_LOCK = threading.RLock()


class FunctionImportError(AriaError):
    """A function that an operation or workflow names cannot be had; the cause is kept."""


def import_function(name: str, code: str | Path | None = None) -> Callable[..., Any]:
    """The function ``package.module:name`` (or ``package.module.name``).

    `code` is the directory of the template's own modules; they hide installed ones. Raises
    ``FunctionImportError``, also for whatever the module raises while it is imported.
    """
    module_name, *parts = _split(name)
    found: Any = _import_module(module_name, code, name)
    for part in parts:
        found = getattr(found, part, None)
        if found is None:
            raise FunctionImportError(
                f"the module {module_name} has no {'.'.join(parts)!r}, which {name!r} asks for")
    if not callable(found):
        raise FunctionImportError(f"{name!r} is a {type(found).__name__}; an operation needs a function")
    function: Callable[..., Any] = found
    return function


def forget_code(code: str | Path) -> None:
    """Let go of the modules of a directory that goes away; functions of it that are in use go on working."""
    with _LOCK:
        _forget(_place(os.path.abspath(code))[1])  # noqa: PTH100


@lru_cache(1024)
def _split(name: str) -> tuple[str, ...]:
    """The module, and the names that lead from it to the function."""
    module, separator, path = name.partition(":") if ":" in name else name.rpartition(".")
    if not separator or not all(part.isidentifier() for part in (*module.split("."), *path.split("."))):
        raise FunctionImportError(f"{name!r} names no function; write package.module:function")
    return (module, *path.split("."))


def _import_module(module: str, code: str | Path | None, wanted: str) -> ModuleType:
    try:
        if code is not None:
            with _LOCK:
                root = _root(os.path.abspath(code))  # noqa: PTH100 - as in `_owns`
                if root.owns(module.partition(".")[0]):
                    return importlib.import_module(f"{root.__name__}.{module}")
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        missing = _missing(error)
        if missing is not None and (module == missing or module.startswith(f"{missing}.")):
            where = f" in {code} or" if code else ""
            raise FunctionImportError(
                f"there is no module {module}{where} among the installed packages, "
                f"which {wanted!r} asks for") from error
        kind = type(error).__name__
        raise FunctionImportError(f"importing {module} for {wanted!r} failed: {kind}: {error}") from error


def _missing(error: BaseException) -> str | None:
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    return error.name.split(".", 1)[-1] if error.name.startswith(_PREFIX) else error.name


def _owns(code: str, top: str) -> bool:
    """Whether the directory itself provides the top-level module, as ``sys.path`` would have it."""
    folder = os.path.join(code, top)  # noqa: PTH118 - this is asked for each call, and a Path costs ten times as much
    if os.path.isfile(f"{folder}.py") or os.path.isfile(f"{folder}/__init__.py"):  # noqa: PTH113
        return True
    if not os.path.isdir(folder):  # noqa: PTH112
        return False
    return any(Path(folder).glob("**/*.py")) and importlib.util.find_spec(top) is None


class _Root(ModuleType):
    """The invisible package whose modules are those of one directory."""

    def __init__(self, name: str, code: str) -> None:
        super().__init__(name)
        self.__path__ = [code]
        self.stamps: dict[str, tuple[int, int]] = {}

    def is_current(self) -> bool:
        """Whether every file imported so far is still the same."""
        return all(_stamp(path) == stamp for path, stamp in self.stamps.items())

    def owns(self, top: str) -> bool:
        """Whether an absolute import of `top` means this directory's own module."""
        return f"{self.__name__}.{top}" in sys.modules or _owns(self.__path__[0], top)


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - as in `_owns`
    except OSError:
        return (0, -1)
    return (status.st_mtime_ns, status.st_size)


def _root(code: str) -> _Root:
    directory, name = _place(code)
    if not any(isinstance(each, _TemplateFinder) for each in sys.meta_path):
        sys.meta_path.insert(0, _TemplateFinder())
    known = sys.modules.get(name)
    if isinstance(known, _Root) and known.is_current():
        return known
    _forget(name)
    sys.modules[name] = made = _Root(name, directory)
    return made


@lru_cache(64)
def _place(code: str) -> tuple[str, str]:
    """Where a directory really is, and the name of the package that stands for it."""
    directory = str(Path(code).resolve())
    return directory, _PREFIX + hashlib.sha256(directory.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _forget(root: str) -> None:
    for each in [each for each in sys.modules if each == root or each.startswith(f"{root}.")]:
        del sys.modules[each]


class _TemplateFinder:
    """Finds modules below a `_Root`; has no state, so one of it serves all."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
                  ) -> ModuleSpec | None:
        """The spec of a template's module, None for all others."""
        if not name.startswith(_PREFIX) or path is None:
            return None
        found = (FileFinder(each, (_TemplateLoader, [".py"])).find_spec(name) for each in path)
        return next((spec for spec in found if spec is not None), None)


class _TemplateLoader(SourceFileLoader):
    """Runs a template's module with an ``__import__`` that knows its directory; writes no byte code."""

    def get_code(self, fullname: str) -> CodeType:
        """The module compiled from its source: an old ``.pyc`` may lie beside a newer file."""
        path = self.get_filename(fullname)
        root = _root_of(fullname)
        root.stamps[path] = _stamp(path)
        code: CodeType = self.source_to_code(Path(path).read_bytes(), path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importer(module.__name__)}
        super().exec_module(module)


def _root_of(fullname: str) -> _Root:
    root = sys.modules[fullname.partition(".")[0]]
    if not isinstance(root, _Root):
        raise ImportError(f"{fullname} is not below a template's directory", name=fullname)
    return root


def _importer(fullname: str) -> Callable[..., ModuleType]:
    root = _root_of(fullname)

    def template_import(name: str, globals_: Mapping[str, Any] | None = None,
                        locals_: Mapping[str, Any] | None = None, fromlist: Sequence[str] = (),
                        level: int = 0) -> ModuleType:
        top = name.partition(".")[0]
        if not level and not root.owns(top):
            return builtins.__import__(name, globals_, locals_, fromlist, level)
        with _LOCK:
            sys.modules.setdefault(root.__name__, root)
            if level or fromlist:
                full = name if level else f"{root.__name__}.{name}"
                return builtins.__import__(full, globals_, locals_, fromlist, level)
            importlib.import_module(f"{root.__name__}.{name}")
            return sys.modules[f"{root.__name__}.{top}"]

    return template_import
