"""The contract of resource storages.

Derive from it in a module of tests and give the fixture ``storage``: an opened, empty storage.
"""

from __future__ import annotations

import importlib
import os
import socket
import stat
from pathlib import Path

import pytest

from aria_core.exceptions import NotFoundError, StorageError
from aria_core.storage.resource import ResourceStorage
from aria_core.testing.sample import at_once

EVERY_BYTE = bytes(range(256)) * 5_000

HOSTILE_PATHS = (
    "../x", "a/../../x", "a/..", "..", "/etc/passwd", "//x", "a\\b", "..\\x", "a\0b", "", ".", "./", "\ud800")


def _make_folder(place: Path) -> Path:
    (place / "scripts" / "deep").mkdir(parents=True)
    (place / "template.yaml").write_bytes(b"tosca")
    (place / "scripts" / "deep" / "start.sh").write_bytes(b"#!/bin/sh\n")
    (place / "scripts" / "deep" / "start.sh").chmod(0o755)
    return place


class ResourceStorageContract:
    """Bytes under keys, and the friendly face over them."""

    def test_bytes_come_back_exactly_as_they_were(self, storage: ResourceStorage) -> None:
        for number, data in enumerate((b"", b"\r\n\0", EVERY_BYTE)):
            storage.put(f"k/{number}", data)
            assert storage.read(f"k/{number}") == data

    def test_a_later_put_replaces_an_earlier_one(self, storage: ResourceStorage) -> None:
        storage.put("k", b"long and old", executable=True)
        storage.put("k", b"new")
        assert (storage.read("k"), storage.is_executable("k")) == (b"new", False)

    def test_a_missing_key_is_not_found(self, storage: ResourceStorage) -> None:
        storage.put("folder/file", b"")
        for key in ("folder", "folder/other", "nowhere", "nowhere/file"):
            for ask in (storage.read, storage.is_executable):
                with pytest.raises(NotFoundError):
                    ask(key)

    def test_what_is_executable_stays_so(self, storage: ResourceStorage) -> None:
        storage.put("yes", b"x", executable=True)
        storage.put("no", b"x")
        assert (storage.is_executable("yes"), storage.is_executable("no")) == (True, False)

    def test_keys_are_listed_sorted_below_their_folder_only(self, storage: ResourceStorage) -> None:
        for key in ("a/b/c", "a/b", "a", "a/b-c", "ab/c", "\u00e9/\U0001f600"):
            if key not in ("a/b", "a"):
                storage.put(key, b"")
        assert [*storage.list("a")] == ["a/b-c", "a/b/c"]
        assert [*storage.list("a/b")] == ["a/b/c"]
        assert [*storage.list("a/b/c")] == ["a/b/c"]
        assert [*storage.list("")] == ["a/b-c", "a/b/c", "ab/c", "\u00e9/\U0001f600"]
        assert [*storage.list("nowhere")] == [*storage.list("a/b/c/d")] == []

    def test_deleting_removes_a_folder_and_says_whether_there_was_one(self, storage: ResourceStorage) -> None:
        for key in ("a/b/c", "a/d", "ab"):
            storage.put(key, b"")
        assert [storage.delete(key) for key in ("a/b/c", "a/b/c", "nowhere/x")] == [True, False, False]
        assert storage.delete("a") is True
        assert [*storage.list("")] == ["ab"]

    def test_a_deleted_place_can_be_used_again(self, storage: ResourceStorage) -> None:
        storage.put("a/b", b"1")
        storage.delete("a/b")
        storage.put("a", b"2")
        assert storage.read("a") == b"2"

    def test_readers_see_old_bytes_or_new_never_both(self, storage: ResourceStorage) -> None:
        versions = [bytes([65 + number]) * 200_000 for number in range(8)]
        storage.put("k", versions[0])
        done: list[int] = []

        def write(number: int) -> set[bytes]:
            try:
                for _ in range(5):
                    storage.put("k", versions[number])
            finally:
                done.append(number)
            return set()

        def read(_: int) -> set[bytes]:
            seen = set()
            while len(done) < 4:
                seen.add(storage.read("k"))
            return seen

        outcomes = at_once(lambda number: (write if number < 4 else read)(number))
        assert [each for each in outcomes if isinstance(each, Exception)] == []
        assert set().union(*outcomes) <= set(versions)

    def test_another_instance_made_from_the_spec_has_the_same_bytes(self, storage: ResourceStorage) -> None:
        if storage.reach == "process":
            pytest.skip(f"{type(storage).__name__} declares reach = {storage.reach!r}")
        storage.put("a/b", b"1", executable=True)
        place, keywords = storage.spec()
        module, _, name = place.partition(":")
        other = getattr(importlib.import_module(module), name)(**keywords)
        other.open()
        assert (other.read("a/b"), other.is_executable("a/b"), other.reach) == (b"1", True, storage.reach)
        other.close()

    def test_opening_and_closing_twice_keeps_the_bytes(self, storage: ResourceStorage) -> None:
        storage.put("k", b"kept")
        storage.open()
        assert storage.read("k") == b"kept"
        storage.close()
        storage.close()

    def test_a_folder_goes_in_and_comes_out_whole(self, storage: ResourceStorage, tmp_path: Path) -> None:
        kind = storage.service_template
        kind.upload(7, _make_folder(tmp_path / "in"))
        assert kind.list(7) == ["scripts/deep/start.sh", "template.yaml"]
        kind.download(7, tmp_path / "out")
        assert (tmp_path / "out" / "template.yaml").read_bytes() == b"tosca"
        script = tmp_path / "out" / "scripts" / "deep" / "start.sh"
        assert (script.read_bytes(), bool(script.stat().st_mode & stat.S_IXUSR)) == (b"#!/bin/sh\n", True)
        assert not (tmp_path / "out" / "template.yaml").stat().st_mode & stat.S_IXUSR

    def test_files_and_folders_go_below_a_path(self, storage: ResourceStorage, tmp_path: Path) -> None:
        kind, folder = storage.service, _make_folder(tmp_path / "in")
        kind.upload("one", folder / "template.yaml", "conf/main")
        kind.upload("one", folder / "scripts", "bin")
        assert kind.list("one") == ["bin/deep/start.sh", "conf/main/template.yaml"]
        assert kind.list("one", "bin") == ["bin/deep/start.sh"]
        kind.download("one", tmp_path / "out" / "renamed.sh", "bin/deep/start.sh")
        assert (tmp_path / "out" / "renamed.sh").read_bytes() == b"#!/bin/sh\n"
        kind.download("one", tmp_path / "out", "conf")
        kind.download("one", tmp_path / "out", "conf/main/template.yaml")
        assert (tmp_path / "out" / "main" / "template.yaml").read_bytes() == b"tosca"
        assert (tmp_path / "out" / "template.yaml").read_bytes() == b"tosca"

    def test_a_folder_with_a_single_file_can_be_read(self, storage: ResourceStorage, tmp_path: Path) -> None:
        kind, folder = storage.plugin, _make_folder(tmp_path / "in")
        kind.upload(1, folder / "template.yaml")
        assert (kind.read(1), kind.read(1, "template.yaml")) == (b"tosca", b"tosca")
        kind.upload(1, folder / "scripts")
        with pytest.raises(StorageError, match="2 files") as refused:
            kind.read(1)
        assert not isinstance(refused.value, NotFoundError)
        assert kind.read(1, "deep") == b"#!/bin/sh\n"

    def test_entries_and_kinds_do_not_mix(self, storage: ResourceStorage, tmp_path: Path) -> None:
        folder = _make_folder(tmp_path / "in")
        for kind in (storage.service, storage.service_template):
            kind.upload(1, folder / "template.yaml")
        storage.service.upload(11, folder / "template.yaml")
        assert storage.service.delete(1) is True
        assert (storage.service.list(1), storage.service.list(11)) == ([], ["template.yaml"])
        assert storage.service_template.list(1) == ["template.yaml"]

    def test_what_is_missing_is_not_found(self, storage: ResourceStorage, tmp_path: Path) -> None:
        kind = storage.service
        kind.upload(1, _make_folder(tmp_path / "in"))
        for entry, path in ((2, None), (1, "nowhere"), (1, "template.yam")):
            with pytest.raises(NotFoundError):
                kind.read(entry, path)
            with pytest.raises(NotFoundError):
                kind.download(entry, tmp_path / "out", path)
            assert kind.delete(entry, path) is False
        with pytest.raises(NotFoundError, match="absent"):
            kind.upload(1, tmp_path / "absent")
        assert not (tmp_path / "out").exists()

    def test_what_leads_elsewhere_is_refused(self, storage: ResourceStorage, tmp_path: Path) -> None:
        kind, folder = storage.service, _make_folder(tmp_path / "in")
        for path in HOSTILE_PATHS:
            for act in (kind.read, kind.delete, kind.list):
                with pytest.raises(StorageError) as refused:
                    act(1, path)
                assert not isinstance(refused.value, NotFoundError)
            with pytest.raises(StorageError):
                kind.upload(1, folder, path)
        for entry in ("..", ".", "", "a/b", "-rf", "a b", True, "\0"):
            with pytest.raises(StorageError):
                kind.upload(entry, folder)
        assert [*storage.list("")] == []

    def test_a_path_is_normalised(self, storage: ResourceStorage, tmp_path: Path) -> None:
        storage.service.upload(1, _make_folder(tmp_path / "in") / "template.yaml", "./a//b/.")
        assert storage.service.list(1) == ["a/b/template.yaml"]
        assert storage.service.read(1, "a/./b//template.yaml") == b"tosca"

    def test_links_inside_a_folder_become_files(self, storage: ResourceStorage, tmp_path: Path) -> None:
        folder = _make_folder(tmp_path / "in")
        (folder / "link.sh").symlink_to("scripts/deep/start.sh")
        storage.service.upload(1, folder)
        assert storage.service.read(1, "link.sh") == b"#!/bin/sh\n"
        assert storage.is_executable("service/1/link.sh")

    def test_what_cannot_be_stored_is_refused_before_anything_is(
            self, storage: ResourceStorage, tmp_path: Path) -> None:
        outside = tmp_path / "secret"
        outside.write_bytes(b"secret")
        for number in range(5):
            folder = _make_folder(tmp_path / f"in {number}")
            strange = folder / "strange"
            if number == 0:
                strange.symlink_to(outside)
            elif number == 1:
                strange.symlink_to(folder / "scripts")
            elif number == 2:
                strange.symlink_to("strange")
            elif number == 3:
                os.mkfifo(strange)
            else:
                with socket.socket(socket.AF_UNIX) as listener, pytest.MonkeyPatch.context() as patch:
                    patch.chdir(folder)
                    listener.bind("strange")
            with pytest.raises(StorageError):
                storage.service.upload(number, folder)
            assert storage.service.list(number) == []
