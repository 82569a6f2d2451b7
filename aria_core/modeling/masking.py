"""Secret values, and text without them."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from aria_core.modeling.values import MASK

SHORTEST = 4
"""A value with fewer characters is not looked for inside other text: it would stand everywhere."""
SHORTEST_LINE = 8
"""The same for one line of a value that has several."""

_CUT = re.compile(r" … \(\d+ (?:characters,|bytes) cut\)|… \(cut\)")
_LONGEST_PIECE = 4096


class SecretValues:
    """Replaces secret values, also as parts of other text. May be used from several threads.

    A value is found as it is, line by line if it has several, as Python and JSON quote it, as URLs and
    shells do. Lists and maps are secret in all their texts and numbers.
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self._forms: tuple[str, ...] = ()
        self._adding = threading.Lock()
        self.add(*values)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {MASK}>"

    @property
    def has_values(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._forms)

    def add(self, *values: Any) -> None:
        """From now on these are hidden too."""
        forms = {form for value in values for text in _texts(value) for form in _forms_of(text)}
        if forms.issubset(self._forms):
            return
        with self._adding:
            # longest first: what is left of a value after a shorter one inside it went would be shown
            self._forms = tuple(sorted(forms.union(self._forms), key=lambda each: (-len(each), each)))

    def hide(self, text: str) -> str:
        """`text` with each secret value in it replaced."""
        forms = self._forms
        for form in forms:
            if form in text:
                text = text.replace(form, MASK)
        return _without_cut_piece(text, forms) if forms and "cut)" in text else text

    def hide_in(self, value: Any) -> Any:
        """A JSON value with each secret value in its texts, and each number that is one, replaced."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {self.hide_in(key): self.hide_in(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            parts = [self.hide_in(each) for each in value]
            return parts if isinstance(value, list) else tuple(parts)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return MASK if is_number and str(value) in self._forms else value

    def hide_in_error(self, error: BaseException) -> None:
        """Replace secret values in what an exception, and those it came from, say."""
        seen: set[int] = set()
        waiting: list[BaseException | None] = [error]
        while waiting:
            each = waiting.pop()
            if each is not None and id(each) not in seen:
                seen.add(id(each))
                each.args = tuple(self.hide_in(part) if type(part) in _PLAIN else part for part in each.args)
                waiting += [each.__cause__, each.__context__]


_PLAIN = (str, int, float, list, tuple, dict)


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value that are secret by themselves."""
    if isinstance(value, str):
        yield from (each for each in (value, value.strip()) if len(each) >= SHORTEST)
        lines = [each.strip() for each in value.splitlines()]
        yield from (each for each in lines if len(lines) > 1 and len(each) >= SHORTEST_LINE)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and len(str(value)) >= SHORTEST:
        yield str(value)


def _forms_of(text: str) -> set[str]:
    """How a text may be spelled where it is shown."""
    return {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1],
            quote(text, safe="", errors="replace"), quote(text, errors="replace"),
            quote_plus(text, errors="replace"), shlex.quote(text)}


def _without_cut_piece(text: str, forms: Iterable[str]) -> str:
    """`text` without the beginning of a value that stands where it was cut."""
    cut = None
    for cut in _CUT.finditer(text):  # noqa: B007 - the last one counts
        pass
    if cut is None:
        return text
    head, tail = text[:cut.start()], text[cut.start():]
    for form in forms:
        for length in range(min(len(form) - 1, _LONGEST_PIECE), SHORTEST - 1, -1):
            if head.endswith(form[:length]):
                return f"{head[:-length]}{MASK}{tail}"
    return text
