"""How a running call talks to its runner: the verbs, the lines they travel in, and what a channel is.

A *request* is a JSON object with ``ask`` (answered) or ``tell`` (not answered); other fields and answers:

``ask: node``
    ``id``. Answer: id, name, type_name, types, state, host, host_address, template, properties,
    attributes, capabilities, artifacts.
``ask: relationship``
    ``id``. Answer: id, name, type_name, types, capability, source, target, properties, attributes.
``ask: service``
    Answer: id, name, description, template, inputs.
``ask: template``
    ``node``: a node template's name, or null for the service template. Answer: it, as an object.
``ask: model``
    ``table``, ``method``, ``arguments``. ``get`` with ``id`` and ``get_by_name`` with ``name`` answer a
    row as an object; ``list`` with any of ``filters``, ``sort`` and ``pagination`` answers a list of rows.
``ask: resource``
    ``path``, ``offset``. Answer: ``data`` (base64, at most 4 MiB), ``size``, ``executable``.
``ask: resources``
    ``path``. Answer: the paths of the file, or of all files below the folder, from the top of the entry.
``ask: render``
    ``path``, ``variables`` (null: the runner provides ``ctx``). Answer: the rendered text.
``ask: flush``
    ``edits``. Answer: true; it raises if the attempt is not current any more.
``ask: sync``
    Answer: true, once all that was told before has been dealt with. A `FutureExecutor` answers it itself.
``tell: started``
    ``where``. Sent by `run_encoded`, for a `FutureExecutor`, which cannot see when a call begins.
``tell: heartbeat``
    ``progress`` (from 0 to 1, or null) and ``message`` (or null): the attempt lives.
``tell: log``
    ``level``, ``message``, ``traceback``, ``created_at`` (seconds, UTC).

``host``, ``source`` and ``target`` are ids of nodes (host may be null), ``template`` is a template's name.

On the wire each message is one line of JSON, at most 16 MiB. A client begins with
``{"hello": "<execution>/<task>/<attempt>", "v": 1, "key": "…"}``, which is answered only if it is
refused (then the connection ends). Each question carries a ``number``; its reply has the same ``number`` and
either ``answer`` or ``error`` (a sentence) with ``kind`` (the class name of what was raised).

A *secret* argument or property arrives in clear: operations need it. The runner takes it out of what it is
told and of reports.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NoReturn, Protocol

from aria_core.exceptions import NotFoundError
from aria_core.worker.calls import CallRef, ChannelAddress

CHANNEL_VERSION = 1
MESSAGE_LIMIT = 16 * 1024 * 1024


class Channel(Protocol):
    """The two ways to talk to the runner. Both may be used from any thread."""

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Send a request and wait for its answer.

        Raises ``NotFoundError`` if there is no such thing, else ``ChannelError`` with the runner's sentence.
        """

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send and go on; never raises."""


class ChannelError(RuntimeError):
    """The runner refused a request or cannot be reached.

    `kind` is the class name of what the runner raised, "" if it said nothing.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        self.kind = kind
        super().__init__(message)


class NoChannel:
    """The channel of a call that has none: what is told is dropped, what is asked is refused."""

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Raise ``ChannelError``."""
        raise ChannelError(
            f"cannot ask for {request.get('ask')!r}: this call runs without a channel to its runner")

    def tell(self, message: Mapping[str, Any]) -> None:
        """Drop the message."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


# Made once: `json.dumps` and `json.loads` make theirs anew for each message. A circle is too deep, too.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def encode_message(message: Mapping[str, Any]) -> bytes:
    """One line of JSON; ``ChannelError`` if it is not JSON or over 16 MiB."""
    try:
        line = _ENCODER.encode(message).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise ChannelError(f"a message of {sorted(message)} is not JSON: {error}") from error
    if len(line) > MESSAGE_LIMIT:
        raise ChannelError(
            f"a message of {sorted(message)} has {len(line)} bytes; at most {MESSAGE_LIMIT} travel")
    return line


def decode_message(line: bytes) -> dict[str, Any]:
    """The object in a line; ``ChannelError`` for anything else."""
    try:
        message = _DECODER.decode(line.decode())
    except (ValueError, RecursionError) as error:
        raise ChannelError(f"a line on the channel is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ChannelError(f"a line on the channel holds a {type(message).__name__}; only objects travel")
    return message


def read_message(stream: BinaryIO, limit: int = MESSAGE_LIMIT) -> dict[str, Any] | None:
    """The next message; None at the end of the stream, also in the middle of a line.

    Raises ``ChannelError`` for a line over `limit` or that is no JSON object, ``OSError`` as the stream does.
    """
    line = stream.readline(limit + 1)
    if len(line) > limit:
        raise ChannelError(f"a line on the channel is longer than {limit} bytes")
    return decode_message(line) if line.endswith(b"\n") else None


def reply_to(request: Mapping[str, Any], answer: Callable[[Mapping[str, Any]], Any]) -> dict[str, Any]:
    """The reply to a question: what `answer` returns, or the sentence of what it raises."""
    try:
        return {"number": request.get("number"), "answer": answer(request)}
    except Exception as error:  # noqa: BLE001 - whatever the runner's side raises belongs to the asker
        kind = type(error).__name__
        return {"number": request.get("number"), "error": str(error) or kind, "kind": kind}


def open_reply(reply: Mapping[str, Any]) -> Any:
    """The answer in a reply; raises what it tells (``NotFoundError`` or ``ChannelError``)."""
    if "error" not in reply:
        return reply.get("answer")
    if reply.get("kind") == NotFoundError.__name__:
        raise NotFoundError(str(reply["error"]))
    raise ChannelError(str(reply["error"]), str(reply.get("kind", "")))


def encode_reply(reply: Mapping[str, Any]) -> bytes:
    """A reply as a line; one that cannot travel becomes the error that says so."""
    try:
        return encode_message(reply)
    except ChannelError as error:
        return encode_message({"number": reply.get("number"), "error": str(error), "kind": "ChannelError"})


def hang_up(connection: socket.socket) -> None:
    """Let both sides of a connection, and every thread that waits on it, see its end."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already


class SocketChannel:
    """The client's side of a `ChannelServer`: connects when it is first used.

    An operation that never asks nor tells costs no connection. After the connection broke, asking
    raises ``ChannelError`` and telling does nothing.
    """

    def __init__(self, address: ChannelAddress, ref: CallRef, timeout: float | None = None) -> None:
        self._address = address
        self._ref = ref
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._reader: BinaryIO | None = None
        self._broken: str = ""
        self._last = 0
        self._asking = threading.Lock()
        self._writing = threading.Lock()

    def ask(self, request: Mapping[str, Any]) -> Any:
        """See `Channel.ask`."""
        with self._asking:
            self._last += 1
            try:
                self._send_or_hear({**request, "number": self._last})
                reply = self._reply(self._last)
            except OSError as error:
                raise self._break(f"the runner cannot be reached: {error}") from error
        return open_reply(reply)

    def tell(self, message: Mapping[str, Any]) -> None:
        """See `Channel.tell`."""
        try:
            self._send(message)
        except ChannelError:
            return  # it cannot travel, or the connection broke before: telling promises nothing
        except OSError as error:
            self._broken = self._broken or f"the runner cannot be reached: {error}"

    def settle(self) -> None:
        """Wait until the runner has dealt with all that was told; never raises."""
        if self._socket is None or self._broken:
            return
        try:
            self.ask({"ask": "sync"})
        except (ChannelError, NotFoundError):
            return  # telling promises nothing

    def close(self) -> None:
        """End the connection. Idempotent."""
        with self._writing:
            self._broken = self._broken or "the channel was closed"
            if self._socket is not None:
                hang_up(self._socket)  # wakes whoever waits for an answer
                self._socket.close()
            if self._reader is not None:
                self._reader.close()
            self._reader = self._socket = None

    def __enter__(self) -> SocketChannel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        line = encode_message(message)
        with self._writing:
            self._connected().sendall(line)

    def _send_or_hear(self, message: Mapping[str, Any]) -> None:
        try:
            self._send(message)
        except BrokenPipeError:
            if self._reader is None:
                raise
            # The runner hung up, but may have said why: that is read as the reply.

    def _connected(self) -> socket.socket:
        if self._broken:
            raise ChannelError(self._broken)
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(self._timeout)
            self._socket.connect(self._address.socket)
            self._socket.sendall(encode_message(
                {"hello": str(self._ref), "v": CHANNEL_VERSION, "key": self._address.key}))
            self._reader = self._socket.makefile("rb")
        return self._socket

    def _reply(self, number: int) -> dict[str, Any]:
        # A reply with a lower number belongs to a question that an interrupt cut off.
        reader = self._reader
        while reader is not None:
            reply = read_message(reader)
            if reply is None:
                break
            if reply.get("number") in (None, number):
                return reply
        raise self._break("the runner ended the connection")

    def _break(self, reason: str) -> ChannelError:
        self._broken = self._broken or reason
        return ChannelError(self._broken)
