"""A connection to a PostgreSQL server that can fail: it falls silent, or breaks at a commit."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import make_url

COMMIT = b"COMMIT"


class Link:
    """Carries all connections to the server behind `url`; runners come in by `through`."""

    def __init__(self, url: str) -> None:
        server = make_url(url)
        folder, port = server.query.get("host"), server.port or 5432
        self._target = f"{folder}/.s.PGSQL.{port}" if isinstance(folder, str) else (str(server.host), port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wires: list[Wire] = []
        self._lock = threading.Lock()
        self._is_silent = self._is_closed = False
        self._breaks_at: bytes | None = None
        self.commits_broken = 0
        """At how many commits it broke."""
        own = server.set(host="127.0.0.1", port=self._listener.getsockname()[1], query={})
        self.through = own.render_as_string(hide_password=False)
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        """Accept and close as nothing were, and carry nothing from now on; neither end is told."""
        with self._lock:
            self._is_silent = True

    def refuse(self) -> None:
        """End all connections, and every new one at once: both ends are told."""
        with self._lock:
            self._is_closed = True
        for wire in self._wires:
            wire.close()

    def heal(self) -> None:
        """Carry new connections again. Those that have lost something stay silent."""
        with self._lock:
            self._is_silent = self._is_closed = False

    def break_at_next_commit(self, words: bytes = COMMIT) -> None:
        """Let the server hear one more COMMIT, and the connection break instead of the answer.

        Or something else that commits: whatever has these words in it.
        """
        with self._lock:
            self._breaks_at = words

    def may_pass(self, wire: Wire, data: bytes, from_client: bool) -> bool:
        """Whether these bytes get through on `wire`."""
        with self._lock:
            wire.is_silent |= self._is_silent
            if from_client and self._breaks_at is not None and self._breaks_at in data:
                self._breaks_at, wire.is_breaking = None, True
            if wire.is_breaking and data and not from_client:
                self.commits_broken, wire.is_breaking, wire.is_silent = self.commits_broken + 1, False, True
                wire.close()
        return not wire.is_silent

    def close(self) -> None:
        """End all connections."""
        self._listener.close()
        for wire in self._wires:
            wire.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                with self._lock:
                    is_closed = self._is_closed
                if is_closed:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET)
                server.connect(self._target)
                self._wires.append(Wire(self, client, server))


class Wire:
    """One connection of a `Link`."""

    def __init__(self, link: Link, client: socket.socket, server: socket.socket) -> None:
        self._link = link
        self._ends = client, server
        self.is_silent = self.is_breaking = False
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # closed
            while data := source.recv(65536):
                if self._link.may_pass(self, data, source is self._ends[0]):
                    target.sendall(data)
        if self._link.may_pass(self, b"", from_client=False):
            self.close()

    def close(self) -> None:
        """End it on both sides."""
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def linked(url: str) -> Iterator[Link]:
    """A `Link`, closed at the end of the block."""
    link = Link(url)
    try:
        yield link
    finally:
        link.close()
