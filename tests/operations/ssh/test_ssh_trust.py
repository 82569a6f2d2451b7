"""Who is let in, and who is trusted: keys of hosts, keys and passwords of users."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aria_core import Succeeded

# Keys of hosts

def refused(remote: Any, **ssh: Any) -> str:
    """The sentence with which a host is refused; nothing ran there, and another attempt makes no sense."""
    report = remote.error("echo ran", ssh=ssh)
    assert not remote.lines()
    assert report.retry is False
    assert "\n" not in report.error
    return str(report.error)


def fingerprint(server: Any) -> str:
    shown = subprocess.run(["ssh-keygen", "-lf", server.host_key], capture_output=True, text=True, check=True)
    return shown.stdout.split()[1]


def test_a_host_nobody_knows_is_refused(remote: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    sentence = refused(remote, known_hosts=str(tmp_path / "empty"))
    assert "is not known" in sentence and fingerprint(remote.server) in sentence
    assert f"ssh-keyscan -p {remote.server.port} 127.0.0.1 >>{tmp_path}/empty" in sentence


def test_without_a_file_only_the_users_known_hosts_count(
        remote: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    del remote.settings["known_hosts"]
    assert "is not known" in refused(remote)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/known_hosts").write_text(remote.server.known_host)
    assert remote.out("echo fine") == ["fine"]


def test_a_changed_host_key_is_refused(remote: Any, own_server: Any) -> None:
    remote.settings.update(own_server.settings)
    assert remote.out("echo fine") == ["fine"]
    own_server.stop()
    own_server.make_key(own_server.host_key)
    own_server.start()
    sentence = refused(remote)
    assert "has changed" in sentence and fingerprint(own_server) in sentence
    assert f"ssh-keygen -R '[127.0.0.1]:{own_server.port}' -f {own_server.known_hosts}" in sentence
    own_server.known_hosts.write_text(own_server.known_host)
    assert remote.out("echo fine") == ["fine"]


def test_a_host_with_a_key_of_another_kind_is_refused(remote: Any, own_server: Any, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "other"], check=True)
    own_server.known_hosts.write_text(f"[127.0.0.1]:{own_server.port} {(tmp_path / 'other.pub').read_text()}")
    remote.settings.update(own_server.settings)
    assert "has changed" in refused(remote)


def test_a_pinned_key_is_enough(remote: Any) -> None:
    del remote.settings["known_hosts"]
    for pin in (fingerprint(remote.server), remote.server.public(remote.server.host_key)):
        assert remote.out("echo fine", ssh={"host_key": pin}) == ["fine"]


def test_another_key_than_the_pinned_one_is_refused(remote: Any) -> None:
    pins = ["SHA256:AAAA", remote.server.public(remote.server.key_file)]
    for pin in pins:
        assert "another host key than the setting host_key pins" in refused(remote, host_key=pin)
    assert "neither a fingerprint" in refused(remote, host_key="nonsense")


def test_a_revoked_key_is_refused(remote: Any, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(f"@revoked {remote.server.known_host}{remote.server.known_host}")
    assert "revoked" in refused(remote, known_hosts=str(tmp_path / "hosts"))


def test_insecure_is_logged_at_each_use(remote: Any) -> None:
    for _ in range(2):
        remote.out("true", ssh={"known_hosts": None, "insecure": True})
        warnings = [text for level, text in remote.channel.messages if level == "WARNING"]
        assert "is not checked: the setting insecure is on" in warnings[-1]
    assert len(warnings) == 2


def test_a_connection_is_not_shared_with_those_who_are_not_let_in(remote: Any, tmp_path: Path) -> None:
    """What one operation may use, another with other credentials, or another trust, may not."""
    remote.out("true")
    (tmp_path / "empty").touch()
    assert "is not known" in refused(remote, known_hosts=str(tmp_path / "empty"))
    remote.server.make_key(tmp_path / "stranger")
    assert "does not let us in" in remote.error("true", ssh={"key_file": str(tmp_path / "stranger")}).error


# Keys of users

def test_a_key_may_be_text(remote: Any) -> None:
    del remote.settings["key_file"]
    assert remote.out("echo fine", ssh={"key": remote.server.key_file.read_text()}) == ["fine"]


def test_an_encrypted_key_needs_its_passphrase(remote: Any, tmp_path: Path) -> None:
    key = tmp_path / "encrypted"
    key.write_bytes(remote.server.key_file.read_bytes())
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "swordfish", "-f", key], check=True)
    assert remote.out("echo fine", ssh={"key_file": str(key), "key_passphrase": "swordfish"}) == ["fine"]
    assert "the passphrase is missing" in refused(remote, key_file=str(key))
    assert "does not open it" in refused(remote, key_file=str(key), key_passphrase="red herring")


def test_a_key_that_cannot_be_used_is_told_without_its_text(remote: Any, tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refused(remote, key_file=str(tmp_path / "gone"))
    report = remote.error("true", ssh={"key": "-----BEGIN canary-----"})
    assert "it is no private key" in report.error
    assert "canary" not in report.error + report.traceback


@pytest.fixture
def agent(server: Any, tmp_path: Path) -> Iterator[str]:
    """The socket of an agent that has the key of `server`."""
    path = f"/tmp/aria-agent-{os.getpid()}"
    started = subprocess.run(["ssh-agent", "-s", "-a", path], capture_output=True, text=True, check=True)
    pid = int(started.stdout.split("SSH_AGENT_PID=")[1].split(";")[0])
    subprocess.run(["ssh-add", "-q", server.key_file], check=True, env={**os.environ, "SSH_AUTH_SOCK": path})
    yield path
    os.kill(pid, signal.SIGTERM)


def test_an_agent_lets_in(remote: Any, agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del remote.settings["key_file"]
    assert remote.out("echo fine", ssh={"agent": agent}) == ["fine"]
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    assert "there is no SSH_AUTH_SOCK here" in refused(remote, agent=True)
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    assert remote.out("echo fine", ssh={"agent": True}) == ["fine"]


def test_who_is_not_let_in_is_told_in_one_sentence(remote: Any, tmp_path: Path) -> None:
    remote.server.make_key(tmp_path / "stranger")
    report = remote.error("true", ssh={"key_file": str(tmp_path / "stranger")})
    assert report.error == f"SshError: {remote.server.place} does not let us in with the key"
    assert report.retry is None


# Passwords

def with_password(remote: Any, user: Any, password: str) -> dict[str, Any]:
    return {"address": "127.0.0.1", "port": remote.server.port, "user": user.name, "password": password,
            "known_hosts": str(remote.server.known_hosts), "directory": remote.settings["directory"]}


def test_a_password_lets_in(remote: Any, make_user: Callable[..., Any]) -> None:
    user = make_user()
    remote.settings = with_password(remote, user, user.password)
    report = remote.run("id -un; stat -c '%a %U' ${ARIA_CTX_SOCKET%/s}; ctx node name")
    assert isinstance(report, Succeeded), report
    assert remote.lines() == [user.name, f"700 {user.name}", "web"]


def test_a_wrong_password_is_one_sentence_and_stands_nowhere(
        remote: Any, make_user: Callable[..., Any]) -> None:
    user = make_user()
    remote.settings = with_password(remote, user, "swordfish-canary")
    report = remote.error("true")
    assert report.error == (f"SshError: {user.name}@127.0.0.1 (port {remote.server.port}) does not let us in "
                            "with the password")
    told = report.traceback + remote.server.log + str(remote.channel.messages)
    assert "canary" not in told


# sudo

@pytest.mark.parametrize("rule", ["ALL=(ALL) NOPASSWD: ALL", "ALL=(ALL) ALL"])
def test_sudo_runs_scripts_and_commands_as_root(
        remote: Any, make_user: Callable[..., Any], rule: str) -> None:
    user = make_user(rule)
    remote.settings = {**with_password(remote, user, user.password), "use_sudo": True}
    with remote.watching() as seen:
        report = remote.run("id -un; echo $given; ctx node name; ctx node attributes x = @1",
                            given="it's \"here\"")
    assert any("sudo" in each for each in seen)
    assert not [each for each in seen if user.password in each]
    assert isinstance(report, Succeeded) and report.edits, (report, remote.server.log[-2000:])
    assert remote.lines() == ["root", "it's \"here\"", "web"]
    assert isinstance(remote.commands("id -u"), Succeeded)
    assert remote.lines() == ["0"]
    remote.check_clean()


def test_without_a_password_for_sudo_one_sentence_says_so(remote: Any, make_user: Callable[..., Any]) -> None:
    user = make_user("ALL=(ALL) ALL")
    authorized = remote.server.directory / "authorized_keys"
    assert authorized.stat().st_mode & 0o044
    remote.settings = {**remote.settings, "user": user.name, "use_sudo": True}
    report = remote.error("true")
    assert "sudo: a password is required" in report.error


def test_a_wrong_password_for_sudo_is_one_sentence(remote: Any, make_user: Callable[..., Any]) -> None:
    user = make_user("ALL=(ALL) ALL")
    remote.settings = {**with_password(remote, user, user.password), "use_sudo": True,
                       "sudo_password": "swordfish-canary"}
    report = remote.error("true")
    assert "does not accept the password" in report.error
    assert "canary" not in report.error + report.traceback + remote.server.log


def test_who_may_not_use_sudo_is_told(remote: Any, make_user: Callable[..., Any]) -> None:
    user = make_user()
    remote.settings = {**with_password(remote, user, user.password), "use_sudo": True}
    report = remote.error("true")
    assert "not in the sudoers file" in report.error


def test_what_root_left_running_is_ended_too(
        remote: Any, make_user: Callable[..., Any], tmp_path: Path) -> None:
    user = make_user("ALL=(ALL) ALL")
    remote.settings = {**with_password(remote, user, user.password), "use_sudo": True}
    report = remote.error(f"setsid sleep 1000 >/dev/null 2>&1 & echo $! >{tmp_path}/pid; exit 1")
    assert "ended with 1" in report.error
    pid = int((tmp_path / "pid").read_text())
    remote.wait_until(lambda: remote.is_gone(pid))
