"""The files of the service and its template, as an operation reaches them."""

from __future__ import annotations

import base64
import os
import posixpath
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aria_core.exceptions import NotFoundError
from aria_core.worker.channel import Channel


class Resources:
    """Reads files through the channel, the service's before its template's."""

    def __init__(self, channel: Channel, before_render: Callable[[], None]) -> None:
        self._channel = channel
        self._before_render = before_render

    def get(self, path: str) -> bytes:
        """The bytes of a file; ``NotFoundError`` if there is none."""
        return b"".join(data for data, _ in self._pieces(path))

    def piece(self, path: str, offset: int) -> dict[str, Any]:
        """A part of a file as it travels: ``data`` (base64), ``size``, ``executable``; ``NotFoundError``."""
        found: dict[str, Any] = self._channel.ask({"ask": "resource", "path": path, "offset": offset})
        return found

    def below(self, path: str) -> list[str]:
        """The paths of the files below a folder; ``NotFoundError`` if there are none."""
        names: list[str] = self._channel.ask({"ask": "resources", "path": path})
        if not names:
            raise NotFoundError(f"there is no resource {path!r}" if path else "there are no resources")
        return names

    def download(self, destination: str | Path, path: str | None = None) -> None:
        """Copy a file to `destination` (into it, if that is a folder), or all files below a folder.

        Without `path`, all files. Raises ``NotFoundError``.
        """
        target = Path(destination)
        if path is not None and self._download_file(path, target):
            return
        names = self.below(path or "")
        top = posixpath.normpath(path) if path else ""
        for name in names:
            self._write(target / posixpath.relpath(name, top or "."), self._pieces(name))

    def render(self, path: str, variables: Mapping[str, Any] | None = None) -> str:
        """The rendered text; without `variables` the template sees ``ctx``, with this call's edits."""
        if variables is None:
            self._before_render()
        request = {"ask": "render", "path": path, "variables": None if variables is None else dict(variables)}
        return str(self._channel.ask(request))

    def download_rendered(self, destination: str | Path, path: str | None = None,
                          variables: Mapping[str, Any] | None = None) -> None:
        """As `render`, into a file (or into a folder, under the name it has in `path`)."""
        source = path or Path(destination).name
        text = self.render(source, variables)
        self._write(_inside(Path(destination), source), iter([(text.encode(), False)]))

    def _download_file(self, path: str, target: Path) -> bool:
        pieces = self._pieces(path)
        try:
            first = next(pieces)
        except NotFoundError:
            return False

        def all_pieces() -> Iterator[tuple[bytes, bool]]:
            yield first
            yield from pieces

        self._write(_inside(target, path), all_pieces())
        return True

    def _pieces(self, path: str) -> Iterator[tuple[bytes, bool]]:
        """The file bit by bit, each with whether it is executable; at least one, perhaps empty."""
        offset = 0
        while True:
            piece = self.piece(path, offset)
            data = base64.b64decode(piece["data"])
            yield data, bool(piece["executable"])
            offset += len(data)
            if offset >= piece["size"] or not data:
                return

    def _write(self, target: Path, pieces: Iterator[tuple[bytes, bool]]) -> None:
        # Written beside it and renamed: nobody sees half a file, and a running program is not overwritten.
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}")
        first, executable = next(pieces)
        mode = 0o777 if executable else 0o666
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(first)
                for data, _ in pieces:
                    file.write(data)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _inside(target: Path, source: str) -> Path:
    return target / posixpath.basename(posixpath.normpath(source)) if target.is_dir() else target
