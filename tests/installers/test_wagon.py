"""Wagons: the contract in both formats, and everything that can be wrong with one."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from aria_core import InvalidPluginError
from aria_core.testing.installer import InstallerContract, InstallerSample
from aria_core.testing.wagons import (
    LIBRARY,
    SOURCE,
    make_manifest,
    make_tar,
    make_wagon,
    make_wheel,
    make_zip,
    write_wagon,
)
from aria_plugins.installers import wagon
from aria_plugins.installers.wagon import WagonInstaller

MANIFEST = "greeter/package.json"
WHEEL = "greeter-1.0-py3-none-any.whl"
PLACE = f"greeter/wheels/{WHEEL}"


def with_manifest(manifest: object) -> dict[str, bytes]:
    return {**make_wagon(), MANIFEST: json.dumps(manifest).encode()}


def with_wheel(wheel: bytes, name: str = WHEEL) -> dict[str, bytes]:
    return make_wagon(wheels=[(name, wheel)])


def bent(data: bytes) -> bytes:
    """The wheel with one byte of its module turned."""
    position = data.index(SOURCE.encode()[:8])
    return data[:position] + b"X" + data[position + 1:]


def without(entries: Mapping[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: data for name, data in entries.items() if name not in names}


def lacking(field: str) -> dict[str, object]:
    manifest = make_manifest("greeter", "1.0", [WHEEL])
    del manifest[field]
    return manifest


GOOD = make_wheel("greeter")[1]
FITTING = make_manifest("greeter", "1.0", [WHEEL])

BROKEN: dict[str, Mapping[str, bytes]] = {
    "no package.json in its top folder": without(make_wagon(), MANIFEST),
    "package.json that is not JSON": {**make_wagon(), MANIFEST: b"{'single': 'quotes'}"},
    "a JSON list": with_manifest([]),
    "lacks_a_name `package_name`": with_manifest(lacking("package_name")),
    "lacks_a_version `package_version`": with_manifest(lacking("package_version")),
    "lacks_wheels `wheels`": with_manifest(lacking("wheels")),
    "a name of another type": with_manifest({**FITTING, "package_name": 7}),
    "a wheel of another type": with_manifest({**FITTING, "wheels": [None]}),
    "name leads out": with_manifest({**FITTING, "package_name": "../greeter"}),
    "no_version": with_manifest({**FITTING, "package_version": "latest"}),
    "blanks around it": with_manifest({**FITTING, "package_version": "1.0\n"}),
    "has no wheels": with_manifest({**FITTING, "wheels": []}),
    "has no such file": without(make_wagon(), PLACE),
    "not how a wheel is called": with_wheel(GOOD, "greeter.whl"),
    "wheel is cut": with_wheel(GOOD[:-100]),
    "wheel is bent": with_wheel(bent(GOOD)),
    "no METADATA": with_wheel(make_zip({"greeter.py": SOURCE})),
    "other name": with_wheel(make_wheel("greeter", metadata="Name: other\nVersion: 1.0\n")[1]),
    "other version": with_wheel(make_wheel("greeter", metadata="Name: greeter\nVersion: 1.1\n")[1]),
    "folder of another package": with_wheel(make_wheel("other")[1]),
    "wrong requirement": with_wheel(make_wheel("greeter", requires=["a b c"])[1]),
    "wheel leads out": with_wheel(make_wheel("greeter", files={"../evil.py": ""})[1]),
    "wheel of another package": with_wheel(make_wheel("other")[1], "other-1.0-py3-none-any.whl"),
    "wheel of another version": with_wheel(make_wheel("greeter", "2.0")[1], "greeter-2.0-py3-none-any.whl"),
    "wheel for another python": make_wagon(wheels=[make_wheel("greeter", tag="cp27-cp27m-linux_x86_64")]),
    "wheel for another platform": make_wagon(wheels=[make_wheel("greeter", tag="py3-none-win32")]),
    "requires another python": make_wagon(wheels=[make_wheel("greeter", python="<3")]),
    "requires what is missing": make_wagon(wheels=[make_wheel("greeter", requires=["absent>=2"])]),
    "requires another version": make_wagon(wheels=[
        make_wheel("greeter", requires=["helper>=2"]), make_wheel("helper", "1.5")]),
    "path out": {**make_wagon(), "greeter/../../evil": b""},
    "absolute path": {**make_wagon(), "/evil": b""},
    "backslash": {**make_wagon(), "greeter\\evil": b""},
    "drive": {**make_wagon(), "C:evil": b""},
    "two cases": {**make_wagon(), "greeter/files/a": b"", "greeter/files/A": b""},
    "second folder": {**make_wagon(), "other/file": b""},
    "beside the folder": {**make_wagon(), "file": b""},
}
"""Fault -> the entries of a wagon that has it."""


def write_broken(directory: Path, suffix: str) -> dict[str, Path]:
    directory.mkdir(exist_ok=True)
    broken = {}
    for number, (fault, entries) in enumerate(BROKEN.items()):
        path = directory / f"broken-{number}{suffix}"
        path.write_bytes(make_tar(entries) if "tar" in suffix else make_zip(entries))
        broken[fault] = path
    return broken


def write_foreign(directory: Path) -> dict[str, Path]:
    directory.mkdir(exist_ok=True)
    zipped, packed, wheel = (directory / name for name in ("a.zip", "a.tar.gz", "a-1-py3-none-any.whl"))
    zipped.write_bytes(make_zip({"folder/file": "x"}))
    packed.write_bytes(make_tar({"folder/file": b"x"}))
    wheel.write_bytes(make_wheel("a", "1")[1])
    return {path.name: path for path in (zipped, packed, wheel)}


def write_sample(directory: Path, suffix: str) -> InstallerSample:
    archive = write_wagon(directory / f"greeter{suffix}")
    return InstallerSample(archive, "greeter", "1.0", "greeter:greet", "hello world",
                           write_broken(directory / "broken", suffix), write_foreign(directory / "foreign"))


class TestWagonInstaller(InstallerContract):
    @pytest.fixture
    def installer(self) -> WagonInstaller:
        return WagonInstaller()

    @pytest.fixture(params=[".wgn", ".tar.wgn"])
    def sample(self, request: pytest.FixtureRequest, tmp_path: Path) -> InstallerSample:
        directory = tmp_path / "samples"
        directory.mkdir()
        return write_sample(directory, request.param)


def refusal(path: Path, installer: WagonInstaller | None = None) -> str:
    with pytest.raises(InvalidPluginError) as refused:
        (installer or WagonInstaller()).inspect(path)
    return str(refused.value)


@pytest.mark.parametrize(("fault", "words"), [
    ("no package.json in its top folder", "has no package.json in its top folder, so it is no wagon"),
    ("package.json that is not JSON", "has a package.json that is not JSON: "),
    ("a name of another type", "Expected `str`, got `int` - at `$.package_name`"),
    ("has no wheels", "has no wheels: the list in its package.json is empty"),
    ("has no such file", f"lists the wheel '{WHEEL}' in its package.json, but has no such file in wheels"),
    ("wheel is cut", f"holds the wheel {WHEEL}, which is not whole: "),
    ("wheel is bent", f"holds the wheel {WHEEL}, which is not whole: Bad CRC-32"),
    ("other name", f"holds the wheel {WHEEL}, whose METADATA is that of 'other' '1.0'"),
    ("wheel for another platform", "has no wheel of greeter for Python "),
    ("requires what is missing", "fulfils 'absent>=2', which greeter requires; it has none of that name"),
    ("requires another version", "'helper>=2', which greeter requires; it has helper-1.5-py3-none-any.whl"),
    ("path out", "holds 'greeter/../../evil', a path that leads out of it or means nothing"),
    ("second folder", "holds 'other/file' beside its top folder 'greeter'; a wagon has one folder"),
])
def test_the_sentence_says_what_is_wrong(tmp_path: Path, fault: str, words: str) -> None:
    assert words in refusal(write_wagon(tmp_path / "x.wgn", BROKEN[fault]))


def test_a_wagon_with_another_ending_is_recognised_by_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.zip", "a.tar.gz", "a"):
        assert WagonInstaller().recognises(write_wagon(tmp_path / name))


def test_a_plugin_may_ask_for_aria_and_need_not_bring_it(tmp_path: Path) -> None:
    wheel = make_wheel("greeter", requires=["aria-core>=9"])
    path = write_wagon(tmp_path / "x.wgn", make_wagon(wheels=[wheel]))
    assert WagonInstaller().inspect(path).name == "greeter"


def test_requirements_for_other_systems_and_extras_that_nobody_asks_for_need_no_wheel(tmp_path: Path) -> None:
    requires = ["absent; sys_platform == 'win32'", "other; extra == 'more'", "helper[full]"]
    wheels = [make_wheel("greeter", requires=requires), make_wheel("helper")]
    WagonInstaller().inspect(write_wagon(tmp_path / "x.wgn", make_wagon(wheels=wheels)))
    wheels[1] = make_wheel("helper", requires=["missing; extra == 'full'"])
    path = write_wagon(tmp_path / "y.wgn", make_wagon(wheels=wheels))
    assert "'missing', which helper requires" in refusal(path)


def test_of_several_wheels_the_one_for_this_python_is_installed(tmp_path: Path) -> None:
    ours = f"cp{sys.version_info.major}{sys.version_info.minor}-none-any"
    wheels = [make_wheel("greeter", requires=["helper"]),
              *(make_wheel("helper", files={"helper.py": tag}, tag=tag)
                for tag in (ours, "py3-none-any", "cp36-cp36m-win_amd64"))]
    path = write_wagon(tmp_path / "x.wgn", make_wagon(wheels=wheels))
    (tmp_path / "fresh").mkdir()
    WagonInstaller().install(path, tmp_path / "fresh")
    assert (tmp_path / "fresh" / LIBRARY / "helper.py").read_text() == ours


def test_what_lies_beside_the_wheels_is_neither_installed_nor_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    source = make_tar({"greeter-9/setup.py": f"open({str(canary)!r}, 'w')".encode()})
    entries = {**make_wagon(), "greeter/wheels/greeter-9.tar.gz": source, "greeter/files/readme": b"x"}
    (tmp_path / "fresh").mkdir()
    WagonInstaller().install(write_wagon(tmp_path / "x.wgn", entries), tmp_path / "fresh")
    assert not canary.exists()
    assert [each.name for each in (tmp_path / "fresh").iterdir()] == ["venv"]


def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        path = write_wagon(tmp_path / "x.wgn")
        with ZipFile(path, "a") as archive:
            link = ZipInfo("greeter/wheels/link")
            link.external_attr = (kind | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
        assert "'greeter/wheels/link', which is neither a file nor a folder" in refusal(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "x.wgn"
    with tarfile.open(path, "w:gz") as archive:
        head = tarfile.TarInfo("greeter/wheels/link")
        head.type, head.linkname = kind, "/etc/passwd"
        archive.addfile(head)
    assert "'greeter/wheels/link', which is neither a file nor a folder" in refusal(path)


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    path = write_wagon(tmp_path / "x.wgn")
    with ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(MANIFEST, "{}")
    assert f"holds '{MANIFEST}' twice" in refusal(path)


def test_a_name_with_a_null_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.wgn"
    path.write_bytes(make_zip({**make_wagon(), "greeter/evil?txt": b""}).replace(b"evil?txt", b"evil\0txt"))
    assert "'greeter/evil\\x00txt', a path that" in refusal(path)


def pack(entries: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize("make", [pack, make_tar])
def test_a_bomb_is_refused_before_it_unpacks(
        tmp_path: Path, make: Callable[[Mapping[str, bytes]], bytes]) -> None:
    path = tmp_path / "x.wgn"
    path.write_bytes(make({**make_wagon(), "greeter/files/zeros": bytes(80 << 20)}))
    began = time.monotonic()
    assert "unpacks to more than 16777216 bytes, the limit for its size" in refusal(path)
    assert time.monotonic() - began < 5


def test_a_bomb_inside_a_wheel_is_refused(tmp_path: Path) -> None:
    metadata = {"greeter-1.0.dist-info/METADATA": b"Name: greeter\nVersion: 1.0\n"}
    wheel = pack({"zeros": bytes(80 << 20), **metadata})
    words = refusal(write_wagon(tmp_path / "x.wgn", with_wheel(wheel)))
    assert f"holds the wheel {WHEEL}, which unpacks to more than" in words


def test_an_extended_header_cannot_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.wgn"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        head = tarfile.TarInfo("greeter/x")
        head.pax_headers = {"comment": "x" * (2 << 20)}
        archive.addfile(head)
    assert "has a header of more than 1048576 bytes" in refusal(path)


def test_too_many_entries_or_bytes_are_refused(tmp_path: Path) -> None:
    files = {f"greeter/files/{each}": b"" for each in range(9)}
    path = write_wagon(tmp_path / "x.wgn", {**make_wagon(), **files})
    assert "has more than 10 entries" in refusal(path, WagonInstaller(max_entries=10))
    assert "unpacks to more than 500 bytes" in refusal(path, WagonInstaller(max_bytes=500))


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    data = bytearray(make_zip(make_wagon()))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path = tmp_path / "x.wgn"
    path.write_bytes(data)
    assert "encrypted" in refusal(path)


def test_an_archive_that_changes_after_it_was_inspected_is_checked_again(tmp_path: Path) -> None:
    path = write_wagon(tmp_path / "x.wgn")
    WagonInstaller().inspect(path)
    write_wagon(path, BROKEN["wheel is bent"])
    (tmp_path / "fresh").mkdir()
    with pytest.raises(InvalidPluginError, match="not whole"):
        WagonInstaller().install(path, tmp_path / "fresh")


def test_configuration_of_pip_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    (tmp_path / "fresh").mkdir()
    WagonInstaller().install(write_wagon(tmp_path / "x.wgn"), tmp_path / "fresh")
    assert (tmp_path / "fresh" / LIBRARY / "greeter.py").is_file()


def test_programs_of_a_plugin_are_on_its_path(tmp_path: Path) -> None:
    wheel = make_wheel("greeter", files={
        "greeter.py": "def main():\n    print('from the program')\n",
        "greeter-1.0.dist-info/entry_points.txt": "[console_scripts]\ngreet = greeter:main\n"})
    path = write_wagon(tmp_path / "x.wgn", make_wagon(wheels=[wheel]))
    (tmp_path / "fresh").mkdir()
    environment = WagonInstaller().install(path, tmp_path / "fresh")
    variables = {"PATH": os.pathsep.join([*environment.path, os.defpath])}
    done = subprocess.run(["greet"], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout == "from the program\n"


def test_the_entry_point_gives_the_installer() -> None:
    assert wagon.aria_installer() is WagonInstaller
