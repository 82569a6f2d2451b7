"""The settings of operations over SSH: what there is, what it takes, and what nobody is to see."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_TEXT: tuple[tuple[type, ...], str] = ((str,), "text")
_TRUTH: tuple[tuple[type, ...], str] = ((bool,), "true or false")

SSH_SETTINGS: Mapping[str, tuple[tuple[type, ...], str]] = MappingProxyType({
    "address": _TEXT,
    "end": ((str,), "source or target"),
    "port": ((int,), "a number"),
    "user": _TEXT,
    "key": _TEXT,
    "key_file": _TEXT,
    "key_passphrase": _TEXT,
    "password": _TEXT,
    "agent": ((bool, str), "true, or the path of its socket"),
    "known_hosts": ((str,), "the path of a file"),
    "host_key": ((str,), "a fingerprint (SHA256:…) or a public key"),
    "insecure": _TRUTH,
    "use_sudo": _TRUTH,
    "sudo_password": _TEXT,
    "hide_output": ((bool, str, list, tuple), "true, or a list of stdout and stderr"),
    "connect_timeout": ((int, float), "a number of seconds"),
    "directory": ((str,), "a directory of the remote host"),
})
"""Name -> the types of its values, and what it takes in words."""

SSH_SCRIPT_FUNCTION = "aria_plugins.operations.ssh:run_script_with_ssh"
"""What a script with settings of SSH is run by: they are its arguments ``ssh`` and ``ssh_secrets``."""

SSH_FUNCTIONS = frozenset({SSH_SCRIPT_FUNCTION, "aria_plugins.operations.ssh:run_commands_with_ssh"})
"""The functions that take these settings."""

SSH_SECRETS = frozenset({"password", "key", "key_passphrase", "sudo_password"})
"""Those that nobody is to see."""


def ssh_refusal(name: str, value: Any) -> str | None:
    """A sentence if there is no such setting or it does not take this value, which it does not tell."""
    if name not in SSH_SETTINGS:
        return f"there is no SSH setting {name!r}; there are {', '.join(SSH_SETTINGS)}"
    kinds, takes = SSH_SETTINGS[name]
    is_truth = isinstance(value, bool) and bool not in kinds
    if value is None or (isinstance(value, kinds) and not is_truth):
        return None
    return f"the SSH setting {name} takes {takes}, not a {type(value).__name__}"
