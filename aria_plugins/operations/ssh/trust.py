"""Whether a host is who it should be. Only a key that is known passes, unless the settings say `insecure`."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from aria_plugins.operations.ssh.errors import HostKeyError, SshSettingsError
from aria_plugins.operations.ssh.settings import SshSettings

Known = tuple[Sequence[asyncssh.SSHKey], Sequence[asyncssh.SSHKey], Sequence[asyncssh.SSHKey]]
"""Keys, keys of authorities, and revoked keys."""

_FINGERPRINTS = ("SHA256:", "MD5:")
_DEFAULT_PORT = 22


class Trust(asyncssh.SSHClient):
    """Looks at the key of one host; `refusal` is why it was refused."""

    def __init__(self, settings: SshSettings) -> None:
        self._settings = settings
        self.refusal: HostKeyError | None = None
        self.known = None if settings.insecure else _known(settings)

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Asked for a key that is not among the known ones."""
        pinned = self._settings.host_key
        kind = "sha256" if pinned is None else pinned.partition(":")[0].lower()
        shown = key.get_fingerprint(kind if kind in ("sha256", "md5") else "sha256")
        if pinned is not None and hmac.compare_digest(shown.encode(), pinned.strip().encode()):
            return True
        self.refusal = self._refused(f"{key.get_algorithm()} {shown}")
        return False

    @property
    def kinds(self) -> list[str]:
        """Kinds of keys in the order in which the host is asked for them: first those that are known of it.

        The others too: a host that has another kind now shows it, and is refused with that.
        """
        known = [] if self.known is None else [kind for key in self.known[0] for kind in key.sig_algorithms]
        authorities = get_default_certificate_algs() if self.known is not None and self.known[1] else []
        names = (*authorities, *known, *get_default_public_key_algs())
        return [name.decode() for name in dict.fromkeys(names)]

    def _refused(self, shown: str) -> HostKeyError:
        where, name = self._settings.place, _name(self._settings)
        if self._settings.host_key is not None:
            return HostKeyError(
                f"{where} shows another host key than the setting host_key pins: {shown}. Either somebody "
                "stands between, or the host was made anew: then change the pin")
        files = self._settings.known_hosts_files
        file = str(files[0]) if files else (self._settings.known_hosts or "~/.ssh/known_hosts")
        if self.known is not None and self.known[0]:
            return HostKeyError(
                f"the host key of {where} has changed: it shows {shown}, which is not what {file} has. "
                "Either somebody stands between, or the host was made anew: then remove the old key "
                f"(ssh-keygen -R '{name}' -f {file}) and add the new one")
        return HostKeyError(
            f"the host key of {where} is not known: it shows {shown}. Make sure that it is the host's, then "
            f"add it to {file} (ssh-keyscan -p {self._settings.port} {self._settings.address} >>{file}), or "
            "set host_key to it")


def _known(settings: SshSettings) -> Known:
    if settings.host_key is not None:
        return [] if settings.host_key.startswith(_FINGERPRINTS) else [_pinned(settings.host_key)], [], []
    files = settings.known_hosts_files
    if settings.known_hosts and not files:
        raise SshSettingsError(f"the SSH setting known_hosts names {settings.known_hosts}, which is no file")
    try:
        found = asyncssh.read_known_hosts([str(each) for each in files])
        port = settings.port if settings.port != _DEFAULT_PORT else None
        keys, authorities, revoked, *_ = found.match(settings.address, settings.address, port)
    except (OSError, ValueError) as error:
        raise SshSettingsError(f"known_hosts cannot be read: {error}") from error
    return keys, authorities, revoked


def _pinned(written: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_public_key(written)
    except asyncssh.KeyImportError as error:
        raise SshSettingsError("the SSH setting host_key is neither a fingerprint (SHA256:…) nor a public "
                               "key") from error


def _name(settings: SshSettings) -> str:
    """As known_hosts has it."""
    plain = settings.port == _DEFAULT_PORT
    return settings.address if plain else f"[{settings.address}]:{settings.port}"
