"""An object store: a real one, that is killed, silent, and visited by others."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aria_core import (
    AriaError,
    ConfigurationError,
    NotFoundError,
    PluginManager,
    Secret,
    SqlModelStorage,
    StorageError,
    StorageUnavailableError,
)
from aria_core.config import Config
from aria_core.testing.object_server import BUCKET, ObjectServer
from aria_core.testing.resource_storage import ResourceStorageContract
from aria_core.testing.wagons import write_wagon
from aria_plugins.storage.objects import ObjectStorage

MIB = 1 << 20
KILLS = 6 if os.environ.get("LONG_TESTS") else 2


@pytest.fixture
def prefix() -> str:
    return f"test/{secrets.token_hex(8)}"


@pytest.fixture
def storage(object_server: ObjectServer, prefix: str) -> Iterator[ObjectStorage]:
    with ObjectStorage(**object_server.keywords(prefix)) as storage:
        yield storage


class TestObjectStorage(ResourceStorageContract):
    @pytest.fixture
    def storage(self, storage: ObjectStorage) -> ObjectStorage:
        return storage


def test_other_hosts_reach_it() -> None:
    assert ObjectStorage("s3://bucket").reach == "network"


def sentence(error: pytest.ExceptionInfo[AriaError]) -> str:
    """What an error tells, which is one line."""
    told = str(error.value)
    assert "\n" not in told
    return told


# --- keys

def test_keys_of_many_pages_are_listed_and_deleted(storage: ObjectStorage) -> None:
    keys = [f"many/{number // 100}/{number:04}" for number in range(2100)]
    for key in keys:
        storage.put(key, b"")
    storage.put("other", b"")
    assert [*storage.list("many")] == sorted(keys)
    assert [*storage.list("many/20")] == keys[2000:]
    assert storage.delete("many") is True
    assert [*storage.list("")] == ["other"]


def test_nothing_leads_out_of_the_prefix(object_server: ObjectServer, prefix: str) -> None:
    with ObjectStorage(**object_server.keywords(f"{prefix}/mine")) as mine, \
            ObjectStorage(**object_server.keywords(f"{prefix}/mine-too")) as neighbour, \
            ObjectStorage(**object_server.keywords(prefix)) as above:
        mine.put("a", b"mine")
        neighbour.put("a", b"theirs")
        above.put("b", b"theirs")
        for key in ("../b", "a/../../b", "..", ".", "", "/b", "a//b", "a/"):
            for act in (mine.read, mine.is_executable, lambda key: mine.put(key, b"")):
                with pytest.raises(StorageError) as refused:
                    act(key)
                assert not isinstance(refused.value, NotFoundError | StorageUnavailableError)
        assert [*mine.list("")] == ["a"]
        assert mine.delete("") is True
        assert [*above.list("")] == ["b", "mine-too/a"]


@pytest.mark.parametrize("key", [
    "a b", "a#b", "a%20b", "%41", "a?b=c&d", "~", "a+b", "[x]*", '"q"', "a|b<c>", " ", "\u00e9/\U0001f600",
    "x" * 200])
def test_strange_names_come_back_as_they_are(storage: ObjectStorage, key: str) -> None:
    storage.put(f"k/{key}", key.encode())
    assert storage.read(f"k/{key}") == key.encode()
    assert [*storage.list("k")] == [f"k/{key}"]
    assert storage.delete(f"k/{key}") is True
    assert [*storage.list("")] == []


@pytest.mark.parametrize("key", ["a\nb", "a\x01b", "long/" * 300 + "x"])
def test_what_no_object_can_be_called_is_refused(storage: ObjectStorage, key: str) -> None:
    with pytest.raises(StorageError) as refused:
        storage.put(key, b"")
    assert not isinstance(refused.value, StorageUnavailableError)


def test_what_is_sent_in_pieces_is_whole_and_executable(storage: ObjectStorage) -> None:
    data = os.urandom(MIB) * 23
    storage.put("large", data, executable=True)
    assert storage.read("large") == data
    assert storage.is_executable("large")


# --- settings and secrets

@pytest.mark.parametrize("url", ["", "bucket", "s3://", "file:///x", "http://bucket/x", "s3://bucket?x=1"])
def test_what_is_no_url_of_an_object_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="names no object store; that is s3://bucket/prefix"):
        ObjectStorage(url)


def test_settings_that_cannot_be_are_refused_without_telling_secrets() -> None:
    refused = [
        lambda: ObjectStorage("s3://key:hidden@bucket/x"),
        lambda: ObjectStorage("s3://b", access_key="hidden"),
        lambda: ObjectStorage("s3://b", secret_key=Secret("hidden")),
        lambda: ObjectStorage("s3://b", timeout=0),
        lambda: ObjectStorage("s3://b", endpoint="host:9000"),
        lambda: ObjectStorage("s3://b", endpoint="http://key:hidden@host:9000")]
    for make in refused:
        with pytest.raises(ConfigurationError) as error:
            make()
        assert "hidden" not in sentence(error)
    with pytest.raises(StorageError):
        ObjectStorage("s3://bucket/a/../b")


def test_the_spec_makes_the_same_again_and_nothing_else_tells_the_secrets(
        object_server: ObjectServer, prefix: str) -> None:
    keywords = object_server.keywords(prefix)
    storage = ObjectStorage(**{**keywords, "secret_key": Secret(keywords["secret_key"])})
    _, given = storage.spec()
    assert json.loads(json.dumps(given)) == {**keywords, "timeout": 30.0}
    assert object_server.password not in f"{storage!r} {storage}"


def test_configuration_masks_the_credentials(tmp_path: Path) -> None:
    (tmp_path / "aria.toml").write_text(
        '[resource_storage]\nuse = "objects"\nurl = "s3://b"\naccess_key = "hidden-id"\n'
        'secret_key = "hidden"\nsession_token = "hidden-too"\n')
    rows = {each.name: str(each.value) for each in Config.load(file=tmp_path / "aria.toml").rows()}
    assert rows["resource_storage.url"] == "s3://b"
    assert not [name for name, value in rows.items() if "hidden" in value]


def test_credentials_come_from_the_environment(
        object_server: ObjectServer, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", object_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", object_server.password)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with ObjectStorage(f"s3://{BUCKET}/{prefix}", endpoint=object_server.url) as storage:
        storage.put("a", b"bytes")
        assert storage.read("a") == b"bytes"
        assert object_server.password not in json.dumps(storage.spec())


def test_wrong_credentials_and_no_bucket_are_told_in_a_sentence(object_server: ObjectServer) -> None:
    right = object_server.keywords("x")
    for wrong, words in (({"secret_key": "wrong-one"}, "SignatureDoesNotMatch"),
                         ({"access_key": "nobody"}, "InvalidAccessKeyId"),
                         ({"url": "s3://nowhere/x"}, "NoSuchBucket: The specified bucket does not exist")):
        storage = ObjectStorage(**{**right, **wrong})
        with pytest.raises(StorageUnavailableError, match=words) as error:
            storage.open()
        assert not {object_server.password, "wrong-one"} & set(sentence(error).split())
        with pytest.raises(StorageUnavailableError, match=words):
            storage.read("a")


def test_without_the_extra_a_sentence_says_how_to_install_it() -> None:
    program = ("import sys; sys.modules['obstore'] = None\n"
               "from aria_core.extensions import Extensions\n"
               "from aria_core.extensions.kinds import RESOURCE_STORAGES\n"
               "try: Extensions().driver(RESOURCE_STORAGES, 'objects')\n"
               "except Exception as error: print(error)")
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "it comes with: pip install 'aria-core[s3]'" in told
    assert told.count("\n") == 1


def test_who_does_without_the_extra_is_not_told_that_something_is_broken(tmp_path: Path) -> None:
    environ = {**os.environ, "HOME": str(tmp_path), "ARIA_EXECUTOR__USE": "thread"}
    for settings, code, status in (({}, 0, "available"), (
            {"ARIA_RESOURCE_STORAGE__USE": "objects", "ARIA_RESOURCE_STORAGE__URL": "s3://b"}, 6, "broken")):
        program = ("import sys; sys.modules['obstore'] = None\n"
                   "from aria_plugins.cli import main\n"
                   "sys.argv = ['aria', 'extensions', 'doctor', '--json']; sys.exit(main())")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False,
                              env={**environ, **settings}, cwd=tmp_path)
        found = {(each["kind"], each["name"]): each for each in json.loads(done.stdout)}
        assert done.returncode == code, done.stderr
        row = found["resource storage", "objects"]
        assert (row["status"], "aria-core[s3]" in row["problem"]) == ("not installed", True)
        assert found["configured", "resource_storage"]["status"] == status


def test_a_process_that_was_forked_is_told_to_open_its_own(storage: ObjectStorage) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            storage.read("a")
        except StorageError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as told:  # noqa: PTH123
        assert b"open storages in the process that uses them" in told.read()
    os.waitpid(child, 0)


def test_a_storage_that_is_not_open_says_so(object_server: ObjectServer, prefix: str) -> None:
    storage = ObjectStorage(**object_server.keywords(prefix))
    with pytest.raises(StorageUnavailableError, match="is not open"):
        storage.read("a")


# --- faults

def test_a_store_that_never_answers_is_told_in_time() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        storage = ObjectStorage("s3://b", endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}",
                                region="us-east-1", access_key="a", secret_key="b", timeout=1)
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="it does not answer") as error:
            storage.open()
        sentence(error)
        assert time.monotonic() - began < 15


def once_it_answers(act: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """What an act returns on a busy machine, where a second may not suffice; None: there is nothing."""
    until = time.monotonic() + 60
    while True:
        try:
            return act(*arguments, **keywords)
        except NotFoundError:
            return None
        except StorageUnavailableError:
            if time.monotonic() > until:
                raise


@pytest.mark.slow
def test_an_outage_is_told_and_over_when_the_store_is_back(own_object_server: ObjectServer) -> None:
    server = own_object_server
    with ObjectStorage(**server.keywords("x"), timeout=1) as storage:
        storage.put("a/b", b"kept", executable=True)
        for end, begin in ((server.pause, server.go_on), (server.kill, server.start)):
            end()
            began = time.monotonic()
            for act in (storage.read, storage.list, storage.delete, lambda key: storage.put(key, b"new")):
                with pytest.raises(StorageUnavailableError, match="it does not answer") as error:
                    act("a/b")
                assert server.password not in sentence(error)
            assert time.monotonic() - began < 60
            begin()
            # A store that was only silent does what it was told meanwhile after all, deleting included.
            assert once_it_answers(storage.read, "a/b") in (b"kept", b"new", None)
            once_it_answers(storage.put, "a/b", b"kept", executable=True)
        assert once_it_answers(storage.read, "a/b") == b"kept"
        assert once_it_answers(storage.is_executable, "a/b") is True


def test_an_outage_shorter_than_the_timeout_is_not_noticed(own_object_server: ObjectServer) -> None:
    server = own_object_server
    with ObjectStorage(**server.keywords("x"), timeout=60) as storage:
        storage.put("a", b"kept", executable=True)
        server.kill()
        starts = threading.Timer(0.5, server.start)
        starts.start()
        try:
            assert storage.is_executable("a")
        finally:
            starts.join()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_store_killed_during_an_upload_has_the_old_bytes_or_the_new(
        own_object_server: ObjectServer) -> None:
    server = own_object_server
    versions = [bytes([65 + number]) * (12 * MIB) for number in range(3)]
    with ObjectStorage(**server.keywords("x"), timeout=5) as storage:
        storage.put("large", versions[0])
        for number in range(KILLS):
            failed = until_it_fails(storage, versions)
            time.sleep(0.2 + 0.15 * number)
            server.kill()
            failed.join(60)
            assert not failed.is_alive()
            server.start()
            assert storage.read("large") in versions
            assert [*storage.list("")] == ["large"]


def until_it_fails(storage: ObjectStorage, versions: list[bytes]) -> threading.Thread:
    """Put one version after the other; the thread ends with the store."""
    def put() -> None:
        while True:
            for each in versions:
                try:
                    storage.put("large", each)
                except StorageUnavailableError:
                    return

    thread = threading.Thread(target=put)
    thread.start()
    return thread


PUTTING = """
import json, sys
from aria_plugins.storage.objects import ObjectStorage
with ObjectStorage(**json.loads(sys.stdin.readline())) as storage:
    print("ready", flush=True)
    while True:
        for each in range(3):
            storage.put("large", bytes([65 + each]) * (12 << 20))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_uploader_that_is_killed_leaves_the_old_bytes_or_the_new(
        object_server: ObjectServer, storage: ObjectStorage, prefix: str) -> None:
    versions = [bytes([65 + number]) * (12 * MIB) for number in range(3)]
    storage.put("large", versions[0])
    for number in range(KILLS):
        writer = subprocess.Popen([sys.executable, "-c", PUTTING], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(json.dumps(object_server.keywords(prefix)) + "\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "ready\n"
        time.sleep(0.1 + 0.1 * number)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        assert storage.read("large") in versions
        assert [*storage.list("")] == ["large"]


# --- together

def test_hosts_share_plugins_through_the_store(storage: ObjectStorage, tmp_path: Path) -> None:
    with SqlModelStorage(f"sqlite:///{tmp_path / 'aria.db'}") as model:
        one, two = (PluginManager(model, tmp_path / name, resources=storage) for name in ("one", "two"))
        plugin = one.install(write_wagon(tmp_path / "greeter.wgn"))
        assert Path(str(two.environment(plugin).python)).is_relative_to(tmp_path / "two")
        one.uninstall(plugin)
        assert [*storage.list("")] == []
