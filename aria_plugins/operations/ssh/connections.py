"""Connections to hosts: opened once, shared by what runs there, and opened anew when one has broken."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import asyncssh

from aria_plugins.operations.ssh.errors import HostKeyError, SshError, SshSettingsError
from aria_plugins.operations.ssh.settings import SshSettings
from aria_plugins.operations.ssh.trust import Trust

KEEPALIVE_SECONDS = 15
KEEPALIVE_COUNT = 3
IDLE_SECONDS = 60.0
SHARED_BY = 4
"""How many attempts share a connection: each has two programs, and sshd allows ten by default."""


class Connection:
    """An open connection, and how many use it."""

    def __init__(self, ssh: asyncssh.SSHClientConnection) -> None:
        self.ssh = ssh
        self.users = 0
        self.was_used = False
        self._idle: asyncio.TimerHandle | None = None

    @property
    def has_room(self) -> bool:
        """Whether one more may use it."""
        return not self.ssh.is_closed() and self.users < SHARED_BY

    def take(self) -> None:
        """Use it."""
        self.users += 1
        if self._idle is not None:
            self._idle.cancel()

    def give_back(self) -> None:
        """Use it no more; after a while in which nobody does, it is closed."""
        self.users -= 1
        self.was_used = True
        if not self.users:
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.ssh.close)


class Connections:
    """All connections of this process. To be used in its event loop only."""

    def __init__(self) -> None:
        self._open: dict[SshSettings, list[Connection]] = defaultdict(list)
        self._opening: dict[SshSettings, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def lease(self, settings: SshSettings, *, fresh: bool = False) -> Connection:
        """A connection, which the caller gives back; with `fresh` none that was used before.

        Raises ``SshError``, ``HostKeyError`` or ``SshSettingsError``.
        """
        async with self._opening[settings]:
            known = [each for each in self._open[settings] if not each.ssh.is_closed()]
            if fresh:
                known = [each for each in known if not each.was_used]
            found = next((each for each in known if each.has_room), None)
            if found is None:
                found = Connection(await connect(settings))
                known.append(found)
            self._open[settings] = known
            found.take()
            return found

    async def close(self) -> None:
        """End all of them."""
        for each in [each for several in self._open.values() for each in several]:
            each.ssh.abort()
            await each.ssh.wait_closed()


async def connect(settings: SshSettings) -> asyncssh.SSHClientConnection:
    """A new connection; raises as `Connections.lease`."""
    trust = Trust(settings)
    known: Any = None if trust.known is None else trust.known
    try:
        return await asyncssh.connect(
            settings.address, settings.port, username=settings.user, client_factory=lambda: trust,
            known_hosts=known, server_host_key_algs=trust.kinds, config=None, password=settings.password,
            gss_host=None, x509_trusted_certs=None, connect_timeout=settings.connect_timeout,
            keepalive_interval=KEEPALIVE_SECONDS, keepalive_count_max=KEEPALIVE_COUNT,
            **_credentials(settings))
    except asyncssh.HostKeyNotVerifiable as error:
        told = f"the host key of {settings.place} is refused: {error.reason}"
        raise trust.refusal or HostKeyError(told) from error
    except asyncssh.KeyExchangeFailed as error:
        raise SshError(f"{settings.place} and we have no cipher in common: {error.reason}") from error
    except asyncssh.PermissionDenied as error:
        raise SshError(f"{settings.place} does not let us in with {_tried(settings)}") from error
    except TimeoutError as error:
        seconds = f"{settings.connect_timeout:g} seconds"
        raise SshError(f"{settings.place} did not answer within {seconds}") from error
    except (OSError, asyncssh.Error) as error:
        raise SshError(f"{settings.place} cannot be reached: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, asyncssh.Error):
        return error.reason
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else str(error)


def _tried(settings: SshSettings) -> str:
    ways = {"the key": settings.key or settings.key_file, "the agent": settings.agent,
            "the password": settings.password}
    return " or ".join(name for name, given in ways.items() if given) or "the keys in ~/.ssh"


def _credentials(settings: SshSettings) -> dict[str, Any]:
    """Keys and agent for ``asyncssh.connect``: what the settings name, and only without any, ~/.ssh."""
    keys = [_key(settings, text) for text in (settings.key, _key_text(settings)) if text is not None]
    agent = _agent(settings)
    if not keys and agent is None and settings.password is None:
        return {"agent_path": None}
    return {"agent_path": agent, "client_keys": keys or (() if agent else None)}


def _key_text(settings: SshSettings) -> str | None:
    if settings.key_file is None:
        return None
    try:
        return Path(settings.key_file).expanduser().read_text("ascii")
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SshSettingsError(f"the SSH key {settings.key_file} cannot be read: {told}") from error


def _key(settings: SshSettings, text: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(text, settings.key_passphrase)
    except asyncssh.KeyEncryptionError as error:
        raise SshSettingsError("the SSH key is encrypted, and the setting key_passphrase does not open it"
                               ) from error
    except (asyncssh.KeyImportError, ValueError) as error:
        told = "the passphrase is missing" if "passphrase" in str(error).lower() else "it is no private key"
        raise SshSettingsError(f"the SSH key cannot be used: {told}") from error


def _agent(settings: SshSettings) -> str | None:
    if not settings.agent:
        return None
    path = settings.agent if isinstance(settings.agent, str) else os.environ.get("SSH_AUTH_SOCK")
    if not path:
        raise SshSettingsError("the SSH setting agent is true, but there is no SSH_AUTH_SOCK here: give the "
                               "path of the agent's socket, or name the variable in `environment` of "
                               "[executor]")
    return path
