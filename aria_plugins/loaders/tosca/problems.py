"""Problems: what is wrong with a template, where, and what the author may have meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

MAX_LISTED = 12
MAX_PROBLEMS = 1000
MAX_COMPARED = 200
MAX_TYPED = 6
"""How many letters a suggestion may have more or less than what was written."""


class Kind(StrEnum):
    """What sort of problem it is; `load` refuses all of them."""

    INVALID = "invalid"
    UNSUPPORTED = "unsupported"
    """The template is well formed, but this loader cannot do it yet."""


class Place(NamedTuple):
    """A position in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @staticmethod
    def of(written: str) -> Place:
        """The place that was written so."""
        file, line, column = written.rsplit(":", 2)
        return Place(file, int(line), int(column))


class Problem(NamedTuple):
    """One sentence about one place."""

    place: Place
    sentence: str
    kind: Kind = Kind.INVALID

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}"


class TemplateError(Exception):
    """Raised inside the loader when there is no going on; carries the one problem."""

    def __init__(self, place: Place, sentence: str) -> None:
        self.problem = Problem(place, sentence)
        super().__init__(str(self.problem))


class TooManyProblemsError(Exception):
    """Raised inside the loader when there is no use in going on."""


class Problems:
    """Collects problems and warnings; the same problem counts once."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}
        self._warnings: dict[Problem, None] = {}

    def add(self, place: Place, sentence: str, kind: Kind = Kind.INVALID) -> None:
        """Remember that something is wrong at `place`; raises ``TooManyProblemsError`` after 1,000."""
        if len(self._found) >= MAX_PROBLEMS:
            self._found[Problem(place, f"there are more than {MAX_PROBLEMS:,} problems; the others are not "
                                "shown")] = None
            raise TooManyProblemsError
        self._found.setdefault(Problem(place, sentence, kind))

    def warn(self, place: Place, sentence: str) -> None:
        """Remember something that the author should know and that stops nothing."""
        if len(self._warnings) < MAX_PROBLEMS:
            self._warnings.setdefault(Problem(place, sentence))

    def keep(self, error: TemplateError) -> None:
        """Remember the problem of an error."""
        self.add(*error.problem)

    def forgive(self, forgiven: Callable[[Place], bool], why: str) -> None:
        """Make warnings, which say `why`, of the problems at places that are `forgiven`."""
        for each in [each for each in self._found if forgiven(each.place)]:
            del self._found[each]
            self.warn(each.place, f"{each.sentence} ({why})")

    def __iter__(self) -> Iterator[Problem]:
        """The problems in the order of their files' first problem, then of their lines."""
        order = {file: number for number,
                 file in reversed(list(enumerate(each.place.file for each in self._found)))}
        return iter(sorted(self._found, key=lambda each: (order[each.place.file], each.place[1:])))

    def __len__(self) -> int:
        return len(self._found)

    @property
    def warnings(self) -> list[str]:
        """The warnings as sentences, each with its place."""
        return [str(each) for each in sorted(self._warnings)]


def suggestion(name: str, known: Iterable[str], plural: str = "") -> str:
    """The end of a sentence about an unknown name: what was meant, or what there is.

    `plural` says what the known ones are (``the inputs``); without it they are not listed.
    """
    names = [each for each in known if each]
    alike = islice((each for each in names if abs(len(each) - len(name)) <= MAX_TYPED), MAX_COMPARED)
    close = get_close_matches(name, alike, n=1, cutoff=0.75)
    if close:
        return f"; did you mean `{close[0]}`?"
    if not plural:
        return ""
    bare = plural.removeprefix("the ").removeprefix("its ")
    return f"; {plural} are {listed(names)}" if names else f"; there are no {bare}"


def hint(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: what was meant, or else all there is."""
    names = list(known)
    return suggestion(name, names) or (f"; it takes {listed(names)}" if names else "; it takes none")


def listed(names: Iterable[str]) -> str:
    """Names for a sentence, shortened when there are many."""
    all_names = list(names)
    shown = ", ".join(all_names[:MAX_LISTED])
    more = len(all_names) - MAX_LISTED
    return f"{shown} and {more} more" if more > 0 else shown
