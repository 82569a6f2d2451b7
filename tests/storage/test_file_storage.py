"""A directory of resources: nothing leads out of it, and nothing in it is half written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aria_core.exceptions import NotFoundError, StorageError, StorageUnavailableError
from aria_core.storage.resource import ResourceStorage, normalise
from aria_plugins.storage.file import FileStorage

SWAPS = 40_000 if os.environ.get("LONG_TESTS") else 2000
"""How often a file is read while its folder turns into a link and back."""

PUTTING = """
import sys
from aria_plugins.storage.file import FileStorage
storage = FileStorage(sys.argv[1])
storage.open()
data = [bytes([65 + each]) * 300_000 for each in range(4)]
print("ready", flush=True)
while True:
    for each in data:
        storage.put("service/1/file", each)
"""


@pytest.fixture
def directory(tmp_path: Path, resource_storage: ResourceStorage) -> Path:
    return tmp_path / "resources"


def leads_out(storage: ResourceStorage, key: str) -> None:
    for act in (storage.read, storage.is_executable):
        with pytest.raises(StorageError, match="link"):
            act(key)
    with pytest.raises(StorageError):
        storage.put(f"{key}/below", b"stolen")


def test_no_link_is_followed(resource_storage: ResourceStorage, directory: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    resource_storage.put("service/1/file", b"ours")
    links = {"folder": outside, "file-link": outside / "secret", "dangling": outside / "new"}
    for name, target in links.items():
        (directory / "service" / "1" / name).symlink_to(target)
    leads_out(resource_storage, "service/1/folder/secret")
    leads_out(resource_storage, "service/1/file-link")
    assert resource_storage.service.list(1) == ["file"]
    for name in links:
        resource_storage.put(f"service/1/{name}", b"instead")  # the link itself is replaced
    assert resource_storage.read("service/1/folder") == b"instead"
    assert {each.name: each.read_bytes() for each in outside.iterdir()} == {"secret": b"secret"}


def test_deleting_removes_links_and_not_what_they_name(
        resource_storage: ResourceStorage, directory: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"")
    resource_storage.put("service/1/file", b"ours")
    (directory / "service" / "1" / "link").symlink_to(outside)
    with pytest.raises(StorageError, match="link"):
        resource_storage.delete("service/1/link/kept")
    assert resource_storage.service.delete(1) is True
    assert (outside / "kept").exists()
    assert not (directory / "service" / "1").exists()


def test_a_folder_swapped_for_a_link_meanwhile_leads_nowhere(
        resource_storage: ResourceStorage, directory: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"secret")
    (outside / "new").write_bytes(b"theirs")
    place, aside = directory / "service" / "1", directory / "service" / "aside"
    resource_storage.put("service/1/file", b"ours")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            place.rename(aside)
            with contextlib.suppress(FileExistsError):  # a writer made the folder anew
                place.symlink_to(outside)
                place.unlink()
            put_back()

    def put_back() -> None:
        while not stop.is_set() or aside.exists():
            try:
                aside.rename(place)
                return
            except OSError:
                shutil.rmtree(place, ignore_errors=True)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        seen = {outcome(resource_storage) for _ in range(SWAPS)}
        for number in range(SWAPS // 4):
            seen.add(outcome_of(lambda number=number: resource_storage.put("service/1/new", b"%d" % number)))
            seen.add(outcome_of(lambda: resource_storage.delete("service/1/new")))
            seen.add(outcome_of(lambda: "secret" in "".join(resource_storage.list("service/1"))))
    finally:
        stop.set()
        thread.join()
    assert seen <= {b"ours", None, True, False, NotFoundError, StorageError}
    assert {each.name: each.read_bytes() for each in outside.iterdir()} == {
        "file": b"secret", "new": b"theirs"}


def outcome(storage: ResourceStorage) -> object:
    return outcome_of(lambda: storage.read("service/1/file"))


def outcome_of(act: Callable[[], object]) -> object:
    try:
        return act()
    except StorageError as error:
        return type(error)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(st.sampled_from("./\\a~\0\n é\ud800"), max_size=12) | st.text(max_size=40))
def test_whatever_the_path_it_stays_inside_its_entry(
        resource_storage: ResourceStorage, directory: Path, tmp_path: Path, path: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    try:
        resource_storage.service.upload(1, source, path)
    except StorageError:
        return
    [stored] = resource_storage.service.list(1)
    inside = directory / "service" / "1"
    assert (inside / stored).resolve().is_relative_to(inside.resolve())
    assert resource_storage.service.read(1, path) == b"x"
    assert resource_storage.service.delete(1) is True
    assert sorted(each.name for each in tmp_path.iterdir()) == ["resources", "source"]


@given(path=st.text(max_size=60))
def test_normalising_twice_changes_nothing(path: str) -> None:
    try:
        once = normalise(path)
    except StorageError:
        return
    assert normalise(once) == once
    assert not {"", ".", ".."} & set(once.split("/"))


def test_everything_is_private_to_its_owner(resource_storage: ResourceStorage, directory: Path) -> None:
    before = os.umask(0)
    try:
        resource_storage.put("a/b/plain", b"")
        resource_storage.put("a/b/script", b"", executable=True)
    finally:
        os.umask(before)
    modes = {place.name: stat.S_IMODE(place.stat().st_mode) for place in (directory, *directory.rglob("*"))}
    assert modes.pop("plain") == 0o600
    assert modes == dict.fromkeys(("resources", ".parts", "a", "b", "script"), 0o700)


def test_a_writer_killed_at_any_time_leaves_the_old_bytes_or_the_new(tmp_path: Path) -> None:
    versions = {bytes([65 + each]) * 300_000 for each in range(4)} | {b"before"}
    storage = FileStorage(tmp_path / "resources")
    storage.open()
    storage.put("service/1/file", b"before")
    for number in range(8):
        writer = subprocess.Popen([sys.executable, "-c", PUTTING, str(tmp_path / "resources")],
                                  stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        for _ in range(3 * number + 1):
            assert storage.read("service/1/file") in versions
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        assert storage.read("service/1/file") in versions
    storage.open()
    assert [*(tmp_path / "resources" / ".parts").iterdir()] == []
    assert [*storage.list("")] == ["service/1/file"]


def test_what_a_dead_writer_left_is_swept_but_not_what_a_living_one_writes(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.open()
    (tmp_path / ".parts" / "left").write_bytes(b"half")
    with storage._parts():
        FileStorage(tmp_path).open()
        assert (tmp_path / ".parts" / "left").exists()
    FileStorage(tmp_path).open()
    assert not (tmp_path / ".parts" / "left").exists()


def test_hosts_that_share_a_directory_need_no_locks(tmp_path: Path) -> None:
    one, other = (FileStorage(tmp_path, shared=True) for _ in range(2))
    one.open()
    (tmp_path / ".parts" / "being-written").write_bytes(b"half")  # by a host whose locks we do not see
    abandoned = tmp_path / ".parts" / "abandoned"
    abandoned.write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    with locked(tmp_path / ".parts"):
        other.open()
        other.put("service/1/file", b"bytes")
        assert one.read("service/1/file") == b"bytes"
        assert other.delete("service/1")
    assert [each.name for each in (tmp_path / ".parts").iterdir()] == ["being-written"]


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """The directory with a lock that keeps everybody else from locking it."""
    number = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(
        resource_storage: ResourceStorage, directory: Path) -> None:
    resource_storage.put("service/1/file", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageUnavailableError, match="service/1/file"):
            resource_storage.put("service/1/file", b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert resource_storage.read("service/1/file") == b"old"
    assert [*(directory / ".parts").iterdir()] == []


def test_its_own_folder_is_no_resource(resource_storage: ResourceStorage, directory: Path) -> None:
    (directory / ".parts" / "half").write_bytes(b"half")
    for key in (".parts", ".parts/half"):
        for act in (resource_storage.read, resource_storage.delete):
            with pytest.raises(StorageError, match="not one"):
                act(key)
    assert [*resource_storage.list("")] == []


def test_keys_that_were_not_normalised_do_not_lead_out_either(resource_storage: ResourceStorage) -> None:
    for key in ("../x", "a/../../x", ".."):
        for act in (resource_storage.read, resource_storage.delete, resource_storage.list):
            with pytest.raises(StorageError):
                act(key)
        with pytest.raises(StorageError):
            resource_storage.put(key, b"")


def test_a_file_in_the_place_of_a_folder_is_told(resource_storage: ResourceStorage) -> None:
    resource_storage.put("a/b", b"kept")
    for key in ("a", "a/b/c"):
        with pytest.raises(StorageError, match=key):
            resource_storage.put(key, b"")
    assert [*resource_storage.list("")] == ["a/b"]
    assert resource_storage.read("a/b") == b"kept"


def test_a_pipe_or_device_in_the_directory_hangs_nobody(
        resource_storage: ResourceStorage, directory: Path) -> None:
    resource_storage.put("service/1/file", b"")
    os.mkfifo(directory / "service" / "1" / "pipe")
    with pytest.raises(NotFoundError):
        resource_storage.read("service/1/pipe")
    assert resource_storage.service.list(1) == ["file"]


def test_a_name_that_is_too_long_is_told(resource_storage: ResourceStorage) -> None:
    with pytest.raises(StorageError, match="name too long"):
        resource_storage.put("x" * 300, b"")


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageUnavailableError, match="resource directory"):
            FileStorage(place).open()


def test_a_directory_that_vanished_is_told(resource_storage: ResourceStorage, directory: Path) -> None:
    directory.rename(directory.with_name("away"))
    for act in (resource_storage.read, resource_storage.list, resource_storage.delete):
        with pytest.raises(StorageUnavailableError, match="gone"):
            act("service/1/file")
    with pytest.raises(StorageUnavailableError, match="gone"):
        resource_storage.put("service/1/file", b"")


def test_the_constructor_touches_nothing_and_the_directory_may_be_a_link(tmp_path: Path) -> None:
    FileStorage(tmp_path / "never")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    storage = FileStorage(tmp_path / "link")
    storage.open()
    storage.put("a", b"1")
    assert (tmp_path / "real" / "a").read_bytes() == b"1"
    assert not (tmp_path / "never").exists()


def test_downloading_replaces_links_instead_of_following_them(
        resource_storage: ResourceStorage, tmp_path: Path) -> None:
    resource_storage.put("service/1/script", b"new", executable=True)
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "script").symlink_to("precious")
    resource_storage.service.download(1, tmp_path)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert (tmp_path / "script").read_bytes() == b"new"
    assert not (tmp_path / "script").is_symlink()


def test_no_descriptor_stays_open(resource_storage: ResourceStorage) -> None:
    def use() -> None:
        resource_storage.put("a/b/c", b"1")
        resource_storage.read("a/b/c")
        [*resource_storage.list("a")]
        resource_storage.delete("a/b")
        with pytest.raises(NotFoundError):
            resource_storage.read("a/b/c")

    use()
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(20):
        use()
    assert len([*Path("/proc/self/fd").iterdir()]) == before
