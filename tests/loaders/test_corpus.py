"""Other people's templates, judged by their owners: what is right is accepted, what is wrong is refused.

They are not part of this project. They are read where ``ARIA_CORPUS`` says, or in ``shared/corpus`` beside
the checkout; without them these tests are skipped. Disputed labels count as their owners have them; they are
listed in docs/explanation/tosca-disputed.md.
"""

from __future__ import annotations

import csv
import os
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aria_core import LoadError
from aria_plugins.loaders.tosca import ToscaLoader

BESIDE = Path(__file__).parents[3] / "shared" / "corpus"
CORPUS = Path(os.environ.get("ARIA_CORPUS") or BESIDE)
PATIENCE = 10
LOCATED = re.compile(r"^.+:\d+:\d+: \S")
NFV = "tosca_simple_profile_for_nfv"
LITERALS = "aria-literals"
VALID_BARS = {"1.0": 0.96, "1.2": 0.78, "1.3": 0.88, "2.0": 0.75, LITERALS: 0.95}
"""Group of versions -> the share of valid templates that must be accepted."""
INVALID_BAR = 0.90
SAYS_WHY_AT = 0.95

pytestmark = pytest.mark.skipif(
    not (CORPUS / "index.tsv").exists(), reason=f"there is no corpus in {CORPUS}: ARIA_CORPUS may name one")


@dataclass(frozen=True)
class Row:
    """One template, and what its owner says of it."""

    file: str
    source: str
    version: str
    is_valid: bool

    @property
    def group(self) -> str:
        """Which bar it counts for."""
        if self.source == LITERALS:
            return LITERALS
        if self.version.startswith(NFV):
            return "1.2"
        match = re.search(r"([12])[._](\d+)$", self.version)
        version = f"{match[1]}.{match[2]}" if match else "1.0"
        return "1.0" if version == "1.1" else version


@dataclass(frozen=True)
class Judged:
    """What the loader says of it."""

    row: Row
    problems: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether that is what the owner says; refusing a version is no answer to a template of it."""
        refused = bool(self.problems) and not any("not supported yet" in each for each in self.problems)
        return refused != self.row.is_valid


@cache
def rows() -> Sequence[Row]:
    with (CORPUS / "index.tsv").open(encoding="utf-8") as file:
        return [Row(each["file"], each["file"].split("/")[1], each["version"] or _declared(each["file"]),
                    each["expect"] == "valid")
                for each in csv.DictReader(file, delimiter="\t") if each["expect"] != "support"]


def _declared(file: str) -> str:
    text = (CORPUS / file).read_text("utf-8", errors="replace")
    found = re.search(r"^tosca_definitions_version:\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


@cache
def judged() -> Sequence[Judged]:
    return [Judged(row, _problems(CORPUS / row.file)) for row in rows()]


def _problems(file: Path) -> tuple[str, ...]:
    """What is wrong with it; anything but a ``LoadError``, and taking too long, fails the test."""
    with _within(PATIENCE, str(file)):
        try:
            ToscaLoader().load(file, Path.read_bytes)
        except LoadError as error:
            return tuple(error.problems)
    return ()


@contextmanager
def _within(seconds: int, what: str) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise TimeoutError(f"{what} takes longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _shares(of: str, is_valid: bool) -> dict[str, tuple[int, int]]:
    """Group (or source) -> how many are judged rightly, of how many."""
    found: dict[str, list[bool]] = defaultdict(list)
    for each in judged():
        if each.row.is_valid == is_valid:
            found[getattr(each.row, of)].append(each.is_right)
    return {name: (sum(right), len(right)) for name, right in sorted(found.items())}


def test_the_table() -> None:
    """Printed for people."""
    table: dict[tuple[str, str, bool], list[bool]] = defaultdict(list)
    for each in judged():
        table[each.row.source, each.row.group, each.row.is_valid].append(each.is_right)
    lines = [f"{source:22}{group:15}{'valid' if valid else 'invalid':9}{sum(right):4}/{len(right):<4}"
             f"{sum(right) / len(right):6.0%}" for (source, group, valid), right in sorted(table.items())]
    sys.stdout.write("\n".join(["", *lines, ""]))
    assert sum(map(len, table.values())) == len(rows()) > 0


@pytest.mark.parametrize("group", VALID_BARS)
def test_valid_templates_are_accepted(group: str) -> None:
    right, of = _shares("group", is_valid=True)[group]
    assert right / of >= VALID_BARS[group], f"{right} of {of}"


def test_invalid_templates_of_each_source_are_refused() -> None:
    shares = _shares("source", is_valid=False)
    assert {source: share for source, share in shares.items() if share[0] / share[1] < INVALID_BAR} == {}


def test_all_negatives_of_oasis_for_1_0_are_refused() -> None:
    right, of = _shares("source", is_valid=False)["oasis-1.0"]
    assert right == of


def test_each_problem_has_its_place() -> None:
    told = [problem for each in judged() for problem in each.problems]
    assert [each for each in told if not LOCATED.match(each)] == []


def test_the_negatives_of_oasis_for_1_0_are_refused_at_the_line_that_they_name() -> None:
    """Those for 2.0 have the line numbers of an earlier edition of their files, one more or several."""
    told = [(each.row.file, wanted, _lines_told(each)) for each in judged()
            if not each.row.is_valid and each.row.source == "oasis-1.0"
            and (wanted := _lines_of(CORPUS / each.row.file))]
    wrong = [each for each in told if not each[1] & each[2]]
    assert len(told) - len(wrong) >= SAYS_WHY_AT * len(told) > 0, wrong


def _lines_told(each: Judged) -> set[int]:
    own = f"{CORPUS / each.row.file}:"
    places = [each.removeprefix(own) for each in each.problems if each.startswith(own)]
    return {int(each.partition(":")[0]) for each in places}


def _lines_of(file: Path) -> set[int]:
    found = re.search(r"errors_lines:\s*(.+)", file.read_text("utf-8", errors="replace"))
    return set(map(int, re.findall(r"\d+", found[1]))) if found else set()
