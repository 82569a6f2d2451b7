"""TOSCA Simple Profile 1.0 to 1.3 and TOSCA 2.0 in YAML.

A file is read into positioned values (`values`), checked against its version's table of keynames
(`keynames`, `grammar`), turned into the words of 1.3 if it is of 2.0 (`translation`), joined with what it
imports (`documents`), its types are resolved (`types`, `members`, `schemas`, `declarations`), its topology
becomes a service template (`topology`, with `conversion` for values, `functions` for expressions,
`requirements` for relationships, `operations` for implementations, `policies` for plugins and workflows).
Every part adds what it finds wrong to one list of problems and goes on, so an author sees them all at once.

Operations say how they are run (attempts, timeouts, a script's directory and environment) in the
``dependencies`` of their implementation; the table is in `operations`. Importing ``aria-1.0`` gives the
policy types ``aria.Plugin``, ``aria.Workflow``, ``aria.Concurrency`` and ``aria.Scaling``.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

from aria_core import (
    ImportedFile,
    LoadedTemplate,
    Loader,
    LoadError,
    Read,
    TemplateSpec,
    collector_at_rest,
    hookimpl,
    own_code_problems,
)

from .csar import is_folder, opened
from .documents import Document, Library
from .keynames import VERSION_KEY
from .loops import refuse_loops
from .operations import Files, Implementations
from .problems import Place, Problems, TemplateError, TooManyProblemsError
from .topology import Topology
from .types import Types
from .usage import forgive_unused
from .values import field, text

HEADER_BYTES = 65_536
ENDINGS = (".yaml", ".yml")
ARCHIVES = (".csar", ".zip")
"""What an archive's name ends with; a folder may be laid out like one."""


class ToscaLoader(Loader):
    """Loads a TOSCA service template from a YAML file."""

    def recognises(self, source: Path) -> bool:
        """Whether it is a YAML file that says its TOSCA version near its beginning, or an archive."""
        if source.suffix.lower() in ARCHIVES or is_folder(source):
            return True
        if source.suffix.lower() not in ENDINGS:
            return False
        try:
            with source.open("rb") as file:
                return VERSION_KEY.encode() in file.read(HEADER_BYTES)
        except (OSError, ValueError):
            return False

    def load(self, source: Path, read: Read) -> LoadedTemplate:
        """The service template in `source`; raises ``LoadError`` with all that is wrong with it."""
        if source.suffix.lower() not in ARCHIVES and not source.is_dir():
            return _load(source, read, source.parent, source.parent, source.name)
        files = opened(source, read)
        try:
            loaded = _load(files.root / files.main, files.read if files.is_private else read, files.root,
                           files.folder, files.main)
        except BaseException:
            files.discard()
            raise
        weakref.finalize(loaded, files.discard)
        return loaded

    def imported(self, source: Path, read: Read) -> tuple[list[ImportedFile], list[str]]:
        """See `Loader.imported`; also what the keynames of each file's version say of it."""
        if source.suffix.lower() in ARCHIVES or source.is_dir():
            files = opened(source, read)
            try:
                return _imported(files.root / files.main, files.read if files.is_private else read)
            finally:
                files.discard()
        return _imported(source, read)


def _imported(source: Path, read: Read) -> tuple[list[ImportedFile], list[str]]:
    problems, document = Problems(), None
    try:
        document = Library(read, problems).main(source)
    except TooManyProblemsError:
        pass  # the last problem says so
    except RecursionError:
        problems.add(Place(str(source), 1, 1), "the template is nested too deeply")
    files = [ImportedFile(str(source), 0)] if document is None else [*_walk(document, 0, "", "")]
    return files, [str(each) for each in problems]


def _walk(document: Document, depth: int, prefix: str, place: str) -> Iterator[ImportedFile]:
    """A document and what it imports; loops are errors, so this ends."""
    yield ImportedFile(document.name, depth, document.version, prefix, place)
    for inner, imported, at in document.imports:
        yield from _walk(imported, depth + 1, inner, str(at))


def _load(source: Path, read: Read, root: Path, folder: Path, main: str) -> LoadedTemplate:
    """The template in `source`, whose files are shown to lie in `root`, and really lie in `folder`."""
    with collector_at_rest():  # a thousand nodes are many objects, nearly all of which stay
        problems, template, missing = examine(source, read, root)
    if len(problems) or template is None:
        raise LoadError([str(each) for each in problems])
    return LoadedTemplate(template=template, directory=str(folder), main_file=main,
                          warnings=problems.warnings, missing=missing)


def examine(source: Path, read: Read, root: Path) -> tuple[Problems, TemplateSpec | None, list[str]]:
    """What is wrong with the template in `source`, the template as far as it can be understood, and a
    sentence for each of its files that is not there; these lie in `root`."""
    problems = Problems()
    try:
        library = Library(read, problems)
        document = library.main(source)
        if document is not None:
            return problems, *_build(Files(root, read), library, document, problems)
    except TemplateError as error:
        problems.keep(error)
    except TooManyProblemsError:
        pass  # the last problem says so
    except RecursionError:
        problems.add(Place(str(source), 1, 1), "the template is nested too deeply")
    return problems, None, []


def _build(files: Files, library: Library, document: Document,
           problems: Problems) -> tuple[TemplateSpec, list[str]]:
    types = Types(library, document, problems)
    name = text(field(field(document.root, "metadata"), "template_name")) or Path(document.name).stem
    implementations = Implementations(files, problems)
    template = Topology(types, implementations, problems, (document,)).build(document.root, name)
    refuse_loops(template, problems)
    for location, sentence in own_code_problems(template, files.read):
        problems.add(Place.of(location), sentence)
    forgive_unused(types, document, problems)
    return template, list(implementations.missing)


@hookimpl
def aria_loader() -> type[Loader]:
    """The loader of TOSCA templates."""
    return ToscaLoader
