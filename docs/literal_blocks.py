"""Makes Markdown of the literal blocks in docstrings, which are written as reStructuredText has them."""

from __future__ import annotations

import re
from typing import Any

import griffe

_BLOCK = re.compile(r"(?m)^(?P<line>.*?) ?::\n\n(?P<block>(?:(?: {4}.*)?\n?)+)")


def as_markdown(docstring: str) -> str:
    """`docstring` with a fence around each indented block that ``::`` announces."""
    return _BLOCK.sub(_fenced, docstring + "\n").rstrip()


def _fenced(match: re.Match[str]) -> str:
    line = match["line"].rstrip()
    if line and line[-1] not in ".:;":
        line += ":"
    code = "\n".join(each[4:] for each in match["block"].rstrip().split("\n"))
    language = "python" if "import " in code or "def " in code else "text"
    return f"{line}\n\n```{language}\n{code}\n```\n\n"


class LiteralBlocks(griffe.Extension):
    """Applies `as_markdown` to every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
