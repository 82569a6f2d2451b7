"""Getting a script: from the template's files, or from a URL."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path

from aria_core import NotFoundError, OperationContext, TaskAbortException, is_url, shown_url

_FIRST_LINE = 256


@dataclass(frozen=True, slots=True)
class Script:
    """A script: how messages name it, and where it lies on this host."""

    name: str
    file: Path

    @property
    def start(self) -> bytes:
        """What it begins with: enough of it to see what runs it."""
        with self.file.open("rb") as file:
            return file.read(_FIRST_LINE)


def fetch_script(ctx: OperationContext, script_path: str, directory: Path) -> Script:
    """Put the script into the new `directory`, under its own name; ``TaskAbortException`` if there is none.

    `script_path` is a path among the template's files or an ``http://`` or ``https://`` URL.
    """
    directory.mkdir(mode=0o700)
    if is_url(script_path):
        from aria_plugins.operations.script.download import download  # few need it, and it is slow to import

        file = download(script_path, directory)
    else:
        file = _copy(ctx, script_path, directory)
    file.chmod(0o700)
    return Script(shown_url(script_path), file)


def _copy(ctx: OperationContext, script_path: str, directory: Path) -> Path:
    script = directory / (posixpath.basename(script_path) or "script")
    try:
        ctx.download_resource(script, script_path)
    except NotFoundError as error:
        raise TaskAbortException(f"there is no script {script_path!r} among the template's files") from error
    if not script.is_file():
        raise TaskAbortException(f"{script_path!r} is a folder, not a script")
    return script
