"""Making a virtual environment of wheels: what an installer of plugins needs, whatever its archives are.

`docs/explanation/plugin-environments.md` says why each plugin has one.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, TypeAlias

from aria_core.exceptions import ExtensionBrokenError
from aria_core.orchestrator.exceptions import InvalidPluginError
from aria_core.worker.calls import Environment

Tool: TypeAlias = Literal["uv", "pip"]

SECONDS = 600
_MOST_WORDS = 500

_FOLDER = "venv"
_ONLY_THESE = ("--no-index", "--no-deps", "--only-binary", ":all:")
_TELLS_WHERE = ("direct_url.json", "uv_cache.json")
"""What pip and uv note about a wheel's file, which is gone afterwards."""

# Runs the python beside the program, wherever both are; to that python it is a string.
_TRAMPOLINE = b"""\
#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/'python' "$0" "$@"
' '''
"""


def install_wheels(plugin: str, wheels: Iterable[Path], directory: Path, tool: Tool | None = None
                   ) -> Environment:
    """Make a virtual environment in `directory` that holds `wheels` and nothing else.

    No index is asked, nothing is fetched or built, no code of the wheels runs, and no configuration of
    pip or uv is heard. What is made works wherever `directory` is moved to. `tool` None means uv where
    it is installed, else pip; they make the same.

    Raises ``InvalidPluginError`` if the wheels cannot be installed, ``ExtensionBrokenError`` if there
    is nothing to install them with.
    """
    home = directory.absolute() / _FOLDER
    programs = home / "bin"
    command = _command(tool, programs / "python")
    _Builder(symlinks=True, with_pip=False).create(home)
    made = _interpreter(home)
    _run([*command, *_ONLY_THESE, *(str(each.absolute()) for each in wheels)])
    if _interpreter(home) != made:
        raise InvalidPluginError("a wheel puts a file of its own in the place of the interpreter's")
    libraries = _libraries(home)
    for record in libraries.glob("*.dist-info/RECORD"):
        _forget_the_place(record, programs)
    (home / ".lock").unlink(missing_ok=True)
    return Environment(plugin, str(programs / "python"), (str(programs),), (str(libraries),))


class _Builder(venv.EnvBuilder):
    """Makes environments that do not know where they are."""

    def create_configuration(self, context: SimpleNamespace) -> None:
        """Write ``pyvenv.cfg`` without the command that made it; uv reads the last line."""
        (Path(context.env_dir) / "pyvenv.cfg").write_text(
            f"home = {context.python_dir}\ninclude-system-site-packages = false\n"
            f"version = {'.'.join(map(str, sys.version_info[:3]))}\nrelocatable = true\n", encoding="utf-8")

    def setup_scripts(self, context: SimpleNamespace) -> None:
        """Leave out the scripts that activate an environment: they hold its place."""


def _libraries(home: Path) -> Path:
    return home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _interpreter(home: Path) -> dict[str, str]:
    """What says which interpreter an environment has, and what that sees."""
    links = {each.name: str(each.readlink()) for each in (home / "bin").glob("python*") if each.is_symlink()}
    return {**links, "pyvenv.cfg": (home / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")}


def _command(tool: Tool | None, python: Path) -> list[str]:
    """What installs into the environment of `python`, deaf to all configuration."""
    uv = find_uv() if tool != "pip" else None
    if uv is not None:
        return [uv, "pip", "install", "--no-config", "--offline", "--no-cache", "--quiet",
                "--python", str(python)]
    if tool != "uv" and find_spec("pip") is not None:
        return [sys.executable, "-I", "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input",
                "--python", str(python), "install", "--no-cache-dir", "--no-compile", "--quiet"]
    raise ExtensionBrokenError("installing a plugin needs uv or pip, and neither is here; "
                               "pip install 'aria-core[uv]' or 'python -m ensurepip' brings one")


def find_uv() -> str | None:
    """The path of uv: beside this interpreter, or on the search path."""
    return shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(  # nosec B603 # pip or uv, with paths of our own
            command, env=_variables(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InvalidPluginError(str(error)) from error
    if done.returncode:
        raise InvalidPluginError(_last_words(done.stdout) or f"{command[0]} ended with {done.returncode}")


def _variables() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PIP_", "UV_", "PYTHON"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull}


def _last_words(output: bytes) -> str:
    """What was said from the first error on, in one line."""
    lines = [" ".join(line.split()) for line in output.decode("utf-8", "replace").splitlines()]
    first = next((at for at, line in enumerate(lines) if line.lower().startswith("error")), -3)
    return " ".join(filter(None, lines[first:]))[:_MOST_WORDS]


def _forget_the_place(record: Path, programs: Path) -> None:
    """Take out of one distribution what depends on where it is, and out of its list of files, too."""
    with record.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    kept = []
    for name, *rest in rows:
        path = Path(os.path.normpath(record.parent.parent / name))
        if path.parent == record.parent and path.name in _TELLS_WHERE:
            path.unlink(missing_ok=True)
        elif path.parent == programs and path.is_file() and _relocate(path):
            kept.append([name, _digest(path), str(path.stat().st_size)])
        else:
            kept.append([name, *rest])
    with record.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(kept)


def _relocate(program: Path) -> bool:
    """Let a program begin with the interpreter beside it; False if it does not begin with that anyway."""
    data, ours = program.read_bytes(), os.fsencode(program.parent / "python")
    if data.startswith(b"#!" + ours):
        body = data.split(b"\n", 1)[1]
    elif data.startswith((b"#!/bin/sh\n'''exec' " + ours, b"#!/bin/sh\n'''exec' \"" + ours)):
        body = data.split(b"\n", 3)[3]  # what pip writes where the path is long or has blanks
    else:
        return False
    program.write_bytes(_TRAMPOLINE + body)
    program.chmod(0o755)  # pip believes the wheel, which need not say that it is a program
    return True


def _digest(path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
