"""Every contract test of resource storages fails for one that breaks what it is about."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aria_core.exceptions import NotFoundError, StorageError
from aria_core.storage.resource import ResourceKind
from aria_core.testing.doubles import Doubles, swallowing
from aria_core.testing.resource_storage import ResourceStorageContract
from aria_plugins.storage.file import FileStorage

DOUBLES = Doubles(ResourceStorageContract)

DOUBLES.breaks("test_a_missing_key_is_not_found")(swallowing(FileStorage, NotFoundError, b"", "read"))
DOUBLES.breaks("test_a_missing_key_is_not_found")(
    swallowing(FileStorage, NotFoundError, False, "is_executable"))
DOUBLES.breaks("test_what_is_missing_is_not_found")(swallowing(ResourceKind, NotFoundError, b"", "read"))
DOUBLES.breaks("test_what_is_missing_is_not_found")(swallowing(ResourceKind, NotFoundError, None, "download"))
DOUBLES.breaks("test_what_is_missing_is_not_found")(swallowing(ResourceKind, NotFoundError, None, "upload"))
DOUBLES.breaks("test_a_folder_with_a_single_file_can_be_read")(
    swallowing(ResourceKind, StorageError, b"", "read"))
DOUBLES.breaks("test_what_cannot_be_stored_is_refused_before_anything_is")(
    swallowing(ResourceKind, StorageError, None, "upload"))


@DOUBLES.breaks("test_bytes_come_back_exactly_as_they_were")
class TextMode(FileStorage):
    def read(self, key):
        return super().read(key).replace(b"\r\n", b"\n")


@DOUBLES.breaks("test_a_later_put_replaces_an_earlier_one")
class FirstPutWins(FileStorage):
    def put(self, key, data, *, executable=False):
        if not [*self.list(key)]:
            super().put(key, data, executable=executable)


@DOUBLES.breaks("test_what_is_executable_stays_so")
class EverythingRuns(FileStorage):
    def is_executable(self, key):
        return True


@DOUBLES.breaks("test_keys_are_listed_sorted_below_their_folder_only")
class ListsByPrefix(FileStorage):
    def list(self, prefix) -> Iterator[str]:
        return iter([key for key in super().list("") if key.startswith(prefix)])


@DOUBLES.breaks("test_deleting_removes_a_folder_and_says_whether_there_was_one")
class DeletesAlways(FileStorage):
    def delete(self, prefix):
        super().delete(prefix)
        return True


@DOUBLES.breaks("test_a_deleted_place_can_be_used_again")
class RemembersFolders(FileStorage):
    def delete(self, prefix):
        deleted = super().delete(prefix)
        super().put(f"{prefix}/.deleted", b"")
        return deleted


@DOUBLES.breaks("test_readers_see_old_bytes_or_new_never_both")
class TornPut(FileStorage):
    def __init__(self, directory):
        super().__init__(directory)
        self.was_read = threading.Event()

    def read(self, key):
        data = super().read(key)
        if len(data) == 1:
            self.was_read.set()
        return data

    def put(self, key, data, *, executable=False):
        if threading.current_thread() is not threading.main_thread():
            super().put(key, data[:1])
            self.was_read.wait(1)
        super().put(key, data)


@DOUBLES.breaks("test_another_instance_made_from_the_spec_has_the_same_bytes")
class SpecOfAnotherPlace(FileStorage):
    def spec(self) -> tuple[str, Mapping[str, Any]]:
        return "aria_plugins.storage.file:FileStorage", {"directory": f"{super().spec()[1]['directory']}2"}


@DOUBLES.breaks("test_opening_and_closing_twice_keeps_the_bytes")
class OpensEmpty(FileStorage):
    def open(self):
        super().open()
        self.delete("")


@DOUBLES.breaks("test_a_folder_goes_in_and_comes_out_whole")
class NotExecutable(FileStorage):
    def is_executable(self, key):
        return False


@DOUBLES.breaks("test_files_and_folders_go_below_a_path")
class IgnoresThePath(ResourceKind):
    def upload(self, entry_id, source, path=None):
        super().upload(entry_id, source)


@DOUBLES.breaks("test_entries_and_kinds_do_not_mix")
class OneKind(ResourceKind):
    def __init__(self, storage, name):
        super().__init__(storage, "all")


@DOUBLES.breaks("test_what_leads_elsewhere_is_refused")
class PathsAsTheyAre(ResourceKind):
    def _key(self, entry_id, path):
        return f"{self.name}/{entry_id}" + (f"/{path}" if path else "")


@DOUBLES.breaks("test_a_path_is_normalised")
class PathsNotNormalised(ResourceKind):
    def _key(self, entry_id, path):
        key = super()._key(entry_id, path)
        return key if not path or key.endswith(f"/{path}") else f"{self.name}/{entry_id}/elsewhere"


@DOUBLES.breaks("test_links_inside_a_folder_become_files")
class RefusesLinks(ResourceKind):
    def upload(self, entry_id, source, path=None):
        if any(each.is_symlink() for each in Path(source).rglob("*")):
            raise StorageError("no links")
        super().upload(entry_id, source, path)


@DOUBLES.breaks("test_what_cannot_be_stored_is_refused_before_anything_is")
class StoresWhatItCan(ResourceKind):
    def upload(self, entry_id, source, path=None):
        super().upload(entry_id, Path(source) / "template.yaml", path)
        super().upload(entry_id, source, path)


def broken(kind: type[Any]) -> type[FileStorage]:
    if issubclass(kind, FileStorage):
        return kind

    def make(storage: FileStorage, name: str) -> ResourceKind:
        return kind(storage, name)

    return type("Broken", (FileStorage,), {"kind": make})


@pytest.mark.parametrize("name", DOUBLES.names)
def test_a_storage_that_breaks_it_is_found(name: str, tmp_path: Path) -> None:
    for number, kind in enumerate(DOUBLES.of(name)):
        (tmp_path / str(number)).mkdir()
        storage = broken(kind)(tmp_path / str(number) / "resources")
        storage.open()
        DOUBLES.check(name, {"storage": storage, "tmp_path": tmp_path / str(number)})
        storage.close()
