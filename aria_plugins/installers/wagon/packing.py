"""Making wagons with the tool wagon, which has wishes that are met here.

Wagon 1.0.3 takes name and version from a ``setup.py`` in the current folder, has pip build what lies
there, writes the path of the source into the archive, and talks. So pip, asked once, makes the wheels of
the project and of what it needs, and wagon is given a folder of its own, in a process of its own: its
``setup.py`` tells a name and a version, and its build backend copies the wheel that is there already.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from string import Template
from zipfile import ZipFile

from packaging.metadata import parse_email
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from aria_core import ExtensionBrokenError, InvalidInputError, __version__

from .standing_in import write_stand_in

FORMATS = ("tar.gz", "zip")
SECONDS = 1800

_LONGEST_ANSWER = 1000
_NEEDED = ("wagon", "distro", "pip", "setuptools", "wheel")
_LEFT_OUT = (".tox", ".venv", "__pycache__", "*.egg-info", "*.pyc")
"""What is not copied: it is large, or belongs to this place. ``.git`` may be asked for a version."""

_SETUP = Template("""\
import fcntl, sys, termios, time

print({"--name": $name, "--version": $version}.get(sys.argv[1], ""), flush=True)
unread = bytearray(4)
for _ in range(6000):  # wagon hears nobody who has ended before it listens
    fcntl.ioctl(1, termios.FIONREAD, unread)
    if not any(unread):
        break
    time.sleep(0.01)
""")
_PROJECT = '[build-system]\nrequires = []\nbuild-backend = "ready"\nbackend-path = ["."]\n'
_BACKEND = Template("""\
import shutil

def build_wheel(directory, settings=None, metadata=None):
    shutil.copy("wheels/" + $file, directory)
    return $file

def build_sdist(directory, settings=None):
    raise NotImplementedError("there is a wheel only")
""")
_WAGON = """\
import json, sys, wagon
print("\\0" + wagon.create(".", force=True, **json.loads(sys.argv[1])))
"""


class PackingError(Exception):
    """No wagon was made; says why."""


def pack(source: Path, place: Path, form: str, wheels: Path | None, pythons: Sequence[tuple[int, int]]
         ) -> Path:
    """Make a wagon of the project in `source`, in the empty folder `place`, and give its path.

    With `wheels`, a folder, nothing else is asked and no build is isolated. Raises ``PackingError``,
    ``InvalidInputError`` for what is no project, ``ExtensionBrokenError`` if tools are missing.
    """
    _check(source, form)
    copy, stand_in, workshop = place / "source", place / "stand-in", place / "workshop"
    shutil.copytree(source, copy, symlinks=True, ignore=_left_out)
    made = workshop / "wheels"
    made.mkdir(parents=True)
    ours = write_stand_in(stand_in, __version__)
    own = _build(copy, made, stand_in, wheels)
    (made / ours.name).unlink(missing_ok=True)
    return _make(workshop, own, form, place / "made", pythons)


def _check(source: Path, form: str) -> None:
    if form not in FORMATS:
        raise InvalidInputError(f"wagons have no format {form!r}; they are {' or '.join(FORMATS)}")
    if not any((source / each).is_file() for each in ("pyproject.toml", "setup.py")):
        raise InvalidInputError(f"{source} is no Python project: it has neither pyproject.toml nor setup.py")
    if not all(map(find_spec, _NEEDED)):
        raise ExtensionBrokenError("making a wagon needs the tool wagon, which is not here; "
                                   "pip install 'aria-core[wagon]' brings it")


def _left_out(folder: str, names: list[str]) -> set[str]:
    environments = {name for name in names if Path(folder, name, "pyvenv.cfg").is_file()}
    return environments | shutil.ignore_patterns(*_LEFT_OUT)(folder, names)


def _build(source: Path, made: Path, stand_in: Path, wheels: Path | None) -> str:
    """Make the wheels of a project and of all it needs; the name of its own.

    Of ARIA, which every plugin finds where it is called, pip gets a stand-in: it must not bring the rest.
    """
    pinned = stand_in / "constraints"
    pinned.write_text(f"aria-core==={__version__}\n")
    with_own = made.with_name("own")
    common = ["--disable-pip-version-check", "--no-input", "--find-links", str(stand_in), *_offline(wheels)]
    _run([*_pip(wheels), *common, "--no-deps", "--wheel-dir", str(with_own), str(source)], source)
    (own,) = with_own.iterdir()
    _run([*_pip(wheels), *common, "--constraint", str(pinned), "--wheel-dir", str(made), str(own)], source)
    if not (made / own.name).exists():
        shutil.copy(own, made)
    return own.name


def _pip(wheels: Path | None) -> list[str]:
    isolated = [] if wheels is None else ["--isolated"]
    return [sys.executable, "-m", "pip", *isolated, "wheel"]


def _offline(wheels: Path | None) -> list[str]:
    if wheels is None:
        return []
    return ["--no-index", "--no-build-isolation", "--no-cache-dir", "--find-links", str(wheels.absolute())]


def _make(workshop: Path, own: str, form: str, made: Path, pythons: Sequence[tuple[int, int]]) -> Path:
    name, version = _identity(workshop / "wheels" / own)
    files = sorted(each.name for each in (workshop / "wheels").iterdir())
    texts = {"setup.py": _SETUP.substitute(name=repr(name), version=repr(version)),
             "pyproject.toml": _PROJECT, "ready.py": _BACKEND.substitute(file=repr(own)),
             "requirements.txt": "".join(_pinned(files))}
    for file, text in texts.items():
        (workshop / file).write_text(text)
    wishes = {"archive_format": form, "archive_destination_dir": str(made),
              "requirement_files": ["requirements.txt"], "python_versions": list(_fitting(files, pythons)),
              "wheel_args": "--no-deps --no-index --no-build-isolation --find-links wheels"}
    said = _run([sys.executable, "-c", _WAGON, json.dumps(wishes)], workshop)
    return made / Path(said.rsplit("\0", 1)[1].strip()).name


def _identity(wheel: Path) -> tuple[str, str]:
    """The name of a package as its author writes it (that of the file is another), and its version."""
    with ZipFile(wheel) as archive:
        path = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = parse_email(archive.read(path))[0]
    return metadata["name"], metadata["version"]


def _pinned(files: Sequence[str]) -> Iterator[str]:
    for name, version, *_ in map(parse_wheel_filename, files):
        yield f"{name}==={version}\n"


def _fitting(files: Sequence[str], pythons: Sequence[tuple[int, int]]) -> Iterator[str]:
    """The Pythons for which every wheel is, as wagon writes them; beside this one."""
    tags = [parse_wheel_filename(each)[3] for each in files]
    for python in pythons:
        known = {*cpython_tags(python), *compatible_tags(python, f"cp{python[0]}{python[1]}")}
        if python == sys.version_info[:2] or all(known & each for each in tags):
            yield f"{python[0]}{python[1]}"


def _run(command: Sequence[str], directory: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(  # nosec B603 # pip and wagon, on sources that the user trusts
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackingError(str(error)) from error
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        raise PackingError(_last_words(said) or f"{command[2]} ended with {done.returncode}")
    return said


def _last_words(said: str) -> str:
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error") or "Error" in line]
    return " ".join(errors or lines[-3:])[-_LONGEST_ANSWER:]
