"""The runner's side of `SocketChannel`: a private socket on this host where calls ask their questions."""

from __future__ import annotations

import hmac
import os
import secrets
import shutil
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from aria_core.worker.calls import CallRef, ChannelAddress
from aria_core.worker.channel import (
    CHANNEL_VERSION,
    ChannelError,
    encode_message,
    encode_reply,
    hang_up,
    read_message,
    reply_to,
)
from aria_core.worker.scratch import scratch_directory

Answer = Callable[[CallRef, Mapping[str, Any]], Any]

HELLO_SECONDS = 5.0

_HELLO_LIMIT = 4096
_UCRED = struct.Struct("3i")


class ChannelServer:
    """Listens for the calls it gave an address to, until `close`.

    The socket lies in a directory that only this user may enter; a peer must be this user's or root's, say
    hello with the key of a call that is not forgotten, and do so in time. Each peer has its own thread, so
    one that is idle or slow delays nobody. `answer` gets requests of both kinds (what it returns for a
    ``tell`` is dropped) and must be usable from several threads.
    """

    def __init__(self, answer: Answer, hello_seconds: float = HELLO_SECONDS) -> None:
        self._answer = answer
        self._hello_seconds = hello_seconds
        self._keys: dict[CallRef, str] = {}
        self._peers: dict[socket.socket, CallRef | None] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._directory = scratch_directory("channel", for_socket=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._directory / "s"))
        self._listener.listen(128)
        self._thread = threading.Thread(target=self._accept, name="aria-channel", daemon=True)
        self._thread.start()

    def address_for(self, ref: CallRef) -> ChannelAddress:
        """The address of one call, with its own key; the same until it is forgotten."""
        with self._lock:
            key = self._keys.setdefault(ref, secrets.token_hex(32))
        return ChannelAddress(str(self._directory / "s"), key)

    def forget(self, ref: CallRef) -> None:
        """End what the call has open and let it in no more."""
        with self._lock:
            self._keys.pop(ref, None)
            peers = [peer for peer, owner in self._peers.items() if owner == ref]
        for peer in peers:
            hang_up(peer)

    def close(self) -> None:
        """Let nobody in any more, hang up on everybody, and remove the socket. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            peers = list(self._peers)
        for each in (self._listener, *peers):
            hang_up(each)
        self._listener.close()
        self._thread.join(1.0)
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> ChannelServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                threading.Event().wait(0.05)  # out of file descriptors, perhaps: others may end
                continue
            with self._lock:
                if self._closed:
                    peer.close()
                    return
                self._peers[peer] = None
            threading.Thread(target=self._serve, args=(peer,), name="aria-channel-peer", daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            with peer, peer.makefile("rb") as stream:
                self._converse(peer, stream)
        except (OSError, ValueError):
            return  # the peer went away, or was too slow to say hello
        finally:
            with self._lock:
                self._peers.pop(peer, None)

    def _converse(self, peer: socket.socket, stream: BinaryIO) -> None:
        try:
            ref = self._welcome(peer, stream)
            while (request := read_message(stream)) is not None:
                reply = reply_to(request, lambda request: self._answer(ref, request))
                if "ask" in request:
                    peer.sendall(encode_reply(reply))
        except ChannelError as error:
            peer.sendall(encode_message({"error": str(error), "kind": "ChannelError"}))

    def _welcome(self, peer: socket.socket, stream: BinaryIO) -> CallRef:
        if not _is_ours(peer):
            raise ChannelError("this channel belongs to another user")
        peer.settimeout(self._hello_seconds)
        hello = read_message(stream, _HELLO_LIMIT) or {}
        if hello.get("v") != CHANNEL_VERSION:
            raise ChannelError(f"this channel speaks version {CHANNEL_VERSION}, not {hello.get('v')!r}")
        ref = _ref(hello.get("hello"))
        with self._lock:
            key = self._keys.get(ref) if ref is not None else None
            if ref is None or key is None or not _same(key, hello.get("key")):
                raise ChannelError("the channel key is wrong, or its call is over")
            self._peers[peer] = ref
        peer.settimeout(None)
        return ref


def _is_ours(peer: socket.socket) -> bool:
    if not sys.platform.startswith("linux"):
        return True  # the directory keeps others out
    _, user, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return user in (0, os.getuid())  # root could do anything without asking, and `sudo` makes scripts root's


def _ref(text: object) -> CallRef | None:
    parts = text.split("/") if isinstance(text, str) else []
    if len(parts) != 3 or not all(part.isdecimal() and len(part) < 20 for part in parts):
        return None
    return CallRef(*(int(part) for part in parts))


def _same(key: str, given: object) -> bool:
    return isinstance(given, str) and hmac.compare_digest(key.encode(), given.encode("utf-8", "replace"))
