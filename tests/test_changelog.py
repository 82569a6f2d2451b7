"""Fragments of the changelog are named so that whoever makes a release can sort them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "changelog.d"
FRAGMENTS = sorted(each for each in FOLDER.iterdir() if each.name != "README.md")
KINDS = re.findall(r"^\| `(\w+)` \|", (FOLDER / "README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda each: each.name)
def test_a_fragment_names_its_issue_and_its_kind_and_holds_sentences(fragment):
    assert re.fullmatch(rf"\d+(-[a-z-]+)?\.({'|'.join(KINDS)})\.md", fragment.name)
    assert re.fullmatch(r"(?s)[^#*\s-].*[.!]\n", fragment.read_text())
