"""Archives of plugins before they are installed: whose they are, that they are the right one, and still."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from aria_core.exceptions import InvalidInputError
from aria_core.extensions import Extensions
from aria_core.extensions.kinds import INSTALLERS
from aria_core.extensions.recognition import Recognisers
from aria_core.installer import Installer, PluginInfo
from aria_core.orchestrator.exceptions import InvalidPluginError

LARGEST = 2 << 30
"""How many bytes an archive may have."""

_CHUNK = 1 << 20
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._!+-]*")
_NAMING = {"package_name": 128, "package_version": 64}
_LONGEST = 255
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Archive:
    """A copy of an archive that only this process touches, and the SHA-256 of its bytes.

    What is hashed must be what is installed: the file that was given may be another one a moment later.
    """

    given: Path
    path: Path
    sha256: str

    @contextmanager
    def named_as_given(self) -> Iterator[None]:
        """Let complaints name the file that was given."""
        try:
            yield
        except InvalidPluginError as error:
            raise InvalidPluginError(str(error).replace(str(self.path), str(self.given))) from error


def checked_pin(sha256: str | None) -> str | None:
    """The SHA-256 in lower case; ``InvalidInputError`` if it is none."""
    if sha256 is None:
        return None
    found = _SHA256.fullmatch(sha256.strip())
    if found is None:
        raise InvalidInputError(f"{sha256!r} is no SHA-256; that is 64 of the characters 0-9 a-f")
    return found[1].lower()


def take_archive(path: Path, directory: Path, pin: str | None) -> Archive:
    """Copy an archive into the new `directory`; ``InvalidPluginError`` if it is not the one of the pin."""
    directory.mkdir(mode=0o700)
    archive = Archive(path, directory / path.name, _copy(path, directory / path.name))
    if pin is not None and archive.sha256 != pin:
        raise InvalidPluginError(
            f"the plugin archive {path} is not the one that was asked for: its SHA-256 is {archive.sha256}, "
            f"not {pin}")
    return archive


def _copy(source: Path, target: Path) -> str:
    digest, size = hashlib.sha256(), 0
    with _opened(source) as chunks, target.open("xb") as copy:
        for chunk in chunks:
            digest.update(chunk)
            copy.write(chunk)
            size += len(chunk)
            if size > LARGEST:
                raise InvalidPluginError(f"the plugin archive {source} has more than {LARGEST} bytes, which "
                                         "is the limit")
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidPluginError(
            f"the plugin archive {path} cannot be read: {error.strerror or error}") from error
    with file:
        yield iter(lambda: file.read(_CHUNK), b"")


def recogniser(path: Path, installers: Iterable[Installer] | None) -> Installer:
    """The installer that an archive is for; ``InvalidPluginError`` if there is none."""
    if not path.is_file():
        raise InvalidPluginError(f"there is no plugin archive {path}")
    installer = _first(path, Extensions().recognisers(INSTALLERS) if installers is None else installers)
    if installer is None:
        raise InvalidPluginError(f"{path} is no plugin archive; a plugin is a wagon: a zip or tar.gz archive "
                                 "(.wgn) with one folder that holds package.json and wheels")
    return installer


def inspected(path: Path, installer: Installer) -> PluginInfo:
    """What an archive says of itself; ``InvalidPluginError`` if that cannot be a directory and a row."""
    info = installer.inspect(path)
    for name, limit in _NAMING.items():
        value = getattr(info, name)
        if not _SAFE.fullmatch(value) or len(value) > limit:
            raise InvalidPluginError(
                f"{path} has the {name} {value!r}, of which no directory can be made; it takes at most "
                f"{limit} of the characters A-Z a-z 0-9 . _ ! + - and begins with a letter or digit")
    for name, value in asdict(info).items():
        for text in (value,) if isinstance(value, str) else value or ():
            if len(text) > _LONGEST or not text.isprintable():
                raise InvalidPluginError(
                    f"{path} has a {name} that cannot be stored; it takes at most {_LONGEST} characters, and "
                    f"only such as can be printed: {text[:50]!r}")
    return info


def _first(path: Path, installers: Iterable[Installer]) -> Installer | None:
    if not isinstance(installers, Recognisers):
        return next((each for each in installers if each.recognises(path)), None)
    try:
        found: Installer = installers.recognise(path)
    except InvalidInputError:
        return None  # what is wrong with an installer that cannot be used has been logged
    return found
