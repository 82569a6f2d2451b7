"""Scripts on another host: how they are started, what they may say, and what is left of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aria_core import Edit, Failed, Succeeded, run_call
from aria_core.testing.hostile import ANY_TEXT, ECHO, HOSTILE, as_inputs, echoed

# How they are started

def test_a_script_runs_there_and_its_lines_are_logged(remote: Any) -> None:
    report = remote.run("echo one; echo two >&2; printf three; test -n \"$SSH_CONNECTION\"")
    assert isinstance(report, Succeeded), report
    assert sorted(remote.channel.messages) == [("INFO", "one"), ("INFO", "three"), ("WARNING", "two")]


def test_its_first_line_or_its_name_say_who_runs_it(remote: Any) -> None:
    assert remote.out("#!/bin/bash -e\necho $BASH_VERSION $-")[0].split()[1].startswith("e")
    assert remote.out("print('py' + 'thon')", path="x.py") == ["python"]
    assert remote.out("echo $0", path="a 'strange' näme")[0].endswith("/a__strange__näme")
    assert remote.out("", {"command_prefix": "printf '%s\\n' 'a b'"})[0] == "a b"


def test_a_binary_needs_no_first_line(remote: Any) -> None:
    remote.channel.resources["program"] = Path("/bin/true").read_bytes()
    arguments = {"script_path": "program", "ssh": remote.settings}
    assert run_call(remote.call("aria_plugins.operations.ssh:run_script_with_ssh", arguments),
                    remote.channel) == Succeeded(remote.ref)


def test_inputs_arguments_directory_and_environment_are_as_on_this_host(remote: Any, tmp_path: Path) -> None:
    process = {"args": ["a b", "$HOME", 5, ["x"]], "cwd": str(tmp_path), "env": {"b": "settings", "c": [3]}}
    lines = remote.out('printf "%s|" "$@"; echo; pwd; echo "$a $b $c"; cat', process, a="input", b="input")
    assert lines == ['a b|$HOME|5|["x"]|', str(tmp_path), "input settings [3]"]


def test_every_process_carries_the_mark_and_the_token(remote: Any) -> None:
    assert remote.out("echo $ARIA_ATTEMPT; sh -c 'echo $ARIA_TASK_TOKEN'") == [
        str(remote.ref), remote.ref.token]


@pytest.mark.parametrize(("process", "inputs", "sentence"), [
    ({"cwd": "/no/where"}, {}, "'/no/where', which is no directory there"),
    ({"command_prefix": "no-such-program"}, {}, "there is no no-such-program to run it with"),
    ({"eval_python": True}, {}, "eval_python is for scripts of this host"),
    ({"colour": "red"}, {}, "there is no process setting 'colour'"),
    ({}, {"a b": 1}, "cannot be an environment variable"),
    ({}, {"a": "\0"}, "contains a NUL"),
    ({}, {"a": "x" * 128 * 1024}, "room for 128 KiB"),
    ({}, {"OPTIND": "x"}, "shells keep for themselves"),
])
def test_what_cannot_be_started_ends_the_task_with_one_sentence(
        remote: Any, process: dict[str, Any], inputs: dict[str, Any], sentence: str) -> None:
    report = remote.error("true", process, **inputs)
    assert report.retry is False
    assert sentence in report.error and "\n" not in report.error


def test_a_script_that_is_not_there_ends_the_task(remote: Any) -> None:
    arguments = {"script_path": "gone.sh", "ssh": remote.settings}
    call = remote.call("aria_plugins.operations.ssh:run_script_with_ssh", arguments)
    report = run_call(call, remote.channel)
    assert isinstance(report, Failed) and report.retry is False
    assert "there is no script 'gone.sh' among the template's files" in report.error


# What passes, unchanged

@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ANY_TEXT, min_size=9, max_size=12))
def test_any_text_arrives_as_it_is_through_inputs_arguments_files_and_ctx(
        remote: Any, texts: list[str]) -> None:
    remote.channel.resources["texts.json"] = json.dumps(texts).encode()
    remote.channel.nodes[1]["properties"]["texts"] = texts
    script = """
        import json, os, subprocess, sys
        given = [os.environ[f"echo{number}"] for number in range(len(sys.argv) - 1)]
        ctx = lambda *words: subprocess.run(["ctx", *words], check=True, capture_output=True).stdout.decode()
        held = json.loads(ctx("-j", "node", "properties", "texts"))
        with open(ctx("download-resource", "texts.json").rstrip("\\n")) as file:
            filed = json.load(file)
        ctx("node", "attributes", "back", "=", "@" + json.dumps(given))
        print(json.dumps([given, sys.argv[1:], held, filed]))
    """
    report = remote.run(script, {"args": texts}, path="x.py", **as_inputs(texts))
    assert isinstance(report, Succeeded), report
    assert json.loads(remote.lines()[-1]) == [texts] * 4
    assert report.edits == (Edit("node", 1, "back", texts),)


def test_hundreds_of_hostile_strings_arrive_as_they_are(remote: Any) -> None:
    assert len(set(HOSTILE)) >= 500
    inputs = as_inputs(HOSTILE)
    assert echoed(remote.out(ECHO, {"args": HOSTILE}, **inputs)) == (list(HOSTILE), inputs)


def test_hundreds_of_hostile_strings_arrive_in_files_and_ctx_as_they_are(remote: Any, tmp_path: Path) -> None:
    remote.channel.resources |= {f"texts/{number}": text.encode() for number, text in enumerate(HOSTILE)}
    remote.channel.nodes[1]["properties"]["texts"] = list(HOSTILE)
    lines = remote.out(f"ctx download-resource texts {tmp_path}/got; ctx node properties texts")
    assert json.loads(lines[-1]) == list(HOSTILE)
    got = [(tmp_path / "got" / str(number)).read_bytes().decode() for number in range(len(HOSTILE))]
    assert got == list(HOSTILE)


def test_nothing_of_it_is_seen_in_a_list_of_processes(remote: Any) -> None:
    """Inputs, key and script travel through standard input."""
    with remote.watching() as seen:
        for _ in range(5):
            [key] = remote.out("echo $ARIA_CTX_KEY; sleep 0.2; : canary-script", secret="canary-input")
    assert any("aria-" in each for each in seen)
    assert not [each for each in seen if "canary" in each or key in each]


# What they may say

def test_ctx_reads_writes_and_calls_through_the_forwarded_socket(remote: Any, tmp_path: Path) -> None:
    report = remote.run(f"""
        set -e
        ctx node properties port
        ctx node host attributes ip
        ctx node attributes address = 9.9.9.9
        ctx logger warning "from there"
        cd {tmp_path}
        ctx download-resource data.bin here.bin
        cat "$(ctx download-resource template.txt)"
        ctx get-resource-and-render template.txt '@{{"port": 7}}'
    """)
    assert isinstance(report, Succeeded), report
    assert report.edits == (Edit("node", 1, "address", "9.9.9.9"),)
    assert ("WARNING", "from there") in remote.channel.messages
    assert [line for line in remote.lines() if line] == [
        "80", "10.0.0.1", str(tmp_path / "here.bin"), "port={{ port }}", "port=7"]
    assert (tmp_path / "here.bin").read_bytes() == b"\xff\xfe"
    remote.check_clean()


@pytest.mark.parametrize(("words", "retry", "after", "error"), [
    ("retry later 7", True, 7.0, "later"), ("abort enough", False, None, "enough")])
def test_it_decides_about_its_task(
        remote: Any, words: str, retry: bool, after: float | None, error: str) -> None:
    report = remote.error(f"ctx task {words}; exit 0")
    assert (report.retry, report.after) == (retry, after)
    assert error in report.error


def test_it_may_decide_only_once(remote: Any) -> None:
    assert "ctx may only abort or retry once" in remote.error("ctx task retry; ctx task abort").error


def test_the_exit_code_is_the_operations(remote: Any) -> None:
    report = remote.error("echo because >&2; exit 3")
    assert report.error == "ProcessException: scripts/run.sh ended with 3: because"
    assert report.retry is None
    assert "was ended by SIGKILL" in remote.error("kill -KILL $$").error


def test_output_is_logged_while_it_runs_and_within_bounds(remote: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    call = remote.script_call(f"echo first; while [ ! -e {gate} ]; do sleep 0.05; done; "
                              "head -c 3000000 /dev/zero | tr '\\0' x | fold -w 1000", None, "run.sh", {}, {})
    running = threading.Thread(target=run_call, args=(call, remote.channel))
    running.start()
    remote.wait_until(lambda: ("INFO", "first") in remote.channel.messages)
    gate.touch()
    running.join(60)
    assert sum(len(text) for _, text in remote.channel.messages) < 1100 * 1024
    assert "the rest is not logged" in " ".join(text for _, text in remote.channel.messages)


@pytest.mark.parametrize(("hidden", "seen"), [
    (True, []), ("stdout", [("WARNING", "two")]), (["stderr"], [("INFO", "one")]), (["everything"], []),
    (["running"], [("INFO", "one"), ("WARNING", "two")])])
def test_output_is_hidden_if_wanted(remote: Any, hidden: Any, seen: list[tuple[str, str]]) -> None:
    remote.run("echo one; echo two >&2", ssh={"hide_output": hidden})
    assert sorted(remote.channel.messages) == seen


def test_a_host_without_python_runs_scripts_that_do_not_use_ctx(remote: Any, tmp_path: Path) -> None:
    for name in ("sh", "env", "sleep"):
        (tmp_path / name).symlink_to(subprocess.run(
            ["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True).stdout.strip())
    process = {"env": {"PATH": str(tmp_path)}}
    assert remote.out("echo fine", process) == ["fine"]
    error = remote.error("ctx node name", process).error
    assert "ctx: this host has none of python3 python, which the ctx command needs" in error


def test_a_server_that_forwards_no_sockets_runs_scripts_that_do_not_use_ctx(
        remote: Any, own_server: Any) -> None:
    own_server.stop()
    own_server.start(AllowStreamLocalForwarding="no")
    remote.settings.update({**own_server.settings})
    assert remote.out("echo fine") == ["fine"]
    assert "AllowStreamLocalForwarding" in remote.error("ctx node name").error


# Commands

def test_commands_run_one_after_the_other(remote: Any) -> None:
    assert isinstance(remote.commands("echo $((1 + 1))", "printf 'a\\nb\\n' | wc -l"), Succeeded)
    assert remote.lines() == ["2", "2"]


def test_the_first_command_that_fails_is_the_last_and_named(remote: Any) -> None:
    report = remote.commands("echo one", "echo no >&2; exit 4", "echo never")
    assert isinstance(report, Failed)
    assert report.error == "ProcessException: echo no >&2; exit 4 ended with 4: no"
    assert remote.lines() == ["one"]
    remote.check_clean()


def test_commands_are_a_list_of_texts(remote: Any) -> None:
    report = run_call(remote.call("aria_plugins.operations.ssh:run_commands_with_ssh", {
        "commands": "rm -rf /", "ssh": remote.settings}), remote.channel)
    assert isinstance(report, Failed) and report.retry is False
    assert "takes a list of texts" in report.error


def test_fifty_commands_take_one_connection(remote: Any, own_server: Any) -> None:
    remote.settings.update(own_server.settings)
    for number in range(5):
        assert isinstance(remote.commands(*[f"echo {number}-{each}" for each in range(10)]), Succeeded)
    assert len(remote.lines()) == 50
    assert own_server.connections == 1


def test_attempts_at_one_time_share_connections_within_the_servers_limit(
        remote: Any, own_server: Any) -> None:
    remote.settings.update(own_server.settings)
    reports: list[Any] = []
    threads = [threading.Thread(target=lambda: reports.append(remote.run("sleep 1; ctx node name")))
               for _ in range(9)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert all(isinstance(each, Succeeded) for each in reports) and len(reports) == 9, reports
    assert own_server.connections == 3


def test_asyncssh_is_imported_only_when_it_is_used() -> None:
    code = ("import sys, aria_plugins.operations.ssh as ssh; ssh.run_script_with_ssh; "
            "sys.exit('asyncssh' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_extra_one_sentence_names_what_to_install(
        remote: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("aria_plugins.operations.ssh.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    report = remote.run("true")
    assert isinstance(report, Failed)
    assert "pip install 'aria-core[ssh]'" in report.error
    assert os.linesep not in report.error
