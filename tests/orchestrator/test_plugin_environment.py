"""The virtual environment of a plugin: what is in it, and that it does not know where it is."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal
from zipfile import ZipFile

import pytest

from aria_core import Environment, InvalidPluginError, install_wheels
from aria_core.testing.wagons import LIBRARY, PROGRAMS, make_wheel, make_zip

PROGRAM = "import sys\nprint('tool', sys.prefix)\n"
SEES = ("import importlib.metadata as m, sys; "
        "print(sorted(each.name for each in m.distributions()), sys.flags.no_user_site)")


@pytest.fixture(params=["uv", "pip"])
def tool(request: pytest.FixtureRequest) -> Literal["uv", "pip"]:
    given: Literal["uv", "pip"] = request.param
    return given


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    return [
        write(tmp_path, *make_wheel("greeter", requires=["helper"], files={
            "greeter.py": "import helper\ndef main():\n    print('greet', helper.NAME)\n",
            "greeter-1.0.dist-info/entry_points.txt": "[console_scripts]\ngreet = greeter:main\n",
            "greeter-1.0.data/scripts/tool": f"#!python\n{PROGRAM}"})),
        write(tmp_path, *make_wheel("helper", files={"helper.py": "NAME = 'helper'\n"}))]


def write(place: Path, name: str, data: bytes) -> Path:
    (place / "wheels").mkdir(exist_ok=True)
    (place / "wheels" / name).write_bytes(data)
    return place / "wheels" / name


def make(place: Path, wheels: list[Path], tool: Literal["uv", "pip"]) -> tuple[Environment, Path]:
    """An environment that was made in one place and moved to another."""
    (place / "fresh").mkdir()
    environment = install_wheels("greeter", wheels, place / "fresh", tool)
    assert environment == Environment(
        "greeter", str(place / "fresh" / PROGRAMS / "python"), (str(place / "fresh" / PROGRAMS),),
        (str(place / "fresh" / LIBRARY),))
    (place / "fresh").rename(place / "moved")
    return environment, place / "moved"


def output(*command: str | Path, **variables: str) -> str:
    done = subprocess.run(list(map(str, command)), env={"PATH": os.defpath, **variables}, text=True,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_interpreter_sees_its_wheels_and_nothing_else(
        tmp_path: Path, wheels: list[Path], tool: Literal["uv", "pip"]) -> None:
    _, home = make(tmp_path, wheels, tool)
    assert output(home / PROGRAMS / "python", "-I", "-c", SEES) == "['greeter', 'helper'] 1\n"
    missing = "import importlib.util as u; print(u.find_spec('pluggy'), u.find_spec('aria_core'))"
    assert output(home / PROGRAMS / "python", "-I", "-c", missing) == "None None\n"


@pytest.mark.parametrize("folder", ["place", f"with blanks and {'long ' * 30}name"])
def test_its_programs_run_with_its_interpreter_wherever_it_is_moved(
        tmp_path: Path, wheels: list[Path], tool: Literal["uv", "pip"], folder: str) -> None:
    (tmp_path / folder).mkdir()
    _, home = make(tmp_path / folder, wheels, tool)
    assert output(home / PROGRAMS / "greet") == "greet helper\n"
    assert output(home / PROGRAMS / "tool") == f"tool {home / 'venv'}\n"


def test_nothing_in_it_holds_the_place_where_it_was_made(
        tmp_path: Path, wheels: list[Path], tool: Literal["uv", "pip"]) -> None:
    _, home = make(tmp_path, wheels, tool)
    files = [each for each in home.rglob("*") if each.is_file() and not each.is_symlink()]
    assert files
    assert [each for each in files if str(tmp_path).encode() in each.read_bytes()] == []
    assert [each.name for each in home.iterdir()] == ["venv"]


def test_its_lists_of_files_are_true(
        tmp_path: Path, wheels: list[Path], tool: Literal["uv", "pip"]) -> None:
    _, home = make(tmp_path, wheels, tool)
    rows = [row for record in (home / LIBRARY).glob("*.dist-info/RECORD")
            for row in csv.reader(record.read_text().splitlines())]
    assert {"../../../bin/greet", "../../../bin/tool", "greeter.py", "helper.py"} <= {row[0] for row in rows}
    for name, digest, size in rows:
        data = (home / LIBRARY / name).read_bytes()
        assert not size or int(size) == len(data)
        found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        assert digest in ("", f"sha256={found}"), name


def test_no_configuration_has_a_say(tmp_path: Path, wheels: list[Path], tool: Literal["uv", "pip"],
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_TARGET": str(tmp_path / "elsewhere"),
                        "PIP_REQUIRE_VIRTUALENV": "1", "UV_TARGET": str(tmp_path / "elsewhere"),
                        "UV_INDEX_URL": "http://127.0.0.1:9/", "PYTHONHOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    _, home = make(tmp_path, wheels, tool)
    assert (home / LIBRARY / "greeter.py").is_file()
    assert not (tmp_path / "elsewhere").exists()


def test_wheels_that_cannot_be_installed_are_refused_in_one_line(
        tmp_path: Path, tool: Literal["uv", "pip"]) -> None:
    wrong = write(tmp_path, *make_wheel("greeter", tag="cp36-cp36m-win_amd64"))
    (tmp_path / "fresh").mkdir()
    with pytest.raises(InvalidPluginError, match=r"greeter") as refused:
        install_wheels("greeter", [wrong], tmp_path / "fresh", tool)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("file", ["data/pyvenv.cfg", "scripts/python"])
def test_a_wheel_that_replaces_the_interpreter_is_refused(
        tmp_path: Path, tool: Literal["uv", "pip"], file: str) -> None:
    wheel = write(tmp_path, *make_wheel("greeter", files={f"greeter-1.0.data/{file}": "#!/bin/sh\n"}))
    (tmp_path / "fresh").mkdir()
    with pytest.raises(InvalidPluginError, match=r"place of the interpreter's|reserved name"):
        install_wheels("greeter", [wheel], tmp_path / "fresh", tool)


def test_a_list_of_files_with_one_that_is_not_there_is_kept(
        tmp_path: Path, tool: Literal["uv", "pip"]) -> None:
    name, data = make_wheel("greeter")
    with ZipFile(io.BytesIO(data)) as wheel:
        entries = {each: wheel.read(each) for each in wheel.namelist()}
    entries["greeter-1.0.dist-info/RECORD"] += b"../../../bin/ghost,,\n"
    _, home = make(tmp_path, [write(tmp_path, name, make_zip(entries))], tool)
    assert output(home / PROGRAMS / "python", "-I", "-c", "import greeter; print(greeter.greet(None))") == (
        "hello world\n")


def test_where_there_is_neither_uv_nor_pip_one_sentence_says_how_to_get_one(
        tmp_path: Path, wheels: list[Path]) -> None:
    """In an interpreter that has only the core's own dependencies, and no search path."""
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    paths = [each for each in sys.path if each and "site-packages" in each]
    links = tmp_path / "libraries"
    links.mkdir()
    for path in paths:
        for each in Path(path).iterdir():
            if not each.name.startswith(("pip", "uv")):
                (links / each.name).symlink_to(each)
    here = str(Path(__file__).parents[2])
    program = ("from pathlib import Path; import sys\n"
               "from aria_core import ExtensionBrokenError, install_wheels\n"
               "try: install_wheels('greeter', [], Path(sys.argv[1]))\n"
               "except ExtensionBrokenError as error: print(error)\n")
    told = output(bare / "bin" / "python", "-c", program, tmp_path / "fresh", PATH="/nowhere",
                  PYTHONPATH=os.pathsep.join([here, str(links)]))
    assert "installing a plugin needs uv or pip, and neither is here" in told
    assert "pip install 'aria-core[uv]'" in told
    assert not (tmp_path / "fresh").exists()
