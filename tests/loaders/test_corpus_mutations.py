"""Other people's right templates made wrong: a misspelt keyname is reported, wherever it stands.

See ``test_corpus`` for where they are. One in `EVERY` is taken; all of them if ``LONG_TESTS`` is set.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aria_core import LoadError
from aria_plugins.loaders.tosca import ToscaLoader
from aria_plugins.loaders.tosca.documents import TABLES
from aria_plugins.loaders.tosca.grammar import Grammar
from aria_plugins.loaders.tosca.keynames import OTHER_NAMES, Entity
from aria_plugins.loaders.tosca.problems import Problems
from aria_plugins.loaders.tosca.values import Mapping, field, parse, text

from .test_corpus import CORPUS, judged

EVERY = 1 if os.environ.get("LONG_TESTS") else 6
REPORTED = 0.95

pytestmark = pytest.mark.skipif(
    not (CORPUS / "index.tsv").exists(), reason=f"there is no corpus in {CORPUS}: ARIA_CORPUS may name one")


class Noting(Grammar):
    """Notes where each keyname stands first."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.first: dict[tuple[str, int], tuple[str, int, int]] = {}

    def _check_keys(self, value: Mapping, entity: Entity, what: str) -> None:
        for name, key in value.keys.items():
            if name in entity.keys:
                self.first.setdefault((name, id(entity)), (name, key.mark.line, key.mark.column))
        super()._check_keys(value, entity, what)


def keynames(file: Path) -> Iterator[tuple[str, int, int]]:
    """The keynames of a template, each once for each entity: name, line and column from 0."""
    root = parse(file.read_bytes(), file.name, Problems())
    version = text(field(root, "tosca_definitions_version")) or ""
    grammar = Noting(TABLES[OTHER_NAMES.get(version, version)], Problems())
    if root is not None:
        grammar.check(root, "service template", "it")
    yield from grammar.first.values()


def test_a_misspelt_keyname_is_reported() -> None:
    valid = [CORPUS / each.row.file for each in judged() if each.row.is_valid and not each.problems]
    reported: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for file in valid[::EVERY]:
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
        for name, line, column in keynames(file):
            if lines[line][column:].startswith(name):
                wrong = [*lines]
                wrong[line] = f"{wrong[line][:column]}x{wrong[line][column:]}"
                (reported if _is_refused(file, "\n".join(wrong).encode()) else missed)[name] += 1
    tried = reported.total() + missed.total()
    sys.stdout.write(f"\n{reported.total()} of {tried} misspelt keynames reported; missed: {dict(missed)}\n")
    assert reported.total() >= REPORTED * tried > 0


def _is_refused(file: Path, content: bytes) -> bool:
    def read(path: Path) -> bytes:
        return content if path == file else path.read_bytes()

    try:
        ToscaLoader().load(file, read)
    except LoadError:
        return True
    return False
