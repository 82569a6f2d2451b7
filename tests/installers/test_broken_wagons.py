"""Wagons made by the tool wagon and then damaged: each is refused by validation, in a sentence of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from zipfile import ZipFile

import pytest

from aria_core import InvalidPluginError, ModelStorage, PluginManager, SqlModelStorage, install_wheels
from aria_core.testing.wagons import make_tar, make_wagon, make_wheel, make_zip

TOP = "demo-plugin"
MANIFEST = f"{TOP}/package.json"
OWN, HELPER = "demo_plugin-0.3-py2.py3-none-any.whl", "demo_helper-2.0-py2.py3-none-any.whl"
INFO = "demo_plugin-0.3.dist-info"

Entries = dict[str, bytes]


def entries_of(archive: Path) -> Entries:
    if archive.read_bytes()[:2] == b"PK":
        with ZipFile(archive) as zipped:
            return {name: zipped.read(name) for name in zipped.namelist()}
    with tarfile.open(archive) as packed:
        files = [each for each in packed if each.isfile()]
        return {each.name: packed.extractfile(each).read() for each in files}  # type: ignore[union-attr]


def manifest(**changes: Any) -> Callable[[Entries], Entries]:
    """Change ``package.json``; None takes a field away."""
    def damage(entries: Entries) -> Entries:
        values = {**json.loads(entries[MANIFEST]), **changes}
        kept = {name: value for name, value in values.items() if value is not None}
        return {**entries, MANIFEST: json.dumps(kept).encode()}

    return damage


def entry(name: str, data: bytes | None) -> Callable[[Entries], Entries]:
    """Put an entry in, or take it away."""
    def damage(entries: Entries) -> Entries:
        rest = {each: content for each, content in entries.items() if each != name}
        return rest if data is None else {**rest, name: data}

    return damage


def own_wheel(change: Callable[[Entries], Entries], *, mend: bool = True) -> Callable[[Entries], Entries]:
    """Change files of the plugin's own wheel; its RECORD is made to fit unless that is the damage."""
    def damage(entries: Entries) -> Entries:
        path = f"{TOP}/wheels/{OWN}"
        Path("own.whl").write_bytes(entries[path])
        changed = change(entries_of(Path("own.whl")))
        if mend:
            changed[f"{INFO}/RECORD"] = record(changed)
        return {**entries, path: make_zip(changed)}

    return damage


def record(files: Entries) -> bytes:
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        lines.append(f"{name},,\n" if name.endswith("/RECORD") else f"{name},sha256={digest},{len(data)}\n")
    return "".join(lines).encode()


def text(name: str, before: str, after: str) -> Callable[[Entries], Entries]:
    """Replace words in a file."""
    def change(files: Entries) -> Entries:
        assert before.encode() in files[name]
        return {**files, name: files[name].replace(before.encode(), after.encode())}

    return change


def renamed(before: str, after: str) -> Callable[[Entries], Entries]:
    """Call a wheel otherwise, also in the manifest."""
    def damage(entries: Entries) -> Entries:
        moved = {name.replace(before, after): data for name, data in entries.items()}
        return {**moved, MANIFEST: moved[MANIFEST].replace(before.encode(), after.encode())}

    return damage


METADATA, WHEEL, RECORD = (f"{INFO}/{each}" for each in ("METADATA", "WHEEL", "RECORD"))
MODULE = "demo_plugin/operations.py"

BROKEN: dict[str, Callable[[Entries], Entries]] = {
    "has no package.json in its top folder": entry(MANIFEST, None),
    "has a package.json that is not JSON": entry(MANIFEST, b"{'single': 'quotes'}"),
    "missing required field `package_name`": manifest(package_name=None),
    "missing required field `package_version`": manifest(package_version=None),
    "missing required field `wheels`": manifest(wheels=None),
    "Expected `str`, got `int` - at `$.package_version`": manifest(package_version=3),
    "has the package name '../demo'": manifest(package_name="../demo"),
    "has the package version 'latest'": manifest(package_version="latest"),
    "has no wheels: the list in its package.json is empty": manifest(wheels=[]),
    f"lists the wheel {HELPER!r} in its package.json, but has no such file":
        entry(f"{TOP}/wheels/{HELPER}", None),
    "has no wheel of its own package demo-other": manifest(package_name="demo-other"),
    "says that it is version 0.4 of demo-plugin, but its wheel is": manifest(package_version="0.4"),
    "fulfils 'demo-helper>=2', which demo-plugin requires; it has none of that name": manifest(wheels=[OWN]),
    "fulfils 'demo-helper>=3'": own_wheel(text(METADATA, "demo-helper>=2", "demo-helper>=3")),
    "'demo.whl', which is not how a wheel is called": renamed(HELPER, "demo.whl"),
    "it has demo_plugin-0.3-cp39-cp39-any.whl, which is for cp39": renamed(
        OWN, "demo_plugin-0.3-cp39-cp39-any.whl"),
    "it has demo_plugin-0.3-py3-none-win_amd64.whl, which is for win_amd64": renamed(
        OWN, "demo_plugin-0.3-py3-none-win_amd64.whl"),
    f"it has {OWN}, which asks for Python >=3.99": own_wheel(
        text(METADATA, "Name: demo-plugin\n", "Name: demo-plugin\nRequires-Python: >=3.99\n")),
    "whose METADATA is that of 'demo-other' '0.3'": own_wheel(
        text(METADATA, "Name: demo-plugin", "Name: demo-other")),
    "whose METADATA is that of 'demo-plugin' '0.9'": own_wheel(
        text(METADATA, "Version: 0.3", "Version: 0.9")),
    "whose METADATA has a mistake": own_wheel(text(METADATA, "demo-helper>=2", "demo helper")),
    "has no METADATA in a .dist-info folder": own_wheel(entry(METADATA, None)),
    "has no WHEEL in a .dist-info folder": own_wheel(entry(WHEEL, None)),
    "is of the wheel version '2.0'": own_wheel(text(WHEEL, "Wheel-Version: 1.0", "Wheel-Version: 2.0")),
    "has no RECORD in a .dist-info folder": own_wheel(entry(RECORD, None), mend=False),
    "has a RECORD that is no list of files": own_wheel(entry(RECORD, b"\xff\xfe,"), mend=False),
    "that is not the one of its RECORD: the hashes differ": own_wheel(
        text(MODULE, "import demo_helper", "import another"), mend=False),
    "which its RECORD does not list": own_wheel(entry("demo_plugin/more.py", b""), mend=False),
    f"lacks {MODULE!r}, which its RECORD lists": own_wheel(entry(MODULE, None), mend=False),
    "has a RECORD that tells no hash of": own_wheel(
        lambda files: {**files, RECORD: b"".join(f"{name},,\n".encode() for name in files)}, mend=False),
    "has more than one .dist-info folder": own_wheel(entry("other-1.dist-info/METADATA", b"Name: other\n")),
    "has a program '../../evil', of which no file can be made": own_wheel(
        text(f"{INFO}/entry_points.txt", "demo-tool =", "../../evil =")),
    "has a program demo-tool that runs 'demo_plugin'": own_wheel(
        text(f"{INFO}/entry_points.txt", "demo_plugin.operations:tool", "demo_plugin")),
    "has an entry_points.txt that cannot be read: File contains no section": own_wheel(
        entry(f"{INFO}/entry_points.txt", b"demo = demo:x\n")),
    "has an entry_points.txt that cannot be read: While reading from": own_wheel(
        entry(f"{INFO}/entry_points.txt", b"[console_scripts]\na = b:c\na = b:c\n")),
    "which would take the place of its interpreter": own_wheel(
        entry("demo_plugin-0.3.data/data/bin/python3", b"#!/bin/sh\n")),
    "below .data there are purelib": own_wheel(entry("demo_plugin-0.3.data/elsewhere/x", b"")),
    "has a METADATA that is not UTF-8": own_wheel(lambda files: {
        **files, METADATA: files[METADATA].replace(b"\n", b"\nAuthor: \xff\n", 1)}),
    "has a WHEEL that is not UTF-8": own_wheel(lambda files: {**files, WHEEL: files[WHEEL] + b"X: \xff\n"}),
    "which requires demo-helper from an address": own_wheel(
        text(METADATA, "demo-helper>=2", "demo-helper @ https://127.0.0.1/demo.whl")),
    "programs have no folders": own_wheel(entry("demo_plugin-0.3.data/scripts/a/b", b"#!python\n")),
    "has a distribution that cannot be stored": manifest(
        build_server_os_properties={"distribution": "d" * 256}),
    "has a package_source that cannot be stored": manifest(package_source="\0"),
    "has the package_name 'dddd": lambda _: make_wagon("d" * 129),
    f"holds the wheel {OWN}, which is not whole": lambda entries: {
        **entries, f"{TOP}/wheels/{OWN}": bent(entries[f"{TOP}/wheels/{OWN}"])},
    f"holds the wheel {HELPER}, which is cut off": lambda entries: {
        **entries, f"{TOP}/wheels/{HELPER}": b"#!/bin/sh\n" + entries[f"{TOP}/wheels/{HELPER}"]},
    "beside its top folder": entry("other/file", b""),
    "a path that leads out of it": entry(f"{TOP}/wheels/../../evil", b""),
    "a path that no file can have": entry(f"{TOP}/files/{'x' * 300}", b""),
    "which would be a file and a folder": entry(f"{MANIFEST}/file", b""),
}
"""What the sentence must say -> how a good wagon comes to deserve it."""


def bent(wheel: bytes) -> bytes:
    """The wheel with one byte of packed data turned."""
    at = wheel.index(b"demo_plugin/operations.py") + len(b"demo_plugin/operations.py") + 12
    return wheel[:at] + bytes([wheel[at] ^ 0xFF]) + wheel[at + 1:]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Iterator[ModelStorage]:
    with SqlModelStorage(f"sqlite:///{tmp_path / 'aria.db'}") as storage:
        yield storage


def refusal(archive: Path) -> str:
    with pytest.raises(InvalidPluginError) as refused:
        PluginManager.validate_plugin(archive)
    return str(refused.value)


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_wagon_is_refused_by_validation_and_by_install_in_the_same_words(
        model: ModelStorage, wagons: dict[str, Path], tmp_path: Path, words: str, form: str) -> None:
    entries = BROKEN[words](entries_of(wagons[form]))
    path = tmp_path / "broken.wgn"
    path.write_bytes(make_zip(entries) if form == "zip" else make_tar(entries))
    told = refusal(path)
    assert words in told
    assert "\n" not in told
    with pytest.raises(InvalidPluginError) as by_install:
        PluginManager(model, tmp_path / "plugins").install(path)
    assert str(by_install.value) == told
    assert [each.name for each in (tmp_path / "plugins").iterdir()] == [".lock"]
    assert len(model.plugin.list()) == 0


def test_each_fault_has_words_of_its_own(
        wagons: dict[str, Path], tmp_path: Path) -> None:
    path, good = tmp_path / "broken.wgn", entries_of(wagons["zip"])
    told = {}
    for words, damage in BROKEN.items():
        path.write_bytes(make_zip(damage(good)))
        told[words] = refusal(path)
    assert len(told) >= 40
    for words, sentence in told.items():
        assert [each for each in BROKEN if each in sentence] == [words]


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_what_wagon_made_is_valid_and_so_is_a_copy_made_by_these_means(
        wagons: dict[str, Path], tmp_path: Path, form: str) -> None:
    PluginManager.validate_plugin(wagons[form])
    path = tmp_path / "copy.wgn"
    entries = own_wheel(lambda files: files)(entries_of(wagons[form]))
    path.write_bytes(make_zip(entries) if form == "zip" else make_tar(entries))
    PluginManager.validate_plugin(path)


ODD = {
    "greeter.py": "", "\u00e9.py": "", "broken.py": "def x(:\n", 'a"b.txt': "", "a,b.txt": "",
    "greeter.egg-info/PKG-INFO": "Name: greeter\nVersion: 1.0\n", "greeter-1.0.data/headers/x.h": "",
    "greeter-1.0.data/purelib/more.py": "", "greeter-1.0.data/data/share/doc": "", f"{'d' * 200}/x.py": "",
    "greeter-1.0.data/scripts/tool": "#!python\nprint()\n",
    "greeter-1.0.dist-info/direct_url.json": "{}", "greeter-1.0.dist-info/INSTALLER": "x",
    "greeter-1.0.dist-info/RECORD.jws": "x",
    "greeter-1.0.dist-info/entry_points.txt":
        "# here\n[other]\ny = 50%\n[console_scripts]\ngreet = greeter:greet [x]\n"
        "greet.2-3 = greeter:greet.it\n"}
METADATA_OF_ODD = "Metadata-Version: 9.9\r\nName: Greeter\r\nVersion: 1.0\r\nOdd: \u00e9\r\n"


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_what_is_odd_and_valid_is_installed_by_either_tool(
        tmp_path: Path, tool: Literal["uv", "pip"]) -> None:
    name, wheel = make_wheel("greeter", files=ODD, metadata=METADATA_OF_ODD)
    path = tmp_path / "odd.wgn"
    path.write_bytes(make_zip(make_wagon(wheels=[(name, wheel)])))
    PluginManager.validate_plugin(path)
    (tmp_path / name).write_bytes(wheel)
    environment = install_wheels("greeter", [tmp_path / name], tmp_path / "fresh", tool)
    assert (Path(environment.path[0]) / "greet.2-3").is_file()
