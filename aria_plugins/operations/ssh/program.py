"""One program on the remote host, as a thread of ours sees it: what it says, and how it ended."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import asyncssh

from aria_plugins.operations.ssh.errors import SshError
from aria_plugins.operations.ssh.loop import LoopThread
from aria_plugins.operations.ssh.remote import READY, SUDO_PROMPT

QUIET_SECONDS = 1.0
"""How long nothing must come, after a program has ended, until its output counts as held by another."""

_LAST_SECONDS = 5.0
_OPEN_SECONDS = 15.0
_POLL_SECONDS = 0.2

Take = Callable[[bytes], None]
IsCancelled = Callable[[], bool]


class _Session(asyncssh.SSHClientSession[bytes]):
    """Puts into a queue what asyncssh tells, in its order: (kind, value)."""

    def __init__(self, told: SimpleQueue[tuple[str, Any]]) -> None:
        self._told = told

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._told.put(("stdout" if datatype is None else "stderr", data))

    def exit_status_received(self, status: int) -> None:
        self._told.put(("exit", status))

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self._told.put(("exit", _number(signal)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._told.put(("end", exc))


def _number(name: str) -> int:
    """A signal as the negative exit code that Python gives."""
    known = getattr(signal, f"SIG{name}", None)
    return -int(known) if known is not None else 255


class Program:
    """A running program. `where` is who is where, for people."""

    def __init__(self, loop: LoopThread, ssh: asyncssh.SSHClientConnection, command: str, where: str, *,
                 password: str | None = None, is_cancelled: IsCancelled = lambda: False) -> None:
        """Start it; raises ``SshError``."""
        self._loop = loop
        self._where = where
        self._is_cancelled = is_cancelled
        self._told: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._early: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._ended = False
        self.exit_code: int | None = None
        self._chan = loop.run(_open(ssh, command, where, _Session(self._told)))
        self._password = password

    def write(self, data: bytes, *, last: bool = False) -> None:
        """Send to its standard input, which ends with the `last` data."""
        def send() -> None:
            with suppress(BrokenPipeError, OSError):  # it has ended, which is told in its own way
                self._chan.write(data)
                if last:
                    self._chan.write_eof()

        self._loop.call(send)

    def read_line(self, beginning: str, seconds: float) -> str:
        """The rest of the next line that begins so; answers sudo, and passes over all else before.

        Raises ``SshError`` if the program ends before, or says nothing for so long.
        """
        asked = 0
        deadline = time.monotonic() + seconds
        while True:
            found = self._line(beginning)
            if found is not None:
                return found
            if SUDO_PROMPT.encode() in self._early["stderr"]:
                self._answer(asked)
                asked += 1
            if self._ended:
                raise SshError(f"a program on {self._where} did not start: {self._complaint()}")
            self._check_wanted()
            if time.monotonic() > deadline:
                raise SshError(f"a program on {self._where} did not start within {seconds:g} seconds")
            self._next(self._early["stdout"].extend, self._early["stderr"].extend)

    def listen(self, take_stdout: Take, take_stderr: Take) -> bool:
        """Pass on what it prints until it ends; True if something it left keeps its output open.

        Raises ``SshError`` if the connection breaks, ``InterruptedError`` if somebody wants it to end.
        """
        for name, take in (("stdout", take_stdout), ("stderr", take_stderr)):
            take(bytes(self._early[name])) if self._early[name] else None
            self._early[name].clear()
        while self.exit_code is None:
            if self._ended:
                raise SshError(f"the connection to {self._where} broke")
            self._check_wanted()
            self._next(take_stdout, take_stderr)
        deadline = time.monotonic() + _LAST_SECONDS
        while not self._ended and time.monotonic() < deadline:
            if not self._next(take_stdout, take_stderr, QUIET_SECONDS):
                break
        return not self._ended

    def await_end(self, seconds: float) -> str:
        """What it prints until it ends, or for so many seconds; never raises."""
        said = bytearray()
        deadline = time.monotonic() + seconds
        while not self._ended and time.monotonic() < deadline:
            self._next(said.extend, said.extend)
        return said.decode("utf-8", "replace")

    def close(self) -> None:
        """Let go of it; it is not ended by this. Idempotent."""
        self._loop.call(self._chan.close)

    def _check_wanted(self) -> None:
        if self._is_cancelled():
            raise InterruptedError("it was ended from outside")

    def _next(self, take_stdout: Take, take_stderr: Take, seconds: float = _POLL_SECONDS) -> bool:
        """Deal with the next that is told; whether anything was."""
        try:
            kind, value = self._told.get(timeout=seconds)
        except Empty:
            return False
        if kind == "exit":
            self.exit_code = value
        elif kind == "end":
            self._ended = True
        else:
            (take_stdout if kind == "stdout" else take_stderr)(value)
        return True

    def _line(self, beginning: str) -> str | None:
        buffer = self._early["stdout"]
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end]).decode("utf-8", "replace").rstrip("\r")
            del buffer[:end + 1]
            if line.startswith(beginning):
                if beginning == READY:  # what came before is not the program's, but e.g. of a .bashrc
                    self._early["stderr"].clear()
                return line[len(beginning):]
        return None

    def _answer(self, asked: int) -> None:
        if asked:
            raise SshError(f"sudo on {self._where} does not accept the password")
        self._early["stderr"].clear()
        self.write(f"{self._password or ''}\n".encode())

    def _complaint(self) -> str:
        told = self._early["stderr"].decode("utf-8", "replace").replace(SUDO_PROMPT, "").strip().splitlines()
        return "; ".join(told[-3:]) or f"it ended with {self.exit_code}"


async def _open(ssh: asyncssh.SSHClientConnection, command: str, where: str,
                session: _Session) -> asyncssh.SSHClientChannel[bytes]:
    try:
        async with asyncio.timeout(_OPEN_SECONDS):
            chan, _ = await ssh.create_session(lambda: session, command, encoding=None, request_pty=False)
    except TimeoutError as error:
        raise SshError(f"{where} did not answer within {_OPEN_SECONDS:g} seconds") from error
    except (OSError, asyncssh.Error) as error:
        reason = error.reason if isinstance(error, asyncssh.Error) else str(error)
        raise SshError(f"no program can be started on {where}: {reason}") from error
    return chan
