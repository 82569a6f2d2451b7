"""Which executions of the queue have no runner any more: many are watched with one look."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from aria_core.clock import Clock
from aria_core.orchestrator.queued_runner import sign_of
from aria_core.storage.owners import TAKES_OVER_AFTER, is_gone
from aria_core.storage.records import Pulse


class LeftBehind:
    """Watches the executions of other runners.

    One is left behind if it is nobody's, if the process that had it has ended, as far as that can be seen
    from here, if we have it ourselves without knowing (`own` is the name we claim with), or if the same
    sign was seen for `TAKES_OVER_AFTER` seconds of our own clock.
    """

    def __init__(self, clock: Clock, own: str) -> None:
        self._clock = clock
        self._own = own
        self._signs: dict[int, tuple[tuple[int, int, int, str], float]] = {}

    def among(self, pulses: Sequence[Pulse], looked: float, ours: Collection[int]) -> list[Pulse]:
        """Those that nobody runs, of all that a look which began at `looked` found; `ours` are run here."""
        others = [each for each in pulses if each.execution not in ours]
        seen = self._clock.monotonic()
        before, self._signs = self._signs, {}
        for each in others:
            sign, since = before.get(each.execution, (None, seen))
            self._signs[each.execution] = (sign_of(each), since if sign == sign_of(each) else seen)
        return [each for each in others if self._is_left(each, looked)]

    def _is_left(self, pulse: Pulse, looked: float) -> bool:
        if is_gone(pulse.owner) or (pulse.owner or {}).get("runner") == self._own:
            return True
        return looked - self._signs[pulse.execution][1] >= TAKES_OVER_AFTER
