"""Who else knocks at the socket of a script's ``ctx``: idle peers, wrong keys, other users, strange words."""

from __future__ import annotations

import ast
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from aria_core import Actor, Call, ContextServer
from aria_core.worker.channel import MESSAGE_LIMIT, encode_message, read_message
from aria_core.worker.context import NodeOperationContext


@pytest.fixture
def server(host: Any, tmp_path: Path) -> Iterator[ContextServer]:
    call = Call(host.ref, "x:y", {}, Actor("node", 1, "web"))
    with ContextServer(NodeOperationContext(call, host.channel), tmp_path) as server:
        yield server


def connected(server: ContextServer, key: str | None, ref: object) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(10)
    peer.connect(server.socket)
    if key is not None:
        peer.sendall(encode_message({"hello": str(ref), "v": 1, "key": key}))
    return peer


def ask(peer: socket.socket, question: dict[str, Any]) -> dict[str, Any]:
    with suppress(BrokenPipeError):  # who is refused already may still read why
        peer.sendall(encode_message({"number": 1, **question}))
    with peer.makefile("rb") as stream:
        reply = read_message(stream, 2 * MESSAGE_LIMIT)
    assert reply is not None
    return reply


NAME = {"ask": "ctx", "words": ["node", "name"]}


def test_idle_and_slow_peers_delay_no_command(server: ContextServer, host: Any) -> None:
    host.channel.resources["big"] = bytes(8 * 1024 * 1024)
    with ExitStack() as stack:
        for key in (None, server.key) * 20:
            stack.enter_context(connected(server, key, host.ref))
        for _ in range(3):  # these ask for more than a socket holds, and read none of it
            slow = stack.enter_context(connected(server, server.key, host.ref))
            slow.sendall(encode_message({"number": 1, "ask": "resource", "path": "big", "offset": 0}))
        took = []
        for _ in range(5):
            peer = stack.enter_context(connected(server, server.key, host.ref))
            began = time.monotonic()
            assert ask(peer, NAME)["answer"] == {"value": "web"}
            took.append(time.monotonic() - began)
    assert min(took) < 0.1


def test_no_wrong_key_of_a_thousand_is_let_in(server: ContextServer, host: Any) -> None:
    for key in ["", server.key[:-1], server.key + "0", *(secrets.token_hex(32) for _ in range(997))]:
        with connected(server, key, host.ref) as peer:
            reply = ask(peer, NAME)
        assert (reply["kind"], "answer" in reply) == ("ChannelError", False)
    with connected(server, server.key, "1/1/1") as peer:  # the key of another attempt
        assert "the channel key is wrong" in ask(peer, NAME)["error"]
    assert not host.channel.asked


@pytest.mark.parametrize("question", [
    {"ask": "node", "id": 2}, {"ask": "model", "table": "node", "method": "list", "arguments": {}},
    {"ask": "flush", "edits": []}, {"ask": "sync"}, {"ask": "ctx"}, {"ask": "ctx", "words": []},
    {"ask": "ctx", "words": "node name"}, {"ask": "ctx", "words": [["node"], {"name": 1}]},
    {"ask": "ctx", "words": [None]}, {"ask": "ctx", "words": ["node", 5]},
    {"ask": "resource"}, {"ask": "resource", "path": "template.txt"},
    {"ask": "resource", "path": "template.txt", "offset": -1}, {"ask": "resource", "path": 5, "offset": 0},
    {"ask": "resource", "path": "template.txt", "offset": "0"}, {"ask": None}, {"ask": ["ctx"]},
])
def test_whatever_else_is_asked_is_refused(server: ContextServer, host: Any,
                                           question: dict[str, Any]) -> None:
    with connected(server, server.key, host.ref) as peer:
        assert "answer" not in ask(peer, question)
        assert ask(peer, NAME)["answer"] == {"value": "web"}
    assert not host.channel.asked


NOBODYS = """
import os, sys, tempfile
from aria_core.worker.calls import CallRef
from aria_core.worker.channel_server import ChannelServer
os.setgroups([]); os.setgid(65534); os.setuid(65534)
tempfile.tempdir = sys.argv[1]
with ChannelServer(lambda ref, request: "yes") as server:
    address = server.address_for(CallRef(1, 2, 3))
    print(address.socket, address.key, flush=True)
    input()
"""

STRANGER = """
import os, sys
sys.path.append(sys.argv[1])
from ctx_command import main
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(main(["node", "name"]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize(("opened", "told"), [
    (False, "Permission denied"), (True, "this channel belongs to another user")])
def test_the_command_of_another_user_is_refused(host: Any, monkeypatch: pytest.MonkeyPatch, opened: bool,
                                                told: str) -> None:
    place = Path(tempfile.mkdtemp(prefix="aria-test-", dir="/tmp"))  # below pytest's nobody may go
    place.chmod(0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    call = Call(host.ref, "x:y", {}, Actor("node", 1, "web"))
    with ContextServer(NodeOperationContext(call, host.channel), place) as server:
        if opened:  # as if somebody had undone what the folders' modes protect
            Path(server.socket).chmod(0o777)
            for folder in (Path(server.socket).parent, Path(server.socket).parent.parent):
                folder.chmod(0o711)
        ended = subprocess.run(
            [sys.executable, "-IS", "-c", STRANGER, str(server.program.parent)], check=False, text=True,
            capture_output=True, env=server.environment)
    shutil.rmtree(place)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert told in ended.stderr
    assert not host.channel.asked


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_root_may_ask_for_a_script_that_runs_under_sudo() -> None:
    place = Path(tempfile.mkdtemp(prefix="aria-test-", dir="/tmp"))  # below pytest's nobody may go
    place.chmod(0o777)
    serving = subprocess.Popen([sys.executable, "-c", NOBODYS, str(place)], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    assert serving.stdout is not None
    path, key = serving.stdout.readline().split()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(path)
        peer.sendall(encode_message({"hello": "1/2/3", "v": 1, "key": key}))
        assert ask(peer, NAME)["answer"] == "yes"
    serving.communicate("\n", timeout=10)
    assert serving.returncode == 0
    shutil.rmtree(place)


def test_a_host_without_python_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "ctx").write_text(ContextServer.wrapper("/no/such/ctx.py", ("no-python3", "no-python")))
    ended = subprocess.run(["/bin/sh", str(tmp_path / "ctx"), "node", "name"], check=False, text=True,
                           capture_output=True)
    assert ended.returncode == 127
    assert ended.stderr == "ctx: this host has none of no-python3 no-python, which the ctx command needs\n"


def test_an_old_python_is_passed_over(server: ContextServer, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\ntest $1 = -c && exit 1\necho never")
    (tmp_path / "python").chmod(0o700)
    (tmp_path / "ctx").write_text(ContextServer.wrapper(
        str(server.program), (str(tmp_path / "python"), sys.executable)))
    ended = subprocess.run(["/bin/sh", str(tmp_path / "ctx"), "node", "name"], check=False, text=True,
                           capture_output=True, env={**os.environ, **server.environment})
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "web\n", "")


def test_the_command_may_be_copied_elsewhere(server: ContextServer, host: Any, tmp_path: Path) -> None:
    program = tmp_path / "it's here.py"
    shutil.copy(server.program, program)
    (tmp_path / "ctx").write_text(ContextServer.wrapper(str(program), ("no-python", sys.executable)))
    ended = subprocess.run(
        ["/bin/sh", str(tmp_path / "ctx"), "node", "attributes", "a", "=", "x y"], check=False, text=True,
        capture_output=True, env={**os.environ, **server.environment})
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


LOADED = """
import sys
sys.path.append(sys.argv[1])
from ctx_command import main
assert main(["node", "name"]) == 0
print(*sys.modules)
"""


def test_the_command_starts_without_slow_modules(server: ContextServer) -> None:
    ended = subprocess.run([sys.executable, "-IS", "-c", LOADED, str(server.program.parent)], check=True,
                           text=True, capture_output=True, env=server.environment)
    name, modules = ended.stdout.splitlines()
    assert name == "web"
    assert not {"json", "socket", "re", "enum", "typing", "pathlib", "contextlib"} & set(modules.split())


def test_the_command_can_be_read_by_old_pythons() -> None:
    ast.parse(ContextServer.program.read_text(), feature_version=(3, 6))
