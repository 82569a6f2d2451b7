"""What runs a script, wherever it runs: the same words for this host and for others."""

from __future__ import annotations

import pytest

from aria_plugins.operations.script.command import Interpreter, interpreter
from aria_plugins.operations.script.errors import ScriptSettingsError
from aria_plugins.operations.script.settings import ProcessSettings, process_settings
from aria_plugins.operations.script.variables import entries

POWERSHELL = Interpreter(("pwsh", "powershell"), ("-NoProfile", "-NonInteractive", "-File"))


@pytest.mark.parametrize(("name", "start", "expected"), [
    ("x.sh", b"echo", Interpreter(("/bin/sh",))),
    ("x", b"", Interpreter(("/bin/sh",))),
    ("x", b"\x7fELF\0\0", Interpreter()),
    ("x.py", b"print()", Interpreter(("python9",))),
    ("x.ps1", b"Write-Output 1", POWERSHELL),
    ("X.PS1", b"", POWERSHELL),
    ("x.ps1", b"#!/opt/pwsh\n", Interpreter(("/opt/pwsh",))),
    ("x.py", b"#!/opt/python -u -B\nimport os", Interpreter(("/opt/python",), ("-u -B",))),
    ("x", b"#! /bin/bash\t-e  \r\n", Interpreter(("/bin/bash",), ("-e",))),
    ("x", b"#!\n", Interpreter(("/bin/sh",))),
    ("x", b"#!/usr/bin/env ruby\n", Interpreter(("ruby",))),
    ("x", b"#!/usr/bin/env ruby -w\n", Interpreter(("/usr/bin/env",), ("ruby -w",))),
    ("x", b"#!/usr/bin/env -S ruby -w\n", Interpreter(("ruby",), ("-w",))),
    ("x", b"#!/usr/bin/env -Sruby -w x\n", Interpreter(("ruby",), ("-w", "x"))),
    ("x", b"#!/usr/bin/env -S -i A=1 sh\n", Interpreter(("/usr/bin/env",), ("-S -i A=1 sh",))),
    ("x", b"#!/usr/bin/env -S A=1 sh\n", Interpreter(("/usr/bin/env",), ("-S A=1 sh",))),
    ("x", b"#!/usr/bin/env -S sh -c 'a b'\n", Interpreter(("/usr/bin/env",), ("-S sh -c 'a b'",))),
    ("x", b"#!/opt/env ruby\n", Interpreter(("/opt/env",), ("ruby",))),
    ("x", b"#!/usr/bin/env\n", Interpreter(("/usr/bin/env",))),
])
def test_name_and_first_line_say_what_runs_a_script(name: str, start: bytes, expected: Interpreter) -> None:
    assert interpreter(name, start, ProcessSettings(), "python9") == expected


@pytest.mark.parametrize(("prefix", "expected"), [
    ("sudo -E 'a b'", Interpreter(("sudo",), ("-E", "a b"))),
    (["nice", "-n", "5"], Interpreter(("nice",), ("-n", "5"))),
    ("", Interpreter(("bash",)))])
def test_a_prefix_stands_instead_of_the_interpreter(prefix: str | list[str], expected: Interpreter) -> None:
    given = process_settings({"command_prefix": prefix})
    assert interpreter("x.ps1", b"#!/usr/bin/env bash", given) == expected


def test_the_words_of_a_command() -> None:
    given = process_settings({"args": ["a b", 5, {"k": [None]}]})
    assert Interpreter(("a", "b"), ("-x",)).command("/bin/b", "/s", given) == [
        "/bin/b", "-x", "/s", "a b", "5", '{"k": [null]}']
    assert Interpreter().command(None, "/s", given)[0] == "/s"
    assert str(Interpreter(("a", "b")).missing()) == "there is no a or b to run it with"


def test_inputs_and_settings_are_variables_and_settings_win() -> None:
    given = process_settings({"env": {"b": [1], "c": True}})
    assert entries({"a": "x", "b": "input"}, given) == {"a": "x", "b": "[1]", "c": "true"}
    with pytest.raises(ScriptSettingsError, match="the input 'a-b' cannot be an environment variable"):
        entries({"a-b": 1}, given)
