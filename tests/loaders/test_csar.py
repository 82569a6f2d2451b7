"""Archives and folders of services: both layouts, what is wrong with them, and those that mean harm."""

from __future__ import annotations

import gc
import io
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aria_core import LoadedTemplate, LoadError
from aria_plugins.loaders.tosca import ToscaLoader

HEAD = "tosca_definitions_version: tosca_simple_yaml_1_3\n"
MAIN = HEAD + """\
imports: [types/shop.yaml]
topology_template:
  node_templates:
    web: {type: Web}
"""
TYPES = HEAD + """\
node_types:
  Web:
    derived_from: tosca.nodes.Root
    interfaces: {Standard: {operations: {create: ../scripts/create.sh}}}
"""
META = """\
TOSCA-Meta-File-Version: 1.1
CSAR-Version: 1.1
Created-By: somebody
Entry-Definitions: definitions/shop.yaml

Name: other/block.txt
"""
SERVICE = {"TOSCA-Metadata/TOSCA.meta": META, "definitions/shop.yaml": MAIN,
           "definitions/types/shop.yaml": TYPES, "definitions/scripts/create.sh": "#!/bin/sh\n"}
ALONE = {"shop.yaml": MAIN, "types/shop.yaml": TYPES, "scripts/create.sh": "#!/bin/sh\n"}

Files = dict[str, str | bytes]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where archives are unpacked; nothing is left there, and nothing is written beside it."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    gc.collect()
    assert list(place.iterdir()) == []


def packed(files: Files) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def written(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def load(source: Path) -> LoadedTemplate:
    assert ToscaLoader().recognises(source)
    return ToscaLoader().load(source, Path.read_bytes)


def refused(tmp_path: Path, data: bytes) -> list[str]:
    source = tmp_path / "shop.csar"
    source.write_bytes(data)
    before = {each for each in tmp_path.rglob("*") if each.parent.name != "temporary"}
    with pytest.raises(LoadError) as error:
        load(source)
    assert {each for each in tmp_path.rglob("*") if each.parent.name != "temporary"} == before
    return [each.replace(f"{tmp_path}/", "") for each in error.value.problems]


@pytest.mark.parametrize("files", [SERVICE, ALONE], ids=["with metadata", "a single template"])
def test_an_archive_and_its_folder_are_the_same_template(tmp_path: Path, files: Files) -> None:
    source = tmp_path / "shop.csar"
    source.write_bytes(packed(files))
    loaded = load(source)
    assert loaded.warnings == loaded.missing == []
    assert loaded.template.nodes["web"].interfaces["Standard"].operations["create"].script in files
    assert loaded.directory is not None
    assert {each.relative_to(loaded.directory).as_posix()
            for each in Path(loaded.directory).rglob("*") if each.is_file()} == set(files)
    beside = load(written(tmp_path / "folder", files))
    assert beside.directory == str(tmp_path / "folder")
    assert beside.main_file == loaded.main_file
    assert list(beside.template.nodes) == list(loaded.template.nodes)


def test_what_was_unpacked_goes_with_the_template(tmp_path: Path, temporary: Path) -> None:
    source = tmp_path / "shop.csar"
    source.write_bytes(packed(SERVICE))
    loaded = load(source)
    assert len(list(temporary.iterdir())) == 1
    del loaded
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_a_problem_inside_is_told_with_its_place(tmp_path: Path) -> None:
    wrong = {**SERVICE, "definitions/types/shop.yaml": TYPES.replace("derived_from", "derived")}
    assert "shop.csar/definitions/types/shop.yaml:4:5: unknown keyname `derived`" in refused(
        tmp_path, packed(wrong))[0]


@pytest.mark.parametrize(("old", "new", "told"), [
    ("Entry-Definitions: definitions/shop.yaml\n", "", ":1:1: the first block has no `Entry-Definitions`"),
    ("definitions/shop.yaml", "definitions/gone.yaml", ":4:1: there is no file definitions/gone.yaml in the"),
    ("definitions/shop.yaml", "../../etc/passwd", ":4:1: there is no file ../../etc/passwd in the archive"),
    ("definitions/shop.yaml", "/etc/passwd", ":4:1: there is no file /etc/passwd in the archive"),
    ("CSAR-Version: 1.1", "CSAR-Version: 7", ":2:1: `CSAR-Version` is '7'; known are 1.0, 1.1, 2.0"),
    ("Created-By: somebody", "somebody", ":3:1: this line is no `key: value`"),
])
def test_metadata_that_is_wrong_is_told_by_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    files = {**SERVICE, "TOSCA-Metadata/TOSCA.meta": META.replace(old, new)}
    assert f"shop.csar/TOSCA-Metadata/TOSCA.meta{told}" in refused(tmp_path, packed(files))[0]


def test_a_long_line_of_metadata_goes_on_in_the_next(tmp_path: Path) -> None:
    source = tmp_path / "shop.csar"
    source.write_bytes(packed({**SERVICE, "TOSCA-Metadata/TOSCA.meta": META.replace(
        "definitions/shop.yaml", "definitions/\r\n shop.yaml")}))
    assert load(source).main_file == "definitions/shop.yaml"


def test_without_metadata_there_must_be_one_template(tmp_path: Path) -> None:
    told, = refused(tmp_path, packed({**ALONE, "other.yml": MAIN}))
    assert told == ("shop.csar:1:1: an archive without TOSCA-Metadata/TOSCA.meta has one YAML file in its "
                    "top folder, and there are other.yml, shop.yaml")
    assert "there is none" in refused(tmp_path, packed({"a/shop.yaml": MAIN}))[0]


def test_imports_and_scripts_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text(HEAD)
    files = {**ALONE, "shop.yaml": MAIN.replace("types/shop.yaml", "../outside.yaml")}
    assert "there is no file " in refused(tmp_path, packed(files))[0]
    files = {**ALONE, "types/shop.yaml": TYPES.replace("../scripts/create.sh", "../../out.sh")}
    assert "there is no script `../../out.sh`" in refused(tmp_path, packed(files))[0]


# --- archives that mean harm

def entry(name: str, *, mode: int = stat.S_IFREG | 0o644, content: bytes = b"x") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr, info.create_system = mode << 16, 3
        archive.writestr("shop.yaml", HEAD)
        archive.writestr(info, content)
    return data.getvalue()


def twice() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("shop.yaml", HEAD)
        archive.writestr("shop.yaml", HEAD)
    return data.getvalue()


def bomb() -> bytes:
    return packed({"shop.yaml": HEAD, "zeros": b"\0" * (200 << 20)})


def many() -> bytes:
    return packed({"shop.yaml": HEAD, **{f"f{each}": "" for each in range(10_001)}})


def lying() -> bytes:
    """Says of its largest entry that it has one byte."""
    data = bytearray(packed({"shop.yaml": HEAD, "zeros": b"\0" * (64 << 20)}))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24:at + 28] = struct.pack("<I", 1)
    return bytes(data)


def encrypted() -> bytes:
    data = bytearray(packed({"shop.yaml": HEAD}))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def bent() -> bytes:
    data = bytearray(entry("a.sh", content=b"x" * 1000))
    data[data.index(b"x" * 100) + 50] = 0
    return bytes(data)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "leads out": (lambda: entry("../outside"), "a path that leads out"),
    "absolute": (lambda: entry("/etc/outside"), "a path that leads out"),
    "drive": (lambda: entry("C:/outside"), "a path that leads out"),
    "backslashes": (lambda: entry("..\\outside"), "a path that leads out"),
    "symbolic link": (lambda: entry("link", mode=stat.S_IFLNK | 0o777, content=b"/etc"), "neither a file"),
    "device": (lambda: entry("null", mode=stat.S_IFCHR | 0o666), "neither a file nor"),
    "same in another case": (lambda: entry("SHOP.yaml"), "in two spellings"),
    "twice": (twice, "twice"),
    "file and folder": (lambda: entry("shop.yaml/inner"), "a file and a folder"),
    "bomb": (bomb, "unpacks to more than"),
    "many": (many, "more than 10000 entries"),
    "lying sizes": (lying, ""),
    "encrypted": (encrypted, "encrypted"),
    "long name": (lambda: entry("n" * 300), "no file can have"),
    "cut off": (lambda: packed(SERVICE)[:200], ""),
    "bent": (bent, "damaged"),
    "no zip": (lambda: b"hello", "is no zip"),
    "nothing": (lambda: b"", "is no zip"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    make, words = HOSTILE[name]
    told, = refused(tmp_path, make())
    assert told.startswith("shop.csar:1:1: this archive ")
    assert words in told
    assert "\n" not in told


def test_links_of_a_folder_lead_nowhere_else(tmp_path: Path) -> None:
    folder = written(tmp_path / "folder", ALONE)
    (folder / "scripts" / "link").symlink_to("/etc/hostname")
    assert load(folder).main_file == "shop.yaml"  # whether links may be stored, storing tells


@pytest.mark.parametrize("step", [97])
def test_no_cut_off_archive_is_taken_for_a_whole_one(tmp_path: Path, step: int) -> None:
    whole = packed(SERVICE)
    for length in range(0, len(whole) - 1, step):
        assert len(refused(tmp_path, whole[:length])) == 1


def test_an_archive_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    def read(_: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(LoadError, match=r"shop\.csar:1:1: this archive cannot be read: Permission denied"):
        ToscaLoader().load(tmp_path / "shop.csar", read)
