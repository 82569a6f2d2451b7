"""Small wagons and wheels for tests, made in a millisecond and without any tool."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

LIBRARY = Path("venv", "lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
"""Where the code of an installed wagon is, below its directory."""
PROGRAMS = Path("venv", "bin")

SOURCE = "def greet(ctx, name='world'):\n    return f'hello {name}'\n"


def make_wheel(name: str, version: str = "1.0", *, files: Mapping[str, str] | None = None,
               requires: Iterable[str] = (), tag: str = "py3-none-any", python: str = "",
               metadata: str | None = None) -> tuple[str, bytes]:
    """A wheel's file name and its bytes; without `files` it has a module that greets."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    content = {
        **({f"{module}.py": SOURCE} if files is None else files),
        f"{info}/METADATA": _metadata(name, version, requires, python) if metadata is None else metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = io.StringIO()
    rows = [(path, _hash(text), len(text.encode())) for path, text in content.items()]
    csv.writer(record, lineterminator="\n").writerows([*rows, (f"{info}/RECORD", "", "")])
    content[f"{info}/RECORD"] = record.getvalue()
    return f"{module}-{version}-{tag}.whl", make_zip(content)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def _metadata(name: str, version: str, requires: Iterable[str], python: str) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}",
             *([f"Requires-Python: {python}"] if python else []),
             *(f"Requires-Dist: {each}" for each in requires)]
    return "\n".join(lines) + "\n"


def make_manifest(name: str, version: str, wheels: Iterable[str], **changes: Any) -> dict[str, Any]:
    """What wagon writes into ``package.json``, with `changes`."""
    module = name.replace("-", "_")
    nothing = dict.fromkeys(("distribution", "distribution_release", "distribution_version"))
    return {
        "archive_name": f"{module}-{version}-py311-none-any.wgn", "build_server_os_properties": nothing,
        "created_by_wagon_version": "1.0.3", "files": [], "package_build_tag": "", "package_name": name,
        "package_source": ".", "package_version": version, "python_requires": "", "supported_platform": "any",
        "supported_python_versions": ["py311"], "wheels": sorted(wheels), **changes}


def make_wagon(name: str = "greeter", version: str = "1.0", wheels: Iterable[tuple[str, bytes]] = (),
               **changes: Any) -> dict[str, bytes]:
    """The entries of a wagon: of these wheels, or of one that greets."""
    content = dict(wheels) or dict([make_wheel(name, version)])
    manifest = make_manifest(name, version, content, **changes)
    return {f"{name}/package.json": json.dumps(manifest).encode(),
            **{f"{name}/wheels/{file}": data for file, data in content.items()}}


def make_zip(entries: Mapping[str, bytes | str]) -> bytes:
    """A zip of these entries."""
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def make_tar(entries: Mapping[str, bytes]) -> bytes:
    """A tar.gz of these entries, with the folders before their files as wagon writes them."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for folder in dict.fromkeys(str(Path(name).parent) for name in sorted(entries)):
            head = tarfile.TarInfo(folder)
            head.type, head.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(head)
        for name, data in entries.items():
            head = tarfile.TarInfo(name)
            head.size = len(data)
            archive.addfile(head, io.BytesIO(data))
    return file.getvalue()


def write_wagon(path: Path, entries: Mapping[str, bytes] | None = None) -> Path:
    """Write a wagon as a zip, or as a tar.gz if `path` says so; gives `path`."""
    content = make_wagon() if entries is None else entries
    path.write_bytes(make_tar(content) if ".tar" in path.suffixes else make_zip(content))
    return path
