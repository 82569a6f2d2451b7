"""``aria service-templates create-archive``: a template with all its files as one CSAR."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import click

from . import options
from .folder import own_files
from .printing import tell
from .program import Program, pass_program
from .templates import load

if TYPE_CHECKING:
    from aria_core import LoadedTemplate

_META = "TOSCA-Metadata/TOSCA.meta"
_DESCRIBED = "TOSCA-Meta-File-Version: 1.1\nCSAR-Version: 1.1\nCreated-By: ARIA\n"
_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip knows: the same files make the same archive, whenever they were written."""


@click.command("create-archive")
@click.argument("template", type=click.Path(exists=True, path_type=Path))
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path),
              help="Where to write it; else the template's name with .csar, here.")
@options.loader
@pass_program
def create_archive(program: Program, template: Path, output: Path | None, loader: str | None) -> None:
    """Pack TEMPLATE, a file or a folder with one, and all files of its folder into an archive (CSAR).

    A template that is not valid is refused, and so is a file that is there already. The same files make the
    same archive, byte by byte.
    """
    from aria_core import InvalidInputError, check_template

    loaded = load(program, template, loader)
    check_template(loaded.template)
    place = Path(f"{loaded.template.name}.csar") if output is None else output
    if place.exists():
        raise InvalidInputError(f"{place} is there already; remove it, or name another file with --output")
    _write(program, loaded, place)
    tell(f"{place} was written; 'aria run {place}' runs it")


def _write(program: Program, loaded: LoadedTemplate, place: Path) -> None:
    """All of it or nothing."""
    from aria_core import InvalidInputError

    if loaded.directory is None:
        raise InvalidInputError(f"the template {loaded.template.name!r} has no files to pack")
    with own_files(Path(loaded.directory), program.config) as folder, tempfile.NamedTemporaryFile(
            dir=place.parent, prefix=f".{place.name}.", delete=False) as draft:
        try:
            with ZipFile(draft, "w", ZIP_DEFLATED) as archive:
                _pack(archive, Path(folder), loaded.main_file)
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).chmod(0o644)
            os.link(draft.name, place)  # which fails if somebody was quicker
        finally:
            Path(draft.name).unlink()


def _pack(archive: ZipFile, folder: Path, main: str) -> None:
    files = {each.relative_to(folder).as_posix(): each for each in folder.rglob("*") if each.is_file()}
    archive.writestr(_info(_META, executable=False), _DESCRIBED + f"Entry-Definitions: {main}\n")
    for name in sorted(files.keys() - {_META}):
        executable = bool(files[name].stat().st_mode & stat.S_IXUSR)
        archive.writestr(_info(name, executable=executable), files[name].read_bytes())


def _info(name: str, *, executable: bool) -> ZipInfo:
    info = ZipInfo(name, _EARLIEST)
    info.compress_type = ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    return info
