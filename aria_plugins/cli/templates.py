"""From a file to a stored template, and whether a stored one is still what the file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .folder import own_files
from .printing import say
from .program import Program

if TYPE_CHECKING:
    from aria_core import ImportedFile, LoadedTemplate, Loader, ServiceTemplate, TemplateSpec

YAML_ENDINGS = (".yaml", ".yml")


def load(program: Program, source: Path, loader: str | None = None,
         name: str | None = None) -> LoadedTemplate:
    """The template in `source`, unsaved, under `name` if one is given; its warnings are told.

    Raises ``LoadError`` with all its problems, ``InvalidInputError`` if no loader recognises it.
    """
    loaded = load_silently(program, source, loader)
    for each in loaded.warnings:
        say(f"warning: {each}")
    if name is not None:
        loaded.template.name = name
    return loaded


def load_silently(program: Program, source: Path, loader: str | None = None) -> LoadedTemplate:
    """The same, without a word about its warnings."""
    return _loader(program, source, loader).load(source, _read)


def imported(program: Program, source: Path,
             loader: str | None = None) -> tuple[list[ImportedFile], list[str]]:
    """See ``Loader.imported``."""
    return _loader(program, source, loader).imported(source, _read)


def stored_or_file(program: Program, name: str, loader: str | None = None) -> TemplateSpec:
    """The stored template of this name, or else what the file of this name says.

    Raises ``NotFoundError`` if there is neither, and what `load` raises.
    """
    from aria_core import NotFoundError, template_spec

    try:
        return template_spec(program.model, program.model.service_template.get_by_name(name))[0]
    except NotFoundError as error:
        if Path(name).is_file():
            return load(program, Path(name), loader).template
        raise NotFoundError(f"{error}, and no file") from None


def _loader(program: Program, source: Path, name: str | None) -> Loader:
    from aria_core import InvalidInputError

    loaders = program.application.loaders
    if name:
        return loaders.named(name)
    try:
        return loaders.recognise(source)
    except InvalidInputError:
        if source.suffix.lower() not in YAML_ENDINGS:
            raise
        # Nobody recognises it, perhaps because it is not even YAML: ours says what is wrong, and where.
        return loaders.named("tosca")


def _read(path: Path) -> bytes:
    from aria_core import LoadError

    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LoadError([f"{path}: cannot be read: {error.strerror}"]) from error


def store(program: Program, loaded: LoadedTemplate) -> ServiceTemplate:
    """Store a template with the files of its folder: all of it or nothing.

    Raises what ``store_template`` raises.
    """
    from msgspec import structs

    from aria_core import store_template

    if loaded.directory is None:
        return store_template(program.model, program.resources, loaded)
    with own_files(Path(loaded.directory), program.config) as directory:
        cleaned = structs.replace(loaded, directory=str(directory))
        return store_template(program.model, program.resources, cleaned)


def change(program: Program, stored: ServiceTemplate, loaded: LoadedTemplate) -> str | None:
    """In what `loaded` differs from the template that is stored; None if in nothing."""
    from aria_core import template_spec

    spec, _ = template_spec(program.model, stored)
    if _essence(spec) != _essence(loaded.template):
        return "it says something else"
    return _changed_file(program, stored, loaded)


def _essence(part: Any) -> Any:
    """A specification without the places it was read from: comments move them."""
    from msgspec import Struct

    if isinstance(part, Struct):
        return {name: _essence(getattr(part, name)) for name in part.__struct_fields__ if name != "location"}
    if isinstance(part, dict):
        return {key: _essence(each) for key, each in part.items()}
    return [_essence(each) for each in part] if isinstance(part, list) else part


def _changed_file(program: Program, stored: ServiceTemplate, loaded: LoadedTemplate) -> str | None:
    """The first stored file that is not there as it was; the main file was compared by what it says."""
    if loaded.directory is None:
        return None
    kept = program.resources.service_template
    for path in kept.list(stored.id):
        place = Path(loaded.directory, path)
        if path != stored.main_file and not _is_same(kept.read(stored.id, path), place):
            return f"the file {path} is another one"
    return None


def _is_same(kept: bytes, place: Path) -> bool:
    try:
        return place.read_bytes() == kept
    except OSError:
        return False


def input_types(spec: TemplateSpec) -> dict[str, str]:
    """The declared types of a template's inputs, by name."""
    return {name: each.type for name, each in spec.inputs.items()}
