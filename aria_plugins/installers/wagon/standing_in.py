"""A wheel that stands in for ARIA where pip looks for what a plugin needs: it has nothing in it."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

_BUILD = "999999"
"""Of two wheels of one version pip takes the one with the higher build number: never one of an index."""


def write_stand_in(directory: Path, version: str) -> Path:
    """Write the wheel into the new `directory`, and give its path."""
    directory.mkdir()
    info = f"aria_core-{version}.dist-info"
    path = directory / f"aria_core-{version}-{_BUILD}-py3-none-any.whl"
    files = {"METADATA": f"Metadata-Version: 2.1\nName: aria-core\nVersion: {version}\n",
             "WHEEL": f"Wheel-Version: 1.0\nGenerator: aria\nRoot-Is-Purelib: true\nBuild: {_BUILD}\n"
                      "Tag: py3-none-any\n"}
    with ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(f"{info}/{name}", text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{info}/{each},,\n" for each in [*files, "RECORD"]))
    return path
