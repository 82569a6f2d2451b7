"""The lines of the results, by cell."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.cells import key_of

Key = tuple[str, str, str, int]


class Medians:
    """What the runs of each cell say in the middle; runs that were not verified do not count."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.rows = [dict(each) for each in rows]
        self._runs: dict[Key, list[dict[str, Any]]] = defaultdict(list)
        for row in self.rows:
            if row.get("verified"):
                self._runs[key_of(row)].append(row)

    def runs(self, *key: Any) -> list[dict[str, Any]]:
        """The verified runs of a cell."""
        return self._runs.get(key, [])

    def of(self, peer: str, mode: str, shape: str, n: int, field: str = "tasks_per_s") -> float | None:
        """The median of a figure; None if no run has it."""
        values = [row[field] for row in self.runs(peer, mode, shape, n) if row.get(field) is not None]
        return statistics.median(values) if values else None

    def ratio(self, above: Key, below: Key, field: str = "tasks_per_s") -> float | None:
        """One median to another; None if either is missing."""
        first, second = self.of(*above, field), self.of(*below, field)
        return first / second if first is not None and second else None

    @property
    def modes(self) -> list[tuple[str, str]]:
        """Peer and mode of everything that was run, in order."""
        return list(dict.fromkeys((row["peer"], row["mode"]) for row in self.rows))

    @property
    def unverified(self) -> list[dict[str, Any]]:
        """Runs that failed or did wrong."""
        return [row for row in self.rows if not row.get("verified")]
