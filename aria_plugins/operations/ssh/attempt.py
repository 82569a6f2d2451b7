"""What one attempt does on one host: a directory, a watch over it, and the programs run beside it."""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from types import TracebackType

import asyncssh

from aria_core import OperationContext
from aria_plugins.operations.ssh.connections import Connection, Connections
from aria_plugins.operations.ssh.errors import SshError
from aria_plugins.operations.ssh.loop import LoopThread
from aria_plugins.operations.ssh.program import Program
from aria_plugins.operations.ssh.remote import (
    BEAT_SECONDS,
    DIRECTORY,
    READY,
    REFUSED,
    SUDO_PROMPT,
    end_command,
    launch_command,
    watch_command,
)
from aria_plugins.operations.ssh.settings import RunSettings, SshSettings

_START_SECONDS = 30.0
_END_SECONDS = 15.0
_GIVE_UP_SECONDS = 3.0


@cache
def _shared(pid: int) -> tuple[LoopThread, Connections]:
    """Those of this process: a worker is warm, and what it has opened serves its next call.

    A forked child has none of its parent's threads, so it has its own.
    """
    loop, connections = LoopThread(), Connections()
    atexit.register(_close, pid, loop, connections)
    return loop, connections


def _close(pid: int, loop: LoopThread, connections: Connections) -> None:
    if pid == os.getpid():
        loop.run(connections.close())
        loop.stop()


class RemoteAttempt:
    """An attempt's place on a remote host, while its block runs.

    At the end everything that was started there is ended, unless `keep` was said; the directory is
    removed in any case. `directory` is its path.
    """

    def __init__(self, ctx: OperationContext, settings: SshSettings, run: RunSettings) -> None:
        self._ctx = ctx
        self._settings = settings
        self._run = run
        self._loop, self._connections = _shared(os.getpid())
        self._keep = False
        self._listener: asyncssh.SSHListener | None = None
        self.refusal: str | None = None

    def __enter__(self) -> RemoteAttempt:
        """Raises ``SshError``, ``HostKeyError`` or ``SshSettingsError``."""
        if self._settings.insecure:
            self._ctx.logger.warning("the host key of %s is not checked: the setting insecure is on",
                                     self._settings.place)
        connection = self._loop.run(self._connections.lease(self._settings))
        try:
            self._begin(connection)
        except SshError:
            if not connection.was_used:
                raise
            # It may have broken since its last use without anybody noticing; nothing has begun yet.
            self._begin(self._loop.run(self._connections.lease(self._settings, fresh=True)))
        return self

    def _begin(self, connection: Connection) -> None:
        self._connection = connection
        try:
            self._watch = self._program(watch_command(self._run.directory, self._sudo))
            try:
                self.directory = self._watch.read_line(DIRECTORY, _START_SECONDS)
                self._watch.read_line(READY, _START_SECONDS)
            except BaseException as error:
                if isinstance(error, SshError):
                    self._watch.write(b"", last=True)
                    self._watch.await_end(_GIVE_UP_SECONDS)  # it removes what it has made
                self._watch.close()
                raise
        except BaseException:
            self._loop.call(connection.give_back)
            raise
        self._beating = self._loop.run(_beat(self._watch))

    @property
    def _sudo(self) -> list[str]:
        if not self._run.use_sudo:
            return []
        words = ["sudo", "-n"] if self._run.sudo_password is None else ["sudo", "-S", "-p", SUDO_PROMPT]
        return [*words, "--"]

    def _program(self, command: str) -> Program:
        return Program(self._loop, self._connection.ssh, command, self._settings.place,
                       password=self._run.sudo_password, is_cancelled=lambda: self._ctx.task.cancelled)

    def forward(self, socket: str) -> str | None:
        """Let programs there reach the socket `socket` here, as ``s`` in the directory; why not, if not."""
        try:
            self._listener = self._loop.run(
                self._connection.ssh.forward_remote_path(f"{self.directory}/s", socket))
        except (OSError, asyncssh.Error, asyncssh.ChannelListenError):
            self._listener = None
        return None if self._listener is not None else (
            f"{self._settings.place} does not let sockets be forwarded, which the ctx command needs "
            "(AllowStreamLocalForwarding in its sshd_config)")

    def launch(self, files: Mapping[str, bytes], start: bytes) -> Program:
        """Run the shell code `start` beside `files`; returns when it has got all of it."""
        program = self._program(launch_command(self.directory, files, start, self._sudo))
        program.read_line(READY, _START_SECONDS)
        program.write(b"".join([*files.values(), start]), last=True)
        return program

    def keep(self) -> None:
        """What still runs there is to stay."""
        self._keep = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._loop.call(self._beating.cancel)
        keep = self._keep and error is None
        try:
            self._end(keep)
        finally:
            if self._listener is not None:
                self._loop.call(self._listener.close)
            self._watch.close()
            self._loop.call(self._connection.give_back)
        if keep and self._watch.exit_code != 0:
            raise SshError(f"the connection to {self._settings.place} broke before it was sure that what was "
                           "left running there stays")

    def _end(self, keep: bool) -> None:
        """Have the watch do its work. It does the same when the connection breaks."""
        self._watch.write(b"keep\n" if keep else b"end\n", last=True)
        said = self._watch.await_end(_END_SECONDS)
        if not keep and self._watch.exit_code != 0 and not self._connection.ssh.is_closed():
            with suppress(SshError):  # somebody has killed it; if this fails too, nobody can
                second = self._program(end_command(self.directory, self._sudo))
                second.write(b"end\n", last=True)
                second.await_end(_END_SECONDS)
        _, found, refusal = said.partition(REFUSED)
        self.refusal = refusal.rstrip("\n") if found else None


async def _beat(watch: Program) -> asyncio.Task[None]:
    """Show the watch now and then that this end lives."""
    async def beat() -> None:
        number = 0
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            number += 1
            watch.write(f"beat {number}\n".encode())

    return asyncio.create_task(beat())
