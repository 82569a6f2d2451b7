"""``package.json``: what a wagon says of itself."""

from __future__ import annotations

import re

import msgspec
from packaging.version import InvalidVersion, Version

from aria_core import ArchiveError

MANIFEST = "package.json"
LIMIT = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class System(msgspec.Struct):
    """The system a wagon with compiled code was made on."""

    distribution: str | None = None
    distribution_release: str | None = None
    distribution_version: str | None = None


class Manifest(msgspec.Struct):
    """The fields of ``package.json`` that mean something here; wagon writes more.

    Of ``supported_platform`` and ``supported_python_versions`` nothing is concluded: they tell where
    the wagon was made, the tags of its wheels tell where it can be used.
    """

    package_name: str
    package_version: str
    wheels: list[str]
    archive_name: str = ""
    package_source: str | None = None
    supported_platform: str | None = None
    supported_python_versions: list[str] = []
    build_server_os_properties: System = msgspec.field(default_factory=System)


def read_manifest(data: bytes) -> Manifest:
    """The decoded ``package.json``; ``ArchiveError`` says what does not fit."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.ValidationError as error:
        raise ArchiveError(f"has a {MANIFEST} that does not describe a wagon: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArchiveError(f"has a {MANIFEST} that is not JSON: {error}") from error
    _check_name(manifest.package_name)
    _check_version(manifest.package_version)
    if not manifest.wheels:
        raise ArchiveError(f"has no wheels: the list in its {MANIFEST} is empty")
    return manifest


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ArchiveError(f"has the package name {name!r} in its {MANIFEST}; names are made of ASCII "
                           "letters, digits, '.', '_' and '-', and begin and end with a letter or digit")


def _check_version(version: str) -> None:
    try:
        Version(version)
    except InvalidVersion as error:
        raise ArchiveError(f"has the package version {version!r} in its {MANIFEST}, which is no Python "
                           "package version such as 1.0.2") from error
    if version != version.strip():
        raise ArchiveError(f"has the package version {version!r} in its {MANIFEST}, with blanks around it")
