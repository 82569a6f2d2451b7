"""Installs plugins that are a plain wheel: operations that need nothing but Python."""

from __future__ import annotations

import platform
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from aria_core import Environment, Installer, InvalidPluginError, PluginInfo, hookimpl, install_wheels

LARGEST = 64 << 20
"""How many bytes a wheel may unpack to."""


class WheelInstaller(Installer):
    """A plugin that is one wheel; for one that brings others, make a wagon."""

    def recognises(self, path: Path) -> bool:
        """Whether it is called like a wheel and begins like a zip."""
        try:
            with path.open("rb") as file:
                return path.suffix == ".whl" and file.read(4) == b"PK\x03\x04"
        except OSError:
            return False

    def inspect(self, path: Path) -> PluginInfo:
        """What the wheel says of itself, once it has been read whole."""
        try:
            name, version, needs = _read(path)
        except Exception as error:  # zipfile and packaging raise a dozen things
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InvalidPluginError(f"the wheel {path} cannot be a plugin: {reason}") from error
        if needs:
            raise InvalidPluginError(f"the wheel {path} needs {', '.join(needs)}, which it cannot bring; "
                                     "make a plugin of its source with 'aria plugins create'")
        return PluginInfo(name, name, version, path.name, wheels=(path.name,))

    def install(self, path: Path, directory: Path) -> Environment:
        """Make an environment that holds the wheel."""
        return install_wheels(self.inspect(path).name, [path], directory)


def _read(path: Path) -> tuple[str, str, list[str]]:
    """Name, version and requirements that are not fulfilled; raises what is wrong."""
    name, version, _, tags = parse_wheel_filename(path.name)
    if tags.isdisjoint(sys_tags()):
        raise ValueError(f"it is for another Python or system than {platform.python_version()} here")
    metadata = parse_email(_metadata(path))[0]
    if (canonicalize_name(metadata["name"]), metadata["version"]) != (name, str(version)):
        raise ValueError(f"its METADATA is that of {metadata['name']} {metadata['version']}")
    if platform.python_version() not in SpecifierSet(metadata.get("requires_python", "")):
        raise ValueError(f"it asks for Python {metadata['requires_python']}")
    wanted = map(Requirement, metadata.get("requires_dist", []))
    needs = [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return metadata["name"], str(version), [each for each in needs if canonicalize_name(each) != "aria-core"]


def _metadata(path: Path) -> bytes:
    with ZipFile(path) as wheel:
        found = [each for each in wheel.infolist() if _checked(each).endswith(".dist-info/METADATA")]
        if sum(each.file_size for each in wheel.infolist()) > LARGEST:
            raise ValueError(f"it unpacks to more than {LARGEST} bytes")
        if damaged := wheel.testzip():
            raise ValueError(f"{damaged} in it is damaged")
        if len(found) != 1:
            raise ValueError("it has no METADATA, or several")
        return wheel.read(found[0])


def _checked(info: ZipInfo) -> str:
    if info.filename.startswith("/") or ".." in info.filename.split("/"):
        raise ValueError(f"it holds {info.filename}, which leads out of it")
    return info.filename


@hookimpl
def aria_installer() -> type[Installer]:
    """The installer, under the name that the entry point gives it."""
    return WheelInstaller
