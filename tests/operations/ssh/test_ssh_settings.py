"""What the settings mean: where they come from, what they take, and which host they lead to."""

from __future__ import annotations

from typing import Any

import pytest

from aria_core import Actor, Call, CallRef, InvalidInputError, TemplateBuilder, call, get_input, script
from aria_core.testing.memory_channel import MemoryChannel
from aria_core.worker.context import OperationContext, make_context
from aria_plugins.operations.ssh.errors import SshSettingsError
from aria_plugins.operations.ssh.settings import checked, run_settings, ssh_settings

CHANNEL = MemoryChannel(
    nodes={1: {"name": "web", "host": 2}, 2: {"name": "machine", "attributes": {"ip": "10.0.0.1"}},
           3: {"name": "db", "host": 4}, 4: {"name": "other", "attributes": {"public_address": "10.0.0.2"}},
           5: {"name": "lonely"}},
    relationships={7: {"name": "uses", "source": 1, "target": 3}})


def context(actor: Actor | None, operation: str = "create") -> OperationContext:
    return make_context(Call(CallRef(1, 1, 1), "x:y", actor=actor, operation=operation), CHANNEL)


def address(actor: Actor | None, operation: str = "create", **given: Any) -> str:
    return ssh_settings(checked(given, None, None), context(actor, operation)).address


NODE, TIE = Actor("node", 1, "web"), Actor("relationship", 7, "uses")


def test_the_address_is_that_of_the_host() -> None:
    assert address(NODE) == "10.0.0.1"
    assert address(Actor("node", 2, "machine")) == "10.0.0.1"
    assert address(Actor("node", 3, "db")) == "10.0.0.2"
    assert address(NODE, address="example.org") == "example.org"


@pytest.mark.parametrize(("operation", "expected"), [
    ("pre_configure_source", "10.0.0.1"), ("post_configure_source", "10.0.0.1"), ("add_target", "10.0.0.1"),
    ("target_changed", "10.0.0.1"), ("pre_configure_target", "10.0.0.2"), ("add_source", "10.0.0.2"),
    ("remove_source", "10.0.0.2"), ("anything", "10.0.0.1")])
def test_an_operation_of_a_relationship_runs_at_the_end_that_tosca_says(
        operation: str, expected: str) -> None:
    assert address(TIE, operation) == expected


def test_the_end_may_be_said() -> None:
    assert address(TIE, "add_target", end="target") == "10.0.0.2"
    assert address(TIE, "add_source", end="source") == "10.0.0.1"
    with pytest.raises(SshSettingsError, match="takes source or target"):
        address(TIE, end="middle")


@pytest.mark.parametrize(("actor", "sentence"), [
    (None, "no node whose host it could run on"),
    (Actor("node", 5, "lonely"), "lonely has no address for SSH")])
def test_without_an_address_one_sentence_says_what_to_do(actor: Actor | None, sentence: str) -> None:
    with pytest.raises(SshSettingsError, match=f"{sentence}.*: give the setting address"):
        address(actor)


def test_the_environment_of_fabric_means_what_it_meant() -> None:
    found = checked(None, None, {
        "host_string": "admin@example.org:2222", "key_filename": "/k", "password": "p", "timeout": 5,
        "connection_attempts": 3, "always_use_pty": True})
    assert found == {"address": "example.org", "user": "admin", "port": 2222, "key_file": "/k",
                     "password": "p", "connect_timeout": 5}


@pytest.mark.parametrize(("written", "expected"), [
    ("10.0.0.1", {"address": "10.0.0.1"}), ("me@host", {"address": "host", "user": "me"}),
    ("[::1]:22", {"address": "::1", "port": 22}), ("fe80::1", {"address": "fe80::1"})])
def test_hosts_are_written_as_fabric_does(written: str, expected: dict[str, Any]) -> None:
    assert checked(None, None, {"host_string": written}) == expected


def test_plain_settings_go_before_those_of_fabric() -> None:
    assert checked({"user": "me"}, {"password": "new"}, {"user": "you", "password": "old"}) == {
        "user": "me", "password": "new"}


def test_arguments_of_the_operation_count_as_settings() -> None:
    found = checked(None, None, None, use_sudo=True, hide_output=["stderr"])
    assert run_settings(found).use_sudo
    assert run_settings(found).hidden == {"stderr"}


@pytest.mark.parametrize(("settings", "sentence"), [
    ({"colour": "red"}, "there is no SSH setting 'colour'; there are address"),
    ({"port": "22"}, "the SSH setting port takes a number, not a str"),
    ({"port": True}, "the SSH setting port takes a number, not a bool"),
    ({"password": 5}, "the SSH setting password takes text, not a int"),
    ({"use_sudo": "yes"}, "the SSH setting use_sudo takes true or false"),
])
def test_a_wrong_setting_is_told_when_the_template_is_made_and_when_it_runs(
        settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SshSettingsError, match=sentence):
        checked(settings, None, None)
    builder = TemplateBuilder("shop")
    builder.node("one", operations={"create": script("run.sh", ssh=settings)})
    with pytest.raises(InvalidInputError, match=sentence):
        builder.build()


def test_what_an_input_will_say_is_looked_at_when_it_runs() -> None:
    builder = TemplateBuilder("shop")
    builder.input("port", "integer")
    builder.node("one", operations={"create": script("run.sh", ssh={"port": get_input("port")})})
    builder.build()


@pytest.mark.parametrize("beside", [{"host_key": "SHA256:x"}, {"known_hosts": "/etc/hosts"}])
def test_insecure_excludes_what_would_be_checked(beside: dict[str, str]) -> None:
    with pytest.raises(SshSettingsError, match="cannot stand beside host_key or known_hosts"):
        address(NODE, insecure=True, **beside)


def test_only_scripts_and_commands_take_them() -> None:
    builder = TemplateBuilder("shop")
    other = call("os:getcwd")
    other.ssh = {"user": "me"}
    builder.node("one", operations={"create": other})
    with pytest.raises(InvalidInputError, match="has settings of SSH and calls os:getcwd; only scripts"):
        builder.build()


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_ports_are_checked(port: int) -> None:
    with pytest.raises(SshSettingsError, match="ports are 1 to 65535"):
        address(NODE, port=port)


def test_the_password_of_sudo_is_that_of_the_login_if_nothing_else_is_said() -> None:
    found = {"use_sudo": True, "password": "login"}
    assert run_settings(found).sudo_password == "login"
    assert run_settings({**found, "sudo_password": "other"}).sudo_password == "other"
    assert run_settings({"password": "login"}).sudo_password is None


def test_no_secret_stands_in_a_representation() -> None:
    given = {"password": "canary1", "key": "canary2", "key_passphrase": "canary3", "sudo_password": "canary4",
             "use_sudo": True}
    shown = repr(ssh_settings(given, context(NODE))) + repr(run_settings(given))
    assert "canary" not in shown
