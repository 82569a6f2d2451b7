"""The settings of SSH: where to connect, as whom, and whom to trust."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from aria_core import NodeOperationContext, OperationContext, RelationshipOperationContext, ssh_refusal
from aria_plugins.operations.ssh.errors import SshSettingsError

SYSTEM_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"

_FABRIC = {
    "host_string": "address", "host": "address", "user": "user", "port": "port", "password": "password",
    "key": "key", "key_filename": "key_file", "sudo_password": "sudo_password", "timeout": "connect_timeout",
    "disable_known_hosts": "insecure"}
"""Names of Fabric's environment -> our settings."""

_FABRIC_ONLY = frozenset({
    "abort_exception", "abort_on_prompts", "always_use_pty", "combine_stderr", "command_timeout",
    "connection_attempts", "forward_agent", "keepalive", "linewise", "no_keys", "parallel", "pool_size",
    "reject_unknown_hosts", "shell", "skip_bad_hosts", "status", "use_shell", "use_ssh_config", "warn_only"})
"""Names of Fabric's environment that mean nothing here; templates for the original may have them."""

_AT_TARGET = frozenset({"pre_configure_target", "post_configure_target", "add_source", "remove_source"})
"""Operations of relationships that TOSCA runs at the target; all others run at the source."""

_ADDRESSES = ("ip", "public_address", "private_address")
"""Attributes of a host that may have its address, the first that has one counts."""

_GROUPS = frozenset({"stdout", "stderr", "output", "everything", "running", "status", "aborts", "warnings",
                     "user", "commands", "exceptions"})


@dataclass(frozen=True)
class SshSettings:
    """How a host is reached. Equal settings share connections."""

    address: str
    port: int = 22
    user: str = ""
    password: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    key_file: str | None = None
    key_passphrase: str | None = field(default=None, repr=False)
    agent: bool | str = False
    known_hosts: str | None = None
    host_key: str | None = None
    insecure: bool = False
    connect_timeout: float = 20.0

    @property
    def place(self) -> str:
        """Who is where, for people."""
        return f"{self.user}@{self.address} (port {self.port})"

    @property
    def known_hosts_files(self) -> list[Path]:
        """Where the keys of hosts are looked up; files that are there."""
        files = [self.known_hosts] if self.known_hosts else ["~/.ssh/known_hosts", SYSTEM_KNOWN_HOSTS]
        return [path for path in (Path(each).expanduser() for each in files) if path.is_file()]


@dataclass(frozen=True)
class RunSettings:
    """How programs are run there."""

    use_sudo: bool = False
    sudo_password: str | None = field(default=None, repr=False)
    hidden: frozenset[str] = frozenset()
    directory: str = "/tmp"  # noqa: S108  # nosec B108 # a folder of the remote host, for `mktemp -d`


_CONNECTION = frozenset(SshSettings.__dataclass_fields__)


def checked(given: Mapping[str, Any] | None, secret: Mapping[str, Any] | None,
            fabric: Mapping[str, Any] | None, **more: Any) -> dict[str, Any]:
    """Settings of all three kinds as one map, without those that are null.

    Raises ``SshSettingsError`` for one that is unknown or of the wrong type; it tells no value.
    """
    found = {**_from_fabric(fabric or {}), **(given or {}), **(secret or {}),
             **{name: value for name, value in more.items() if value}}
    for name, value in found.items():
        refusal = ssh_refusal(name, value)
        if refusal is not None:
            raise SshSettingsError(refusal)
    return {name: value for name, value in found.items() if value is not None}


def _from_fabric(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in _FABRIC:
            found[_FABRIC[name]] = value
        elif name not in _FABRIC_ONLY:
            known = ", ".join(_FABRIC)
            raise SshSettingsError(f"fabric_env has no {name!r} here; it takes {known}, and ssh has more")
    if isinstance(found.get("address"), str):
        found = {**_parts(found["address"]), **{key: each for key, each in found.items() if key != "address"}}
    return found


def _parts(written: str) -> dict[str, Any]:
    """``user@host:port``, as Fabric writes it."""
    user, _, rest = written.rpartition("@")
    host, _, port = rest.rpartition(":")
    has_port = bool(host) and port.isdecimal() and (":" not in host or host.endswith("]"))
    parts: dict[str, Any] = {"address": (host if has_port else rest).strip("[]")}
    return {**parts, **({"user": user} if user else {}), **({"port": int(port)} if has_port else {})}


def ssh_settings(found: Mapping[str, Any], ctx: OperationContext) -> SshSettings:
    """How the host of an operation is reached; `found` is what `checked` gave."""
    address = found.get("address") or _address(ctx, found.get("end"))
    settings = SshSettings(address=address, **{
        name: value for name, value in found.items() if name in _CONNECTION and name != "address"})
    if not 0 < settings.port < 65536:
        raise SshSettingsError(f"the SSH setting port is {settings.port}; ports are 1 to 65535")
    if settings.insecure and (settings.host_key or settings.known_hosts):
        raise SshSettingsError("the SSH setting insecure takes any host key, so it cannot stand beside "
                               "host_key or known_hosts")
    if settings.connect_timeout <= 0:
        raise SshSettingsError("the SSH setting connect_timeout takes a number of seconds above 0")
    return settings if settings.user else replace(settings, user=getpass.getuser())


def run_settings(found: Mapping[str, Any]) -> RunSettings:
    """How programs are run; `found` is what `checked` gave."""
    use_sudo = bool(found.get("use_sudo"))
    password = found.get("sudo_password", found.get("password")) if use_sudo else None
    directory = found.get("directory") or RunSettings.directory
    return RunSettings(use_sudo, password, _hidden(found.get("hide_output")), directory)


def _hidden(given: Any) -> frozenset[str]:
    """Which of stdout and stderr are not logged; the names of Fabric's groups are known."""
    if not given:
        return frozenset()
    groups = {"everything"} if given is True else {given} if isinstance(given, str) else set(given)
    if not groups <= _GROUPS:
        raise SshSettingsError("the SSH setting hide_output takes true, or a list of stdout and stderr")
    return frozenset({"stdout", "stderr"} if groups & {"everything", "output"} else groups)


def _address(ctx: OperationContext, end: str | None) -> str:
    node = _node(ctx, end)
    if node is None:
        raise SshSettingsError("this operation has no node whose host it could run on: give the "
                               "setting address")
    host = node.host or node
    known = (node.host_address, *(host.attributes.get(name) for name in _ADDRESSES))
    address = next((each for each in known if each), None)
    if not isinstance(address, str):
        raise SshSettingsError(f"{host.name} has no address for SSH: give the setting address, or let an "
                               "operation of it set its attribute ip")
    return address


def _node(ctx: OperationContext, end: str | None) -> Any:
    """The node an operation belongs to; None for an operation of the service."""
    if end not in (None, "source", "target"):
        raise SshSettingsError("the SSH setting end takes source or target")
    if isinstance(ctx, NodeOperationContext):
        return ctx.node
    if not isinstance(ctx, RelationshipOperationContext):
        return None
    default: Literal["source", "target"] = "target" if ctx.task.operation_name in _AT_TARGET else "source"
    return ctx.target_node if (end or default) == "target" else ctx.source_node
