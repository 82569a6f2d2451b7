"""The channel: lines, the socket's client and server, and who is let in."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aria_core.exceptions import NotFoundError
from aria_core.worker.calls import CallRef, ChannelAddress
from aria_core.worker.channel import (
    MESSAGE_LIMIT,
    ChannelError,
    NoChannel,
    SocketChannel,
    decode_message,
    encode_message,
    read_message,
)
from aria_core.worker.channel_server import ChannelServer

REF = CallRef(1, 2, 3)


class Runner:
    """What a runner does with requests: keeps them and answers by verb."""

    def __init__(self) -> None:
        self.seen: list[tuple[CallRef, dict[str, Any]]] = []
        self.arrived = threading.Condition()
        self.slow = threading.Event()

    def __call__(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        with self.arrived:
            self.seen.append((ref, dict(request)))
            self.arrived.notify_all()
        match request.get("ask"):
            case "missing":
                raise NotFoundError("there is no such thing")
            case "broken":
                raise ValueError("that is not possible")
            case "wordless":
                raise RuntimeError
            case "slow":
                self.slow.wait(30)
            case "huge":
                return "x" * MESSAGE_LIMIT
        return {"echo": request.get("value")}

    def wait_for(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.seen) >= count, 10)


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def server(runner: Runner) -> Iterator[ChannelServer]:
    with ChannelServer(runner, hello_seconds=0.3) as server:
        yield server


@pytest.fixture
def channel(server: ChannelServer) -> Iterator[SocketChannel]:
    with SocketChannel(server.address_for(REF), REF) as channel:
        yield channel


def raw(address: ChannelAddress) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(10)
    peer.connect(address.socket)
    return peer


def refusal(peer: socket.socket, line: bytes) -> str:
    with peer, peer.makefile("rb") as stream:
        peer.sendall(line)
        reply = read_message(stream)
        assert reply is not None
        assert stream.read() == b""
        return str(reply["error"])


def test_a_question_is_answered_with_the_ref_of_its_call(channel: SocketChannel, runner: Runner) -> None:
    assert channel.ask({"ask": "echo", "value": "ä\n\0"}) == {"echo": "ä\n\0"}
    assert runner.seen == [(REF, {"ask": "echo", "value": "ä\n\0", "number": 1})]


def test_what_is_told_arrives_in_order_and_gets_no_reply(channel: SocketChannel, runner: Runner) -> None:
    for number in range(100):
        channel.tell({"tell": "log", "message": str(number)})
    assert channel.ask({"ask": "echo"}) == {"echo": None}
    assert [request.get("message") for _, request in runner.seen[:-1]] == [str(each) for each in range(100)]


def test_an_error_comes_back_as_the_runners_sentence(channel: SocketChannel) -> None:
    with pytest.raises(NotFoundError, match="there is no such thing"):
        channel.ask({"ask": "missing"})
    with pytest.raises(ChannelError, match="that is not possible") as caught:
        channel.ask({"ask": "broken"})
    assert caught.value.kind == "ValueError"
    with pytest.raises(ChannelError, match="RuntimeError"):
        channel.ask({"ask": "wordless"})
    assert channel.ask({"ask": "echo"}) == {"echo": None}


def test_an_answer_too_big_to_travel_is_an_error_and_not_the_end(channel: SocketChannel) -> None:
    with pytest.raises(ChannelError, match="at most 16777216 travel"):
        channel.ask({"ask": "huge"})
    assert channel.ask({"ask": "echo"}) == {"echo": None}


def test_a_message_that_cannot_travel_does_not_break_the_channel(channel: SocketChannel) -> None:
    channel.tell({"tell": "log", "message": "x" * MESSAGE_LIMIT})
    channel.tell({"tell": "log", "message": object()})
    with pytest.raises(ChannelError, match="is not JSON"):
        channel.ask({"ask": "echo", "value": float("nan")})
    assert channel.ask({"ask": "echo"}) == {"echo": None}


def test_a_call_that_says_nothing_opens_no_connection(server: ChannelServer) -> None:
    address = ChannelAddress(str(Path(server.address_for(REF).socket).with_name("nowhere")), "")
    with SocketChannel(address, REF):
        pass
    with SocketChannel(address, REF) as channel:
        channel.tell({"tell": "log"})
        with pytest.raises(ChannelError, match="the runner cannot be reached"):
            channel.ask({"ask": "node"})


@pytest.mark.parametrize("hello", [
    {"hello": "1/2/3", "v": 1, "key": "0" * 64},
    {"hello": "1/2/3", "v": 1, "key": None},
    {"hello": "1/2/3", "v": 1},
    {"hello": "9/9/9", "v": 1, "key": "0" * 64},
    {"hello": [1, 2, 3], "v": 1, "key": ""},
    {"hello": "1/2", "v": 1, "key": ""},
    {"ask": "echo", "v": 1, "number": 1},
])
def test_a_peer_without_the_key_is_refused(server: ChannelServer, runner: Runner,
                                           hello: dict[str, Any]) -> None:
    peer = raw(server.address_for(REF))
    assert refusal(peer, encode_message(hello)) == "the channel key is wrong, or its call is over"
    assert not runner.seen


def test_the_key_of_one_call_does_not_open_another(server: ChannelServer) -> None:
    key = server.address_for(CallRef(1, 2, 4)).key
    peer = raw(server.address_for(REF))
    assert "key is wrong" in refusal(peer, encode_message({"hello": str(REF), "v": 1, "key": key}))


def test_another_version_is_refused_by_name(server: ChannelServer) -> None:
    address = server.address_for(REF)
    hello = {"hello": str(REF), "v": 2, "key": address.key}
    assert refusal(raw(address), encode_message(hello)) == "this channel speaks version 1, not 2"


@pytest.mark.parametrize("line", [b"\xff\xfe\n", b"[]\n", b"1\n", b"{\n", b"[" * 4000 + b"\n", b"x" * 5000])
def test_garbage_ends_the_connection_and_nothing_else(server: ChannelServer, channel: SocketChannel,
                                                      line: bytes) -> None:
    refusal(raw(server.address_for(REF)), line)
    assert channel.ask({"ask": "echo"}) == {"echo": None}


def test_a_peer_that_says_nothing_is_hung_up_on(server: ChannelServer) -> None:
    with raw(server.address_for(REF)) as peer:
        assert peer.recv(1) == b""


def test_idle_and_slow_peers_delay_nobody(server: ChannelServer, runner: Runner) -> None:
    idle = [raw(server.address_for(REF)) for _ in range(20)]
    slow = SocketChannel(server.address_for(REF), REF)
    asking = threading.Thread(target=slow.ask, args=({"ask": "slow"},))
    asking.start()
    runner.wait_for(1)
    quick = SocketChannel(server.address_for(REF), REF)
    begin = time.monotonic()
    quick.ask({"ask": "echo"})
    assert time.monotonic() - begin < 0.1
    slow.tell({"tell": "log"})
    runner.slow.set()
    asking.join()
    slow.close()
    quick.close()
    for each in idle:
        each.close()


def test_one_channel_may_be_used_from_many_threads(channel: SocketChannel) -> None:
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        for _ in range(20):
            channel.tell({"tell": "log"})
            answers[number] = channel.ask({"ask": "echo", "value": number})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert answers == {number: {"echo": number} for number in range(8)}


def test_a_forgotten_call_is_hung_up_on_and_let_in_no_more(server: ChannelServer) -> None:
    address = server.address_for(REF)
    with SocketChannel(address, REF) as channel:
        channel.ask({"ask": "echo"})
        server.forget(REF)
        with pytest.raises(ChannelError):
            channel.ask({"ask": "echo"})
    with SocketChannel(address, REF) as channel, pytest.raises(ChannelError, match="its call is over"):
        channel.ask({"ask": "echo"})
    assert server.address_for(REF).key != address.key


def test_the_socket_lies_where_nobody_else_may_enter_and_close_removes_it(runner: Runner) -> None:
    server = ChannelServer(runner)
    directory = Path(server.address_for(REF).socket).parent
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert directory.stat().st_uid == os.getuid()
    with SocketChannel(server.address_for(REF), REF) as channel:
        channel.ask({"ask": "echo"})
        server.close()
        server.close()
        assert not directory.exists()
        with pytest.raises(ChannelError):
            channel.ask({"ask": "echo"})


def test_a_long_temporary_directory_is_no_obstacle(runner: Runner, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with ChannelServer(runner) as server, SocketChannel(server.address_for(REF), REF) as channel:
        assert channel.ask({"ask": "echo"}) == {"echo": None}


def test_closing_wakes_a_thread_that_waits_for_an_answer(server: ChannelServer, runner: Runner) -> None:
    channel = SocketChannel(server.address_for(REF), REF)
    caught: list[str] = []

    def ask() -> None:
        with pytest.raises(ChannelError) as error:
            channel.ask({"ask": "slow"})
        caught.append(str(error.value))

    asking = threading.Thread(target=ask)
    asking.start()
    runner.wait_for(1)
    channel.close()
    asking.join(10)
    runner.slow.set()
    assert caught == ["the channel was closed"]


def test_without_a_channel_asking_is_refused_and_telling_is_not() -> None:
    NoChannel().tell({"tell": "log"})
    with pytest.raises(ChannelError, match="cannot ask for 'node': this call runs without a channel"):
        NoChannel().ask({"ask": "node"})


def test_a_stream_that_ends_within_a_line_has_ended() -> None:
    assert read_message(io.BytesIO(b'{"a":1}\n{"b"')) == {"a": 1}
    stream = io.BytesIO(b'{"b"')
    assert read_message(stream) is None


def test_a_line_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(ChannelError, match="longer than 10 bytes"):
        read_message(io.BytesIO(b"x" * 1000), 10)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=10)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_every_object_survives_the_line(message: dict[str, Any]) -> None:
    stream = io.BytesIO(encode_message(message))
    assert read_message(stream) == message
    assert stream.read() == b""


@given(st.binary(max_size=60))
def test_bytes_are_an_object_or_refused(data: bytes) -> None:
    with contextlib.suppress(ChannelError):
        assert isinstance(decode_message(data), dict)
