"""Texts that shells, terminals, templates and parsers trip over, and a script that gives back what it got.

What goes through a script of any kind must come back as it was::

    lines = run(ECHO, {"args": HOSTILE}, **as_inputs(HOSTILE))     # what it printed
    assert echoed(lines) == (list(HOSTILE), as_inputs(HOSTILE))
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from hypothesis import strategies as st

_ORDINARY = (
    "", "'", '"', "`id`", "$(id)", "${HOME}", "$((1+1))", "; id", "&& id", "| id", "a b", "*", "~", "!!",
    "#x", "\r\n", "\t", "\x1b[2J", "\x7f", "\u202e", "\u2028", "\U0001f600", "e\u0301", "%s%n", "{{ 7*7 }}",
    "../../etc/passwd", "-n", "--", "=", "a=b", "\\x41\\0", "<(id)", ">x", "'\"'\"'", "null", "@{", "[1]",
    "[", "]", "\xa0", "\ufeff", "x" * 200)

HOSTILE = tuple(f"{before}{text}{behind}" for before in ("", "-", "$", "\\", " ")
                for behind in ("", " ", "\n", "\\", "'") for text in _ORDINARY)
"""Over a thousand, some of them equal."""

ANY_TEXT = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
"""A hypothesis strategy: what a program can be given as an argument or in its environment."""

ECHO = """\
#!/bin/sh
for each in "$@"; do printf '%s\\0' "$each"; done | base64 | tr -d '\\n'; echo
env -0 | grep -z '^echo[0-9]' | base64 | tr -d '\\n'; echo
"""
"""A script that prints its arguments and its `as_inputs`."""


def as_inputs(texts: Sequence[str]) -> dict[str, str]:
    """Inputs of a script, each with one of the texts."""
    return {f"echo{number}": text for number, text in enumerate(texts)}


def echoed(lines: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Arguments and inputs as `ECHO` got them."""
    arguments, inputs = (base64.b64decode(line).decode().split("\0")[:-1] for line in lines)
    return arguments, dict(each.split("=", 1) for each in inputs)
