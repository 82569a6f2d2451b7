"""Scripts as operations: how they are started, what they may say, and what is left of them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from aria_core import Actor, Call, Failed, Succeeded, run_call

CHILD = {"eval_python": False}
"""Settings that make a process of a script in Python, too."""


# How it is started

def test_a_script_runs_and_its_lines_are_logged(host: Any) -> None:
    host.run("echo one; echo two >&2; printf three")
    assert sorted(host.channel.messages) == [("INFO", "one"), ("INFO", "three"), ("WARNING", "two")]


def test_the_first_line_says_who_runs_it(host: Any) -> None:
    assert host.out("#! /bin/bash -e\necho $BASH_VERSION $-")[0].split()[1].startswith("e")
    assert host.out("#!/usr/bin/env python3\nprint('py' + 'thon')", path="no-suffix")[-1] == "python"
    assert host.out(f"#!{sys.executable} -I\r\nimport sys; print(sys.flags.isolated)", path="x.sh")[-1] == "1"


def test_without_a_first_line_the_suffix_says_who_runs_it(host: Any) -> None:
    assert host.out("import sys; print(sys.executable)", CHILD, path="x.py") == [sys.executable]
    assert host.out("echo $0", path="plain")[-1].endswith("/plain")


def test_a_program_needs_no_first_line(host: Any) -> None:
    host.channel.resources["prog"] = Path("/bin/true").read_bytes()
    report = run_call(host.call("prog", None, Actor("node", 1, "web"), {}), host.channel)
    assert report == Succeeded(host.ref)


def test_it_has_a_session_of_its_own_and_reads_nothing(host: Any) -> None:
    assert host.out("cat; ps -o sid= -p $$; echo $$")[0].split() == [host.channel.messages[1][1]]


def test_arguments_prefix_and_directory_come_from_the_process_settings(host: Any, tmp_path: Path) -> None:
    lines = host.out('printf "%s|" "$@"; echo; pwd; echo $PREFIX', {
        "args": ["a b", "$HOME", 5, ["x"]], "cwd": str(tmp_path),
        "command_prefix": "env 'PREFIX=is here' sh"})
    assert lines == ['a b|$HOME|5|["x"]|', str(tmp_path), "is here"]
    assert host.out("print('hi')", {"command_prefix": [sys.executable, "-u"]}, path="x.sh")[-1] == "hi"


def test_inputs_are_environment_variables(host: Any) -> None:
    assert host.out('echo "$text|$number|$yes|$none|$list|$map"', text="a\nb", number=5, yes=True, none=None,
                    list=[1, "ä"], map={"k": 1.5}) == ["a", 'b|5|true|null|[1, "\\u00e4"]|{"k": 1.5}']


def test_the_environment_of_the_settings_wins_over_inputs(host: Any) -> None:
    assert host.out('echo "$a $b $c"', {"env": {"b": "settings", "c": [3]}}, a="input", b="input") == [
        "input settings [3]"]


def test_the_environment_holds_what_is_allowed_and_nothing_else(
        host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "canary")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    [line] = host.out("import json, os; print(json.dumps(dict(os.environ)))", CHILD, path="x.py",
                      given="1")
    found = json.loads(line)
    ours = {"ARIA_ATTEMPT", "ARIA_TASK_TOKEN", "ARIA_CTX_SOCKET", "ARIA_CTX_KEY", "given"}
    allowed = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "LC_TIME", "LC_ALL",
               "LC_CTYPE"}
    assert ours <= set(found) <= ours | allowed
    assert (found["ARIA_ATTEMPT"], found["ARIA_TASK_TOKEN"]) == (str(host.ref), host.ref.token)
    assert found["LC_TIME"] == "C"


def test_what_the_script_is_given_of_ours_cannot_be_overridden(host: Any) -> None:
    process = {"env": {"ARIA_CTX_KEY": "x", "PATH": "/bin:/usr/bin"}}
    lines = host.out("ctx task attempt; echo $ARIA_ATTEMPT", process, ARIA_ATTEMPT="0/0/0")
    assert lines == ["3", str(host.ref)]


@pytest.mark.parametrize(("first", "missing"), [
    ("#!/no/such/ruby -w", "/no/such/ruby"), ("#!/usr/bin/env no-ruby", "no-ruby"),
    ("#!/usr/bin/env -S no-ruby -w", "no-ruby")])
def test_a_missing_interpreter_is_named(host: Any, first: str, missing: str) -> None:
    report = host.error(f"{first}\nputs 1")
    assert report.error == f"TaskAbortException: scripts/run.sh: there is no {missing} to run it with"
    assert report.retry is False


def test_the_first_line_may_have_several_words_for_env(host: Any) -> None:
    assert host.out("#!/usr/bin/env -S sh -e -u\necho $-")[0].startswith("ue")
    assert host.out("#!/usr/bin/env -S WORD=given sh -e\necho $- $WORD")[-1].startswith("e")
    assert host.channel.messages[-1][1].endswith("given")


def test_a_program_of_the_directory_it_runs_in_may_stand_before_it(host: Any, tmp_path: Path) -> None:
    (tmp_path / "runner").write_text("#!/bin/sh\necho here; exec sh \"$@\"\n")
    (tmp_path / "runner").chmod(0o700)
    assert host.out("echo ran", {"command_prefix": "./runner", "cwd": str(tmp_path)}) == ["here", "ran"]


@pytest.mark.parametrize("name", ["bin", "files", "script", "ctx"])
def test_a_script_may_have_any_name(host: Any, name: str) -> None:
    assert host.out("ctx node name", path=f"scripts/{name}") == ["web"]


@pytest.mark.parametrize(("process", "inputs", "message"), [
    (None, {"a-b": "1"}, "the input 'a-b' cannot be an environment variable; names are letters, digits and"),
    (None, {"1a": "1"}, "the input '1a' cannot be an environment variable"),
    (None, {"ä": "1"}, "the input 'ä' cannot be an environment variable"),
    (None, {"a": "x\0y"}, "the input a contains a NUL"),
    (None, {"a": "\ud800"}, "the input a contains a lone surrogate"),
    (None, {"a": "x" * 131072}, "the input a has 131072 bytes; an environment variable has room for 128 KiB"),
    ({"env": {"a b": "1"}}, {}, "the process setting env: 'a b' cannot be an environment variable"),
    ({"args": ["\0"]}, {}, "an argument contains a NUL"),
    ({"args": "text"}, {}, "the process setting args is 'text'; it takes a list"),
    ({"eval_python": "yes"}, {}, "the process setting eval_python is 'yes'; it takes true or false"),
    ({"shell": True}, {}, "there is no process setting 'shell'; there are cwd, env, args, command_prefix"),
    ({"cwd": "/no/such/folder"}, {}, "the process setting cwd is '/no/such/folder', which is no directory"),
    ({"command_prefix": "./no-such-command", "cwd": "/"}, {}, "there is no ./no-such-command to run it"),
    ({"command_prefix": "no-such-command"}, {}, "there is no no-such-command to run it with"),
    ({"command_prefix": "'open"}, {}, "the process setting command_prefix is \"'open\": No closing"),
    ({"args": ["x" * 100_000] * 60}, {}, "its arguments and environment have 600"),
    (None, {f"v{each}": "x" * 100_000 for each in range(60)}, "its arguments and environment have 600"),
])
def test_what_cannot_work_is_refused_in_one_sentence_for_good(
        host: Any, process: dict[str, Any] | None, inputs: dict[str, Any], message: str) -> None:
    report = host.error("echo never", process, **inputs)
    assert report.error.startswith(f"TaskAbortException: scripts/run.sh: {message}")
    assert report.retry is False
    assert not host.channel.logs


def test_a_missing_script_aborts_the_task(host: Any) -> None:
    for path, message in (("scripts/missing.sh", "there is no script 'scripts/missing.sh' among"),
                          ("folder", "'folder' is a folder, not a script")):
        report = run_call(host.call(path, None, Actor("node", 1, "web"), {}), host.channel)
        assert isinstance(report, Failed)
        assert report.retry is False
        assert message in report.error


# How it ends

def test_a_script_that_does_not_end_well_is_a_process_error(host: Any) -> None:
    report = host.error("echo fine; echo bad >&2; echo worse >&2; exit 7")
    assert report.error == "ProcessException: scripts/run.sh ended with 7: bad\nworse"
    assert report.retry is None


def test_a_process_error_has_the_exit_code_and_what_was_printed(host: Any, tmp_path: Path) -> None:
    (tmp_path / "operations.py").write_text(textwrap.dedent("""
        from aria_core import ProcessException
        from aria_plugins.operations.script import run_script_locally
        def catch(ctx, script_path):
            try: run_script_locally(ctx, script_path)
            except ProcessException as error: return [error.exit_code, error.stdout, error.stderr]
        """))
    host.channel.resources["x.sh"] = b"echo out; echo err >&2; kill -9 $$"
    call = Call(host.ref, "operations:catch", {"script_path": "x.sh"}, code=str(tmp_path))
    assert run_call(call, host.channel) == Succeeded(host.ref, [-9, "out\n", "err\n"])


def test_a_script_ended_by_a_signal_says_which(host: Any) -> None:
    assert host.error("kill -TERM $$").error == "ProcessException: scripts/run.sh was ended by SIGTERM"


def test_lines_are_logged_while_the_script_runs(host: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    running = threading.Thread(target=host.run, args=(f"echo first; read x < {gate}; echo second",))
    running.start()
    host.wait_until(lambda: host.channel.messages == [("INFO", "first")])
    gate.write_text("go\n")
    running.join(10)
    assert host.channel.messages == [("INFO", "first"), ("INFO", "second")]


def test_output_is_bounded_and_always_text(host: Any) -> None:
    host.run(r"""
        import os
        os.write(1, b"\xff\xfe\r\n")
        os.write(1, b"x" * 70000 + b"\n")
        for _ in range(300): os.write(1, b"y" * 100000 + b"\n")
        """, CHILD, path="x.py")
    messages = host.channel.messages
    assert messages[0] == ("INFO", "\N{REPLACEMENT CHARACTER}" * 2)
    assert messages[1] == ("INFO", "x" * 65536 + " … (4464 bytes cut)")
    assert sum(len(text) for _, text in messages) < 1.1 * 1024 * 1024
    assert messages[-1] == ("WARNING", "the script printed more than 1024 KiB; the rest is not logged")


def test_a_million_short_lines_are_bounded_too(host: Any) -> None:
    host.run("import os\nfor _ in range(100): os.write(1, b'\\n' * 10000)", CHILD, path="x.py")
    assert len(host.channel.logs) < 20_000


def test_a_daemon_does_not_hold_the_operation_and_stays_when_all_went_well(host: Any) -> None:
    begin = time.monotonic()
    [pid] = host.out("sleep 300 & echo $!")
    assert time.monotonic() - begin < 5
    assert host.is_alive(int(pid))
    [(level, message)] = host.channel.messages[1:]
    assert level == "WARNING"
    assert "left a process running that holds its output" in message


def test_a_daemon_with_its_own_output_is_not_complained_about(host: Any) -> None:
    [pid] = host.out("sleep 300 >/dev/null 2>&1 & echo $!")
    assert host.is_alive(int(pid))
    assert len(host.channel.messages) == 1


def test_a_daemon_that_never_stops_talking_does_not_hold_the_operation(host: Any) -> None:
    host.out("yes & true")


@pytest.mark.skipif(sys.platform != "linux", reason="daemons are found through /proc")
@pytest.mark.parametrize("start", [
    "sleep 300 &", "nohup sleep 300 >/dev/null 2>&1 &", "setsid -f sleep 300",
    "(setsid setsid sleep 300 >/dev/null 2>&1 &)", "(trap '' TERM; exec sleep 300) &",
])
def test_whatever_a_failed_script_started_is_killed(host: Any, start: str) -> None:
    host.error(f"{start}\nsleep 0.05; exit 1")
    key = [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "300"]
           and _mark(each) == str(host.ref)]
    assert not key


def _mark(process: psutil.Process) -> str:
    try:
        return str(process.environ().get("ARIA_ATTEMPT", ""))
    except psutil.Error:
        return ""


@pytest.mark.skipif(sys.platform != "linux", reason="daemons are found through /proc")
def test_what_an_earlier_script_of_the_same_attempt_left_is_not_touched(host: Any) -> None:
    [pid] = host.out("sleep 300 >/dev/null 2>&1 & echo $!")
    host.error("exit 1")
    assert host.is_alive(int(pid))


def test_an_operation_that_is_interrupted_takes_its_script_with_it(host: Any, tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import signal, sys
        from aria_core import Call, CallRef, run_call
        from aria_core.testing.memory_channel import MemoryChannel
        def leave(number, frame): raise SystemExit(143)
        signal.signal(signal.SIGTERM, leave)
        channel = MemoryChannel(resources={{"x.sh": b"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new "
                                                    b"{tmp_path}/pid; sleep 300"}})
        call = Call(CallRef({host.ref.execution}, 12, 3), {host.function!r}, {{"script_path": "x.sh"}})
        print(run_call(call, channel).error)
        """)
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "TMPDIR": str(host.temporary)})
    host.wait_until((tmp_path / "pid").exists)
    child.send_signal(signal.SIGTERM)
    output, _ = child.communicate(timeout=10)
    assert output == "SystemExit: 143\n"
    assert not host.is_alive(int((tmp_path / "pid").read_text()))
    assert not host.left_behind


def test_a_script_whose_end_was_asked_for_while_it_was_being_started_is_ended(host: Any) -> None:
    host.channel.resources["scripts/run.sh"] = b"sleep 60"
    cancelled = threading.Event()
    cancelled.set()
    began = time.monotonic()
    report = run_call(host.call("scripts/run.sh", None, Actor("node", 1, "web"), {}), host.channel, cancelled)
    assert isinstance(report, Failed)
    assert report.error == "InterruptedError: scripts/run.sh was ended before it had begun"
    assert time.monotonic() - began < 30


def test_the_temporary_directory_is_private(host: Any) -> None:
    [line] = host.out("import os, stat; print(oct(os.stat(os.path.dirname(__file__)).st_mode))", CHILD,
                      path="x.py")
    assert stat.S_IMODE(int(line, 8)) == 0o700


# PowerShell

@pytest.mark.parametrize("name", ["pwsh", "powershell"])
def test_a_script_of_powershell_runs_where_there_is_one(host: Any, tmp_path: Path, name: str,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / name).write_text("#!/bin/sh\nprintf '%s|' \"$@\" \"$given\"\n")
    (tmp_path / "bin" / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    [line] = host.out("Write-Output $env:given", {"args": ["a b"]}, path="run.ps1", given="it")
    words = line.split("|")
    assert words[:3] == ["-NoProfile", "-NonInteractive", "-File"]
    assert Path(words[3]).name == "run.ps1"
    assert words[4:] == ["a b", "it", ""]


def test_without_powershell_its_scripts_are_refused(host: Any, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    report = host.error("Write-Output 1", path="run.ps1")
    assert report.error == "TaskAbortException: run.ps1: there is no pwsh or powershell to run it with"
    assert report.retry is False
