"""Documents: reading a template with everything it imports, each checked against its version's keynames."""

from __future__ import annotations

import posixpath
from pathlib import Path
from types import MappingProxyType

from aria_core import LoadError, Read

from .grammar import Grammar
from .keynames import OTHER_NAMES, VERSION_KEY
from .keynames import TABLES as TABLES_1
from .keynames_2_0 import TABLE_2_0
from .keynames_2_0 import VERSION as VERSION_2_0
from .problems import Place, Problems, TemplateError, listed, suggestion
from .profiles import PROFILES, read_profile
from .translation import Translation
from .values import Mapping, Scalar, Value, described, field, fields, items, parse, place_of, text

MAX_IMPORT_DEPTH = 50

TABLES = MappingProxyType({**TABLES_1, VERSION_2_0: TABLE_2_0})
"""Version -> its table."""


class Document:
    """One file: its values, its version and the documents it imports, each with its prefix."""

    def __init__(self, name: str, path: Path | None, root: Value | None, version: str) -> None:
        self.name = name
        self.path = path
        self.root = root
        self.version = version
        self.imports: list[tuple[str, Document, Place]] = []

    @property
    def is_profile(self) -> bool:
        """Whether it ships with the loader."""
        return self.path is None


class Library:
    """Every document of one load, by its name."""

    def __init__(self, read: Read, problems: Problems) -> None:
        self.documents: dict[str, Document] = {}
        self._read = read
        self._problems = problems
        self._open: list[str] = []

    def main(self, source: Path) -> Document | None:
        """The document in `source` with everything it imports; None if it cannot be read."""
        try:
            return self._document(source, Place(str(source), 1, 1), None)
        except TemplateError as error:
            self._problems.keep(error)
            return None

    def profile(self, name: str) -> Document:
        """A profile that ships with the loader."""
        shown = f"<profile {name}>"
        if shown not in self.documents:
            root = parse(read_profile(name), shown, self._problems)
            profile = self.documents[shown] = Document(shown, None, root, PROFILES[name])
            profile.imports = [("", self.profile(text(each) or ""), place_of(each))
                               for each in items(field(root, "imports"))]
        return self.documents[shown]

    def _document(self, path: Path, place: Place, importer: Document | None) -> Document:
        name = str(path)
        if name in self._open:
            loop = " -> ".join([*self._open[self._open.index(name):], name])
            raise TemplateError(place, f"these files import each other in a loop: {loop}")
        if name in self.documents:
            return self.documents[name]
        if len(self._open) >= MAX_IMPORT_DEPTH:
            raise TemplateError(place, f"imports are nested deeper than {MAX_IMPORT_DEPTH} files, which is "
                                "the limit")
        root = parse(self._bytes(path, place), name, self._problems)
        document = Document(name, path, root, self._version(name, root, importer))
        self._open.append(name)
        self._check(document)
        if document.version == VERSION_2_0 and root is not None:
            document.root = Translation(self._problems).document(root)
        self._import_all(document)
        self._open.pop()
        self.documents[name] = document
        return document

    def _bytes(self, path: Path, place: Place) -> bytes:
        try:
            return self._read(path)
        except LoadError as error:
            raise TemplateError(place, "; ".join(error.problems)) from None
        except FileNotFoundError:
            raise TemplateError(place, f"there is no file {path}") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise TemplateError(place, f"the file {path} cannot be read: {reason}") from None

    def _version(self, name: str, root: Value | None, importer: Document | None) -> str:
        if not isinstance(root, Mapping):
            found = "empty" if root is None else described(root)
            raise TemplateError(Place(name, 1, 1) if root is None else place_of(root),
                                f"this is {found}; a service template is a map that begins with "
                                f"{VERSION_KEY}")
        value = root.entries.get(VERSION_KEY)
        if value is None and importer is not None:
            return importer.version
        if value is None:
            raise TemplateError(place_of(root), f"the service template lacks the keyname `{VERSION_KEY}`; "
                                f"known versions are {listed(TABLES)}")
        self._check_first(root)
        return _known_version(value)

    def _check_first(self, root: Mapping) -> None:
        if next(iter(root.entries)) != VERSION_KEY:
            self._problems.add(place_of(root.keys[VERSION_KEY]), f"`{VERSION_KEY}` must be the first "
                               "keyname of the service template")

    def _check(self, document: Document) -> None:
        if document.root is not None:
            Grammar(TABLES[document.version], self._problems, nulls=document.version != VERSION_2_0).check(
                document.root, "service template", "the service template")

    def _import_all(self, document: Document) -> None:
        for each in items(field(document.root, "imports")):
            try:
                self._import(document, each)
            except TemplateError as error:
                self._problems.keep(error)

    def _import(self, document: Document, entry: Value) -> None:
        value = _unnamed(entry)
        file = value if isinstance(value, Scalar) else field(value, "file")
        name = text(file)
        if not name or file is None:
            return
        repository = field(value, "repository")
        prefix = text(field(value, "namespace_prefix")) or ""
        if repository is not None:
            name = self._in_repository(document, repository, name, place_of(entry))
        if repository is None and name in PROFILES and not self._lies_beside(document, name):
            document.imports.append((prefix, self.profile(name), place_of(file)))
        else:
            imported = self._file(document, name, place_of(file))
            document.imports.append((prefix, imported, place_of(file)))
            topology = field(imported.root, "topology_template")
            if topology is not None and field(topology, "substitution_mappings") is None:
                self._problems.warn(place_of(file), f"only the types of {imported.name} are imported, not "
                                    "its topology")

    def _file(self, document: Document, name: str, place: Place) -> Document:
        if "://" in name:
            raise TemplateError(place, f"`{name}` is a URL; an import names a file beside the template or "
                                "one of "
                                f"the profiles {listed(PROFILES)}")
        if posixpath.isabs(name) or "\0" in name or document.path is None:
            raise TemplateError(place, f"`{name}` is an absolute path; an import names a file relative to "
                                "its own")
        path = Path(posixpath.normpath(posixpath.join(document.path.parent.as_posix(), name)))
        return self._document(path, place, document)

    def _lies_beside(self, document: Document, name: str) -> bool:
        """Whether a file of its own stands in for a profile that is named like a file."""
        if document.path is None or not name.endswith(".yaml"):
            return False
        try:
            self._read(document.path.parent / name)
        except (OSError, ValueError, LoadError):
            return False
        return True

    def _in_repository(self, document: Document, repository: Value, name: str, place: Place) -> str:
        """Where a file of a repository is: nothing is fetched, so it must be a folder beside the template."""
        known = fields(field(document.root, "repositories"))
        of = text(repository) or ""
        if of not in known:
            raise TemplateError(place_of(repository), f"there is no repository `{of}`"
                                + suggestion(of, known, "the repositories"))
        url = text(known[of]) or text(field(known[of], "url")) or ""
        if "://" in url:
            raise TemplateError(place, f"`{name}` of the repository `{of}` is at {_shown(url)}, and nothing "
                                "is fetched from there; put it beside the template")
        return posixpath.join(url, name)


def _shown(url: str) -> str:
    """A URL without the user and the password in it."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def _unnamed(entry: Value) -> Value:
    """What an import under a name of its own means."""
    if isinstance(entry, Mapping) and len(entry.entries) == 1 and "file" not in entry.entries:
        return next(iter(entry.entries.values()))
    return entry


def _known_version(value: Value) -> str:
    name = text(value) or ""
    version = OTHER_NAMES.get(name, name)
    if version in TABLES:
        return version
    raise TemplateError(place_of(value), f"{described(value)} is no version of TOSCA that is known here; "
                        f"known versions are {listed(TABLES)}" + suggestion(name, TABLES))


