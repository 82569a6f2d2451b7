"""Peers that lie, babble and push: the runner goes on, and nobody is let in."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aria_core import Call, CallRef, Failed, Lost, Succeeded
from aria_core.testing.bench import Bench
from aria_core.worker.calls import report_from_json, report_to_json
from aria_core.worker.channel import MESSAGE_LIMIT, SocketChannel, encode_message
from aria_core.worker.channel_server import ChannelServer
from aria_plugins.executors.process import ProcessExecutor

REF = CallRef(1, 2, 3)
MEBIBYTE = 1024 * 1024
CODE = Path(__file__).parent / "hostile"

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=10)
WORDS = st.sampled_from(["ask", "tell", "number", "hello", "v", "key", "report", "ref", "edits", "error",
                         "log", "node", "result", "after", "execution", "task", "attempt", "succeeded",
                         "failed"])
ANY_MESSAGE = st.dictionaries(WORDS | st.text(), ANY_JSON | WORDS, max_size=6)


class Runner:
    """Answers everybody, remembers how many asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        self.asked += 1
        return {"echo": request.get("value")}


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner()


@pytest.fixture(scope="module")
def server(runner: Runner) -> Iterator[ChannelServer]:
    with ChannelServer(runner) as server:
        yield server


def send(server: ChannelServer, data: bytes, *, with_key: bool) -> bytes:
    """Send bytes to a server and hang up; what it said."""
    address = server.address_for(REF)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(address.socket)
        with contextlib.suppress(OSError):  # it may have hung up already, and may have said why
            if with_key:
                peer.sendall(encode_message({"hello": str(REF), "v": 1, "key": address.key}))
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            while part := peer.recv(65536):
                heard += part
    return heard


def is_well(server: ChannelServer) -> bool:
    with SocketChannel(server.address_for(REF), REF) as channel:
        return bool(channel.ask({"ask": "echo", "value": 1}) == {"echo": 1})


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=300), st.booleans())
def test_bytes_harm_no_server(server: ChannelServer, data: bytes, with_key: bool) -> None:
    send(server, data + b"\n", with_key=with_key)
    assert is_well(server)


@settings(deadline=None, max_examples=150)
@given(st.lists(ANY_MESSAGE, max_size=5), st.booleans())
def test_messages_of_any_kind_harm_no_server(server: ChannelServer, messages: list[dict[str, Any]],
                                             with_key: bool) -> None:
    heard = send(server, b"".join(json.dumps(each).encode() + b"\n" for each in messages), with_key=with_key)
    assert all(isinstance(json.loads(line), dict) for line in heard.splitlines())
    assert is_well(server)


def test_no_wrong_key_of_a_thousand_is_let_in(server: ChannelServer, runner: Runner) -> None:
    before, right = runner.asked, server.address_for(REF).key
    near = [right[:-1], right + "0", right.upper() + "x", right[:-1] + ("0" if right[-1] != "0" else "1"), ""]
    for key in [*near, *(secrets.token_hex(32) for _ in range(995))]:
        hello = encode_message({"hello": str(REF), "v": 1, "key": key})
        heard = send(server, hello + encode_message({"ask": "echo", "number": 1}), with_key=False)
        assert b"the channel key is wrong" in heard or heard == b""
    assert runner.asked == before
    assert is_well(server)


def test_a_line_without_end_takes_no_more_than_a_line_may(server: ChannelServer) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    send(server, b"x" * (2 * MESSAGE_LIMIT), with_key=False)
    send(server, b"[" * (2 * MESSAGE_LIMIT), with_key=True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * MESSAGE_LIMIT // 1024
    assert is_well(server)


STRANGER = """
import os, socket, sys
os.setgid(65534); os.setgroups([]) if os.getgroups() else None; os.setuid(65534)
peer = socket.socket(socket.AF_UNIX)
try:
    peer.connect(sys.argv[1])
    try:
        peer.sendall(sys.argv[2].encode())
    except BrokenPipeError:
        pass  # refused already, and told why
    print(peer.makefile().readline().strip())
except PermissionError:
    print("no permission")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user takes root")
@pytest.mark.parametrize(("opened", "told"), [
    (False, "no permission"), (True, "this channel belongs to another user")])
def test_another_user_is_refused(runner: Runner, monkeypatch: pytest.MonkeyPatch, opened: bool,
                                 told: str) -> None:
    place = Path(tempfile.mkdtemp(prefix="aria-test-", dir="/tmp"))  # below pytest's nobody may go
    place.chmod(0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    before = runner.asked
    with ChannelServer(runner) as server:
        address = server.address_for(REF)
        folder = Path(address.socket).parent
        if opened:  # as if somebody had undone what the folders' modes protect
            Path(address.socket).chmod(0o777)
            folder.chmod(0o711)
            folder.parent.chmod(0o711)
        hello = encode_message({"hello": str(REF), "v": 1, "key": address.key}).decode()
        heard = subprocess.run([sys.executable, "-I", "-S", "-c", STRANGER, address.socket, hello],
                               capture_output=True, text=True, check=True).stdout
    shutil.rmtree(place)
    assert told in heard
    assert runner.asked == before


# --- reports

@settings(deadline=None, max_examples=500)
@given(ANY_MESSAGE | st.fixed_dictionaries({
    "report": st.sampled_from(["started", "succeeded", "failed", "lost"]),
    "ref": ANY_JSON | st.fixed_dictionaries(dict.fromkeys(("execution", "task", "attempt"), st.integers())),
}, optional={
    **dict.fromkeys(("error", "traceback", "result", "after", "retry", "reason", "where"), ANY_JSON),
    "edits": ANY_JSON | st.lists(st.fixed_dictionaries({
        "kind": ANY_JSON | st.just("node"), "owner": ANY_JSON, "name": ANY_JSON, "value": ANY_JSON}))}))
def test_a_message_is_a_report_or_refused(message: dict[str, Any]) -> None:
    try:
        report = report_from_json(message)
    except ValueError:
        return
    assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report


@pytest.mark.parametrize(("field", "value"), [
    ("error", 1), ("traceback", None), ("retry", 1), ("after", -1), ("after", 1e300), ("after", float("inf")),
    ("after", "1"), ("edits", 1), ("edits", [1]), ("edits", [{}]), ("ref", "1/2/3"), ("ref", {}),
    ("ref", {"execution": "1", "task": 2, "attempt": 3}),
    ("ref", {"execution": 1 << 64, "task": 2, "attempt": 3}),
    ("edits", [{"kind": "service", "owner": 1, "name": "x"}]),
    ("edits", [{"kind": "node", "owner": 1, "name": "x" * 256}]),
    ("edits", [{"kind": "node", "owner": 1, "name": "\0"}]),
    ("edits", [{"kind": "node", "owner": 1, "name": "x", "value": "\0"}]),
    ("edits", [{"kind": "node", "owner": True, "name": "x"}]),
])
def test_what_the_engine_could_not_store_is_no_report(field: str, value: Any) -> None:
    message = {**report_to_json(Failed(REF, "no")), field: value}
    with pytest.raises(ValueError, match="no report"):
        report_from_json(message)


# --- workers

LIES = [
    b"no json\n", b"[]\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b'{"report": "succeeded"}\n',
    b'{"report": "succeeded", "ref": {"execution": 1, "task": 999999, "attempt": 1}}\n',
    b'{"report": ["failed"], "ref": 1}\n', b'{"hello": 2, "key": "guessed"}\n',
    b'{"hello": 2, "key": "\\ud800"}\n',
    b'{"report": "lost", "ref": null, "reason": "bored"}\n',
    *(b'{"report": "%b", "ref": {"execution": 1, "task": 1, "attempt": 1}, "seconds": %b}\n' % each
      for each in ((b"started", b"0"), (b'lost", "reason": "killed', b"0"), (b"succeeded", b"null"),
                   (b"succeeded", b"-1"), (b"succeeded", b'"1"'), (b"succeeded", b"1e999"))),
    b"x" * (MESSAGE_LIMIT + MEBIBYTE),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: repr(lie[:24]))
def test_a_worker_that_lies_loses_its_call_and_nothing_else(tmp_path: Path, lie: bytes) -> None:
    (tmp_path / "lie").write_bytes(lie)
    with Bench(ProcessExecutor(slots=1), tmp_path) as bench:
        ref = CallRef(1, 1, 1)
        bench.executor.submit(Call(ref, "lies:tell", {"file": str(tmp_path / "lie")}, code=str(CODE),
                                   origin=bench.origin))
        assert isinstance(bench.finish(ref), Lost)
        assert isinstance(bench.run("nothing"), Succeeded)
        assert len(bench.inbox.finals()) == 2


@pytest.mark.parametrize("babble", [
    b"{}\n", b'{"tell": "log", "level": [], "message": {}, "created_at": "x"}\n', b'{"ask": {"a": 1}}\n',
    b'{"tell": 1}\n', b'{"fetch": [1]}\n', b'{"ask": "node", "id": "x"}\n', b'{"who": "knows"}\n'])
def test_a_worker_that_babbles_is_heard_out(tmp_path: Path, babble: bytes) -> None:
    (tmp_path / "lie").write_bytes(babble * 20)
    with Bench(ProcessExecutor(slots=1), tmp_path) as bench:
        ref = CallRef(1, 1, 1)
        bench.executor.submit(Call(ref, "lies:babble", {"file": str(tmp_path / "lie")}, code=str(CODE),
                                   origin=bench.origin))
        assert bench.finish(ref) == Succeeded(ref, "done")
        assert isinstance(bench.run("nothing"), Succeeded)
