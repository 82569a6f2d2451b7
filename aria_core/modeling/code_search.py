"""Finding the source of the function that an operation names, where a worker would import it from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple, TypeAlias

from aria_core.modeling.python_source import ModuleFacts, UnreadableSourceError, read_facts
from aria_core.modeling.signatures import Signature

ReadCode: TypeAlias = Callable[[str], bytes | None]
"""A path below a folder -> the bytes of the file there; None if there is no such file."""

_MOST_IMPORTS = 8
_COMPILED = tuple(f"{between}{suffix}" for between in ("", "/__init__") for suffix in EXTENSION_SUFFIXES)


class UnknownCodeError(Exception):
    """Nobody can say what an import would give without doing it."""


class Source(NamedTuple):
    """The source of a module: its bytes, its file as people know it, and whether it is a package's."""

    data: bytes
    file: str
    is_package: bool


class Folder:
    """A folder in which modules may lie; `shown` stands before the names of its files."""

    def __init__(self, read: ReadCode, shown: str = "") -> None:
        self._read = read
        self._shown = shown

    def module(self, stem: str) -> Source | None:
        """The module or package of that path; raises ``UnknownCodeError`` if it is no plain source."""
        for path, is_package in ((f"{stem}/__init__.py", True), (f"{stem}.py", False)):
            data = self._read(path)
            if data is not None:
                return Source(data, f"{self._shown}{path}", is_package)
        return None

    def has_folder(self, path: str) -> bool:
        """Whether there is a folder of that path, as far as that is known."""
        return False


class InstalledFolder(Folder):
    """A folder of this host that Python searches; its files are shown with their whole paths."""

    def __init__(self, directory: Path) -> None:
        super().__init__(lambda path: _bytes(directory / path), f"{directory}/")
        self._directory = directory

    def module(self, stem: str) -> Source | None:
        """See `Folder`."""
        if self._directory.is_file():
            raise UnknownCodeError  # an archive
        for compiled in (f"{stem}{suffix}" for suffix in _COMPILED):
            if self._directory.joinpath(compiled).exists():
                raise UnknownCodeError
        return super().module(stem)

    def has_folder(self, path: str) -> bool:
        """See `Folder`."""
        return self._directory.joinpath(path).is_dir()


def own_folder(directory: Path) -> Folder:
    """The folder of this host with the template's own modules; their files are shown as it names them."""
    return Folder(lambda path: _bytes(directory / path))


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (OSError, ValueError):
        return None


def search_path(path: Iterable[str]) -> tuple[Folder, ...]:
    """The folders of a ``sys.path``."""
    return tuple(InstalledFolder(Path(each).absolute()) for each in path)


class CodeSearch:
    """Finds functions: first in the template's `own` modules, then in the `installed` ones.

    Only what the template itself should have is said to be missing: there are ways to install a module
    that only Python knows.
    """

    def __init__(self, own: Folder | None = None, installed: Sequence[Folder] = ()) -> None:
        self._own = own
        self._installed = installed
        self._known: dict[str, Signature | str | None] = {}

    def look_up(self, function: str) -> Signature | str | None:
        """The signature of ``package.module:name``; a sentence if there is none; None if nobody knows."""
        if function not in self._known:
            try:
                self._known[function] = self._look_up(function)
            except UnknownCodeError:
                self._known[function] = None
        return self._known[function]

    def is_own(self, module: str) -> bool:
        """Whether an import of `module` looks among the template's own modules, and nowhere else."""
        if self._own is None or self._has_own(module):
            return self._own is not None
        try:
            return _find(module, [self._own]) is not None and not self._is_installed(module)
        except UnknownCodeError:
            return False

    def _has_own(self, module: str) -> bool:
        """Whether a module or package of the template's own is, or encloses, `module`."""
        return self._own is not None and self._own.module(module.partition(".")[0]) is not None

    def _find(self, module: str) -> Source | None:
        """The source that an import of `module` would run; None if it is not found."""
        if self._own is not None and self.is_own(module):
            return _find(module, [self._own])
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            raise UnknownCodeError  # some of it is not on any path
        return _find(module, self._installed)

    def _is_installed(self, module: str) -> bool:
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            return True
        try:
            return any(each.has_folder(top) or each.module(top) is not None for each in self._installed)
        except UnknownCodeError:
            return True

    def _look_up(self, function: str) -> Signature | str | None:
        module, _, name = function.partition(":") if ":" in function else function.rpartition(".")
        source = self._find(module)
        if source is None:
            if not self._has_own(module) or any(_facts(each).is_open for each in self._packages(module)):
                return None
            return f"the template has no module {module}, which {function} asks for"
        facts = _facts(source)
        if facts.is_open or name in facts.names or "." in name or not self._has_own(module):
            return self._defined(function, module, name)
        return f"{source.file} has no function {name!r}, which {function} asks for"

    def _packages(self, module: str) -> Iterator[Source]:
        """The packages that `module` is inside of: one of them may say where its modules lie."""
        while "." in module:
            module = module.rpartition(".")[0]
            found = self._find(module)
            if found is not None:
                yield found

    def _defined(self, function: str, module: str, name: str) -> Signature | None:
        """The signature of what `name` means in `module`: its definition is looked for through imports."""
        for _ in range(_MOST_IMPORTS):
            source = self._find(module)
            if source is None:
                return None
            facts = _facts(source)
            if name in facts.functions:
                head = facts.functions[name]
                return Signature(function, f"{source.file}:{head.line}", head.arguments, head.takes_any,
                                 head.takes_ctx)
            if name not in facts.imports:
                return None
            imported = facts.imports[name]
            module, name = _absolute(imported.module, imported.level, module, source), imported.name
        return None


def _find(module: str, folders: Sequence[Folder]) -> Source | None:
    *packages, last = module.split(".")
    places = [(folder, "") for folder in folders]
    for name in packages:
        found = _first(name, places)
        if found is None:  # a package without __init__.py: all folders of that name together
            places = [(folder, f"{base}{name}/") for folder, base in places]
        elif found[2].is_package:
            places = [(found[0], f"{found[1]}{name}/")]
        else:
            return None
    found = _first(last, places)
    return None if found is None else found[2]


def _first(name: str, places: Sequence[tuple[Folder, str]]) -> tuple[Folder, str, Source] | None:
    for folder, base in places:
        source = folder.module(f"{base}{name}")
        if source is not None:
            return folder, base, source
    return None


def _facts(source: Source) -> ModuleFacts:
    try:
        return read_facts(source.data)
    except UnreadableSourceError as error:
        raise UnknownCodeError from error


def _absolute(module: str, level: int, importer: str, source: Source) -> str:
    if not level:
        return module
    parts = importer.split(".")
    kept = parts[:len(parts) - level + source.is_package]
    if not kept:
        raise UnknownCodeError
    return ".".join([*kept, *([module] if module else [])])
