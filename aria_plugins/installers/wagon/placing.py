"""Putting checked wheels into a folder, with pip or, where there is none, with uv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from aria_core import ExtensionBrokenError

SECONDS = 600


class PlacingError(Exception):
    """The wheels were not installed; says why."""


def place(wheels: Sequence[Path], target: Path) -> None:
    """Install `wheels`, and nothing else, into the folder `target`; asks no index, runs no code of theirs.

    Raises ``PlacingError``, or ``ExtensionBrokenError`` if there is neither pip nor uv.
    """
    command = [*_program(), "--no-index", "--no-deps", "--only-binary", ":all:", "--target", str(target),
               *map(str, wheels)]
    try:
        done = subprocess.run(  # nosec B603 # pip, with paths of our own
            command, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlacingError(str(error)) from error
    if done.returncode:
        raise PlacingError(_last_words(done.stdout) or f"{command[0]} ended with {done.returncode}")


def _program() -> list[str]:
    """What begins the command; alone it is deaf to all configuration."""
    if find_spec("pip") is not None:
        return [sys.executable, "-I", "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input",
                "install", "--no-cache-dir"]
    uv = find_uv()
    if uv is None:
        raise ExtensionBrokenError("installing a wagon needs pip or uv, and neither is here; "
                                   "'python -m ensurepip' brings pip")
    return [uv, "pip", "install", "--no-config", "--offline", "--no-cache", "--quiet",
            "--python", sys.executable]


def find_uv() -> str | None:
    """The path of uv: beside this interpreter, or on the search path."""
    return shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PIP_", "UV_", "PYTHON"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull}


def _last_words(output: bytes) -> str:
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return " ".join(errors or lines[-3:])
