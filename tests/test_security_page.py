"""Every test that SECURITY.md names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def named() -> list[tuple[str, str]]:
    """File and function; a name without a file is of the file before it."""
    found, file = [], ""
    for before, name in re.findall(r"`([\w/]*\.py)?::(\w+)`", (ROOT / "SECURITY.md").read_text("utf-8")):
        file = before or file
        found.append((file, name))
    return found


def test_every_test_that_shows_a_measure_exists() -> None:
    assert len(named()) > 30
    for file, name in named():
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (file, name)
